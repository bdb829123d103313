//! What kas and BitBake say on a console that is no terminal: how far a build is, which tasks run, what
//! failed and why.
//!
//! The forms are those of BitBake's `knotty` and of kas' logger, and they are meant for people: numbers
//! skip, messages span lines, errors are repeated. So whatever is not recognised is let pass, nothing
//! here fails, and nobody decides success by it alone. Knows nothing of processes and files.

pub mod failure;
pub mod image_tasks;
pub mod paths;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use crate::bitbake::console::failure::{Collector, Failure};
pub use crate::bitbake::console::image_tasks::ImageTasks;
pub use crate::bitbake::console::paths::Mounts;

/// The severity that kas gives a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Debugging.
    Debug,
    /// What BitBake writes to its standard output, errors of a task's log included.
    Info,
    /// A warning of kas itself.
    Warning,
    /// What BitBake writes to its standard error, and errors of kas itself.
    Error,
}

/// A line without what kas and terminals put around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Unset where the line does not come from kas' logger: kas-container, the engine, or the further
    /// lines of a message.
    pub level: Option<Level>,
    /// The text.
    pub text: Cow<'a, str>,
}

impl<'a> Line<'a> {
    /// Takes off escape sequences and kas' `YYYY-MM-DD HH:MM:SS - LEVEL    - `.
    #[must_use]
    pub fn new(raw: &'a str) -> Line<'a> {
        if raw.contains('\u{1b}') {
            let plain = without_escapes(raw);
            let (level, text) = without_prefix(&plain);
            return Line {
                level,
                text: Cow::Owned(text.to_owned()),
            };
        }
        let (level, text) = without_prefix(raw);
        Line {
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
    /// The recipe's name, without version where it was taken from a file name.
    pub recipe: String,
    /// The task with its `do_`.
    pub task: String,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.recipe, self.task)
    }
}

impl Task {
    /// Whether with this task a recipe begins to make its image, which no other variant can use: what
    /// goes into it is made. The root file systems of the build environment are made by the same task.
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

/// How a task that has started goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// It runs.
    Started,
    /// It ended well.
    Succeeded,
    /// It did not.
    Failed,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<'a> {
    /// Task `done` of `total` is started. Both are BitBake's own count, which may skip.
    Progress {
        /// The number of the task.
        done: u32,
        /// Tasks in all.
        total: u32,
        /// The task.
        task: Task,
        /// Whether it restores from the shared state cache; these are counted apart.
        setscene: bool,
    },
    /// A task has changed its state. `recipe` is name, version and revision here.
    Task {
        /// The task.
        task: Task,
        /// What became of it.
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
    /// What the shared state cache can give.
    Sstate {
        /// Tasks that could be restored.
        wanted: u32,
        /// Found in the local cache.
        local: u32,
        /// Found on mirrors.
        mirrors: u32,
        /// Found nowhere.
        missed: u32,
        /// Done before in this build directory.
        current: u32,
    },
    /// The end of the task queue.
    Tasks {
        /// Tasks that were looked at.
        attempted: u32,
        /// Of these, those that were done before.
        skipped: u32,
        /// Of these, those that failed.
        failed: u32,
    },
    /// BitBake's last words say that it failed.
    EndsInFailure,
    /// No task has changed its state for so many seconds.
    StillAlive {
        /// How long.
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
    /// What a line says, where it is one of these.
    #[must_use]
    pub fn read(line: &'a Line<'_>) -> Option<Said<'a>> {
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

/// A line of a task's log has a bar before it.
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

/// The errors of those who are around kas. sudo and run0 speak only where they refuse.
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
