//! What is to be undone when a process must be gone: its group, its family, its container. The same
//! code runs here after a build was killed and in the watcher after we were.
//!
//! Knows neither engines nor kas: commands are passed in.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::group::{self, Met};

/// How long one question to the engine may take.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// How long one removal may take.
const STOP_LIMIT: Duration = Duration::from_secs(6);

/// How long a killed group may take to end before we ask who is left in it.
const GROUP_LIMIT: Duration = Duration::from_millis(500);

/// How long the engine's process may live without a container before it is killed too.
const BARREN_LIMIT: Duration = Duration::from_millis(2500);

/// The same two limits once a container was removed.
const AFTER_REMOVAL: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What makes a started process and all that belongs to it go away. Empty parts are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Undo {
    /// The process group, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgid: Option<i32>,
    /// Program and arguments that remove the container at once, alive or not, e.g.
    /// `podman rm -f -t 1 NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Program and arguments that end with 0 while the container exists and with 1 when it does not,
    /// e.g. `podman container exists NAME`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exists: Vec<String>,
    /// What to put before `kill` where processes of the group belong to another user, e.g. `sudo -n`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elevate: Vec<String>,
    /// `NAME=value` in the environment, or an argument, of processes that belong to it, whatever their
    /// group. Their descendants belong to it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
}

/// How long [`Undo::run`] looks.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For how long the container must have been absent: an engine that was asked to create it may be
    /// about to.
    pub settle: Duration,
    /// When to give up.
    pub total: Duration,
}

/// What [`Undo::run`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// Whether nothing is left.
    pub gone: bool,
    /// Whether there was a container to remove.
    pub removed: bool,
    /// What the commands said where they failed.
    pub notes: Vec<String>,
}

impl Undo {
    /// Takes over what `newer` says in addition.
    pub fn merge(&mut self, newer: Undo) {
        if newer.pgid.is_some() {
            self.pgid = newer.pgid;
        }
        for (mine, theirs) in [
            (&mut self.stop, newer.stop),
            (&mut self.exists, newer.exists),
            (&mut self.elevate, newer.elevate),
            (&mut self.marks, newer.marks),
        ] {
            if !theirs.is_empty() {
                *mine = theirs;
            }
        }
    }

    /// Kills the group and the family, then removes the container as often as it appears until it has
    /// been absent for `limits.settle`.
    pub async fn run(&self, limits: Limits) -> Undone {
        let deadline = Instant::now() + limits.total;
        let mut undone = Undone::default();
        self.kill(&mut undone).await;
        let gone = timeout(limits.total, self.remove(limits.settle, &mut undone)).await;
        undone.gone = gone.is_ok() && Instant::now() <= deadline && !self.others_left();
        undone
    }

    /// Whether a process lives that one of the marks names, or a descendant of one.
    #[must_use]
    pub fn family_lives(&self) -> bool {
        group::marked(&self.marks)
            .iter()
            .any(|&number| group::lives(number))
    }

    /// Whether anybody is in the process group still.
    #[must_use]
    pub fn anyone_left(&self) -> bool {
        self.pgid
            .is_some_and(|pgid| group::look_at_group(pgid) != Met::Nobody)
    }

    async fn kill(&self, undone: &mut Undone) {
        // The family is looked up first: a killed parent's children lose the tie to it.
        let family = group::marked(&self.marks);
        if let Some(pgid) = self.pgid {
            group::signal_group(pgid, Signal::KILL);
        }
        for &number in &family {
            group::kill_one(number);
        }
        let group_lives = || {
            self.pgid
                .is_some_and(|pgid| group::look_at_group(pgid) == Met::Ours)
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
        // The shell's own kill is there even where no package brings the program. dash takes the group's
        // minus only after `-s`.
        argv.extend(["sh".to_owned(), "-c".to_owned()]);
        argv.push(format!("kill -s KILL -- {}", targets.join(" ")));
        let (code, said) = quiet(&argv, ASK_LIMIT).await;
        if code != Some(0) {
            undone.remember(note(&argv, code, &said));
        }
    }

    /// The engine's own process, which may belong to root, is left alive at first: it ends with its
    /// container, while one that is killed as it creates a container leaves one that podman takes 10 s
    /// to remove. It is killed where no container comes of it, as while an image is pulled.
    async fn remove(&self, settle: Duration, undone: &mut Undone) {
        let mut absent_since: Option<Instant> = None;
        while !self.stop.is_empty() {
            let (code, said) = if self.exists.is_empty() {
                (None, String::new())
            } else {
                quiet(&self.exists, ASK_LIMIT).await
            };
            if code == Some(1) {
                // Where its container was removed already, the engine has nothing more to create.
                let (settle, barren) = if undone.removed {
                    (settle.min(AFTER_REMOVAL), AFTER_REMOVAL)
                } else {
                    (settle, BARREN_LIMIT)
                };
                let since = absent_since.get_or_insert_with(Instant::now);
                if !self.others_left() {
                    if since.elapsed() >= settle {
                        return;
                    }
                } else if since.elapsed() >= barren {
                    let group: Vec<String> = self
                        .pgid
                        .map(|pgid| format!("-{pgid}"))
                        .into_iter()
                        .collect();
                    self.kill_elevated(&group, undone).await;
                    *since = Instant::now();
                }
            } else {
                absent_since = None;
                if code == Some(0) {
                    undone.removed = true;
                } else if !self.exists.is_empty() {
                    undone.remember(note(&self.exists, code, &said));
                }
                let (code, said) = quiet(&self.stop, STOP_LIMIT).await;
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

    /// Whether processes of another user are in the group: those still work, for we could not kill them.
    /// What is left of our own after a SIGKILL is a zombie.
    fn others_left(&self) -> bool {
        self.pgid
            .is_some_and(|pgid| group::look_at_group(pgid) == Met::Others)
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

/// Runs a short command without input and terminal. Returns its exit code and what it wrote to stderr;
/// no code when it could not be started, was killed or took longer than `limit`.
pub async fn quiet(argv: &[String], limit: Duration) -> (Option<i32>, String) {
    let Some((program, args)) = argv.split_first() else {
        return (None, "no command".to_owned());
    };
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    match timeout(limit, output).await {
        Ok(Ok(output)) => (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ),
        Ok(Err(error)) => (None, error.to_string()),
        Err(_) => (None, format!("no answer within {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
