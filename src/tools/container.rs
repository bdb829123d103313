//! The commands that control one container, and the meaning of the engine's replies: the differences between
//! Docker and podman after probing.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::exec::{Undo, ask};
use crate::tools::engine::{Engine, EngineKind};
use crate::tools::version::Version;

/// The label of every container that this program starts; its value is the state directory of the
/// run.
pub const STATE_LABEL: &str = "isar-build-all.state";

/// Time limit for an engine's answer about a running container.
const INSPECT_LIMIT: Duration = Duration::from_secs(10);

/// The first process of a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstProcess {
    /// Process id as the engine sees it.
    pub pid: u32,
    /// Container id; empty where the engine does not print one.
    pub id: String,
}

impl Engine {
    /// The command line of a subcommand: the engine's prefix, then `words`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|&word| word.to_owned());
        self.prefix.iter().cloned().chain(words).collect()
    }

    /// The words before the engine's program that make it run as root; empty where it does not.
    #[must_use]
    pub fn elevation(&self) -> Vec<String> {
        // Options for the engine can follow its program.
        let is_program =
            |word: &String| Path::new(word).file_name() == Some(OsStr::new(self.kind.as_str()));
        let program = self.prefix.iter().position(is_program).unwrap_or(0);
        self.prefix[..program].to_vec()
    }

    /// Removes a container at once, running or not.
    #[must_use]
    pub fn remove_command(&self, name: &str) -> Vec<String> {
        match self.kind {
            // podman gives a container 10 s to end by itself unless a limit is set; 4.0 added the
            // option.
            EngineKind::Podman if self.version >= Version::new(4, 0) => {
                self.command(&["rm", "-f", "-t", "1", name])
            }
            EngineKind::Podman | EngineKind::Docker => self.command(&["rm", "-f", name]),
        }
    }

    /// Exits with 0 while a container exists, and with 1 when it does not (see
    /// [`Engine::says_absent`]).
    #[must_use]
    pub fn exists_command(&self, name: &str) -> Vec<String> {
        match self.kind {
            EngineKind::Podman => self.command(&["container", "exists", name]),
            EngineKind::Docker => self.command(&["container", "inspect", name]),
        }
    }

    /// The undo that ends a container and everything that runs it.
    #[must_use]
    pub fn undo(&self, name: &str) -> Undo {
        Undo {
            stop: self.remove_command(name),
            exists: self.exists_command(name),
            elevate: self.elevation(),
            names: vec![name.to_owned()],
            ..Undo::default()
        }
    }

    /// Stops a container: a signal first, and its end after `patience`.
    #[must_use]
    pub fn stop_command(&self, name: &str, patience: Duration) -> Vec<String> {
        let seconds = patience.as_secs().max(1).to_string();
        self.command(&["stop", "-t", &seconds, name])
    }

    /// Prints the process id of a container's first process, or 0 while it does not run.
    #[must_use]
    pub fn first_process_command(&self, name: &str) -> Vec<String> {
        self.command(&["inspect", "--format", "{{.State.Pid}}", name])
    }

    /// The first process of a container; none while it does not run.
    pub async fn first_process(&self, name: &str) -> Option<FirstProcess> {
        let format = "{{.State.Pid}} {{.Id}}";
        let command = self.command(&["inspect", "--format", format, name]);
        let text = ask(&command, INSPECT_LIMIT).await.ok()?;
        let mut words = text.split_whitespace().map(str::to_owned);
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let id = words.next().unwrap_or_default();
        Some(FirstProcess { pid, id })
    }

    /// Whether this reply to [`Engine::exists_command`] means that there is no such container, and
    /// not that the engine could not be asked. Docker says so in words. podman says so by its exit
    /// code alone; text other than warnings is another failure, such as a sudo that wants a
    /// password.
    #[must_use]
    pub fn says_absent(&self, code: Option<i32>, stderr: &str) -> bool {
        code == Some(1)
            && match self.kind {
                EngineKind::Docker => stderr.to_ascii_lowercase().contains("no such container"),
                EngineKind::Podman => stderr
                    .lines()
                    .all(|line| line.trim().is_empty() || line.contains("level=warning")),
            }
    }

    /// Whether this reply to `unpause` means that the container runs: also if it was not paused.
    #[must_use]
    pub fn says_running(&self, code: Option<i32>, stderr: &str) -> bool {
        code == Some(0) || stderr.to_ascii_lowercase().contains("not paused")
    }

    /// Whether containers inherit the seccomp filters of this process. Docker's do not: its daemon
    /// starts them.
    #[must_use]
    pub fn inherits_filters(&self) -> bool {
        match self.kind {
            EngineKind::Podman => true,
            EngineKind::Docker => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(kind: EngineKind, version: Version, prefix: &[&str]) -> Engine {
        Engine {
            kind,
            program: kind.as_str().into(),
            version,
            prefix: prefix.iter().map(|&word| word.to_owned()).collect(),
            environment: Vec::new(),
            passed_over: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn docker() -> Engine {
        engine(
            EngineKind::Docker,
            Version::new(28, 2),
            &["/usr/bin/docker"],
        )
    }

    fn podman() -> Engine {
        let prefix = ["/usr/bin/sudo", "-n", "podman"];
        engine(EngineKind::Podman, Version::new(4, 3), &prefix)
    }

    #[test]
    fn removal_and_existence_differ_by_engine() {
        let old = engine(EngineKind::Podman, Version::new(3, 4), &["podman"]);

        let commands: Vec<String> = [docker(), podman(), old]
            .iter()
            .flat_map(|engine| [engine.remove_command("c"), engine.exists_command("c")])
            .map(|command| command.join(" "))
            .collect();

        assert_eq!(
            commands,
            [
                "/usr/bin/docker rm -f c",
                "/usr/bin/docker container inspect c",
                "/usr/bin/sudo -n podman rm -f -t 1 c",
                "/usr/bin/sudo -n podman container exists c",
                "podman rm -f c",
                "podman container exists c",
            ]
        );
    }

    #[test]
    fn the_elevation_is_what_precedes_the_engine() {
        let mut with_host = podman();
        with_host.prefix = ["sudo", "-n", "podman", "--host", "unix:///x"]
            .map(str::to_owned)
            .to_vec();

        assert_eq!(docker().elevation(), [""; 0]);
        assert_eq!(podman().elevation(), ["/usr/bin/sudo", "-n"]);
        assert_eq!(with_host.elevation(), ["sudo", "-n"]);
    }

    #[test]
    fn only_the_engines_own_words_mean_that_there_is_no_container() {
        let docker_replies = [
            ("Error response from daemon: No such container: x\n", true),
            ("Error: no such container x\n", true),
            ("", false),
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock\n",
                false,
            ),
        ];
        let podman_replies = [
            ("", true),
            (
                "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"cgroups v1\"\n",
                true,
            ),
            ("sudo: a password is required\n", false),
            ("Error: database is locked\n", false),
        ];
        for (engine, replies) in [(docker(), docker_replies), (podman(), podman_replies)] {
            for (stderr, absent) in replies {
                let kind = engine.kind;
                assert_eq!(
                    engine.says_absent(Some(1), stderr),
                    absent,
                    "{kind}: {stderr}"
                );
                assert!(!engine.says_absent(None, stderr), "{kind}: {stderr}");
            }
        }
    }

    #[test]
    fn a_container_that_was_not_paused_runs() {
        let engine = podman();
        assert!(engine.says_running(Some(0), ""));
        assert!(engine.says_running(
            Some(1),
            "Error response from daemon: Container x is not paused\n"
        ));
        assert!(engine.says_running(
            Some(125),
            "Error: \"4f\" is not paused, can't unpause: container state improper\n"
        ));
        assert!(!engine.says_running(Some(125), "Error: OCI runtime error\n"));
        assert!(!engine.says_running(None, "no answer within 60 s"));
    }
}
