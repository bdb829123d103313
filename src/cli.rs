//! The command line: what can be said, in the words of the script that this tool replaces.
//!
//! Knows nothing of what the words do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::arch::Arch;
use crate::settings::{EngineChoice, Executor, Jobs, StoreChoice};

const EXIT_CODES: &str = "\
Exit codes:
  0    all done
  1    internal fault
  2    usage
  3    configuration: variants.toml, a kas file, a setting
  4    environment: a tool, a permission, disk space
  10   at least one step failed
  130  stopped by SIGINT     143  stopped by SIGTERM";

const EXAMPLES: &str = "\
Examples:
  isar-build-all                                    build and register everything
  isar-build-all --variant server-simple-server-1   one id, on every machine that has it
  isar-build-all --variant 'qemuamd64/server-*'     by machine and glob
  isar-build-all --machine qemuamd64 -j 2 -k        one machine, two builds at a time, go on after failures
  isar-build-all --list                             what there is
  isar-build-all --dry-run                          what would be done
  isar-build-all doctor                             what this host has and lacks";

/// Build, capture and register every image of an ISAR variant matrix.
///
/// Reads variants.toml, builds each variant with kas-container, takes what it deployed under a unique
/// name, adds it to the Nix store and writes its hash to artifact-hashes.nix. While one variant builds,
/// the one before it is captured and registered.
#[derive(Debug, Parser)]
#[command(
    name = "isar-build-all",
    version,
    // A script's own options may be followed by its caller's: the last one counts.
    args_override_self = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
pub struct Cli {
    /// Another thing to do than the main job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Which variants.
    #[command(flatten)]
    pub select: Select,
    /// Part of the main job instead of all of it.
    #[command(flatten)]
    pub mode: Mode,
    /// How the main job runs.
    #[command(flatten)]
    pub run: Run,
    /// How output looks.
    #[command(flatten)]
    pub output: Output,
}

/// Which matrix, and which variants of it.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Selection")]
pub struct Select {
    /// The matrix [default: variants.toml here or in a directory above, up to the repository's root]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// Only this variant: an id (on all machines that have it) or machine/id; globs; repeatable
    #[arg(long = "variant", value_name = "ID", global = true)]
    pub variants: Vec<String>,
    /// Only variants for this machine; globs; repeatable
    #[arg(long = "machine", value_name = "MACHINE", global = true)]
    pub machines: Vec<String>,
    /// Append a kas file to every chain; repeatable
    #[arg(long = "overlay", value_name = "PATH", global = true)]
    pub overlays: Vec<PathBuf>,
}

/// Part of the main job.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Instead of building")]
pub struct Mode {
    /// List the variants
    #[arg(long, conflicts_with_all = ["dry_run", "rename_existing", "hash_only"])]
    pub list: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not build: take what lies in the deploy directories, where the records say whose it is
    #[arg(long, conflicts_with = "hash_only")]
    pub rename_existing: bool,
    /// With --rename-existing: take files that the records know nothing of as the selected variant's
    #[arg(long, requires = "rename_existing")]
    pub adopt: bool,
    /// With --rename-existing: the build directory to take from, instead of the variant's own
    #[arg(long, value_name = "DIR", requires = "rename_existing")]
    pub build_dir: Option<PathBuf>,
    /// Do not build or capture: hash and register what lies in the output directory
    #[arg(long)]
    pub hash_only: bool,
}

/// How the main job runs.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Running")]
pub struct Run {
    /// Builds at the same time: a number, or as many as fit the machine [default: auto]
    #[arg(short, long, value_name = "N|auto")]
    pub jobs: Option<Jobs>,
    /// After a failure, go on with the other variants
    #[arg(short, long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// After a failure, stop the builds that run, too (without it they run to their end)
    #[arg(long)]
    pub fail_fast: bool,
    /// Build what is unchanged, too, from a clean build directory: every selected variant, or those that
    /// VARIANT names (an id or machine/id; globs; repeatable)
    #[arg(
        long,
        value_name = "VARIANT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "*/*"
    )]
    pub rebuild: Vec<String>,
    /// Do not look for what is unchanged: run kas for every selected variant, and BitBake finds what to do
    #[arg(long, conflicts_with = "rebuild")]
    pub no_skip: bool,
    /// Read every registered file of a variant and compare its hash before it is skipped
    #[arg(long)]
    pub verify: bool,
    /// Where artifacts are registered [default: auto, Nix where it is usable]
    #[arg(long, value_enum, value_name = "STORE")]
    pub store: Option<StoreChoice>,
    /// How kas is run [default: kas-container]
    #[arg(long, value_enum, value_name = "EXECUTOR")]
    pub executor: Option<Executor>,
    /// The container engine [default: auto]
    #[arg(long, value_enum, value_name = "ENGINE")]
    pub engine: Option<EngineChoice>,
    /// When output entries and hashes are changed: a variant's as soon as it is built, or all at once and
    /// only if every variant of the run succeeded
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub publish_if: PublishIf,
    /// What a run that is going on is to this one.
    #[command(flatten)]
    pub wait: Wait,
    /// Stop a build that hangs in the kernel for good, as sync(2) does on a Windows drive that does not
    /// answer (docs/watchdog.md); without it that is only said
    #[arg(long)]
    pub kill_hung: bool,
    /// Write every event of the run to FILE as JSON lines; `-` is standard output, which is then theirs alone
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// `--publish-if`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PublishIf {
    /// Each variant that succeeded, when it did
    #[default]
    Each,
    /// All variants of the run in one transaction, or none
    All,
}

/// Whether to wait for a run that is going on.
#[derive(Debug, Args, Clone, Default)]
pub struct Wait {
    /// Wait until a run that is in the way has ended, at most SECONDS
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    pub wait: Option<Option<u32>>,
}

impl Wait {
    /// How long; without a number as long as it takes.
    #[must_use]
    pub fn limit(&self) -> Duration {
        match self.wait {
            None => Duration::ZERO,
            Some(None) => Duration::MAX,
            Some(Some(seconds)) => Duration::from_secs(seconds.into()),
        }
    }
}

/// How output looks.
#[derive(Debug, Args, Clone, Default)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// The format of lists and plans
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        global = true,
        default_value_t
    )]
    pub format: Format,
    /// No colour (NO_COLOR does the same)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Show every line that the builds write
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For Graphviz; `graph` alone
    Dot,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the plan: variants, artifacts, releases, steps and lanes
    Plan(PlanArgs),
    /// Print the steps and what each waits for, also as dot or JSON (--format)
    Graph,
    /// Say why a variant would be built, or why not, and what it is made of (all of it with --verbose)
    Explain(ExplainArgs),
    /// Check the matrix and every kas file it names
    Check,
    /// Show what this host has and lacks
    Doctor,
    /// Look at the caches of downloads and shared state, and make them smaller
    Cache {
        /// What to do with them.
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Show every setting, its value and where it comes from
    Config,
    /// Put in order what killed runs left: containers, half registrations, captures, locks
    Recover(RecoverArgs),
    /// On WSL: look at the drives of Windows, and bring back what was unmounted
    Wsl {
        /// What to do with them.
        #[command(subcommand)]
        command: WslCommand,
    },
    /// Print the JSON Schema of variants.toml
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Reads what /proc says of a build that is silent; started by a run for itself.
    #[command(name = "internal-processes", hide = true)]
    InternalProcesses {
        /// The number of the first process, then marks of others.
        #[arg(allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Stops what a killed run left; started by every run for itself.
    #[command(name = "internal-watcher", hide = true)]
    InternalWatcher {
        /// Where it says what it did.
        arguments: Vec<String>,
    },
    /// Looks as root through all processes for who uses a drive; started where one cannot be unmounted.
    #[command(name = "internal-holders", hide = true)]
    InternalHolders {
        /// Where processes are, then device numbers.
        arguments: Vec<String>,
    },
}

/// `wsl`.
#[derive(Debug, Subcommand)]
pub enum WslCommand {
    /// Show the drives, how they are mounted, and what is unmounted for whom
    Status,
    /// Mount again what a dead run, or another tool, left unmounted
    Remount {
        /// Only what isar-build-all unmounted
        #[arg(long)]
        ours: bool,
    },
}

/// `recover`.
#[derive(Debug, Args, Clone, Default)]
pub struct RecoverArgs {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What a run that is going on is to this.
    #[command(flatten)]
    pub wait: Wait,
}

/// `explain`.
#[derive(Debug, Args, Clone, Default)]
pub struct ExplainArgs {
    /// Which: an id (on all machines that have it) or machine/id; globs
    #[arg(required = true, value_name = "VARIANT")]
    pub variants: Vec<String>,
}

/// `plan`.
#[derive(Debug, Args, Clone, Default)]
pub struct PlanArgs {
    /// Plan as on a host of this architecture, or `none` for no native overlays [default: this host's]
    #[arg(long, value_name = "ARCH", value_parser = host_arch)]
    pub host_arch: Option<HostArch>,
    /// The version in the names of release assets [default: release.version, else dev]
    #[arg(long, value_name = "VERSION")]
    pub release_version: Option<String>,
    /// Print what would run when as a chart, with how long it takes and how good that is
    #[arg(long)]
    pub simulate: bool,
    /// With --simulate: builds at the same time [default: that of a run]
    #[arg(short, long, value_name = "N|auto", requires = "simulate")]
    pub jobs: Option<Jobs>,
    /// With --simulate: how long builds take, instead of what was measured: `VARIANT=SECONDS`, or a file
    /// of such lines; repeatable. A step's node stands for that step alone: `capture:machine/id=3`
    #[arg(long, value_name = "FILE|VARIANT=SECONDS", requires = "simulate")]
    pub durations: Vec<String>,
}

/// `cache`.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// List them: path, architecture, files, size, last use
    List,
    /// Find what is wrong: files for another architecture, one name for different contents, recipes
    /// that cause it, unfinished downloads. Exits with 10 where something is
    Audit,
    /// Remove what was not used for the longest time; nothing while a build uses a cache
    Prune(PruneArgs),
}

/// `cache prune`.
#[derive(Debug, Args, Clone, Default)]
pub struct PruneArgs {
    /// Remove what was not used for so many days
    #[arg(long, value_name = "N", required_unless_present = "max_size")]
    pub keep_days: Option<u32>,
    /// Remove the longest unused until all together occupy at most SIZE, such as 50G
    #[arg(long, value_name = "SIZE", value_parser = byte_size)]
    pub max_size: Option<ByteSize>,
    /// Only from these caches
    #[arg(long, value_enum, value_name = "CACHES")]
    pub only: Option<CacheKind>,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What a run that uses the caches is to this.
    #[command(flatten)]
    pub wait: Wait,
}

/// `--only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheKind {
    /// The download caches of all architectures
    Downloads,
    /// The shared state cache
    Sstate,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A whole number with a unit: none, or K, M, G, T, also as KiB and so on (1024), or as KB (1000).
fn byte_size(word: &str) -> Result<ByteSize, String> {
    let wrong = || format!("`{word}` is no size; write a whole number with K, M, G or T");
    let digits = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    let (number, unit) = word.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_uppercase();
    let (prefix, base) = match unit.strip_suffix("IB") {
        Some(prefix) => (prefix, 1024),
        None => unit
            .strip_suffix('B')
            .filter(|prefix| !prefix.is_empty())
            .map_or((unit.as_str(), 1024), |prefix| (prefix, 1000)),
    };
    let power = match prefix {
        "" | "B" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(wrong()),
    };
    u64::checked_pow(base, power)
        .and_then(|unit| unit.checked_mul(number))
        .map(ByteSize)
        .ok_or_else(wrong)
}

/// A host's architecture, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostArch(pub Option<Arch>);

fn host_arch(word: &str) -> Result<HostArch, String> {
    if word == "none" {
        return Ok(HostArch(None));
    }
    word.parse().map(|arch| HostArch(Some(arch))).map_err(
        |error: crate::model::arch::UnknownArch| {
            let known: Vec<&str> = Arch::ALL.into_iter().map(Arch::as_str).collect();
            format!("{error}; known are {} and none", known.join(", "))
        },
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (word, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("2K", 2048),
            ("3MiB", 3 << 20),
            ("50g", 50 << 30),
            ("1 TB", 1_000_000_000_000),
        ] {
            assert_eq!(byte_size(word), Ok(ByteSize(bytes)), "{word}");
        }
        for word in ["", "G", "1.5G", "-1", "1X", "99999999T", "1iBB"] {
            assert!(byte_size(word).is_err(), "{word}");
        }
    }

    #[test]
    fn the_scripts_options_are_taken() {
        let cli = Cli::parse_from([
            "isar-build-all",
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
        assert_eq!(cli.select.variants, ["base", "qemuamd64/server-*"]);
        assert!(cli.mode.dry_run && cli.output.no_color);
    }

    #[test]
    fn the_last_of_a_single_option_counts_and_repeatable_ones_add_up() {
        let cli = Cli::parse_from(["isar-build-all", "-j", "4", "-j", "2", "-k", "-k"]);
        assert_eq!(cli.run.jobs, Some(Jobs::Fixed(2)));
        assert!(cli.run.keep_going);
    }

    #[test]
    fn selection_is_understood_after_a_subcommand() {
        let cli = Cli::parse_from([
            "isar-build-all",
            "plan",
            "-f",
            "x.toml",
            "--host-arch",
            "aarch64",
        ]);
        assert_eq!(cli.select.file, Some("x.toml".into()));
        let Some(Command::Plan(args)) = cli.command else {
            panic!("not a plan")
        };
        assert_eq!(args.host_arch, Some(HostArch(Some(Arch::Arm64))));
    }
}
