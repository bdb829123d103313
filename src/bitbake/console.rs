//! Parser of the console output of kas and BitBake: progress, running tasks, failures and their reasons.
//!
//! The formats are those of BitBake's `knotty` on a pipe and of kas' logger. They are meant for people: numbers
//! skip, messages span several lines, errors repeat. So unknown lines are ignored, nothing here fails, and
//! callers must not judge success by the console alone.

pub mod failure;
pub mod image_tasks;
pub mod paths;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use crate::bitbake::console::failure::{BuildFailure, Collector};
pub use crate::bitbake::console::image_tasks::ImageTasks;
pub use crate::bitbake::console::paths::Mounts;

/// The severity of a line in kas' log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Debugging.
    Debug,
    /// BitBake's standard output, including errors in a task's log.
    Info,
    /// A warning of kas itself.
    Warning,
    /// BitBake's standard error, and errors of kas itself.
    Error,
}

/// A console line without escape sequences and without the prefix of kas' logger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLine<'a> {
    /// `None` if the line is not from kas' logger: kas-container, the engine, or the further lines of a
    /// message.
    pub level: Option<Level>,
    /// The text.
    pub text: Cow<'a, str>,
}

impl<'a> ConsoleLine<'a> {
    /// Removes escape sequences and kas' `YYYY-MM-DD HH:MM:SS - LEVEL    - `.
    #[must_use]
    pub fn new(raw: &'a str) -> ConsoleLine<'a> {
        if raw.contains('\u{1b}') {
            let plain = without_escapes(raw);
            let (level, text) = without_prefix(&plain);
            return ConsoleLine {
                level,
                text: Cow::Owned(text.to_owned()),
            };
        }
        let (level, text) = without_prefix(raw);
        ConsoleLine {
            level,
            text: Cow::Borrowed(text),
        }
    }
}

fn without_escapes(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
        } else if characters.next() == Some('[') {
            // A control sequence ends with a byte of this range (ECMA-48, 5.4).
            for parameter in characters.by_ref() {
                if matches!(parameter, '@'..='~') {
                    break;
                }
            }
        }
    }
    plain
}

fn without_prefix(raw: &str) -> (Option<Level>, &str) {
    let prefixed = || {
        let (time, rest) = raw.split_at_checked(19)?;
        let is_time = time.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
        if !is_time {
            return None;
        }
        let (level, text) = rest.strip_prefix(" - ")?.split_once(" -")?;
        let level = match level.trim_end() {
            "DEBUG" => Level::Debug,
            "INFO" => Level::Info,
            "WARNING" => Level::Warning,
            "ERROR" | "CRITICAL" => Level::Error,
            _ => return None,
        };
        Some((level, text.strip_prefix(' ').unwrap_or(text)))
    };
    match prefixed() {
        Some((level, text)) => (Some(level), text),
        None => (None, raw),
    }
}

/// A task of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The recipe's name; without version if it comes from a file name.
    pub recipe: String,
    /// The task, with its `do_`.
    pub task: String,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.recipe, self.task)
    }
}

impl Task {
    /// Whether a recipe begins to make its image with this task. Everything before it can be shared by other
    /// variants. The root file systems of the build environment have the same task and do not count.
    #[must_use]
    pub fn begins_image(&self) -> bool {
        let of_environment = [
            "sbuild-chroot",
            "buildchroot",
            "isar-bootstrap",
            "isar-mmdebstrap",
        ];
        match self.task.as_str() {
            "do_rootfs_install" => !of_environment
                .iter()
                .any(|name| self.recipe.starts_with(name)),
            task => task.starts_with("do_image_"),
        }
    }
}

/// The state of a task that has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It runs.
    Started,
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
}

/// The meaning of a console line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<'a> {
    /// Task `done` of `total` starts. Both are BitBake's own count, which may skip numbers.
    Progress {
        /// The number of the task.
        done: u32,
        /// The number of all tasks.
        total: u32,
        /// The task.
        task: Task,
        /// Whether the task restores from the shared state cache; BitBake counts these separately.
        setscene: bool,
    },
    /// A task has changed its state. Here `recipe` is name, version and revision.
    Task {
        /// The task.
        task: Task,
        /// The new state.
        state: TaskState,
    },
    /// A task has failed for good.
    Failed {
        /// The task.
        task: Task,
        /// Its exit code, as BitBake writes it.
        code: &'a str,
    },
    /// The log of a task that failed, as a path inside the container.
    FailureLog(&'a str),
    /// A line of that log.
    LogLine(&'a str),
    /// The tasks that the shared state cache can restore.
    Sstate {
        /// Tasks that need a result.
        wanted: u32,
        /// Found in the local cache.
        local: u32,
        /// Found on mirrors.
        mirrors: u32,
        /// Not found.
        missed: u32,
        /// Already done in this build directory.
        current: u32,
    },
    /// The end of the task queue.
    Tasks {
        /// Tasks that were checked.
        attempted: u32,
        /// Tasks that were already done.
        skipped: u32,
        /// Tasks that failed.
        failed: u32,
    },
    /// BitBake's last message reports a failure.
    EndsInFailure,
    /// No task has changed its state for some time.
    StillAlive {
        /// That time in seconds.
        seconds: u32,
    },
    /// A warning.
    Warning(&'a str),
    /// An error of BitBake or of a task.
    Error(&'a str),
    /// An error of kas itself.
    KasError(&'a str),
    /// An error of kas-container, of the engine or of sudo.
    ContainerError(&'a str),
}

impl<'a> Said<'a> {
    /// Parses a line; `None` for every other kind of line.
    #[must_use]
    pub fn read(line: &'a ConsoleLine<'_>) -> Option<Said<'a>> {
        let text = line.text.as_ref();
        if let Some(logged) = log_line(text) {
            return Some(Said::LogLine(logged));
        }
        if let Some(said) = bitbake(text) {
            return Some(said);
        }
        match line.level {
            Some(Level::Error) if !text.is_empty() => Some(Said::KasError(text)),
            Some(Level::Warning) => Some(Said::Warning(text)),
            None => container(text),
            _ => None,
        }
    }
}

/// The text of a line in a task's log, which has a bar before it.
fn log_line(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('|').or_else(|| text.strip_prefix(" |"))?;
    match rest.strip_prefix(' ') {
        Some(logged) => Some(logged),
        None => rest.is_empty().then_some(rest),
    }
}

fn bitbake(text: &str) -> Option<Said<'_>> {
    if let Some(error) = text.strip_prefix("ERROR: ") {
        return Some(error_said(error));
    }
    if let Some(warning) = text.strip_prefix("WARNING: ") {
        return Some(Said::Warning(warning));
    }
    let text = text.strip_prefix("NOTE: ").unwrap_or(text);
    if let Some(rest) = text.strip_prefix("Running ") {
        return progress(rest);
    }
    if let Some(rest) = text.strip_prefix("recipe ") {
        return task_state(rest);
    }
    if let Some(at) = text.find("Sstate summary: ") {
        return sstate(&text[at..]);
    }
    if let Some(rest) = text.strip_prefix("Tasks Summary: ") {
        return tasks(rest);
    }
    if let Some(rest) = text.strip_prefix("Summary: ") {
        let failed = rest.ends_with("task failed:")
            || rest.ends_with("tasks failed:")
            || rest.ends_with("returning a non-zero exit code.");
        return failed.then_some(Said::EndsInFailure);
    }
    if let Some(rest) = text.strip_prefix("Bitbake still alive (no events for ") {
        let seconds = number(rest)?;
        return Some(Said::StillAlive { seconds });
    }
    (text == "Execution was interrupted, returning a non-zero exit code.")
        .then_some(Said::EndsInFailure)
}

fn error_said(error: &str) -> Said<'_> {
    if let Some(path) = error.strip_prefix("Logfile of failure stored in: ") {
        return Said::FailureLog(path.trim());
    }
    let failed = || {
        let rest = error.strip_prefix("Task (")?;
        let (target, rest) = rest.split_once(") failed with exit code ")?;
        let code = rest.trim().trim_matches('\'');
        Some(Said::Failed {
            task: task(target)?,
            code,
        })
    };
    failed().unwrap_or(Said::Error(error))
}

fn progress(rest: &str) -> Option<Said<'_>> {
    let (setscene, rest) = if let Some(rest) = rest.strip_prefix("setscene task ") {
        (true, rest)
    } else if let Some(rest) = rest.strip_prefix("noexec task ") {
        (false, rest)
    } else {
        (false, rest.strip_prefix("task ")?)
    };
    let (count, target) = rest.split_once(" (")?;
    let (done, total) = count.split_once(" of ")?;
    Some(Said::Progress {
        done: done.parse().ok()?,
        total: total.parse().ok()?,
        task: task(target.trim_end().strip_suffix(')')?)?,
        setscene,
    })
}

fn task_state(rest: &str) -> Option<Said<'_>> {
    let (recipe, rest) = rest.split_once(": task ")?;
    let (task, state) = rest.split_once(": ")?;
    let state = match state.trim_end() {
        "Started" => TaskState::Started,
        "Succeeded" => TaskState::Succeeded,
        "Failed" => TaskState::Failed,
        _ => return None,
    };
    Some(Said::Task {
        task: Task {
            recipe: recipe.to_owned(),
            task: task.to_owned(),
        },
        state,
    })
}

fn sstate(text: &str) -> Option<Said<'_>> {
    let after = |word: &str| {
        let (_, rest) = text.split_once(word)?;
        number(rest)
    };
    Some(Said::Sstate {
        wanted: after("Wanted ")?,
        local: after("Local ")?,
        mirrors: after("Mirrors ")?,
        missed: after("Missed ")?,
        current: after("Current ")?,
    })
}

fn tasks(rest: &str) -> Option<Said<'_>> {
    let rest = rest.strip_prefix("Attempted ")?;
    let (_, skipped) = rest.split_once(" of which ")?;
    let (_, end) = skipped.split_once(" and ")?;
    Some(Said::Tasks {
        attempted: number(rest)?,
        skipped: number(skipped)?,
        failed: number(end).unwrap_or(0),
    })
}

/// Errors of the programs around kas. sudo and run0 print only when they refuse.
fn container(text: &str) -> Option<Said<'_>> {
    let is_error = text.starts_with("Error: ")
        || text.starts_with("docker: ")
        || text.starts_with("sudo: ")
        || text.starts_with("run0: ")
        || text
            .split_once(": Error: ")
            .is_some_and(|(program, _)| !program.contains(' '));
    is_error.then_some(Said::ContainerError(text))
}

/// The task of `mc:NAME:/path/recipe_1.0.bb:do_task`, with or without multiconfig and class extension.
fn task(target: &str) -> Option<Task> {
    let (file, task) = target.rsplit_once(':')?;
    let name = file.rsplit(['/', ':']).next()?;
    let name = name.strip_suffix(".bb").unwrap_or(name);
    let recipe = name.split_once('_').map_or(name, |(recipe, _)| recipe);
    (!recipe.is_empty() && !task.is_empty()).then(|| Task {
        recipe: recipe.to_owned(),
        task: task.to_owned(),
    })
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}
