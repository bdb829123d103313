//! What the end of kas means: it worked, it failed and why, it was stopped by us or by somebody else.

use std::path::Path;

use crate::exec::{Ended, Finish};
use crate::model::console::{Collector, Failure, Mounts};
use crate::steps::StepResult;

/// What is known when kas has ended, besides what it said.
pub(super) struct Evidence<'a> {
    pub(super) finish: Finish,
    /// `kas-container` or `kas`.
    pub(super) program: &'static str,
    /// How many processes the kernel killed meanwhile for want of memory, on the whole host.
    pub(super) kernel_kills: u64,
    /// The log of the whole build.
    pub(super) log: &'a Path,
    /// Where the container's paths are; none where there is no container.
    pub(super) mounts: Option<Mounts>,
}

impl Evidence<'_> {
    pub(super) fn result(&self, collector: &Collector) -> StepResult {
        if self.finish.stopped.is_some() {
            return self.stopped();
        }
        match self.finish.ended {
            Ended::Exited(0) if !collector.ends_in_failure() => StepResult::succeeded(),
            Ended::Exited(0) => {
                let failure = collector.failure();
                let why = format!(
                    "{} ended with exit code 0 although its build failed: {}",
                    self.program, failure.reason
                );
                self.failed(why, &failure)
            }
            Ended::Exited(code) => self.exited(code, collector),
            Ended::Signalled(signal) => self.failed(
                format!(
                    "{} was ended from outside by {}",
                    self.program,
                    signal_name(signal)
                ),
                &Failure::default(),
            ),
            Ended::Unkillable => self.unkillable(),
        }
    }

    fn stopped(&self) -> StepResult {
        if self.finish.ended == Ended::Unkillable {
            return self.unkillable();
        }
        StepResult::cancelled()
    }

    fn unkillable(&self) -> StepResult {
        StepResult::failed(format!(
            "{} was killed and is still there: it hangs in the kernel",
            self.program
        ))
        .hint("see where: ps -eo pid,stat,wchan:32,args | grep ' D'")
    }

    fn exited(&self, code: i32, collector: &Collector) -> StepResult {
        let failure = collector.failure();
        // A task that failed explains more than the end of the container, which follows from it.
        if !failure.tasks.is_empty() || collector.ends_in_failure() {
            let why = match self.kernel_kills {
                0 => failure.reason.clone(),
                _ => format!("{} (the host ran out of memory)", failure.reason),
            };
            return self.failed(why, &failure);
        }
        match code {
            137 if self.kernel_kills > 0 => StepResult::failed(
                "the host ran out of memory and the kernel killed the build",
            )
            .hint("build fewer at a time (-j 1), or set BB_NUMBER_THREADS and PARALLEL_MAKE lower"),
            137 => StepResult::failed(
                "the container was removed or killed from outside (exit code 137)",
            )
            .hint("see what the kernel says of memory: sudo dmesg | grep -i 'out of memory'"),
            130 | 143 => StepResult::failed(format!(
                "the container was stopped or removed from outside (exit code {code})"
            ))
            .hint(format!("see the end of {}", self.log.display())),
            _ => self.failed(
                format!(
                    "{} ended with exit code {code}: {}",
                    self.program, failure.reason
                ),
                &failure,
            ),
        }
    }

    fn failed(&self, why: String, failure: &Failure) -> StepResult {
        let log = failure
            .log
            .as_ref()
            .and_then(|path| match &self.mounts {
                Some(mounts) => mounts.host(path),
                None => Some(path.clone()),
            })
            .unwrap_or_else(|| self.log.display().to_string());
        StepResult::failed(why).hint(format!("see {log}"))
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// How many processes the kernel has killed for want of memory since it was started
/// (`oom_kill` of /proc/vmstat, Linux 4.13 and later; else 0).
pub(super) fn kernel_kills() -> u64 {
    std::fs::read_to_string("/proc/vmstat")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}
