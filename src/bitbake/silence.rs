//! Silences of a build: how long each task prints nothing, and when that is too long.
//!
//! BitBake reports when a task begins and ends, and little in between. While no task runs, as during cloning
//! and parsing, the console itself counts as the speaker. Times are since the start of the build; the caller
//! has the clock.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::bitbake::console::{ConsoleLine, Said, TaskState};

/// A task is silent for too long after this multiple of its longest recorded silence.
const SILENCE_MULTIPLE: u32 = 3;

/// Shorter silences are not recorded.
const SHORTEST_RECORDED: Duration = Duration::from_secs(10);

/// The source of output: a task as `recipe-version:do_task`, or the console while no task runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaker {
    /// The console.
    Console,
    /// A task.
    Task(String),
}

impl Speaker {
    /// The name in the records: empty for the console.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Speaker::Console => "",
            Speaker::Task(task) => task,
        }
    }
}

impl std::fmt::Display for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Speaker::Console => f.write_str("the build"),
            Speaker::Task(task) => f.write_str(task),
        }
    }
}

/// The longest silence of each speaker, by [`Speaker::as_str`], in builds that ended well.
pub type History = BTreeMap<String, Duration>;

/// The silences of a running build.
#[derive(Debug, Default)]
pub struct Silences {
    limit: Duration,
    history: History,
    running: BTreeMap<String, Duration>,
    console: Duration,
    longest: History,
}

impl Silences {
    /// No speaker's limit is below `limit`, or below three times its longest silence in `history`.
    #[must_use]
    pub fn new(limit: Duration, history: History) -> Silences {
        Silences {
            limit,
            history,
            ..Silences::default()
        }
    }

    /// Records a line that was printed at `now`.
    pub fn hear(&mut self, line: &ConsoleLine<'_>, said: Option<&Said<'_>>, now: Duration) {
        // BitBake itself reports the silence; this is no output of a task.
        if matches!(said, Some(Said::StillAlive { .. })) {
            return;
        }
        if self.running.is_empty() {
            let silent = now.saturating_sub(self.console);
            self.remember("", silent);
        }
        self.console = now;
        match said {
            Some(Said::Task { task, state }) => {
                let task = task.to_string();
                match state {
                    TaskState::Started => {
                        self.running.insert(task, now);
                    }
                    TaskState::Succeeded | TaskState::Failed => {
                        if let Some(since) = self.running.remove(&task) {
                            self.remember(&task, now.saturating_sub(since));
                        }
                    }
                }
            }
            _ => {
                if let Some(task) = speaker(&line.text)
                    && let Some(since) = self.running.get_mut(&task)
                {
                    let silent = now.saturating_sub(std::mem::replace(since, now));
                    self.remember(&task, silent);
                }
            }
        }
    }

    fn remember(&mut self, speaker: &str, silent: Duration) {
        if silent >= SHORTEST_RECORDED {
            let longest = self.longest.entry(speaker.to_owned()).or_default();
            *longest = silent.max(*longest);
        }
    }

    fn allowed(&self, speaker: &str) -> Duration {
        self.history
            .get(speaker)
            .map_or(Duration::ZERO, |longest| {
                longest.saturating_mul(SILENCE_MULTIPLE)
            })
            .max(self.limit)
    }

    /// Every speaker, with the start of its silence and the time at which that becomes too long.
    fn silent(&self) -> impl Iterator<Item = (&str, Duration, Duration)> {
        let console = self.running.is_empty().then_some(("", self.console));
        let tasks = self
            .running
            .iter()
            .map(|(task, since)| (task.as_str(), *since));
        console
            .into_iter()
            .chain(tasks)
            .map(|(speaker, since)| (speaker, since, since.saturating_add(self.allowed(speaker))))
    }

    /// The speakers that have been silent for too long, with the length of the silence; the longest first.
    #[must_use]
    pub fn overdue(&self, now: Duration) -> Vec<(Speaker, Duration)> {
        let mut overdue: Vec<_> = self
            .silent()
            .filter(|(_, _, due)| *due <= now)
            .map(|(speaker, since, _)| {
                let speaker = match speaker {
                    "" => Speaker::Console,
                    task => Speaker::Task(task.to_owned()),
                };
                (speaker, now.saturating_sub(since))
            })
            .collect();
        overdue.sort_by_key(|(_, silent)| std::cmp::Reverse(*silent));
        overdue
    }

    /// The time at which the next speaker will be overdue if none prints anything until then.
    #[must_use]
    pub fn due(&self) -> Duration {
        let due = self.silent().map(|(_, _, due)| due).min();
        due.unwrap_or(Duration::MAX)
    }

    /// The longest silences of this build, for the records.
    #[must_use]
    pub fn longest(&self) -> History {
        self.longest.clone()
    }
}

/// The task of a message: `WARNING: mc:NAME:RECIPE-VERSION do_task: text`.
fn speaker(text: &str) -> Option<String> {
    let (_, message) = text.split_once(": ")?;
    let (head, _) = message.split_once(": ")?;
    let (recipe, task) = head.rsplit_once(' ')?;
    let recipe = recipe.rsplit([':', ' ']).next()?;
    (task.starts_with("do_") && !recipe.is_empty()).then(|| format!("{recipe}:{task}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn hear(silences: &mut Silences, at: u64, raw: &str) {
        let line = ConsoleLine::new(raw);
        let said = Said::read(&line);
        silences.hear(&line, said.as_ref(), S(at));
    }

    fn task(recipe: &str, task: &str, state: &str) -> String {
        format!("2026-11-22 03:24:01 - INFO     - NOTE: recipe {recipe}: task {task}: {state}")
    }

    #[test]
    fn a_task_is_silent_from_its_begin_and_from_its_last_word() {
        let mut silences = Silences::new(S(600), History::new());
        hear(&mut silences, 5, &task("a-1.0-r0", "do_x", "Started"));
        hear(&mut silences, 100, &task("b-1.0-r0", "do_y", "Started"));
        assert_eq!(silences.due(), S(605));
        assert_eq!(silences.overdue(S(604)), []);
        hear(&mut silences, 300, "WARNING: mc:q:a-1.0-r0 do_x: slow");
        assert_eq!(silences.due(), S(700));
        // Other lines belong to no running task.
        hear(&mut silences, 400, "WARNING: mc:q:c-1.0-r0 do_x: slow");
        let overdue = silences.overdue(S(1000));
        assert_eq!(
            overdue,
            [
                (Speaker::Task("b-1.0-r0:do_y".to_owned()), S(900)),
                (Speaker::Task("a-1.0-r0:do_x".to_owned()), S(700)),
            ]
        );
        hear(&mut silences, 1000, &task("b-1.0-r0", "do_y", "Succeeded"));
        assert_eq!(silences.longest()["b-1.0-r0:do_y"], S(900));
        assert_eq!(silences.longest()["a-1.0-r0:do_x"], S(295));
    }

    #[test]
    fn the_console_counts_where_no_task_runs() {
        let mut silences = Silences::new(S(60), History::new());
        hear(
            &mut silences,
            1,
            "2026-11-22 03:23:18 - INFO     - Cloning repository isar",
        );
        assert_eq!(silences.due(), S(61));
        assert_eq!(silences.overdue(S(61)), [(Speaker::Console, S(60))]);
        // What says that nothing is heard is nothing that is heard.
        hear(
            &mut silences,
            50,
            "Bitbake still alive (no events for 600s). Active tasks:",
        );
        assert_eq!(silences.due(), S(61));
        hear(&mut silences, 70, &task("a-1.0-r0", "do_x", "Started"));
        assert_eq!(silences.due(), S(130));
        assert_eq!(silences.longest()[""], S(69));
        hear(&mut silences, 71, &task("a-1.0-r0", "do_x", "Failed"));
        assert_eq!(silences.due(), S(131));
        // A second of silence is not worth remembering.
        assert!(!silences.longest().contains_key("a-1.0-r0:do_x"));
    }

    #[test]
    fn who_was_always_silent_may_be() {
        let history = History::from([
            ("a-1.0-r0:do_x".to_owned(), S(500)),
            ("b:do_y".to_owned(), S(20)),
        ]);
        let mut silences = Silences::new(S(600), history);
        hear(&mut silences, 0, &task("a-1.0-r0", "do_x", "Started"));
        assert_eq!(silences.due(), S(1500));
        assert_eq!(silences.overdue(S(1499)), []);
        hear(&mut silences, 10, &task("b", "do_y", "Started"));
        // A short history does not lower the limit.
        assert_eq!(silences.due(), S(610));
    }
}
