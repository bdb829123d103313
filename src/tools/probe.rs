//! Asks a program a question, with a limit on the time and the output of the answer.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::{CommandError, ShortCommand};
use crate::settings::Environment;

/// How long a program may take to answer.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The most bytes kept of each output; the rest is read and dropped.
const MAX_OUTPUT: usize = 256 * 1024;

/// The answer of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It ended with exit code 0.
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The line that says why it failed: the last one, for warnings come before it. Without the
    /// word that says that it is an error.
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
            .unwrap_or_else(|| "it printed nothing".to_owned())
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
        let result = ShortCommand::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.variables())
            // Answers are compared with words, so they must not be translated.
            .envs([("LC_ALL", "C")])
            .limit(self.limit)
            .max_output(MAX_OUTPUT)
            .run();
        match result {
            Ok(output) => Ok(Answer {
                ok: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
            Err(CommandError::Start(error)) => Err(ProbeError::NotRun {
                command: shown,
                reason: error.to_string(),
            }),
            Err(_) => Err(ProbeError::Silent {
                command: shown,
                seconds: self.limit.as_secs(),
            }),
        }
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
    fn a_program_that_hangs_is_an_error_with_the_limit() {
        let environment = environment();

        let error = prober(&environment, 1000)
            .ask(Path::new("/bin/sh"), &["-c", "sleep 60"])
            .unwrap_err();

        assert_eq!(
            error.to_string(),
            "`sh -c 'sleep 60'` did not answer within 1 s"
        );
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
