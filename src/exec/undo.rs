//! Undo: removes everything of a started process (its group, its family, its container). A run uses it after it
//! has killed a build, the watcher after the run was killed.
//!
//! The engine's commands are passed in.

use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::exec::group;
use crate::exec::group::SignalReach;
use crate::exec::short::quiet;

/// Time limit of one query to the engine while everything must end soon.
pub const ASK_LIMIT: Duration = Duration::from_secs(3);

/// Time for a killed group to end before its remaining processes are checked.
const GROUP_LIMIT: Duration = Duration::from_millis(500);

/// Time for the engine's process to live without a container before it is killed too.
const BARREN_LIMIT: Duration = Duration::from_millis(2500);

/// The same two limits after a container was removed.
const AFTER_REMOVAL: Duration = Duration::from_secs(1);

/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(200);

/// The ways to remove a started process and everything that belongs to it. Empty fields are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Undo {
    /// The process group, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgid: Option<i32>,
    /// Program and arguments that remove the container at once, running or not, such as `podman rm -f -t 1
    /// NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Program and arguments that exit with 0 if the container exists and with 1 if not, such as `podman
    /// container exists NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exists: Vec<String>,
    /// Words before `kill` for processes of another user in the group, such as `sudo -n`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elevate: Vec<String>,
    /// `NAME=value` in the environment, or an argument, of the processes that belong to it in any group. Their
    /// descendants belong to it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    /// Names of the container. Processes that still run it are killed when the engine no longer knows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Program and arguments that restore the machine once all this is gone. The watcher runs it after the
    /// death of the run, or if the run did not see the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// Time limits of [`Undo::run`].
#[derive(Debug, Clone, Copy)]
pub struct UndoLimits {
    /// The container must be absent for this long: an engine may be about to create it.
    pub settle: Duration,
    /// The limit of one query to the engine; a removal may need twice as long.
    pub ask: Duration,
    /// The limit of the whole undo.
    pub total: Duration,
}

/// The result of [`Undo::run`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// Whether nothing is left.
    pub gone: bool,
    /// Whether there was a container to remove.
    pub removed: bool,
    /// Messages of commands that failed.
    pub notes: Vec<String>,
}

impl Undo {
    /// Adds the fields of `newer`.
    pub fn merge(&mut self, newer: Undo) {
        if newer.pgid.is_some() {
            self.pgid = newer.pgid;
        }
        for (mine, theirs) in [
            (&mut self.stop, newer.stop),
            (&mut self.exists, newer.exists),
            (&mut self.elevate, newer.elevate),
            (&mut self.marks, newer.marks),
            (&mut self.names, newer.names),
            (&mut self.after, newer.after),
        ] {
            if !theirs.is_empty() {
                *mine = theirs;
            }
        }
    }

    /// Kills the group and the family, then removes the container each time it appears, until it has been
    /// absent for `limits.settle`.
    pub async fn run(&self, limits: UndoLimits) -> Undone {
        let deadline = Instant::now() + limits.total;
        let mut undone = Undone::default();
        self.kill(&mut undone).await;
        let gone = timeout(limits.total, self.remove(limits, &mut undone)).await;
        undone.gone = gone.is_ok()
            && Instant::now() <= deadline
            && !self.others_left()
            && self.forgotten().is_empty();
        undone
    }

    /// Whether a process with one of the marks lives, or a descendant of one.
    #[must_use]
    pub fn family_lives(&self) -> bool {
        group::marked(&self.marks)
            .iter()
            .any(|&number| group::lives(number))
    }

    /// Processes that still run the container, whether or not the engine knows it.
    #[must_use]
    pub fn forgotten(&self) -> Vec<i32> {
        let mut left = group::of_container(&self.names);
        left.retain(|&number| group::lives(number));
        left
    }

    /// Whether any process is left in the group.
    #[must_use]
    pub fn anyone_left(&self) -> bool {
        self.pgid
            .is_some_and(|pgid| group::look_at_group(pgid) != SignalReach::Nothing)
    }

    async fn kill(&self, undone: &mut Undone) {
        // The family is looked up first: after the kill of a parent, its children cannot be found any more.
        let family = group::marked(&self.marks);
        if let Some(pgid) = self.pgid {
            group::signal_group(pgid, Signal::KILL);
        }
        for &number in &family {
            group::kill_one(number);
        }
        let group_lives = || {
            self.pgid
                .is_some_and(|pgid| group::look_at_group(pgid) == SignalReach::Own)
        };
        let started = Instant::now();
        while (group_lives() || family.iter().any(|&number| group::lives(number)))
            && started.elapsed() < GROUP_LIMIT
        {
            sleep(Duration::from_millis(20)).await;
        }
        let targets: Vec<String> = family
            .iter()
            .filter(|&&number| group::lives(number))
            .map(i32::to_string)
            .collect();
        self.kill_elevated(&targets, undone).await;
    }

    async fn kill_elevated(&self, targets: &[String], undone: &mut Undone) {
        if targets.is_empty() || self.elevate.is_empty() {
            return;
        }
        let mut argv = self.elevate.clone();
        // The shell has its own `kill` even if no package has the program. dash accepts the minus of a group
        // only after `-s`.
        argv.extend(["sh".to_owned(), "-c".to_owned()]);
        // A process that has ended meanwhile is no failure.
        argv.push(format!(
            "for one in {}; do kill -s KILL -- $one 2>/dev/null || ! kill -s 0 -- $one 2>/dev/null; done",
            targets.join(" ")
        ));
        let (code, said) = quiet(&argv, ASK_LIMIT).await;
        if code != Some(0) {
            undone.remember(note(&argv, code, &said));
        }
    }

    /// At first the engine's own process, which may belong to root, stays alive: it ends with its container. If
    /// it were killed while it creates a container, podman would need 10 s to remove that. It is killed if no
    /// container appears, as during the pull of an image. Processes of a container that the engine no longer
    /// knows are killed too: podman loses a container that is removed while it starts, and its processes would
    /// go on building.
    async fn remove(&self, limits: UndoLimits, undone: &mut Undone) {
        let mut absent_since: Option<Instant> = None;
        while !self.stop.is_empty() {
            let (code, said) = if self.exists.is_empty() {
                (None, String::new())
            } else {
                quiet(&self.exists, limits.ask).await
            };
            if code == Some(1) {
                // If the container was already removed, the engine has nothing more to create.
                let (settle, barren) = if undone.removed {
                    (limits.settle.min(AFTER_REMOVAL), AFTER_REMOVAL)
                } else {
                    (limits.settle, BARREN_LIMIT)
                };
                let since = absent_since.get_or_insert_with(Instant::now);
                let forgotten = self.forgotten();
                if !self.others_left() && forgotten.is_empty() {
                    if since.elapsed() >= settle {
                        return;
                    }
                } else if since.elapsed() >= barren {
                    for &number in &forgotten {
                        group::kill_one(number);
                    }
                    let targets: Vec<String> = self
                        .pgid
                        .filter(|_| self.others_left())
                        .map(|pgid| format!("-{pgid}"))
                        .into_iter()
                        .chain(forgotten.iter().map(i32::to_string))
                        .collect();
                    self.kill_elevated(&targets, undone).await;
                    undone.removed |= !forgotten.is_empty();
                    *since = Instant::now();
                }
            } else {
                absent_since = None;
                if code == Some(0) {
                    undone.removed = true;
                } else if !self.exists.is_empty() {
                    undone.remember(note(&self.exists, code, &said));
                }
                let (code, said) = quiet(&self.stop, limits.ask * 2).await;
                if code != Some(0) {
                    undone.remember(note(&self.stop, code, &said));
                }
                if self.exists.is_empty() {
                    return;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether processes of another user are in the group. These still run, because this process cannot kill
    /// them. Its own are zombies after a SIGKILL.
    fn others_left(&self) -> bool {
        self.pgid
            .is_some_and(|pgid| group::look_at_group(pgid) == SignalReach::Foreign)
    }
}

impl Undone {
    fn remember(&mut self, note: String) {
        if !self.notes.contains(&note) && self.notes.len() < 20 {
            self.notes.push(note);
        }
    }
}

fn note(argv: &[String], code: Option<i32>, said: &str) -> String {
    let how = code.map_or_else(
        || "did not end by itself".to_owned(),
        |code| format!("exit {code}"),
    );
    format!("`{}`: {how}: {}", argv.join(" "), said.trim())
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::*;

    /// podman has forgotten the container, and its conmon lives.
    #[tokio::test]
    async fn what_runs_a_container_that_the_engine_has_forgotten_is_killed() {
        let name = format!("isar-build-all-test-{}", std::process::id());
        let mut conmon = Command::new("sh")
            .args(["-c", "sleep 61 & wait", "conmon", "-n", &name])
            .spawn()
            .unwrap();
        let other = format!("{name}-2");
        let mut another = Command::new("sh")
            .args(["-c", "sleep 61 & wait", "conmon", "-n", &other])
            .spawn()
            .unwrap();
        let undo = Undo {
            stop: vec!["true".to_owned()],
            exists: vec!["false".to_owned()],
            names: vec![name],
            ..Undo::default()
        };
        while undo.forgotten().len() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
        let limits = UndoLimits {
            settle: Duration::ZERO,
            ask: ASK_LIMIT,
            total: Duration::from_secs(20),
        };
        let undone = undo.run(limits).await;
        assert!(undone.gone && undone.removed, "{undone:?}");
        assert_eq!(undo.forgotten(), Vec::<i32>::new());
        assert!(!conmon.wait().await.unwrap().success());
        assert!(another.try_wait().unwrap().is_none(), "another's container");
        let rest = Undo {
            names: vec![other],
            ..undo
        };
        assert!(rest.run(limits).await.gone);
        another.wait().await.unwrap();
    }

    /// The words after `sudo -n`, understood by the shell that is there: a group and a process.
    #[tokio::test]
    async fn the_elevated_kill_reaches_groups_and_processes() {
        let mut sleepers = [Command::new("sleep"), Command::new("sleep")]
            .map(|mut command| command.arg("60").process_group(0).spawn().unwrap());
        let [group, one] = [0, 1].map(|at| sleepers[at].id().unwrap());
        let undo = Undo {
            elevate: vec!["env".to_owned()],
            ..Undo::default()
        };
        let mut undone = Undone::default();
        let targets = [one.to_string(), format!("-{group}")];
        undo.kill_elevated(&targets, &mut undone).await;
        assert_eq!(undone.notes, Vec::<String>::new());
        for sleeper in &mut sleepers {
            let status = timeout(Duration::from_secs(5), sleeper.wait())
                .await
                .unwrap();
            assert!(!status.unwrap().success());
        }
    }
}
