//! Asks a program a question, and never waits longer than a limit for the answer.
//!
//! Knows nothing of the programs. A program that does not end is killed with its group; one that we may
//! not kill (it runs as root) is left behind, because to wait for it would be to hang.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::settings::Environment;

/// How long a program may take to answer.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Output past this many bytes a stream is read and dropped.
const MAX_OUTPUT: usize = 256 * 1024;

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It ended with exit code 0.
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The line that says why it failed: the last one, for warnings come before it. Without the word
    /// that says that it is an error.
    pub(crate) fn complaint(&self) -> String {
        let last = |text: &str| {
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
            let plain = ["Error: ", "error: ", "ERROR: ", "sudo: "]
                .iter()
                .find_map(|word| line.strip_prefix(word));
            Some(plain.unwrap_or(line).to_owned())
        };
        last(&self.stderr)
            .or_else(|| last(&self.stdout))
            .unwrap_or_else(|| "it said nothing".to_owned())
    }

    /// The first line of standard output.
    pub(crate) fn first_line(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default().trim()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It did not end in time.
    #[error("`{command}` did not answer within {seconds} s")]
    Silent {
        /// The command.
        command: String,
        /// The limit.
        seconds: u64,
    },
    /// It could not be started.
    #[error("`{command}` cannot be run: {reason}")]
    NotRun {
        /// The command.
        command: String,
        /// The system's words.
        reason: String,
    },
}

/// Programs are found in, and run with, a given environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prober<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) limit: Duration,
}

impl<'a> Prober<'a> {
    pub(crate) fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            limit: LIMIT,
        }
    }

    /// The program's absolute path: looked up in `PATH` where it is a name alone.
    pub(crate) fn find(&self, program: impl AsRef<Path>) -> Option<PathBuf> {
        which::which_in(program.as_ref(), self.environment.path(), "/").ok()
    }

    /// Runs a program to its end or the limit.
    pub(crate) fn ask<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: &[S],
    ) -> Result<Answer, ProbeError> {
        let shown = shown(program, arguments);
        tracing::debug!("ask {shown}");
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.variables())
            // Answers are compared with words, so they must not be translated.
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| ProbeError::NotRun {
                command: shown.clone(),
                reason: error.to_string(),
            })?;
        let deadline = Instant::now() + self.limit;
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let silent = || ProbeError::Silent {
            command: shown.clone(),
            seconds: self.limit.as_secs(),
        };
        let Some(ok) = wait(&mut child, deadline) else {
            kill(&mut child);
            return Err(silent());
        };
        // A grandchild may hold the pipes open beyond the end of the program: the limit holds for it, too.
        let read = |stream: mpsc::Receiver<String>| {
            stream.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        };
        let (Ok(stdout), Ok(stderr)) = (read(stdout), read(stderr)) else {
            kill(&mut child);
            return Err(silent());
        };
        Ok(Answer { ok, stdout, stderr })
    }
}

/// A command as one would type it.
fn shown<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> String {
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<String> = std::iter::once(name)
        .chain(arguments.iter().map(AsRef::as_ref))
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

fn reader(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut stream) = stream {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let room = MAX_OUTPUT.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..count.min(room)]);
            }
        }
        // Nobody listens any more after the limit; that is no fault.
        let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receiver
}

/// Whether it ended well; none at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> Option<bool> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Ok(None) | Err(_) => return None,
        }
    }
}

fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let killed = group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok());
    if killed {
        wait(child, Instant::now() + Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prober(environment: &Environment, milliseconds: u64) -> Prober<'_> {
        Prober {
            environment,
            limit: Duration::from_millis(milliseconds),
        }
    }

    fn environment() -> Environment {
        Environment::new(Path::new("/"), [("PATH", "/usr/bin:/bin"), ("X", "y")])
    }

    #[test]
    fn the_answer_is_what_it_prints_and_its_end() {
        let environment = environment();
        let answer = prober(&environment, 5000)
            .ask(
                Path::new("/bin/sh"),
                &["-c", "echo $X $LC_ALL; echo why >&2; exit 3"],
            )
            .unwrap();
        assert_eq!(answer.first_line(), "y C");
        assert_eq!(answer.complaint(), "why");
        assert!(!answer.ok);
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let environment = environment();
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!(
            "trap '' TERM; sleep 60 & echo $$ $! > {}; wait",
            pids.display()
        );
        let started = Instant::now();
        let error = prober(&environment, 1500)
            .ask(Path::new("/bin/sh"), &["-c", &script])
            .unwrap_err();
        assert!(matches!(error, ProbeError::Silent { .. }));
        assert!(started.elapsed() < Duration::from_secs(5));
        let pids = std::fs::read_to_string(pids).unwrap();
        // A killed process takes a moment to die: gone, or a zombie that its parent has yet to take.
        let is_dead = |pid: &str| {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !pids.split_whitespace().all(is_dead) {
            assert!(Instant::now() < deadline, "{pids}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipes_open_does_not_hold_us() {
        let environment = environment();
        let started = Instant::now();
        let error = prober(&environment, 300)
            .ask(Path::new("/bin/sh"), &["-c", "sleep 60 & exit 0"])
            .unwrap_err();
        assert!(matches!(error, ProbeError::Silent { .. }));
        assert!(started.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn much_output_neither_blocks_nor_fills_memory() {
        let environment = environment();
        let answer = prober(&environment, 20_000)
            .ask(Path::new("/bin/sh"), &["-c", "head -c 2000000 /dev/zero"])
            .unwrap();
        assert_eq!(answer.stdout.len(), MAX_OUTPUT);
    }
}
