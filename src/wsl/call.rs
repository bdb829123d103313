//! Runs a program that may touch a drive, and never waits for it longer than a limit.
//!
//! Whatever asks a Windows drive for something can hang in the kernel, so it is a child's to do. A child that
//! does not end is killed; one that we may not kill, or that the kernel does not let go, is left behind.
//! Knows nothing of drives.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    /// It ended by itself.
    Ended {
        /// With this exit code; 128 and its number where a signal ended it, as a shell has it.
        code: i32,
        /// Its output.
        stdout: String,
        /// Its complaints.
        stderr: String,
    },
    /// It did not end in time.
    Hangs,
    /// It could not be started.
    NotRun(String),
}

impl Called {
    pub(super) fn is_ok(&self) -> bool {
        matches!(self, Called::Ended { code: 0, .. })
    }

    /// Why it did not work, as the end of a sentence.
    pub(super) fn why(&self) -> String {
        match self {
            Called::Ended { code, stderr, .. } => {
                let said = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
                said.map_or_else(|| format!("exit code {code}"), str::to_owned)
            }
            Called::Hangs => "it did not end in time".to_owned(),
            Called::NotRun(why) => why.clone(),
        }
    }
}

/// Runs `argv` with nothing to read, in the root directory: a working directory on a drive would hold it.
pub(super) fn call(argv: &[String], limit: Duration) -> Called {
    let Some((program, args)) = argv.split_first() else {
        return Called::NotRun("no command".to_owned());
    };
    let started = Instant::now();
    let child = Command::new(program)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Called::NotRun(format!("cannot run `{program}`: {error}")),
    };
    tracing::debug!(?argv, "run");
    let stdout = read_along(child.stdout.take());
    let stderr = read_along(child.stderr.take());
    let left = |limit: Duration| limit.saturating_sub(started.elapsed());
    let Some(code) = wait(&mut child, || left(limit)) else {
        kill(&mut child);
        return Called::Hangs;
    };
    // What it started may have its pipes still; nobody waits for that.
    let text = |pipe: mpsc::Receiver<String>| {
        pipe.recv_timeout(left(limit).max(Duration::from_millis(200)))
            .unwrap_or_default()
    };
    Called::Ended {
        code,
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

fn read_along(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (say, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error is all there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // Nobody listens where the child hung.
        let _ = say.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    heard
}

fn wait(child: &mut Child, left: impl Fn() -> Duration) -> Option<i32> {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(code_of(status)),
            Ok(None) if left().is_zero() => return None,
            Ok(None) => std::thread::sleep(pause.min(left())),
            Err(_) => return None,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn code_of(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}

fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // Behind sudo it is root's, and `timeout` has killed it by now if anything can.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let ended = Instant::now() + Duration::from_millis(500);
    wait(child, || ended.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_child_that_hangs_is_killed_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ > {}; sleep 60", file.display());
        let begin = Instant::now();
        let called = call(&words(&["sh", "-c", &script]), Duration::from_millis(500));
        assert_eq!(called, Called::Hangs);
        assert!(begin.elapsed() < Duration::from_secs(20));
        let pid: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn much_output_does_not_block_it_and_its_end_is_told() {
        let script = "yes | head -c 300000; pwd >&2; exit 3";
        let called = call(&words(&["sh", "-c", script]), Duration::from_secs(20));
        let Called::Ended {
            code,
            stdout,
            stderr,
        } = called
        else {
            panic!("{called:?}")
        };
        assert_eq!((code, stdout.len(), stderr.as_str()), (3, 300_000, "/\n"));
    }
}
