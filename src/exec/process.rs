//! A running program: its process group, output lines, limits and end.
//!
//! A step never uses a pipe or a signal itself: it passes a [`ProcessSpec`] and receives [`ProcessOutput`].

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use crate::event::OutputStream;
use crate::exec::group;
use crate::exec::lines::Lines;
use crate::exec::logfile::LogFile;
use crate::exec::stop::{KillSignal, StopLevel, StopSignal, more_than};

/// Time to read output after the process has ended while another process still has its pipes open.
const DRAIN: Duration = Duration::from_secs(2);

/// Time for a killed process to end before it counts as unkillable.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The program to run, and its limits.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// A path, or a name to look up in PATH.
    pub program: PathBuf,
    /// The arguments.
    pub args: Vec<OsString>,
    /// The working directory; that of this process if unset.
    pub dir: Option<PathBuf>,
    /// Changes to the environment of this process: a variable is set to a value, or removed.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// The log file, which gets every line. It is created anew, with its directory.
    pub log: Option<PathBuf>,
    /// The process is stopped after this time.
    pub time_limit: Option<Duration>,
    /// Time from a graceful stop to the kill.
    pub stop_timeout: Duration,
}

impl ProcessSpec {
    /// A program without arguments, limits or log, and 30 s to stop.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> ProcessSpec {
        ProcessSpec {
            program: program.into(),
            args: Vec::new(),
            dir: None,
            env: Vec::new(),
            log: None,
            time_limit: None,
            stop_timeout: Duration::from_secs(30),
        }
    }

    /// The same with these arguments added.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> ProcessSpec {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The same with a variable set.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> ProcessSpec {
        self.env.push((name.into(), Some(value.into())));
        self
    }
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program does not exist.
    #[error("cannot run `{}`: no such program", .program.display())]
    NotFound {
        /// The program as passed in.
        program: PathBuf,
    },
    /// The file exists, but the interpreter in its first line does not, as after a Python environment was
    /// moved.
    #[error("cannot run `{}`: the interpreter that its first line names does not exist", .program.display())]
    NoInterpreter {
        /// The program as passed in.
        program: PathBuf,
    },
    /// The file exists, but it cannot be executed.
    #[error("cannot run `{}`: permission denied", .program.display())]
    NotExecutable {
        /// The program as passed in.
        program: PathBuf,
    },
    /// The working directory is missing or not a directory.
    #[error("cannot run `{}` in {}: not a directory", .program.display(), .dir.display())]
    NoDirectory {
        /// The program as passed in.
        program: PathBuf,
        /// The directory.
        dir: PathBuf,
    },
    /// The log cannot be created.
    #[error("cannot write the log {}: {source}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Any other cause: no process ids or no memory left, an executable in a foreign format.
    #[error("cannot run `{}`: {source}", .program.display())]
    Spawn {
        /// The program as passed in.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl ExecError {
    /// The remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ExecError::NotFound { program } if program.components().count() > 1 => {
                Some(format!("check the path: ls -l {}", program.display()))
            }
            ExecError::NotFound { program } => Some(format!(
                "install `{}` or set its path in the settings (`isar-build-all doctor` shows what is found)",
                program.display()
            )),
            ExecError::NoInterpreter { program } => Some(format!(
                "install it again; see: head -n 1 {}",
                program.display()
            )),
            ExecError::NotExecutable { program } => Some(format!(
                "make it executable: chmod +x {}",
                program.display()
            )),
            ExecError::NoDirectory { .. } => None,
            ExecError::Log { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space on that file system: df -h".to_owned())
            }
            ExecError::Log { .. } => Some("check the owner of the state directory".to_owned()),
            ExecError::Spawn { .. } => None,
        }
    }
}

/// Output of a running process.
#[derive(Debug)]
pub enum ProcessOutput<'a> {
    /// A line, without its end; bytes that are not UTF-8 are replaced.
    Line(OutputStream, &'a str),
    /// The log accepts no more lines. Sent once; the process goes on.
    LogFailed(&'a Path, &'a io::Error),
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// It was killed and still exists, as a process in uninterruptible sleep does.
    Unkillable,
}

/// The cause of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The run stops.
    Asked,
    /// The process's own time limit.
    TimeLimit,
}

/// The end of a process, and whether it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessOutcome {
    /// Its end.
    pub ended: ProcessEnd,
    /// The cause if it was stopped.
    pub stopped: Option<StopCause>,
    /// Whether it had to be killed.
    pub killed: bool,
}

impl ProcessOutcome {
    /// Whether it ended by itself, with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.ended == ProcessEnd::Exited(0) && self.stopped.is_none()
    }
}

type ActionFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A further way to stop the process, besides the signals to its group.
pub type StopAction<'a> = Box<dyn Fn(StopLevel) -> ActionFuture<'a> + Send + Sync + 'a>;

/// The ways to stop a running process.
pub struct ProcessControl<'a> {
    stop: StopSignal,
    kill: Option<KillSignal>,
    action: Option<StopAction<'a>>,
}

impl<'a> ProcessControl<'a> {
    /// Follows `stop`.
    #[must_use]
    pub fn new(stop: StopSignal) -> ProcessControl<'a> {
        ProcessControl {
            stop,
            kill: None,
            action: None,
        }
    }

    /// The same with a kill switch of its own, which kills the process independently of the run's stop.
    #[must_use]
    pub fn with_kill(mut self, kill: KillSignal) -> ProcessControl<'a> {
        self.kill = Some(kill);
        self
    }

    /// The same with a further way to stop it, called once for each level, such as stopping its container. The
    /// action for [`StopLevel::Kill`] replaces a running one for [`StopLevel::Graceful`].
    #[must_use]
    pub fn with_action(mut self, action: StopAction<'a>) -> ProcessControl<'a> {
        self.action = Some(action);
        self
    }

    /// Waits for a level above `seen`.
    async fn more_than(&mut self, seen: StopLevel) -> StopLevel {
        tokio::select! {
            level = more_than(&mut self.stop, seen) => level,
            () = fired(&mut self.kill) => StopLevel::Kill,
        }
    }

    fn act(&self, level: StopLevel) -> Option<ActionFuture<'a>> {
        self.action.as_ref().map(|action| action(level))
    }
}

/// A running process. Dropping it kills its group.
pub struct Process {
    child: Child,
    group: OwnGroup,
    log: Option<LogFile>,
    time_limit: Option<Instant>,
    stop_timeout: Duration,
}

/// Kills the group on drop, unless its leader was reaped: after that the number may belong to others.
struct OwnGroup {
    pgid: i32,
    alive: bool,
}

impl OwnGroup {
    fn signal(&self, signal: Signal) {
        if self.alive {
            group::signal_group(self.pgid, signal);
        }
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Process {
    /// Starts a program in a process group of its own, without input and with both outputs on pipes. Sets
    /// `PYTHONUNBUFFERED=1`, because kas and BitBake are Python, and their lines must arrive when they are
    /// written.
    ///
    /// # Errors
    /// When the program cannot be started or its log cannot be created.
    pub fn spawn(spec: ProcessSpec) -> Result<Process, ExecError> {
        if let Some(dir) = &spec.dir
            && !dir.is_dir()
        {
            return Err(ExecError::NoDirectory {
                program: spec.program,
                dir: dir.clone(),
            });
        }
        let log = match &spec.log {
            Some(path) => Some(LogFile::create(path).map_err(|source| ExecError::Log {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .env("PYTHONUNBUFFERED", "1");
        if let Some(dir) = &spec.dir {
            command.current_dir(dir);
        }
        for (name, value) in &spec.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let program = spec.program.clone();
        tracing::debug!(?program, args = ?spec.args, "start");
        let child = command.spawn().map_err(|source| match source.kind() {
            // A name without a slash is looked up in PATH; a file of that name here would be another one.
            io::ErrorKind::NotFound if program.components().count() > 1 && program.exists() => {
                ExecError::NoInterpreter { program }
            }
            io::ErrorKind::NotFound => ExecError::NotFound { program },
            // If PATH contains a directory without permission, the system reports only that.
            io::ErrorKind::PermissionDenied
                if program.components().count() == 1 && which::which(&program).is_err() =>
            {
                ExecError::NotFound { program }
            }
            io::ErrorKind::PermissionDenied => ExecError::NotExecutable { program },
            _ => ExecError::Spawn { program, source },
        })?;
        let pgid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(0);
        Ok(Process {
            child,
            group: OwnGroup { pgid, alive: true },
            log,
            time_limit: spec.time_limit.map(|limit| Instant::now() + limit),
            stop_timeout: spec.stop_timeout,
        })
    }

    /// The id of the process group, which is also the process's own.
    #[must_use]
    pub fn pgid(&self) -> i32 {
        self.group.pgid
    }

    /// Runs it to its end and calls `on_output` for each line as it arrives.
    pub async fn run(
        mut self,
        mut on_output: impl FnMut(ProcessOutput<'_>),
        mut control: ProcessControl<'_>,
    ) -> ProcessOutcome {
        let mut out = LinePipe::new(OutputStream::Stdout, self.child.stdout.take());
        let mut err = LinePipe::new(OutputStream::Stderr, self.child.stderr.take());
        let mut state = ProcessState {
            level: StopLevel::Run,
            stopped: None,
            ended: None,
            deadline: self.time_limit,
        };
        let mut action: Option<ActionFuture<'_>> = None;
        loop {
            if state.ended.is_some() && !out.is_open() && !err.is_open() && action.is_none() {
                break;
            }
            let may_read = self.log.as_ref().is_none_or(|log| !log.is_full());
            let deadline = state.deadline;
            tokio::select! {
                level = control.more_than(state.level),
                    if state.level < StopLevel::Kill
                        && (state.ended.is_none() || action.is_some()) =>
                {
                    action = self.stop(level, StopCause::Asked, &mut state, &control);
                }
                () = wait_for(deadline) => match state.ended {
                    Some(_) => break,
                    None if state.level == StopLevel::Run => {
                        action = self.stop(
                            StopLevel::Graceful,
                            StopCause::TimeLimit,
                            &mut state,
                            &control,
                        );
                    }
                    None if state.level == StopLevel::Graceful => {
                        action = self.stop(
                            StopLevel::Kill,
                            StopCause::Asked,
                            &mut state,
                            &control,
                        );
                    }
                    None => {
                        state.ended = Some(ProcessEnd::Unkillable);
                        break;
                    }
                },
                () = run_action(&mut action) => {
                    action = None;
                    if state.ended.is_some() {
                        state.deadline = Some(Instant::now() + DRAIN);
                    }
                }
                status = self.child.wait(), if state.ended.is_none() => {
                    self.group.alive = false;
                    state.ended = Some(status.map_or(ProcessEnd::Unkillable, ended));
                    // A running stop action has its own limit; the end of the process does not shorten it.
                    if action.is_none() || state.deadline.is_none() {
                        state.deadline = Some(Instant::now() + DRAIN);
                    }
                }
                () = out.read(), if may_read && out.is_open() => {
                    out.hand_on(&mut self.log, &mut on_output);
                }
                () = err.read(), if may_read && err.is_open() => {
                    err.hand_on(&mut self.log, &mut on_output);
                }
                failed = log_work(&mut self.log) => tell(failed, &self.log, &mut on_output),
            }
        }
        if out.is_open() || err.is_open() {
            // A process that was left behind still has a pipe open. While it lives, the number of its group
            // cannot belong to others.
            group::signal_group(self.group.pgid, Signal::KILL);
        }
        out.finish(&mut self.log, &mut on_output);
        err.finish(&mut self.log, &mut on_output);
        if let Some(log) = self.log.take() {
            let path = log.path().to_owned();
            if let Some(error) = log.close().await {
                on_output(ProcessOutput::LogFailed(&path, &error));
            }
        }
        ProcessOutcome {
            ended: state.ended.unwrap_or(ProcessEnd::Unkillable),
            stopped: state.stopped,
            killed: state.level == StopLevel::Kill,
        }
    }

    fn stop<'a>(
        &self,
        level: StopLevel,
        cause: StopCause,
        state: &mut ProcessState,
        control: &ProcessControl<'a>,
    ) -> Option<ActionFuture<'a>> {
        state.level = level;
        state.stopped.get_or_insert(cause);
        let (signal, limit) = match level {
            StopLevel::Kill => (Signal::KILL, KILL_LIMIT),
            _ => (Signal::TERM, self.stop_timeout),
        };
        state.deadline = Some(Instant::now() + limit);
        self.group.signal(signal);
        control.act(level)
    }
}

struct ProcessState {
    level: StopLevel,
    stopped: Option<StopCause>,
    ended: Option<ProcessEnd>,
    /// The next time limit: of the process, of its stop, or of reading its last output.
    deadline: Option<Instant>,
}

async fn fired(kill: &mut Option<KillSignal>) {
    match kill {
        Some(kill) => kill.fired().await,
        None => std::future::pending().await,
    }
}

async fn wait_for(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn run_action(action: &mut Option<ActionFuture<'_>>) {
    match action {
        Some(action) => action.await,
        None => std::future::pending().await,
    }
}

async fn log_work(log: &mut Option<LogFile>) -> Option<io::Error> {
    match log {
        Some(log) => log.work().await,
        None => std::future::pending().await,
    }
}

fn tell(
    failed: Option<io::Error>,
    log: &Option<LogFile>,
    on_output: &mut impl FnMut(ProcessOutput<'_>),
) {
    if let (Some(error), Some(log)) = (failed, log) {
        on_output(ProcessOutput::LogFailed(log.path(), &error));
    }
}

fn ended(status: ExitStatus) -> ProcessEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => ProcessEnd::Exited(code),
        (None, Some(signal)) => ProcessEnd::Signalled(signal),
        (None, None) => ProcessEnd::Unkillable,
    }
}

/// One of the two output pipes.
struct LinePipe<R> {
    stream: OutputStream,
    pipe: Option<R>,
    lines: Lines,
    buffer: Box<[u8]>,
    filled: usize,
}

impl<R: AsyncRead + Unpin> LinePipe<R> {
    fn new(stream: OutputStream, pipe: Option<R>) -> LinePipe<R> {
        LinePipe {
            stream,
            pipe,
            lines: Lines::default(),
            buffer: vec![0; 16 * 1024].into_boxed_slice(),
            filled: 0,
        }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut self.buffer).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(filled) => self.filled = filled,
        }
    }

    fn hand_on(
        &mut self,
        log: &mut Option<LogFile>,
        on_output: &mut impl FnMut(ProcessOutput<'_>),
    ) {
        let stream = self.stream;
        let filled = std::mem::take(&mut self.filled);
        self.lines.push(&self.buffer[..filled], |line| {
            one_line(stream, line, log, on_output);
        });
    }

    fn finish(&mut self, log: &mut Option<LogFile>, on_output: &mut impl FnMut(ProcessOutput<'_>)) {
        let stream = self.stream;
        self.lines
            .finish(|line| one_line(stream, line, log, on_output));
    }
}

fn one_line(
    stream: OutputStream,
    line: &[u8],
    log: &mut Option<LogFile>,
    on_output: &mut impl FnMut(ProcessOutput<'_>),
) {
    if let Some(log) = log {
        log.line(line);
    }
    on_output(ProcessOutput::Line(stream, &String::from_utf8_lossy(line)));
}
