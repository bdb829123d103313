//! Takes snapshots of a build's processes: asks the engine for the container's first process, and
//! has a child read `/proc` from there.
//!
//! The child is this binary with a hidden subcommand and has a time limit. It runs as root where
//! the engine's processes are root's, because only root can see where in the kernel another user's
//! process is.

use std::path::PathBuf;
use std::time::Duration;

use crate::exec::ask;
use crate::watchdog::SUBCOMMAND;
use crate::watchdog::snapshot::{ProcessSnapshot, SnapshotTexts};

/// Time limit for the engine's answer, and for a snapshot.
const LIMIT: Duration = Duration::from_secs(15);

/// Which processes belong to a build.
#[derive(Debug, Clone)]
pub struct BuildProcesses {
    /// The command that prints the first process of the container; empty where there is no
    /// container. While the container does not exist, as while its image is pulled, `pid` and
    /// `marks` count.
    pub container: Vec<String>,
    /// The process that the build step started.
    pub pid: i32,
    /// `NAME=value` in the environment, or an argument, of other processes that belong to the
    /// build.
    pub marks: Vec<String>,
}

/// Takes snapshots of a build's processes.
#[derive(Debug, Clone)]
pub struct ProcessInspector {
    /// This binary.
    pub program: PathBuf,
    /// The words before a command that make it run as root, e.g. `sudo -n`; empty where the build's
    /// processes belong to this user.
    pub elevate: Vec<String>,
    /// The processes to look at.
    pub build: BuildProcesses,
}

/// No snapshot could be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its processes cannot be inspected: {0}")]
pub struct InspectError(pub String);

impl ProcessInspector {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// When the child fails, hangs, or prints something else than a snapshot.
    pub async fn snapshot(&self) -> Result<ProcessSnapshot, InspectError> {
        let BuildProcesses { pid, marks, .. } = &self.build;
        let (pid, marks) = match self.container_process().await {
            Some(first) => (first, &[][..]),
            None => (*pid, marks.as_slice()),
        };
        let mut words = vec![
            self.program.display().to_string(),
            SUBCOMMAND.to_owned(),
            pid.to_string(),
        ];
        words.extend(marks.iter().cloned());
        let as_root: Vec<String> = self.elevate.iter().chain(&words).cloned().collect();
        let answer = match ask(&as_root, LIMIT).await {
            // A snapshot as this user shows less, and is better than none.
            Err(_) if !self.elevate.is_empty() => ask(&words, LIMIT).await,
            answer => answer,
        };
        let texts: SnapshotTexts = serde_json::from_str(&answer.map_err(InspectError)?)
            .map_err(|error| InspectError(error.to_string()))?;
        Ok(ProcessSnapshot::parse(&texts))
    }

    /// The first process of the container.
    async fn container_process(&self) -> Option<i32> {
        let answer = ask(&self.build.container, LIMIT).await.ok()?;
        // Engines print 0 for a container that does not run.
        answer.trim().parse().ok().filter(|&pid| pid > 1)
    }
}
