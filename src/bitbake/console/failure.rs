//! The reason of a failed build, from its console: the exit code is the same for a failed task and a
//! configuration error.

use std::collections::VecDeque;

use crate::bitbake::console::{ConsoleLine, Level, Said, Task};

/// The number of lines of a failed task's log that are kept.
const TAIL: usize = 20;

/// The longest reason, in characters.
const REASON: usize = 300;

/// The reason of a failed build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildFailure {
    /// One sentence, without a full stop.
    pub reason: String,
    /// The first failed task's log, as a path inside the container.
    pub log: Option<String>,
    /// The last lines of that log, as far as BitBake prints them.
    pub tail: Vec<String>,
    /// Every task that failed, in order.
    pub tasks: Vec<Task>,
}

/// Collects errors from every console line.
#[derive(Debug, Default)]
pub struct Collector {
    tasks: Vec<(Task, String)>,
    log: Option<String>,
    tail: VecDeque<String>,
    tail_is_full: bool,
    task_error: Option<String>,
    bitbake_error: Option<String>,
    kas_error: Option<String>,
    kas_command: Option<String>,
    kas_command_goes_on: bool,
    kas_command_output: Option<String>,
    container_error: Option<String>,
    last: Option<String>,
    ends_in_failure: bool,
}

impl Collector {
    /// Records a line and its meaning.
    pub fn hear(&mut self, line: &ConsoleLine<'_>, said: Option<&Said<'_>>) {
        let text = line.text.trim();
        if line.level.is_none() && std::mem::take(&mut self.kas_command_goes_on) {
            self.hear_command_output(text);
        } else {
            self.kas_command_goes_on = false;
        }
        match said {
            Some(Said::Failed { task, code }) => {
                self.ends_in_failure = true;
                // kas repeats the same in its own summary at the end.
                if !self.tasks.iter().any(|(known, _)| known == task) {
                    self.tasks.push((task.clone(), (*code).to_owned()));
                }
            }
            Some(Said::FailureLog(path)) => match &self.log {
                None => self.log = Some((*path).to_owned()),
                Some(first) if first != path => self.tail_is_full = true,
                Some(_) => {}
            },
            Some(Said::LogLine(logged)) if !self.tail_is_full => {
                self.tail.push_back((*logged).to_owned());
                if self.tail.len() > TAIL {
                    self.tail.pop_front();
                }
            }
            Some(Said::Tasks { failed, .. }) => self.ends_in_failure |= *failed > 0,
            Some(Said::EndsInFailure) => self.ends_in_failure = true,
            Some(Said::Error(error)) => self.hear_error(error),
            Some(Said::KasError(error)) => self.hear_kas(error),
            Some(Said::ContainerError(error)) => {
                self.container_error
                    .get_or_insert_with(|| (*error).to_owned());
            }
            Some(_) => {}
            // Debug lines of kas show only its arguments.
            None if !text.is_empty() && line.level != Some(Level::Debug) => {
                self.last = Some(text.to_owned());
            }
            None => {}
        }
    }

    /// Whether BitBake reported a failure. Exit code 0 does not prove otherwise.
    #[must_use]
    pub fn ends_in_failure(&self) -> bool {
        self.ends_in_failure
    }

    /// The reason, as far as the console shows it. Meaningful only after a build that did not succeed.
    #[must_use]
    pub fn failure(&self) -> BuildFailure {
        BuildFailure {
            reason: shortened(&self.reason()),
            log: self.log.clone(),
            tail: self.tail.iter().cloned().collect(),
            tasks: self.tasks.iter().map(|(task, _)| task.clone()).collect(),
        }
    }

    fn reason(&self) -> String {
        if let Some((task, code)) = self.tasks.first() {
            let others = match self.tasks.len() - 1 {
                0 => String::new(),
                1 => " (and 1 other task)".to_owned(),
                more => format!(" (and {more} other tasks)"),
            };
            let what = format!("task {} of {} failed{others}", task.task, task.recipe);
            return match self.detail() {
                Some(detail) => format!("{what}: {detail}"),
                None => format!("{what} with exit code {code}"),
            };
        }
        let said = [
            &self.bitbake_error,
            &self.task_error,
            &self.kas_command_output,
            &self.kas_error,
            &self.container_error,
            &self.kas_command,
            &self.last,
        ];
        match said.into_iter().flatten().next() {
            Some(said) => said.clone(),
            None => "it printed nothing".to_owned(),
        }
    }

    /// The line that explains a failed task: an error that the task itself reported, else the last line of its
    /// log that looks like an error, else the last line.
    fn detail(&self) -> Option<String> {
        let lines = || {
            let own = self.tail.iter().rev().map(|line| line.trim());
            own.filter(|line| !line.is_empty() && !is_noise(line))
        };
        self.task_error
            .clone()
            .or_else(|| {
                lines()
                    .find(|line| looks_like_an_error(line))
                    .map(str::to_owned)
            })
            .or_else(|| lines().next().map(str::to_owned))
    }

    fn hear_error(&mut self, error: &str) {
        match of_a_task(error) {
            Some(text) if text.starts_with("ExecutionError(") => {}
            // A message may begin on its second line; an empty first line explains nothing.
            _ if of_a_task(error).unwrap_or(error).trim().is_empty() => {}
            Some(text) => {
                self.task_error.get_or_insert_with(|| text.to_owned());
            }
            None => {
                self.bitbake_error.get_or_insert_with(|| error.to_owned());
            }
        }
    }

    /// For each failed command kas prints `Command "…" failed` with the command's stderr, for BitBake too. The
    /// command's own output is more precise.
    fn hear_kas(&mut self, error: &str) {
        if !error.starts_with("Command \"") {
            self.kas_error.get_or_insert_with(|| error.to_owned());
            return;
        }
        if self.kas_command.is_none() {
            self.kas_command = Some(error.to_owned());
            self.kas_command_goes_on = error.ends_with("failed:");
        }
    }

    fn hear_command_output(&mut self, text: &str) {
        if text.is_empty() {
            self.kas_command_goes_on = true;
        } else if let Some(command) = &self.kas_command {
            self.kas_command_output = Some(format!("{command} {text}"));
        }
    }
}

/// The text of `mc:NAME:RECIPE-VERSION do_task: text`.
fn of_a_task(error: &str) -> Option<&str> {
    let (head, text) = error.split_once(": ")?;
    let (recipe, task) = head.rsplit_once(' ')?;
    (task.starts_with("do_") && !recipe.is_empty()).then_some(text)
}

fn looks_like_an_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    [
        "error:", "e: ", "fatal:", "error ", "fail:", "err:", "panic:",
    ]
    .iter()
    .any(|start| line.starts_with(start) || line.contains(&format!(" {start}")))
}

/// Whether BitBake's shell wrapper appends this line to every log of a failed task.
fn is_noise(line: &str) -> bool {
    line.starts_with("WARNING: exit code")
        || line.starts_with("WARNING: Backtrace")
        || line.starts_with("DEBUG: ")
        || line.contains("ExecutionError(")
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", reason[..end].trim_end()),
        None => reason.to_owned(),
    }
}
