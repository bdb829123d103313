//! Short commands: the one blocking runner of programs, with bounded time and bounded output.
//!
//! For callers on a thread that may block; [`crate::exec::ask`] and [`crate::exec::quiet`] are its async form,
//! and [`crate::exec::Process`] runs builds. The command gets a process group of its own, which is killed at
//! the time limit, at a stop and on a panic, and the process is reaped on every path. A process that cannot be
//! killed (of root, or in uninterruptible sleep) is passed to a thread that reaps it when it ends, so the
//! caller never waits for it.

mod running;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::exec::short_command::running::RunningCommand;

/// The default of [`ShortCommand::max_output`], in bytes for each stream.
const MAX_OUTPUT: usize = 16 * 1024 * 1024;

/// Time between two calls of a stop predicate.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Time for a process to end after the kill at its time limit, before it is left to the reaper.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The same after a stop. Longer, because the caller then removes what the process was writing.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Time to read output after the process was stopped, or has ended with its pipes held by a background child.
const DRAIN: Duration = Duration::from_millis(200);

/// A command for the blocking runner. By default it runs in `/`, with this process's environment and without
/// input.
#[derive(Debug, Clone)]
pub struct ShortCommand {
    program: PathBuf,
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    clears_env: bool,
    env: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    limit: Option<Duration>,
    max_output: usize,
    discards_stdout: bool,
    leaves_background: bool,
}

/// The end of a command and its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit code or the signal.
    pub status: ExitStatus,
    /// The first bytes of standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// The first bytes of standard error, up to the limit.
    pub stderr: Vec<u8>,
}

/// The reasons why a command has no output to return.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("{0}")]
    Start(io::Error),
    /// It did not end within its time limit, and was killed.
    #[error("no answer within {} s", .limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The stop predicate became true, and the command was killed.
    #[error("stopped")]
    Stopped {
        /// Its process id, for the names of temporary files that it left. Reaped, so it may be reused.
        pid: i32,
    },
    /// The system does not report the end of the process.
    #[error("cannot wait for it: {0}")]
    Wait(io::Error),
}

impl ShortCommand {
    /// A command without arguments. `program` is a path, or a name that is looked up in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> ShortCommand {
        ShortCommand {
            program: program.into(),
            args: Vec::new(),
            // A working directory keeps its file system busy, and drives must be unmountable.
            dir: Some(PathBuf::from("/")),
            clears_env: false,
            env: Vec::new(),
            stdin: None,
            limit: None,
            max_output: MAX_OUTPUT,
            discards_stdout: false,
            leaves_background: false,
        }
    }

    /// The same with these arguments added.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> ShortCommand {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// The same in the working directory of this process.
    #[must_use]
    pub fn in_current_dir(mut self) -> ShortCommand {
        self.dir = None;
        self
    }

    /// The same without the variables of this process's environment.
    #[must_use]
    pub fn env_clear(mut self) -> ShortCommand {
        self.clears_env = true;
        self
    }

    /// The same with these variables set.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> ShortCommand {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned()));
        self.env.extend(variables);
        self
    }

    /// The same with input. Input that the command does not read is dropped.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> ShortCommand {
        self.stdin = Some(bytes.into());
        self
    }

    /// The same with a limit on the time until the process has ended and both outputs are closed.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> ShortCommand {
        self.limit = Some(limit);
        self
    }

    /// The same with a limit on the bytes kept of each output. The rest is read and dropped.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> ShortCommand {
        self.max_output = bytes;
        self
    }

    /// The same with standard output discarded.
    #[must_use]
    pub fn discard_stdout(mut self) -> ShortCommand {
        self.discards_stdout = true;
        self
    }

    /// The same, but background children that still hold the outputs at the time limit are no error: they
    /// live on, and the output so far is returned.
    #[must_use]
    pub fn leave_background(mut self) -> ShortCommand {
        self.leaves_background = true;
        self
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// When it cannot be started, or does not end within its limit.
    pub fn run(&self) -> Result<CommandOutput, CommandError> {
        self.run_with(None)
    }

    /// Runs the command until it ends or `stop` returns true, and kills it then. `stop` is called about
    /// fifty times a second. A command that ends with exit code 0 in spite of the kill counts as ended.
    ///
    /// # Errors
    /// As [`ShortCommand::run`], and when it is stopped.
    pub fn run_until(&self, stop: &dyn Fn() -> bool) -> Result<CommandOutput, CommandError> {
        self.run_with(Some(stop))
    }

    fn run_with(&self, stop: Option<&dyn Fn() -> bool>) -> Result<CommandOutput, CommandError> {
        let mut running = RunningCommand::spawn(self).map_err(CommandError::Start)?;
        let deadline = self.limit.map(|limit| Instant::now() + limit);
        let mut stopped: Option<Instant> = None;
        loop {
            if running.has_ended && running.is_silent() {
                break;
            }
            let now = Instant::now();
            match stopped {
                None if stop.is_some_and(|stop| stop()) => {
                    running.kill();
                    stopped = Some(now);
                }
                None => {}
                Some(since) if running.has_ended && now >= since + DRAIN => break,
                Some(since) if now >= since + STOP_WAIT => break,
                Some(_) => {}
            }
            let grace = running.ended_at.map(|ended| ended + DRAIN);
            if stopped.is_none() && deadline.is_some_and(|deadline| now >= deadline) {
                if self.leaves_background && grace.is_some_and(|grace| now < grace) {
                    // The process ended close to the limit; its last bytes may still be in the pipes.
                } else if self.leaves_background && running.has_ended {
                    running.is_left = true;
                    break;
                } else {
                    running.kill();
                    running.wait_for_end(KILL_WAIT);
                    let limit = self.limit.unwrap_or_default();
                    return Err(CommandError::TimedOut { limit });
                }
            }
            running.wait_once(next_wake(now, deadline, grace, stop.is_some()));
        }
        let pid = running.pid;
        match running.finish()? {
            Some(output) if stopped.is_none() || output.status.success() => Ok(output),
            _ => Err(CommandError::Stopped {
                pid: pid.as_raw_nonzero().get(),
            }),
        }
    }
}

/// How long a wait may be: until the deadline, or the grace after it, or the next look at the stop predicate.
fn next_wake(
    now: Instant,
    deadline: Option<Instant>,
    grace: Option<Instant>,
    has_stop: bool,
) -> Option<Duration> {
    let deadline = deadline.map(|deadline| match grace {
        Some(grace) if now >= deadline => grace,
        _ => deadline,
    });
    let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
    let poll = has_stop.then_some(STOP_POLL);
    left.into_iter().chain(poll).min()
}

impl From<CommandError> for io::Error {
    fn from(error: CommandError) -> io::Error {
        match error {
            CommandError::Start(error) | CommandError::Wait(error) => error,
            CommandError::TimedOut { .. } => io::Error::new(io::ErrorKind::TimedOut, error),
            CommandError::Stopped { .. } => io::Error::new(io::ErrorKind::Interrupted, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::process::{Pid, Signal};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> ShortCommand {
        ShortCommand::new("/bin/sh")
            .args(["-c", script])
            .limit(LONG)
    }

    /// Whether a process is gone: not even a zombie of it is left.
    fn is_gone(pid: i32) -> bool {
        !Path::new(&format!("/proc/{pid}")).exists()
    }

    fn pids_in(file: &Path) -> Vec<i32> {
        let text = std::fs::read_to_string(file).unwrap();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    #[test]
    fn short_command_returns_status_and_both_outputs_as_bytes() {
        let output = shell(r"printf 'a\377b'; pwd >&2; exit 3").run().unwrap();

        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"a\xffb");
        assert_eq!(output.stderr, b"/\n");
    }

    #[test]
    fn short_command_passes_input_larger_than_a_pipe() {
        let input = vec![b'x'; 300_000];

        let output = shell("cat").stdin(input.clone()).run().unwrap();
        let unread = shell("exec <&-; sleep 0.2").stdin(input.clone()).run();

        assert_eq!(output.stdout, input);
        assert!(unread.unwrap().status.success());
    }

    #[test]
    fn short_command_sets_and_clears_the_environment() {
        let output = shell("echo $X $HOME")
            .env_clear()
            .envs([("X", "y")])
            .run()
            .unwrap();

        assert_eq!(output.stdout, b"y\n");
    }

    #[test]
    fn short_command_reads_and_drops_output_beyond_its_limit() {
        let output = shell("head -c 2000000 /dev/zero; echo end >&2")
            .max_output(1000)
            .run()
            .unwrap();

        assert_eq!(output.stdout.len(), 1000);
        assert_eq!(output.stderr, b"end\n");
    }

    #[test]
    fn short_command_kills_and_reaps_its_group_at_the_time_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids");
        let script = format!(
            "trap '' TERM; sleep 60 & echo $$ $! > {}; wait",
            file.display()
        );
        let began = Instant::now();

        let error = shell(&script).limit(Duration::from_millis(1500)).run();

        assert!(matches!(error, Err(CommandError::TimedOut { .. })));
        assert!(began.elapsed() < Duration::from_secs(10));
        let pids = pids_in(&file);
        assert!(is_gone(pids[0]));
        while !is_gone(pids[1]) {
            assert!(began.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn short_command_times_out_while_a_background_child_holds_its_outputs() {
        let began = Instant::now();

        let error = shell("sleep 60 & exit 0")
            .limit(Duration::from_millis(300))
            .run();

        assert!(matches!(error, Err(CommandError::TimedOut { .. })));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn short_command_leaves_background_children_if_asked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids");
        let script = format!("sleep 60 & echo $! > {}; echo done", file.display());

        let output = shell(&script)
            .limit(Duration::from_millis(500))
            .leave_background()
            .run()
            .unwrap();

        assert_eq!(output.stdout, b"done\n");
        let background = pids_in(&file)[0];
        assert!(crate::exec::lives(background));
        rustix::process::kill_process(Pid::from_raw(background).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn short_command_is_killed_and_reaped_when_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pids");
        let script = format!("sleep 60 & echo $$ > {}; wait", file.display());
        let stop = AtomicBool::new(false);
        let began = Instant::now();

        let result = std::thread::scope(|scope| {
            let running =
                scope.spawn(|| shell(&script).run_until(&|| stop.load(Ordering::Relaxed)));
            while !file.exists() {
                assert!(began.elapsed() < LONG);
                std::thread::sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
            running.join().unwrap()
        });

        let Err(CommandError::Stopped { pid }) = result else {
            panic!("{result:?}")
        };
        assert!(is_gone(pid));
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn short_command_reports_a_missing_program() {
        let error = ShortCommand::new("/nonexistent/program").run().unwrap_err();

        assert!(matches!(error, CommandError::Start(_)));
    }
}
