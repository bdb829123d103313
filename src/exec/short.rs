//! Short commands from async code: run without input, for a limited time, and killed when the caller's future
//! is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::exec::short_command::{CommandError, CommandOutput, ShortCommand};

/// Raises its flag when it is dropped, so that an abandoned command is killed.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `argv`; with an error as the end of a sentence.
async fn run(
    argv: &[String],
    configure: impl FnOnce(ShortCommand) -> ShortCommand,
) -> Result<CommandOutput, String> {
    let (program, args) = argv.split_first().ok_or("no command")?;
    let command = configure(ShortCommand::new(program).args(args));
    let abandoned = StopOnDrop::default();
    let stop = Arc::clone(&abandoned.0);
    let running =
        tokio::task::spawn_blocking(move || command.run_until(&|| stop.load(Ordering::Relaxed)));
    match running.await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(CommandError::Start(error))) => Err(format!("`{program}`: {error}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `argv` and returns its exit code and standard error; standard output is discarded. Without a code, the
/// text says why: it could not be started, was killed, or exceeded `limit`.
pub async fn quiet(argv: &[String], limit: Duration) -> (Option<i32>, String) {
    match run(argv, |command| command.limit(limit).discard_stdout()).await {
        Ok(output) => (output.status.code(), text(&output.stderr)),
        Err(why) => (None, why),
    }
}

/// Runs `argv` and returns its standard output.
///
/// # Errors
/// The reason, as the end of a sentence, unless it ends with exit code 0 within `limit`.
pub async fn ask(argv: &[String], limit: Duration) -> Result<String, String> {
    let why = match run(argv, |command| command.limit(limit)).await {
        Ok(output) if output.status.success() => return Ok(text(&output.stdout)),
        Ok(output) => format!("{}: {}", output.status, text(&output.stderr).trim()),
        Err(why) => why,
    };
    Err(format!("`{}`: {why}", argv.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn wait_for_end(pid: i32) {
        let begin = std::time::Instant::now();
        while crate::exec::lives(pid) {
            assert!(begin.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn pid_in(file: &std::path::Path) -> i32 {
        let text = std::fs::read_to_string(file).unwrap();
        text.trim().parse().unwrap()
    }

    #[tokio::test]
    async fn ask_and_quiet_return_output_or_the_reason() {
        let limit = Duration::from_secs(20);

        assert_eq!(ask(&words("pwd"), limit).await, Ok("/\n".to_owned()));
        let why = ask(&words("echo no >&2; exit 3"), limit).await.unwrap_err();
        assert!(why.ends_with("exit status: 3: no"), "{why}");
        let said = quiet(&words("echo no >&2; exit 3"), limit).await;
        assert_eq!(said, (Some(3), "no\n".to_owned()));
        assert_eq!(quiet(&[], limit).await, (None, "no command".to_owned()));
    }

    #[tokio::test]
    async fn quiet_kills_the_command_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60",
            file.display()
        );

        let (code, said) = quiet(&words(&script), Duration::from_secs(1)).await;

        assert_eq!((code, said.as_str()), (None, "no answer within 1 s"));
        wait_for_end(pid_in(&file)).await;
    }

    #[tokio::test]
    async fn a_dropped_future_kills_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60",
            file.display()
        );
        let words = words(&script);

        let running = tokio::spawn(async move { quiet(&words, Duration::from_secs(60)).await });
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.abort();

        wait_for_end(pid_in(&file)).await;
    }
}
