//! Judges how kas ended: good, failed and why, or stopped by this run or from outside.

use std::path::Path;

use crate::bitbake::console::{BuildFailure, Collector, Mounts};
use crate::exec::{ProcessEnd, ProcessOutcome};
use crate::steps::result::StepResult;

/// The evidence when kas has ended, besides its output.
pub(super) struct EndEvidence<'a> {
    pub(super) finish: ProcessOutcome,
    /// `kas-container` or `kas`.
    pub(super) program: &'static str,
    /// How many processes of the host the kernel killed meanwhile because it ran out of memory.
    pub(super) kernel_kills: u64,
    /// The log of the whole build.
    pub(super) log: &'a Path,
    /// Where the container's paths are on the host; absent without a container.
    pub(super) mounts: Option<Mounts>,
}

impl EndEvidence<'_> {
    pub(super) fn result(&self, collector: &Collector) -> StepResult {
        if self.finish.stopped.is_some() {
            return self.stopped();
        }
        match self.finish.ended {
            ProcessEnd::Exited(0) if !collector.ends_in_failure() => StepResult::succeeded(),
            ProcessEnd::Exited(0) => {
                let failure = collector.failure();
                let why = format!(
                    "{} ended with exit code 0 although its build failed: {}",
                    self.program, failure.reason
                );
                self.failed(why, &failure)
            }
            ProcessEnd::Exited(code) => self.exited(code, collector),
            ProcessEnd::Signalled(signal) => self.failed(
                format!(
                    "{} was ended from outside by {}",
                    self.program,
                    signal_name(signal)
                ),
                &BuildFailure::default(),
            ),
            ProcessEnd::Unkillable => self.unkillable(),
        }
    }

    fn stopped(&self) -> StepResult {
        if self.finish.ended == ProcessEnd::Unkillable {
            return self.unkillable();
        }
        StepResult::cancelled()
    }

    fn unkillable(&self) -> StepResult {
        StepResult::failed(format!(
            "{} was killed and did not end: it hangs in the kernel",
            self.program
        ))
        .hint("see where: ps -eo pid,stat,wchan:32,args | grep ' D'")
    }

    fn exited(&self, code: i32, collector: &Collector) -> StepResult {
        let failure = collector.failure();
        // The failed task is the cause; the end of the container follows from it.
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

    fn failed(&self, why: String, failure: &BuildFailure) -> StepResult {
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

/// How many processes the kernel has killed since boot because it ran out of memory: `oom_kill` in /proc/vmstat, Linux
/// 4.13 and later; 0 where it is missing.
pub(super) fn kernel_kills() -> u64 {
    std::fs::read_to_string("/proc/vmstat")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}
