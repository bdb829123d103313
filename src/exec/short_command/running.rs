//! A started short command: one loop of `poll(2)` serves both outputs, the input and the process's end
//! (`pidfd_open(2)`), so no pipe needs a thread and an end is noticed without delay.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::exec::short_command::{CommandError, CommandOutput, ShortCommand};

/// Time between two looks at the process on a kernel without `pidfd_open(2)` (before Linux 5.3).
const EXIT_POLL: Duration = Duration::from_millis(20);

/// A started command. Dropping it kills its group and reaps it.
pub(super) struct RunningCommand {
    /// Taken when the process is reaped.
    child: Option<Child>,
    /// The process, which leads the group. The number is not reused until the process is reaped.
    pub(super) pid: Pid,
    pidfd: Option<OwnedFd>,
    stdin: Option<(OwnedFd, Vec<u8>)>,
    stdout: OutputPipe,
    stderr: OutputPipe,
    pub(super) has_ended: bool,
    pub(super) ended_at: Option<Instant>,
    /// Whether the rest of the group lives on.
    pub(super) is_left: bool,
}

impl RunningCommand {
    pub(super) fn spawn(command: &ShortCommand) -> io::Result<RunningCommand> {
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
            // Ctrl-C at the terminal goes to the foreground group; this command is ended by its caller alone.
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
    pub(super) fn is_silent(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// Kills the group. Safe until the process is reaped: until then its number is not given to others.
    pub(super) fn kill(&self) {
        // It fails where the group has ended, and where all of it belongs to another user (behind sudo).
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    pub(super) fn wait_for_end(&mut self, limit: Duration) {
        let until = Instant::now() + limit;
        while !self.has_ended && Instant::now() < until {
            self.wait_once(Some(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Waits for output, for room for input or for the end, for `limit` at most, and handles it.
    pub(super) fn wait_once(&mut self, limit: Option<Duration>) {
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
    pub(super) fn finish(mut self) -> Result<Option<CommandOutput>, CommandError> {
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
        // Without the thread it stays a zombie after its end, until this process ends.
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
