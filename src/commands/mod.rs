//! Subcommands, one thin file each, and the choice among them.

pub mod cache;
pub mod config;
pub mod context;
pub mod doctor;
pub mod dry_run;
pub mod explain;
pub mod failure;
mod forecast;
mod gantt;
pub mod graph;
pub mod job;
pub mod keys;
pub mod list;
mod nothing;
mod paint;
pub mod plan;
pub mod project;
mod publishing;
pub mod recover;
mod reporters;
mod room;
pub mod run;
pub mod run_lock;
mod simulate;
mod store;
pub mod unchanged;
pub mod wsl;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Command, Format};
use crate::exec::watcher;
use crate::model::schema::schema;
use crate::settings;
use crate::watchdog;
use crate::wsl::holders;

use context::Context;
use failure::{Failure, Kind};

/// Does what the command line says and returns the exit code of the process.
#[must_use]
pub fn dispatch(cli: Cli) -> ExitCode {
    if let Some(Command::InternalWatcher { arguments }) = &cli.command {
        return watcher::main(arguments);
    }
    if let Some(Command::InternalHolders { arguments }) = &cli.command {
        return holders::main(arguments);
    }
    if let Some(Command::InternalProcesses { arguments }) = &cli.command {
        return watchdog::main(arguments);
    }
    match Context::capture(cli).and_then(|context| choose(&context)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // A closed stderr leaves nobody to tell; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Says on stderr what the tool itself does, where `ISAR_BUILD_ALL_LOG` asks for it (`debug` shows every
/// program that is started).
fn trace(context: &Context) {
    if let Some(filter) = context.environment.text("ISAR_BUILD_ALL_LOG") {
        // It fails only where somebody else has set one, and then that one is used.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .with_ansi(context.colors_stderr())
            .try_init();
    }
}

/// A word that belongs to the main job and means nothing beside a subcommand.
fn stray(cli: &Cli) -> Option<&'static str> {
    let mode = &cli.mode;
    cli.command.as_ref()?;
    [
        (mode.list, "--list"),
        (mode.dry_run, "--dry-run"),
        (mode.rename_existing, "--rename-existing"),
        (mode.hash_only, "--hash-only"),
    ]
    .into_iter()
    .find_map(|(given, word)| given.then_some(word))
}

fn choose(context: &Context) -> Result<u8, Failure> {
    trace(context);
    if let Some(word) = stray(&context.cli) {
        let why = format!("{word} belongs to the main job and does nothing beside a subcommand");
        return Err(Failure::new(failure::Kind::Usage, why));
    }
    let dot = context.cli.output.format == Format::Dot;
    if dot && !matches!(context.cli.command, Some(Command::Graph)) {
        let message = "`--format dot` is for `isar-build-all graph`";
        return Err(Failure::new(Kind::Usage, message));
    }
    match &context.cli.command {
        Some(Command::Plan(args)) => plan::plan(context, args),
        Some(Command::Explain(args)) => show(&explain::explain(context, args)?),
        Some(Command::Graph) => show(&graph::graph(context)?),
        Some(Command::Check) => show(&plan::check(context)?),
        Some(Command::Schema) => show(&json(&schema(&settings::json_schema()))?),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "isar-build-all", &mut script);
            show(&String::from_utf8_lossy(&script))
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(Failure::internal)?;
            show(&String::from_utf8_lossy(&page))
        }
        Some(Command::Doctor) => show_with(doctor::run(context)?),
        Some(Command::Cache { command }) => show_with(cache::run(context, command)?),
        Some(Command::Recover(args)) => show_with(recover::run(context, args)?),
        Some(Command::Wsl { command }) => show_with(wsl::run(context, command)?),
        Some(Command::Config) => show_with(config::run(context)?),
        // Taken before anything else was looked at.
        Some(
            Command::InternalWatcher { .. }
            | Command::InternalHolders { .. }
            | Command::InternalProcesses { .. },
        ) => Ok(0),
        None if context.cli.mode.list => show(&plan::list(context)?),
        None if context.cli.mode.dry_run => show(&dry_run::dry_run(context)?),
        None => run::run(context),
    }
}

/// Prints a command's result, and goes on to its exit code.
fn show_with((text, code): (String, u8)) -> Result<u8, Failure> {
    show(&text).map(|_| code)
}

/// Prints a command's result. A reader that has gone, as `head` does, is no failure.
fn show(text: &str) -> Result<u8, Failure> {
    printed(std::io::stdout().write_all(text.as_bytes()))
}

/// Prints indented JSON with a line end while it is made, for what may be large.
fn show_json(value: &impl serde::Serialize) -> Result<u8, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    printed(
        written
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush()),
    )
}

fn printed(written: io::Result<()>) -> Result<u8, Failure> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::environment(
            format!("standard output cannot be written: {error}"),
        )),
        _ => Ok(0),
    }
}

/// Indented JSON with a line end.
fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(Failure::internal)
}
