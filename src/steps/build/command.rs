//! The command line and environment of kas-container, or of kas, for one variant. How it is run is elsewhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::ProcessSpec;
use crate::settings::{Settings, VariantDirs};
use crate::steps::build::container_args::{check_words, container_name, runtime_args};
use crate::steps::build::services::BuildServices;
use crate::steps::build::words::UnfitWord;
use crate::steps::context::StepContext;
use crate::tools::Runner;

/// Variables with which kas overrides its files: with one of them set, every variant would be the same image under
/// another name. Builds do not get them.
pub const OVERRIDES: [&str; 4] = ["KAS_MACHINE", "KAS_DISTRO", "KAS_TARGET", "KAS_TASK"];

/// The variable that names the build in the environment of its processes.
const MARK: &str = "ISAR_BUILD_ALL_BUILD";

/// The task of a run of kas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KasTask {
    /// Build the variant.
    Build,
    /// Remove `tmp*` from the build directory. Root file systems in it belong to root, so kas does it: in the
    /// container it may.
    Clean,
    /// Report how it reads the variant's kas files.
    Dump,
}

/// A run of kas for a variant.
#[derive(Debug)]
pub(super) struct KasCommand {
    /// The name of the container; without a container, that of the build.
    pub(super) name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    is_container: bool,
    /// The value of [`MARK`] in the environment of the build's processes.
    mark: String,
}

impl KasCommand {
    pub(super) fn new(
        cx: &StepContext,
        services: &BuildServices,
        dirs: &VariantDirs,
        task: KasTask,
    ) -> Result<KasCommand, UnfitWord> {
        let tools = &services.tools;
        let mut name = container_name(&cx.run, &cx.variant.key);
        let subcommand: &[&str] = match task {
            KasTask::Build => &["build"],
            KasTask::Clean => {
                name.push_str("-clean");
                &["clean"]
            }
            // The debug log names every kas file that kas reads.
            KasTask::Dump => {
                name.push_str("-dump");
                &["-l", "debug", "dump", "--format", "json"]
            }
        };
        let mut kas = match &tools.runner {
            Runner::Kas(kas) => KasCommand {
                program: kas.program.clone(),
                args: words(subcommand),
                env: Vec::new(),
                is_container: false,
                name,
                mark: String::new(),
            },
            Runner::Container {
                kas_container,
                engine,
            } => {
                let key = &cx.variant.key;
                check_words(&cx.settings, &tools.project_dir, &cx.variant, &cx.run)?;
                let profile = match task {
                    KasTask::Build | KasTask::Dump => tools
                        .guarding
                        .as_ref()
                        .and_then(|setup| setup.profile.as_deref()),
                    KasTask::Clean => None,
                };
                let runtime_args = runtime_args(&cx.settings, &cx.run, key, &name, profile)?;
                let mut args = words(&[kas_container.mode_flag, "--runtime-args", &runtime_args]);
                args.extend(words(subcommand));
                let mut kas = KasCommand {
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
                if let Some(image) = &cx.settings.image.value {
                    kas.set("KAS_CONTAINER_IMAGE", image);
                }
                kas
            }
        };
        match task {
            KasTask::Build => {
                // Arguments after `--` are BitBake's and follow the files.
                let arguments = &cx.settings.kas_args.value;
                let end = arguments.iter().position(|word| word == "--");
                let (before, after) = arguments.split_at(end.unwrap_or(arguments.len()));
                kas.args.extend(before.iter().map(OsString::from));
                kas.args.push(cx.variant.kas_chain().into());
                kas.args.extend(after.iter().map(OsString::from));
            }
            KasTask::Dump => {
                let shared = dump_arguments(&cx.settings.kas_args.value);
                kas.args.extend(shared.into_iter().map(OsString::from));
                kas.args.push(cx.variant.kas_chain().into());
            }
            // kas-container finds the layout itself, and needs no kas file to clean.
            KasTask::Clean if kas.is_container => {}
            KasTask::Clean => kas.args.push("--isar".into()),
        }
        kas.set_dirs(dirs);
        for (name, value) in services.thread_variables.of(&cx.share) {
            kas.set(name, value);
        }
        for name in OVERRIDES {
            kas.env.push((name.into(), None));
        }
        if !kas.is_container {
            for (name, value) in &cx.settings.env.value {
                kas.set(name, value);
            }
        }
        // Names are unique in a state directory only: runs of two checkouts may begin in the same second.
        kas.mark = format!("{}@{}", kas.name, cx.settings.state_dir.value.display());
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

    /// The variable in the environment of each of its processes, as far as kas passes the environment on.
    pub(super) fn mark(&self) -> String {
        format!("{MARK}={}", self.mark)
    }

    /// The process to start, with the file that gets its output, if any.
    pub(super) fn spec(
        &self,
        project_dir: &Path,
        log: Option<&Path>,
        settings: &Settings,
    ) -> ProcessSpec {
        ProcessSpec {
            args: self.args.clone(),
            dir: Some(project_dir.to_owned()),
            env: self.env.clone(),
            log: log.map(Path::to_owned),
            stop_timeout: Duration::from_secs(settings.stop_timeout.value),
            ..ProcessSpec::new(&self.program)
        }
    }

    /// The engine's command that prints the container's first process; empty without a container.
    pub(super) fn first_process(&self, runner: &Runner) -> Vec<String> {
        runner
            .engine()
            .map_or_else(Vec::new, |engine| engine.first_process_command(&self.name))
    }

    /// The engine's command that stops the container within `patience`: a signal, then a kill. Empty without one.
    pub(super) fn graceful_stop(&self, runner: &Runner, patience: Duration) -> Vec<String> {
        match runner {
            Runner::Kas(_) => Vec::new(),
            Runner::Container { engine, .. } => {
                let patience = patience.saturating_sub(Duration::from_secs(2));
                engine.stop_command(&self.name, patience)
            }
        }
    }
}

/// The words of `kas-args` that `kas dump` accepts too and that decide what it reads or checks out.
fn dump_arguments(arguments: &[String]) -> Vec<&str> {
    let mut shared = Vec::new();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next().filter(|word| *word != "--") {
        match word {
            "--update" | "--force-checkout" => shared.push(word),
            "--skip" => shared.extend([word].into_iter().chain(words.next())),
            _ if word.starts_with("--skip=") => shared.push(word),
            _ => {}
        }
    }
    shared
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_gets_only_the_arguments_that_decide_what_kas_reads() {
        let arguments =
            "--update --target x --skip setup_home -c do_build --skip=repos_checkout -- --update";
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();

        let shared = dump_arguments(&arguments);

        assert_eq!(
            shared,
            ["--update", "--skip", "setup_home", "--skip=repos_checkout"]
        );
    }
}
