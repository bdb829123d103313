//! Asks an engine for a container that runs.

use std::time::Duration;

use super::command::engine_command;
use crate::exec::ask;
use crate::tools::Engine;

/// How long the engine may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The first process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    /// Its number, as the engine sees it.
    pub(super) pid: u32,
    /// What the engine calls the container among themselves; empty where it does not say.
    pub(super) id: String,
}

/// That of the container; none while it is not running.
pub(super) async fn first_process(engine: &Engine, name: &str) -> Option<First> {
    let format = "{{.State.Pid}} {{.Id}}";
    let argv = engine_command(engine, &["inspect", "--format", format, name]);
    let text = ask(&argv, LIMIT).await.ok()?;
    let mut words = text.split_whitespace().map(str::to_owned);
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
    let id = words.next().unwrap_or_default();
    Some(First { pid, id })
}
