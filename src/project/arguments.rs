//! Option groups of the command line that more than one command reads.
//!
//! Each subcommand owns its further options in its file below `commands/`. Nothing here acts on an option.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::settings::{EngineChoice, ExecutorChoice, Jobs, StoreChoice};

/// The options in front of, or without, a subcommand; the global ones may follow it, too.
#[derive(Debug, Args, Clone, Default)]
pub struct Arguments {
    /// The matrix and the variants of it.
    #[command(flatten)]
    pub select: SelectArgs,
    /// A part of the run instead of all of it.
    #[command(flatten)]
    pub mode: ModeArgs,
    /// The options of a run.
    #[command(flatten)]
    pub run: RunArgs,
    /// The form of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The matrix, and the variants of it.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Selection")]
pub struct SelectArgs {
    /// The matrix [default: variants.toml in this directory or one above, up to the repository's root]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// Only this variant: an id (on every machine that has it) or machine/id; a glob; repeatable
    #[arg(long = "variant", value_name = "ID", global = true)]
    pub variants: Vec<String>,
    /// Only variants for this machine; a glob; repeatable
    #[arg(long = "machine", value_name = "MACHINE", global = true)]
    pub machines: Vec<String>,
    /// Append a kas file to every chain; repeatable
    #[arg(long = "overlay", value_name = "PATH", global = true)]
    pub overlays: Vec<PathBuf>,
}

/// A part of the run, or a view of it.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Instead of building")]
pub struct ModeArgs {
    /// List the variants
    #[arg(long, conflicts_with_all = ["dry_run", "rename_existing", "hash_only"])]
    pub list: bool,
    /// Show what a run would do, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not build: capture from the deploy directories the files that the records assign to a variant
    #[arg(long, conflicts_with = "hash_only")]
    pub rename_existing: bool,
    /// With --rename-existing: assign files that are not in the records to the selected variant
    #[arg(long, requires = "rename_existing")]
    pub adopt: bool,
    /// With --rename-existing: capture from this build directory instead of the variant's own
    #[arg(long, value_name = "DIR", requires = "rename_existing")]
    pub build_dir: Option<PathBuf>,
    /// Do not build or capture: hash and register the files in the output directory
    #[arg(long)]
    pub hash_only: bool,
}

/// The options of a run.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Running")]
pub struct RunArgs {
    /// Builds at the same time: a number, or as many as the host has room for [default: auto]
    #[arg(short, long, value_name = "N|auto")]
    pub jobs: Option<Jobs>,
    /// After a failure, continue with the other variants
    #[arg(short, long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// After a failure, also stop the builds that are running (by default they run to their end)
    #[arg(long)]
    pub fail_fast: bool,
    /// Build from a clean build directory, unchanged or not: every selected variant, or those that VARIANT
    /// names (an id or machine/id; a glob; repeatable)
    #[arg(
        long,
        value_name = "VARIANT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*/*"
    )]
    pub rebuild: Vec<String>,
    /// Skip no unchanged variant: run kas for every selected one, and let BitBake find what to do
    #[arg(long, conflicts_with = "rebuild")]
    pub no_skip: bool,
    /// Before a variant is skipped, read its registered files and compare their hashes
    #[arg(long)]
    pub verify: bool,
    /// The store in which artifacts are registered [default: auto, Nix if it is usable]
    #[arg(long, value_name = "STORE")]
    pub store: Option<StoreChoice>,
    /// The program that runs kas [default: kas-container]
    #[arg(long, value_enum, value_name = "EXECUTOR")]
    pub executor: Option<ExecutorChoice>,
    /// The container engine [default: auto]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<EngineChoice>,
    /// When to publish output entries and hashes: of each variant as soon as it is registered, or of all
    /// variants at once, if every one succeeded
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub publish_if: PublishIf,
    /// Whether to wait for another run.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Kill a build that hangs in the kernel for good, as sync(2) does on a Windows drive that does not
    /// answer (docs/watchdog.md); by default the run only warns
    #[arg(long)]
    pub kill_hung: bool,
    /// Write every event of the run to FILE as JSON lines; with `-`, standard output has nothing but events
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// `--publish-if`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PublishIf {
    /// Each variant by itself
    #[default]
    Each,
    /// All variants of the run in one transaction, or none
    All,
}

/// Whether to wait for another run.
#[derive(Debug, Args, Clone, Default)]
pub struct WaitArgs {
    /// Wait for another run to end instead of failing; at most SECONDS, if given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    pub wait: Option<Option<u32>>,
}

impl WaitArgs {
    /// The longest wait: none by default, [`Duration::MAX`] for `--wait` without a number.
    #[must_use]
    pub fn limit(&self) -> Duration {
        match self.wait {
            None => Duration::ZERO,
            Some(None) => Duration::MAX,
            Some(Some(seconds)) => Duration::from_secs(seconds.into()),
        }
    }
}

/// The form of the output.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The format of lists and plans
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        global = true,
        default_value_t
    )]
    pub format: OutputFormat,
    /// Do not colour output (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Show every line of the builds' output
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The format of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For Graphviz, with `graph` alone
    Dot,
}
