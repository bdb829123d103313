//! Short commands: the one blocking runner of programs, with bounded time and bounded output.
//!
//! For callers on a thread that may block; [`crate::exec::ask`] and [`crate::exec::quiet`] are its async
//! form, and [`crate::exec::Process`] runs builds. The command gets a process group of its own, which is
//! killed at the time limit, at a stop and on a panic, and the process is reaped on every path. A process
//! that cannot be killed (one of root, one in uninterruptible sleep) is handed to a thread that reaps it when
//! it ends, so that the caller never waits for it.
//!
//! One loop of `poll(2)` serves both outputs, the input and the process's end (`pidfd_open(2)`), so there is
//! no thread for a pipe and no delay before an end is noticed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

/// The default of [`ShortCommand::max_output`], in bytes for each stream.
const MAX_OUTPUT: usize = 16 * 1024 * 1024;

/// Time between two calls of a stop predicate.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Time between two looks at the process on a kernel without `pidfd_open(2)` (before Linux 5.3).
const EXIT_POLL: Duration = Duration::from_millis(20);

/// Time for a process to end after the kill at its time limit, before it is left to the reaper.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// The same after a stop. Longer, because the caller then removes what the process was writing.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Time to read output after the process was stopped, or has ended with its pipes held by a background child.
const DRAIN: Duration = Duration::from_millis(200);

/// A command for the blocking runner. By default it runs in `/`, with our environment and without input.
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

/// A command without an end to report.
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
    /// The system does not report its end.
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
            // A working directory keeps its file system busy, and drives are to be unmounted.
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

    /// The same in our own working directory.
    #[must_use]
    pub fn in_current_dir(mut self) -> ShortCommand {
        self.dir = None;
        self
    }

    /// The same without the variables of our environment.
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

/// A started command. Dropping it kills its group and reaps it.
struct RunningCommand {
    /// Taken when the process is reaped.
    child: Option<Child>,
    /// The process, which leads the group. The number stays ours until the process is reaped.
    pid: Pid,
    pidfd: Option<OwnedFd>,
    stdin: Option<(OwnedFd, Vec<u8>)>,
    stdout: OutputPipe,
    stderr: OutputPipe,
    has_ended: bool,
    ended_at: Option<Instant>,
    /// Whether the rest of the group lives on.
    is_left: bool,
}

impl RunningCommand {
    fn spawn(command: &ShortCommand) -> io::Result<RunningCommand> {
        let ShortCommand { program, args, .. } = command;
        tracing::debug!(?program, ?args, "run");
        let mut system = Command::new(program);
        if command.clears_env {
            system.env_clear();
        }
        if let Some(dir) = &command.dir {
            system.current_dir(dir);
        }
        let piped_if = |piped: bool| if piped { Stdio::piped() } else { Stdio::null() };
        let mut child = system
            .args(args)
            .envs(command.env.iter().map(|(name, value)| (name, value)))
            .stdin(piped_if(command.stdin.is_some()))
            .stdout(piped_if(!command.discards_stdout))
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal goes to the foreground group; this command ends on our terms.
            .process_group(0)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take().map(OwnedFd::from);
        let running = RunningCommand {
            pid,
            pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(),
            stdin: stdin.zip(command.stdin.clone()),
            stdout: OutputPipe::new(child.stdout.take().map(OwnedFd::from), command.max_output),
            stderr: OutputPipe::new(child.stderr.take().map(OwnedFd::from), command.max_output),
            child: Some(child),
            has_ended: false,
            ended_at: None,
            is_left: false,
        };
        if let Some((pipe, _)) = &running.stdin {
            // `poll` promises room for some bytes, and a write of more would block.
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(running)
    }

    /// Whether both outputs are closed.
    fn is_silent(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// Kills the group. Safe until the process is reaped: until then its number is not given to others.
    fn kill(&self) {
        // It fails where the group has ended, and where all of it belongs to another user (behind sudo).
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    fn wait_for_end(&mut self, limit: Duration) {
        let until = Instant::now() + limit;
        while !self.has_ended && Instant::now() < until {
            self.wait_once(Some(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Waits for output, for room for input or for the end, for `limit` at most, and handles it.
    fn wait_once(&mut self, limit: Option<Duration>) {
        let watched = self.pidfd.as_ref().filter(|_| !self.has_ended);
        let limit = match (watched, self.has_ended) {
            (None, false) => Some(limit.map_or(EXIT_POLL, |limit| limit.min(EXIT_POLL))),
            _ => limit,
        };
        let input = self.stdin.as_ref().map(|(pipe, _)| pipe);
        let sources = [
            (watched, PollFlags::IN),
            (self.stdout.pipe.as_ref(), PollFlags::IN),
            (self.stderr.pipe.as_ref(), PollFlags::IN),
            (input, PollFlags::OUT),
        ];
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(sources.len());
        let mut slots = [None; 4];
        for (slot, (source, flags)) in slots.iter_mut().zip(sources) {
            if let Some(source) = source {
                *slot = Some(polled.len());
                polled.push(PollFd::from_borrowed_fd(source.as_fd(), flags));
            }
        }
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // An interrupted wait is tried again by the caller's loop.
        let _ = poll(&mut polled, timeout.as_ref());
        let [end, stdout, stderr, stdin] =
            slots.map(|slot| slot.is_some_and(|at| !polled[at].revents().is_empty()));
        if stdout {
            self.stdout.read();
        }
        if stderr {
            self.stderr.read();
        }
        if stdin {
            self.write();
        }
        if !self.has_ended && (end || self.pidfd.is_none()) {
            self.look_for_end();
        }
    }

    /// Notices the end without reaping the process.
    fn look_for_end(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(None) => {}
            // An error means that there is no such child any more.
            Ok(Some(_)) | Err(_) => {
                self.has_ended = true;
                self.ended_at = Some(Instant::now());
            }
        }
    }

    fn write(&mut self) {
        let Some((pipe, left)) = &mut self.stdin else {
            return;
        };
        match rustix::io::write(&*pipe, left) {
            Ok(written) => drop(left.drain(..written)),
            Err(Errno::INTR | Errno::AGAIN) => return,
            // The command does not read the rest.
            Err(_) => left.clear(),
        }
        if left.is_empty() {
            self.stdin = None;
        }
    }

    /// Kills what is left of the group and reaps the process. None if the process has not ended.
    fn finish(mut self) -> Result<Option<CommandOutput>, CommandError> {
        if !self.has_ended {
            return Ok(None);
        }
        if !self.is_silent() && !self.is_left {
            self.kill();
        }
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        Ok(Some(CommandOutput {
            status: child.wait().map_err(CommandError::Wait)?,
            stdout: std::mem::take(&mut self.stdout.kept),
            stderr: std::mem::take(&mut self.stderr.kept),
        }))
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if !self.is_left {
            self.kill();
        }
        if self.has_ended {
            // It is a zombie, so this returns at once.
            let _ = child.wait();
            return;
        }
        // Without the thread it stays a zombie once it ends, until we end ourselves.
        let _ = std::thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || child.wait());
    }
}

/// The reading end of an output, and its first bytes.
struct OutputPipe {
    /// None once the output is closed.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    max: usize,
}

impl OutputPipe {
    fn new(pipe: Option<OwnedFd>, max: usize) -> OutputPipe {
        OutputPipe {
            pipe,
            kept: Vec::new(),
            max,
        }
    }

    fn read(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(count @ 1..) => {
                let room = self.max.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
    }
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
