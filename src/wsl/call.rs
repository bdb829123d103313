//! Runs a program that may touch a drive, and never waits for it longer than a limit.
//!
//! A call to a Windows drive can hang in the kernel, so a child makes it. A child that does not end is killed. It is
//! left behind if it belongs to another user or the kernel does not release it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use crate::exec::{CommandError, ShortCommand};

/// The result of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Called {
    /// It ended by itself.
    Ended {
        /// The exit code; 128 and the signal if a signal ended it, as in a shell.
        code: i32,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
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

/// Runs `argv` with nothing to read, in the root directory: a working directory on a drive would
/// hold it.
pub(super) fn call(argv: &[String], limit: Duration) -> Called {
    let Some((program, args)) = argv.split_first() else {
        return Called::NotRun("no command".to_owned());
    };
    // A background child may keep the pipes open beyond the end of the program.
    let result = ShortCommand::new(program)
        .args(args)
        .limit(limit)
        .leave_background()
        .run();
    match result {
        Ok(output) => Called::Ended {
            code: code_of(output.status),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(CommandError::Start(error)) => {
            Called::NotRun(format!("cannot run `{program}`: {error}"))
        }
        Err(_) => Called::Hangs,
    }
}

fn code_of(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rustix::process::Pid;

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
