//! Looks at the processes of a build that is silent: asks the engine where its container begins, and
//! reads /proc from there. What it means is [`crate::model::hang`]'s to say; knows nothing of tasks.
//!
//! Reading /proc of a process that hangs may hang, too. So it is done by a child, our own binary with a
//! hidden subcommand, which has a time limit; as root where the engine is root's, since only root may
//! see where in the kernel another user's process is.

mod gather;

use std::path::PathBuf;
use std::time::Duration;

use crate::exec::ask;
use crate::model::processes::{Look, LookTexts};

pub use gather::main;

/// The hidden subcommand that the binary must hand to [`main`].
pub const SUBCOMMAND: &str = "internal-processes";

/// How long the engine may take to answer, and a look to be taken.
const LIMIT: Duration = Duration::from_secs(15);

/// Whose processes are looked at.
#[derive(Debug, Clone)]
pub struct Family {
    /// The words that ask an engine for the first process of the container; empty where there is none.
    /// While it is not there, as while its image is fetched, the others are looked at.
    pub container: Vec<String>,
    /// The process that was started.
    pub pid: i32,
    /// `NAME=value` in the environment, or an argument, of others that belong to it.
    pub marks: Vec<String>,
}

/// Takes looks.
#[derive(Debug, Clone)]
pub struct Looker {
    /// Our own binary.
    pub program: PathBuf,
    /// What to put before it to be root, e.g. `sudo -n`; empty where we are who we look at.
    pub elevate: Vec<String>,
    /// Whose processes.
    pub family: Family,
}

/// Why there is no look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its processes cannot be seen: {0}")]
pub struct NoLook(pub String);

impl Looker {
    /// Takes a look.
    ///
    /// # Errors
    /// See [`NoLook`].
    pub async fn look(&self) -> Result<Look, NoLook> {
        let Family { pid, marks, .. } = &self.family;
        let (pid, marks) = match self.container().await {
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
            // Without root's rights less can be seen, and more than nothing.
            Err(_) if !self.elevate.is_empty() => ask(&words, LIMIT).await,
            answer => answer,
        };
        let texts: LookTexts = serde_json::from_str(&answer.map_err(NoLook)?)
            .map_err(|error| NoLook(error.to_string()))?;
        Ok(Look::read(&texts))
    }

    /// The first process of the container.
    async fn container(&self) -> Option<i32> {
        let answer = ask(&self.family.container, LIMIT).await.ok()?;
        // 0 is what engines say of a container that does not run.
        answer.trim().parse().ok().filter(|&pid| pid > 1)
    }
}
