//! What an engine says of a container, understood: whether it goes on, and whether there is none.

use crate::tools::EngineKind;

/// Whether a container goes on after the engine was asked for that: also where it was not paused.
pub(super) fn goes_on(code: Option<i32>, said: &str) -> bool {
    code == Some(0) || said.to_ascii_lowercase().contains("not paused")
}

/// Whether an engine that was asked for a container and failed says that there is none. Docker says so in
/// words; podman by its exit code alone, and whatever else it says but warnings is another failure.
pub(super) fn says_gone(kind: EngineKind, said: &str) -> bool {
    match kind {
        EngineKind::Docker => said.to_ascii_lowercase().contains("no such container"),
        EngineKind::Podman => said
            .lines()
            .all(|line| line.trim().is_empty() || line.contains("level=warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engine_itself_says_that_there_is_no_container() {
        let docker = [
            ("Error response from daemon: No such container: x\n", true),
            ("Error: no such container x\n", true),
            ("", false),
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock\n",
                false,
            ),
        ];
        let podman = [
            ("", true),
            (
                "time=\"2026-01-01T00:00:00Z\" level=warning msg=\"cgroups v1\"\n",
                true,
            ),
            ("sudo: a password is required\n", false),
            ("Error: database is locked\n", false),
        ];
        for (kind, cases) in [(EngineKind::Docker, docker), (EngineKind::Podman, podman)] {
            for (said, gone) in cases {
                assert_eq!(says_gone(kind, said), gone, "{kind:?}: {said}");
            }
        }
    }

    #[test]
    fn what_is_not_paused_goes_on() {
        assert!(goes_on(Some(0), ""));
        assert!(goes_on(
            Some(1),
            "Error response from daemon: Container x is not paused\n"
        ));
        assert!(goes_on(
            Some(125),
            "Error: \"4f\" is not paused, can't unpause: container state improper\n"
        ));
        assert!(!goes_on(Some(125), "Error: OCI runtime error\n"));
        assert!(!goes_on(None, "no answer within 60 s"));
    }
}
