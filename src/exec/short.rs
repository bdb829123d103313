//! Short commands: run without input and terminal, for so long at most, and killed when nobody waits for
//! them any more.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Runs it in the root directory: one that hangs must not keep a file system busy.
async fn run(argv: &[String], limit: Duration, stdout: Stdio) -> Result<Output, String> {
    let (program, args) = argv.split_first().ok_or("no command")?;
    let output = Command::new(program)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    match timeout(limit, output).await {
        Ok(output) => output.map_err(|error| format!("`{program}`: {error}")),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Its exit code and what it wrote to stderr; no code when it could not be started, was killed or took
/// longer than `limit`.
pub async fn quiet(argv: &[String], limit: Duration) -> (Option<i32>, String) {
    match run(argv, limit, Stdio::null()).await {
        Ok(output) => (output.status.code(), text(&output.stderr)),
        Err(why) => (None, why),
    }
}

/// What it printed, where it ended well within `limit`.
///
/// # Errors
/// Why it did not, as the end of a sentence.
pub async fn ask(argv: &[String], limit: Duration) -> Result<String, String> {
    let why = match run(argv, limit, Stdio::piped()).await {
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

    #[tokio::test]
    async fn what_it_says_and_why_it_did_not() {
        let limit = Duration::from_secs(20);
        assert_eq!(ask(&words("pwd"), limit).await, Ok("/\n".to_owned()));
        let why = ask(&words("echo no >&2; exit 3"), limit).await.unwrap_err();
        assert!(why.ends_with("exit status: 3: no"), "{why}");
        let said = quiet(&words("echo no >&2; exit 3"), limit).await;
        assert_eq!(said, (Some(3), "no\n".to_owned()));
        assert_eq!(quiet(&[], limit).await, (None, "no command".to_owned()));
    }

    #[tokio::test]
    async fn it_is_killed_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60",
            file.display()
        );
        let (code, said) = quiet(&words(&script), Duration::from_secs(1)).await;
        assert_eq!((code, said.as_str()), (None, "no answer within 1 s"));
        let pid: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let begin = std::time::Instant::now();
        while super::super::group::lives(pid) {
            assert!(begin.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
