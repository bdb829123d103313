//! Subcommands: one file each, which owns the subcommand's options and a thin `run`.
//!
//! To add a subcommand, write its file and add a line to [`COMMANDS`]. No other room imports this one.

mod cache;
mod check;
mod completions;
mod config;
mod doctor;
mod dry_run;
mod explain;
mod gantt;
mod graph;
mod internal;
mod list;
mod main_job;
mod man;
mod output;
mod paint;
mod plan;
mod recover;
mod schema;
mod simulate;
mod wsl;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args as _, FromArgMatches as _};

use crate::base::failure::{Failure, FailureKind};
use crate::project::arguments::{Arguments, OutputFormat};
use crate::project::context::Context;
use crate::run::Parts;
use crate::settings::StoreChoice;

/// The name of the program.
const NAME: &str = "isar-build-all";

const ABOUT: &str = "Build, capture and register every image of an ISAR variant matrix";

const LONG_ABOUT: &str = "\
Build, capture and register every image of an ISAR variant matrix.

Reads variants.toml, builds each variant with kas-container, captures the deployed images under unique \
names, adds them to the Nix store and writes their hashes to artifact-hashes.nix. While one variant \
builds, the one before it is captured and registered.";

const EXAMPLES: &str = "\
Examples:
  isar-build-all                                    build and register everything
  isar-build-all --variant server-simple-server-1   one id, on every machine that has it
  isar-build-all --variant 'qemuamd64/server-*'     by machine and glob
  isar-build-all --machine qemuamd64 -j 2 -k        one machine, two builds at a time, continue after failures
  isar-build-all --list                             list the variants
  isar-build-all --dry-run                          show what a run would do
  isar-build-all doctor                             check this host's tools";

const EXIT_CODES: &str = "\
Exit codes:
  0    all done
  1    internal fault
  2    usage
  3    configuration: variants.toml, a kas file, a setting
  4    environment: a tool, a permission, disk space
  10   at least one step failed
  130  stopped by SIGINT     143  stopped by SIGTERM";

/// A subcommand.
pub trait Subcommand: Send + Sync {
    /// Its name, options and help.
    fn define(&self) -> clap::Command;

    /// Whether `--format dot` has a meaning for it.
    fn draws_dot(&self) -> bool {
        false
    }

    /// Does its work and returns the exit code of the process.
    ///
    /// # Errors
    /// Whatever the tool prints as the reason for another exit code than 0 or 10.
    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure>;
}

/// The subcommands, in the order of the help text.
pub static COMMANDS: &[&dyn Subcommand] = &[
    &plan::PlanCommand,
    &graph::GraphCommand,
    &explain::ExplainCommand,
    &check::CheckCommand,
    &doctor::DoctorCommand,
    &cache::CacheCommand,
    &config::ConfigCommand,
    &recover::RecoverCommand,
    &wsl::WslCommand,
    &schema::SchemaCommand,
    &completions::CompletionsCommand,
    &man::ManCommand,
    &internal::ProcessesCommand,
    &internal::WatcherCommand,
    &internal::HoldersCommand,
];

/// The program: the parts of its runs, and its subcommands.
pub struct Tool {
    /// The parts of a run.
    pub parts: Parts,
    /// The subcommands, in the order of the help text.
    pub commands: Vec<&'static dyn Subcommand>,
}

impl Tool {
    /// The program as it is installed.
    #[must_use]
    pub fn standard() -> Tool {
        Tool {
            parts: Parts::standard(),
            commands: COMMANDS.to_vec(),
        }
    }

    /// The whole command line.
    #[must_use]
    pub fn command(&self) -> clap::Command {
        let root = clap::Command::new(NAME)
            .version(env!("CARGO_PKG_VERSION"))
            // A script's own options may precede those of its caller: the last one counts.
            .args_override_self(true);
        Arguments::augment_args(root)
            .mut_arg("store", |option| option.value_parser(self.store_parser()))
            .about(ABOUT)
            .long_about(LONG_ABOUT)
            .after_help(EXAMPLES)
            .after_long_help(format!("{EXAMPLES}\n\n{EXIT_CODES}"))
            .subcommands(self.commands.iter().map(|one| one.define()))
    }

    /// Accepts `auto` and the names of the stores.
    fn store_parser(&self) -> impl TypedValueParser<Value = StoreChoice> {
        let stores = self.parts.backends.iter().map(|one| one.word());
        let words = std::iter::once(StoreChoice::AUTO).chain(stores);
        PossibleValuesParser::new(words.map(|word| PossibleValue::new(word.name).help(word.help)))
            .map(|word| StoreChoice::of(&word))
    }

    /// Parses the command line (`args`, the program's name first), runs it, and returns the exit code of
    /// the process. Prints why on stderr where it failed.
    pub fn main(&self, args: impl IntoIterator<Item = OsString>) -> ExitCode {
        let words: Vec<OsString> = args.into_iter().collect();
        let matches = match self.command().try_get_matches_from(&words) {
            Ok(matches) => matches,
            Err(error) => {
                // A closed stream leaves no place for the text; the exit code still counts.
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
        };
        self.run(words, &matches).unwrap_or_else(|failure| {
            // As above.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.kind.exit_code())
        })
    }

    fn run(&self, words: Vec<OsString>, matches: &ArgMatches) -> Result<ExitCode, Failure> {
        let arguments = Arguments::from_arg_matches(matches).map_err(Failure::internal)?;
        let chosen = matches.subcommand().and_then(|(name, matches)| {
            let named = |one: &&&dyn Subcommand| one.define().get_name() == name;
            Some((self.commands.iter().find(named)?, matches))
        });
        if chosen.is_some()
            && let Some(option) = stray(&arguments)
        {
            let why = format!("{option} has no effect with a subcommand");
            return Err(Failure::new(FailureKind::Usage, why));
        }
        let draws_dot = chosen.is_some_and(|(command, _)| command.draws_dot());
        if arguments.output.format == OutputFormat::Dot && !draws_dot {
            let message = "`--format dot` is for `isar-build-all graph`";
            return Err(Failure::new(FailureKind::Usage, message));
        }
        let call = Invocation {
            tool: self,
            arguments: &arguments,
            words: &words,
            matches: chosen.map_or(matches, |(_, matches)| matches),
        };
        match chosen {
            Some((command, _)) => command.run(&call),
            None => main_job::run(&call),
        }
    }
}

/// An option that only a run reads, given with a subcommand.
fn stray(arguments: &Arguments) -> Option<&'static str> {
    let mode = &arguments.mode;
    [
        (mode.list, "--list"),
        (mode.dry_run, "--dry-run"),
        (mode.rename_existing, "--rename-existing"),
        (mode.hash_only, "--hash-only"),
    ]
    .into_iter()
    .find_map(|(given, option)| given.then_some(option))
}

/// A parsed command line, on its way to its subcommand.
pub struct Invocation<'a> {
    /// The program that was called.
    pub tool: &'a Tool,
    arguments: &'a Arguments,
    words: &'a [OsString],
    matches: &'a ArgMatches,
}

impl Invocation<'_> {
    /// The subcommand's own options.
    ///
    /// # Errors
    /// Only where `A` is not what the subcommand defined.
    pub fn args<A: clap::FromArgMatches>(&self) -> Result<A, Failure> {
        A::from_arg_matches(self.matches).map_err(Failure::internal)
    }

    /// Captures environment, terminals and working directory. With `ISAR_BUILD_ALL_LOG`, the tool logs
    /// to stderr what itself does from here on (`debug` shows every program that is started).
    ///
    /// # Errors
    /// When there is no working directory.
    pub fn context(&self) -> Result<Context, Failure> {
        let context = Context::capture(
            self.arguments.clone(),
            self.words,
            &self.tool.parts.backends,
            &self.tool.parts.products,
        )?;
        if let Some(filter) = context.environment.text("ISAR_BUILD_ALL_LOG") {
            // It fails only where a subscriber is installed already, which then serves.
            let _ = tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
                .with_writer(std::io::stderr)
                .with_ansi(context.colors_stderr())
                .try_init();
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Jobs;

    fn parse(words: &[&str]) -> (ArgMatches, Arguments) {
        let command = Tool::standard().command();
        let matches = command
            .try_get_matches_from(std::iter::once(&NAME).chain(words))
            .unwrap();
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        (matches, arguments)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Tool::standard().command().debug_assert();
    }

    #[test]
    fn options_of_the_replaced_script_are_accepted() {
        let (_, arguments) = parse(&[
            "--variant",
            "base",
            "--variant",
            "qemuamd64/server-*",
            "--machine",
            "qemuamd64",
            "--overlay",
            "kas/opt/debian-snapshot.yml",
            "--dry-run",
            "--no-color",
        ]);
        assert_eq!(arguments.select.variants, ["base", "qemuamd64/server-*"]);
        assert!(arguments.mode.dry_run && arguments.output.no_color);
    }

    #[test]
    fn the_last_of_a_single_option_counts_and_repeatable_ones_add_up() {
        let (_, arguments) = parse(&["-j", "4", "-j", "2", "-k", "-k"]);
        assert_eq!(arguments.run.jobs, Some(Jobs::Fixed(2)));
        assert!(arguments.run.keep_going);
    }

    #[test]
    fn global_options_may_follow_a_subcommand() {
        let (matches, arguments) = parse(&["plan", "-f", "x.toml", "--host-arch", "aarch64"]);
        assert_eq!(arguments.select.file, Some("x.toml".into()));
        let (_, matches) = matches.subcommand().unwrap();
        let plan = plan::PlanArgs::from_arg_matches(matches).unwrap();
        assert_eq!(plan.host(), Some(crate::base::arch::Arch::Arm64));
    }
}
