//! The command line and environment of kas-container, or of kas, for one variant.
//!
//! Knows nothing of how it is run. kas-container is a shell script that expands most of what it is given
//! without quotes, so a word that the shell would split or expand is refused here and not mangled there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::guard::Guarding;
use super::{BuildTools, Task};
use crate::exec::Spec;
use crate::model::matrix::{Variant, VariantKey};
use crate::settings::{Settings, VariantDirs, variant_dirs};
use crate::steps::StepContext;
use crate::tools::{Engine, EngineKind, Runner, Version};

/// A word that would not survive kas-container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{word}` has {}, which kas-container does not pass on", name(*.character))]
pub struct UnfitWord {
    what: String,
    word: String,
    character: char,
}

impl UnfitWord {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.what.starts_with("the ") {
            "choose a path without white space, `:` and the shell's wildcards".to_owned()
        } else {
            "set it where the build reads it, as in local_conf_header of a kas file".to_owned()
        }
    }
}

fn name(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line break".to_owned(),
        other => format!("`{other}`"),
    }
}

fn plain(what: &str, word: &str) -> Result<(), UnfitWord> {
    without(what, word, |character| {
        character.is_whitespace() || matches!(character, '*' | '?' | '[')
    })
}

fn plain_dir(what: &str, path: &Path) -> Result<(), UnfitWord> {
    let word = path.to_string_lossy();
    plain(what, &word)?;
    // A colon ends the host's part of a mount.
    without(what, &word, |character| character == ':')
}

fn without(what: &str, word: &str, unfit: impl Fn(char) -> bool) -> Result<(), UnfitWord> {
    match word.chars().find(|&character| unfit(character)) {
        Some(character) => Err(UnfitWord {
            what: what.to_owned(),
            word: word.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

/// What is run for a variant.
#[derive(Debug)]
pub(super) struct Kas {
    /// The name of the container, and of the build where there is none.
    pub(super) name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    is_container: bool,
    /// The value of [`MARK`] in the environment of everything that belongs to the build.
    mark: String,
}

impl Kas {
    pub(super) fn new(
        ctx: &StepContext,
        tools: &BuildTools,
        dirs: &VariantDirs,
        task: Task,
    ) -> Result<Kas, UnfitWord> {
        let mut name = container_name(&ctx.run, &ctx.variant.key);
        let word = match task {
            Task::Build => "build",
            Task::Clean => {
                name.push_str("-clean");
                "clean"
            }
        };
        let mut kas = match &tools.runner {
            Runner::Kas(kas) => Kas {
                program: kas.program.clone(),
                args: words(&[word]),
                env: Vec::new(),
                is_container: false,
                name,
                mark: String::new(),
            },
            Runner::Container {
                kas_container,
                engine,
            } => {
                let key = &ctx.variant.key;
                check_words(&ctx.settings, &tools.project_dir, &ctx.variant, &ctx.run)?;
                let profile = match task {
                    Task::Build => tools.guarding.as_ref().and_then(Guarding::profile),
                    Task::Clean => None,
                };
                let runtime_args = runtime_args(&ctx.settings, &ctx.run, key, &name, profile)?;
                let args = words(&[
                    kas_container.mode_flag,
                    "--runtime-args",
                    &runtime_args,
                    word,
                ]);
                let mut kas = Kas {
                    program: kas_container.program.clone(),
                    args,
                    env: Vec::new(),
                    is_container: true,
                    name,
                    mark: String::new(),
                };
                for (name, value) in &engine.environment {
                    kas.set(name, value);
                }
                if let Some(image) = &ctx.settings.image.value {
                    kas.set("KAS_CONTAINER_IMAGE", image);
                }
                kas
            }
        };
        match task {
            Task::Build => {
                // What follows `--` is BitBake's and comes after the files.
                let arguments = &ctx.settings.kas_args.value;
                let end = arguments.iter().position(|word| word == "--");
                let (before, after) = arguments.split_at(end.unwrap_or(arguments.len()));
                kas.args.extend(before.iter().map(OsString::from));
                kas.args.push(ctx.variant.kas_chain().into());
                kas.args.extend(after.iter().map(OsString::from));
            }
            // kas-container says itself which layout it is, and needs no kas file to clean.
            Task::Clean if kas.is_container => {}
            Task::Clean => kas.args.push("--isar".into()),
        }
        kas.set_dirs(dirs);
        for (name, value) in &ctx.variables {
            kas.set(name, value);
        }
        for name in OVERRIDES {
            kas.env.push((name.into(), None));
        }
        if !kas.is_container {
            for (name, value) in &ctx.settings.env.value {
                kas.set(name, value);
            }
        }
        // The name is unique in its state directory; runs of two checkouts may begin in one second.
        kas.mark = format!("{}@{}", kas.name, ctx.settings.state_dir.value.display());
        kas.set(MARK, kas.mark.clone());
        Ok(kas)
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.into(), Some(value.into())));
    }

    fn set_dirs(&mut self, dirs: &VariantDirs) {
        for (name, dir) in [
            ("KAS_WORK_DIR", &dirs.work),
            ("KAS_BUILD_DIR", &dirs.build),
            ("DL_DIR", &dirs.dl),
            ("SSTATE_DIR", &dirs.sstate),
            ("KAS_REPO_REF_DIR", &dirs.repo_ref),
        ] {
            self.set(name, dir);
        }
    }

    /// Whether it runs in a container of its own.
    pub(super) fn is_container(&self) -> bool {
        self.is_container
    }

    /// The program as messages name it.
    pub(super) fn program_name(&self) -> &'static str {
        if self.is_container {
            "kas-container"
        } else {
            "kas"
        }
    }

    /// What the environment of each of its processes holds, as far as kas passes it on.
    pub(super) fn mark(&self) -> String {
        format!("{MARK}={}", self.mark)
    }

    /// What to run, from where, with which log.
    pub(super) fn spec(&self, project_dir: &Path, log: &Path, settings: &Settings) -> Spec {
        Spec {
            args: self.args.clone(),
            dir: Some(project_dir.to_owned()),
            env: self.env.clone(),
            log: Some(log.to_owned()),
            stop_timeout: Duration::from_secs(settings.stop_timeout.value),
            ..Spec::new(&self.program)
        }
    }

    /// What asks the engine for the first process of the container; nothing where there is none.
    pub(super) fn first_process(&self, runner: &Runner) -> Vec<String> {
        runner.engine().map_or_else(Vec::new, |engine| {
            engine_command(
                engine,
                &["inspect", "--format", "{{.State.Pid}}", &self.name],
            )
        })
    }

    /// What stops the container as the engine does it: a signal first, and its end after `patience`.
    pub(super) fn graceful_stop(&self, runner: &Runner, patience: Duration) -> Vec<String> {
        match runner {
            Runner::Kas(_) => Vec::new(),
            Runner::Container { engine, .. } => {
                let seconds = patience.as_secs().saturating_sub(2).max(1).to_string();
                engine_command(engine, &["stop", "-t", &seconds, &self.name])
            }
        }
    }
}

/// Variables with which kas replaces what the kas files say: with one of them set, every variant would be
/// the same image under another name. They are not passed on.
pub const OVERRIDES: [&str; 4] = ["KAS_MACHINE", "KAS_DISTRO", "KAS_TARGET", "KAS_TASK"];
/// The label of a container with the state directory whose runs it belongs to.
pub(crate) const STATE_LABEL: &str = "isar-build-all.state";

/// The variable that names the build in the environment of its processes.
const MARK: &str = "ISAR_BUILD_ALL_BUILD";

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

pub(super) fn engine_command(engine: &Engine, words: &[&str]) -> Vec<String> {
    let words = words.iter().map(|&word| word.to_owned());
    engine.prefix.iter().cloned().chain(words).collect()
}

/// The commands that remove a container at once and that ask whether it exists, and what makes `kill`
/// reach the processes that run it.
pub(crate) fn engine_words(engine: &Engine, name: &str) -> [Vec<String>; 3] {
    let (remove, exists): (&[&str], &[&str]) = match engine.kind {
        // Without a limit podman waits 10 s for it to end by itself.
        EngineKind::Podman if engine.version >= Version::new(4, 0) => (
            &["rm", "-f", "-t", "1", name],
            &["container", "exists", name],
        ),
        EngineKind::Podman => (&["rm", "-f", name], &["container", "exists", name]),
        EngineKind::Docker => (&["rm", "-f", name], &["container", "inspect", name]),
    };
    let elevate = engine.prefix[..engine.prefix.len().saturating_sub(1)].to_vec();
    [
        engine_command(engine, remove),
        engine_command(engine, exists),
        elevate,
    ]
}

/// `isar-build-all-<run>-<machine>-<id>` in the characters that engines allow, with a short hash: what
/// makes two variants differ could be lost with the other characters.
fn container_name(run: &str, key: &VariantKey) -> String {
    let mut name: String = format!("isar-build-all-{run}-{}-{}", key.machine, key.id)
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => character,
            _ => '-',
        })
        .take(120)
        .collect();
    let hash = Sha256::digest(format!("{run}\0{}\0{}", key.machine, key.id));
    name.push('-');
    name.extend(hash[..3].iter().map(|byte| format!("{byte:02x}")));
    name
}

/// The one string of `--runtime-args`: before kas 5.5 a second one would replace the first.
fn runtime_args(
    settings: &Settings,
    run: &str,
    key: &VariantKey,
    name: &str,
    profile: Option<&Path>,
) -> Result<String, UnfitWord> {
    let state = settings.state_dir.value.display();
    let mut words = vec![
        "--name".to_owned(),
        name.to_owned(),
        "--label".to_owned(),
        format!("isar-build-all.run={run}"),
        "--label".to_owned(),
        format!("isar-build-all.variant={key}"),
        "--label".to_owned(),
        format!("{STATE_LABEL}={state}"),
        "-e".to_owned(),
        "PYTHONUNBUFFERED=1".to_owned(),
    ];
    if let Some(profile) = profile {
        let option = format!("seccomp={}", profile.display());
        words.extend(["--security-opt".to_owned(), option]);
    }
    for mount in &settings.mounts.value {
        plain("the mount", mount)?;
        words.extend(["-v".to_owned(), mount.clone()]);
    }
    for (name, value) in &settings.env.value {
        let assignment = format!("{name}={value}");
        plain("variable", &assignment)?;
        words.extend(["-e".to_owned(), assignment]);
    }
    for argument in &settings.runtime_args.value {
        // One entry may hold several words, as `--cpus 2`.
        for word in argument.split_whitespace() {
            plain("runtime argument", word)?;
            words.push(word.to_owned());
        }
    }
    Ok(words.join(" "))
}

/// Says what of the settings and paths of a variant kas-container would mangle. `run` is the run's id.
///
/// # Errors
/// The first word of them.
pub fn check_words(
    settings: &Settings,
    project_dir: &Path,
    variant: &Variant,
    run: &str,
) -> Result<(), UnfitWord> {
    let key = &variant.key;
    let dirs = variant_dirs(settings, &key.machine, &key.id, variant.arch);
    for (what, dir) in [
        ("the project directory", project_dir),
        ("the state directory", &settings.state_dir.value),
        ("the work directory", &dirs.work),
        ("the build directory", &dirs.build),
        ("the download directory", &dirs.dl),
        ("the sstate directory", &dirs.sstate),
        ("the directory of reference clones", &dirs.repo_ref),
    ] {
        plain_dir(what, dir)?;
    }
    for file in &variant.kas {
        plain_dir("the kas file", Path::new(file))?;
    }
    for word in settings
        .kas_args
        .value
        .iter()
        .take_while(|word| *word != "--")
    {
        plain("kas argument", word)?;
    }
    plain("the label", &key.to_string())?;
    runtime_args(settings, run, key, &container_name(run, key), None).map(drop)
}
