//! The table of settings: to add a setting, add an entry here.
//!
//! An entry has the key, the kind of value, the default, and variables of other programs that also
//! set it. The struct [`Settings`], the reading of each layer, `config`, the JSON Schema and
//! docs/settings.md are all made from this table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::settings::choices::{
    BuildSharing, ColorChoice, DriveUsers, EngineChoice, ExecutorChoice, GateChoice, HungBuild,
    IsarMode, Jobs, StoreChoice, StoreWrite, SyncGuard, UnmountMode,
};
use crate::settings::defaults::DefaultContext;
use crate::settings::kinds::{
    Age, AgeKind, ChoiceKind, ChoiceListKind, GlobListKind, JobsKind, MountListKind, NumberKind,
    PathGlobListKind, PathKind, PathListKind, ProgramKind, SettingKind, StoreKind, VariablesKind,
    WordKind, WordListKind,
};
use crate::settings::layer::Sourced;
use crate::settings::setting::{
    Setting, SettingEntry, SettingReader, VariableAlias, VariableReading, alias,
};

macro_rules! settings {
    (
        |$defaults:ident|
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $value:ty = $key:literal as $kind:ty,
                default $default:expr
                $(, option $option:literal)?
                $(, aliases [$($alias:expr),+])?;
        )+
    ) => {
        /// The value of every setting, with its layer.
        ///
        /// Paths are absolute. A relative path is relative to the directory of the file that sets
        /// it, or to the working directory for a variable or an option; a leading `~/` is the home
        /// directory. A list or table replaces that of the layer below.
        #[derive(Debug, Clone, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Settings {
            $(
                $(#[doc = $doc])+
                pub $field: Sourced<$value>,
            )+
        }

        /// The settings of the command line. Relative paths are relative to the working directory.
        #[derive(Debug, Clone, Default)]
        pub struct CommandLine {
            $(
                $(#[doc = $doc])+
                pub $field: Option<$value>,
            )+
        }

        /// Every setting, in the order in which `config` lists them.
        pub const SETTINGS: &[Setting] = &[
            $(
                Setting {
                    key: $key,
                    doc: concat!($($doc, "\n"),+),
                    option: first_of!($($option,)? concat!("--", $key)),
                    aliases: &[$($($alias),+)?],
                    schema: <$kind as SettingKind>::schema_among,
                },
            )+
        ];

        impl Settings {
            /// Reads every setting with `reader`, which also records faults.
            pub(crate) fn read(
                $defaults: &DefaultContext<'_>,
                options: &CommandLine,
                reader: &mut impl SettingReader,
            ) -> Self {
                $(
                    let $field: Sourced<$value> =
                        reader.read::<$kind>($key, options.$field.clone(), $default);
                )+
                Self { $($field),+ }
            }

            /// Every setting, as `config` prints it.
            #[must_use]
            pub fn entries(&self) -> Vec<SettingEntry> {
                vec![$(SettingEntry::new::<$kind>($key, &self.$field)),+]
            }
        }
    };
}

macro_rules! first_of {
    ($first:expr $(, $rest:expr)* $(,)?) => {
        $first
    };
}

settings! {
    |defaults|

    /// The state directory, with journal, locks, records and logs. Default `.isar-build-all` beside variants.toml.
    state_dir: PathBuf = "state-dir" as PathKind,
        default defaults.project_dir.join(".isar-build-all");
    /// The directory that contains the work and build directories of all variants. Default `build` in the state directory.
    build_root: PathBuf = "build-root" as PathKind,
        default state_dir.value.join("build");
    /// Which variants share a build directory, to save space: `none`, those of one `machine`, or `all`. A
    /// shared build directory is cleaned before another variant builds in it. Default `none`.
    build_sharing: BuildSharing = "build-sharing" as ChoiceKind<BuildSharing>,
        default BuildSharing::None;
    /// The output directory, with the captured artifacts. Default `artifacts` beside variants.toml.
    output_dir: PathBuf = "output-dir" as PathKind,
        default defaults.project_dir.join("artifacts");
    /// The file with the hashes of the registered artifacts. Default `artifact-hashes.nix` beside variants.toml.
    hashes_file: PathBuf = "hashes-file" as PathKind,
        default defaults.project_dir.join("artifact-hashes.nix");
    /// The directory that contains the download caches, one for each architecture. Default `~/.cache/yocto/downloads`.
    dl_dir: PathBuf = "dl-dir" as PathKind,
        default defaults.cache_dir().join("downloads"),
        aliases [alias("DL_DIR")];
    /// The shared state cache. Default `~/.cache/yocto/sstate`.
    sstate_dir: PathBuf = "sstate-dir" as PathKind,
        default defaults.cache_dir().join("sstate"),
        aliases [alias("SSTATE_DIR")];
    /// Globs of downloads that may have another architecture than their cache, such as firmware, or tools
    /// that run on the build host. Default none.
    foreign_downloads: Vec<String> = "foreign-downloads" as GlobListKind,
        default Vec::new();
    /// The directory of the reference clones that builds share. Default `repos` in the state directory.
    repo_ref_dir: PathBuf = "repo-ref-dir" as PathKind,
        default state_dir.value.join("repos"),
        aliases [alias("KAS_REPO_REF_DIR")];
    /// The program that runs kas: `kas-container`, or `kas` itself inside a kas-isar image. Default `kas-container`.
    executor: ExecutorChoice = "executor" as ChoiceKind<ExecutorChoice>,
        default ExecutorChoice::KasContainer;
    /// The container engine: `docker`, `podman`, or `auto` for the first that works. Default `auto`.
    engine: EngineChoice = "engine" as ChoiceKind<EngineChoice>,
        default EngineChoice::Auto,
        aliases [alias("KAS_CONTAINER_ENGINE"), alias("KAS_DOCKER_ENGINE")];
    /// The mode of the container: `privileged`, or `rootless` (kas 5.4 and later). Default `privileged`.
    isar_mode: IsarMode = "isar-mode" as ChoiceKind<IsarMode>,
        default IsarMode::Privileged;
    /// The container image. If it is unset, kas-container chooses one.
    image: Option<String> = "image" as WordKind,
        default None,
        aliases [alias("KAS_CONTAINER_IMAGE")];
    /// The kas-container program: a name looked up in PATH, or a path. Default `kas-container`.
    kas_container: PathBuf = "kas-container" as ProgramKind,
        default PathBuf::from("kas-container");
    /// The kas program, for executor `kas`: a name looked up in PATH, or a path. Default `kas`.
    kas: PathBuf = "kas" as ProgramKind,
        default PathBuf::from("kas");
    /// Further mounts of the container, `HOST:CONTAINER` or `HOST:CONTAINER:ro`. Not used with executor
    /// `kas`.
    mounts: Vec<String> = "mounts" as MountListKind,
        default Vec::new();
    /// Further arguments for `run` of the container engine. kas-container splits them at white space. Not
    /// used with executor `kas`.
    runtime_args: Vec<String> = "runtime-args" as WordListKind,
        default Vec::new();
    /// Further arguments for `kas build`.
    kas_args: Vec<String> = "kas-args" as WordListKind,
        default Vec::new();
    /// Variables that are set in the container, or for kas with executor `kas`.
    env: BTreeMap<String, String> = "env" as VariablesKind,
        default BTreeMap::new();
    /// The store in which artifacts are registered: `nix`, `local`, or `auto` for Nix if it is usable.
    /// Default `auto`.
    store: StoreChoice = "store" as StoreKind,
        default StoreChoice::Auto;
    /// How files are added to a Nix store. `auto`: with `builtins.path`, or with `nix-store --add-fixed` if
    /// there is no `nix-instantiate`. `add-fixed`: always with `nix-store --add-fixed`. `direct`: directly
    /// into directory and database, which is fastest (docs/performance.md); it needs a store that the user
    /// owns, with a known schema, and is the same as `auto` elsewhere. Default `auto`.
    store_write: StoreWrite = "store-write" as ChoiceKind<StoreWrite>,
        default StoreWrite::Auto;
    /// The number of builds that run at the same time, or `auto` for as many as processor, memory and disk
    /// have room for (docs/parallel.md). Default `auto`.
    jobs: Jobs = "jobs" as JobsKind,
        default Jobs::Auto;
    /// No further build starts beside running ones while processes of the host waited for memory in this
    /// percentage of the last ten seconds, or more. 0 turns the check off. Default 10.
    memory_pressure: u32 = "memory-pressure" as NumberKind<u32, 0, 100>,
        default 10;
    /// The space that a build needs in its directories, in MiB, until a build of the variant was measured.
    /// Default 4096.
    build_space: u64 = "build-space" as NumberKind<u64, 0, 1_048_576>,
        default 4096;
    /// The space that stays free on each file system that a build uses, in MiB. A build for which there is
    /// no room waits for the running ones, or fails. Default 1024.
    min_free: u64 = "min-free" as NumberKind<u64, 0, 1_048_576>,
        default 1024;
    /// The number of past runs whose logs are kept in `runs/` of the state directory. Default 30.
    keep_runs: usize = "keep-runs" as NumberKind<usize, 1, 100_000>,
        default 30;
    /// Globs of paths inside images and archives that may contain programs of other architectures, besides
    /// the known ones (docs/gates.md).
    foreign_allowed: Vec<String> = "foreign-allowed" as PathGlobListKind,
        default Vec::new();
    /// Gates to skip: `architecture`, `shape`, `content`, `freshness`, `contamination`. Files that a skipped
    /// gate would refuse are registered, with a warning.
    skip_gates: Vec<GateChoice> = "skip-gates" as ChoiceListKind<GateChoice>,
        default Vec::new();
    /// Further files and directories that builds read, besides kas files and the layers of local
    /// repositories. If one of them changes, every variant is built (docs/skipping.md). Default none.
    inputs: Vec<PathBuf> = "inputs" as PathListKind,
        default Vec::new();
    /// The maximum age of a build with unpinned inputs, such as a repository that follows a branch: `24h`,
    /// `90m`, `7d`. `0` always builds; `forever` never builds because of age. Default `24h`, and `0` in CI.
    max_age: Age = "max-age" as AgeKind,
        default defaults.max_age();
    /// Inputs that count as pinned although no file pins them: `apt`, `image`, `host`, or the name of a
    /// repository in the kas files. Default none.
    pinned: Vec<String> = "pinned" as WordListKind,
        default Vec::new();
    /// How long a task may print nothing before its processes are examined, in seconds; at least three times
    /// its longest silence in a successful build (docs/watchdog.md). Default 600.
    silence_limit: u64 = "silence-limit" as NumberKind<u64, 1, 604_800>,
        default 600;
    /// The treatment of a build that hangs in the kernel for good: `warn` only reports it, `kill` stops it,
    /// and the build fails. Default `warn`.
    hung_build: HungBuild = "hung-build" as ChoiceKind<HungBuild>,
        default HungBuild::Warn,
        option "--kill-hung";
    /// The time that a build has to stop before it is killed, in seconds. Default 30.
    stop_timeout: u64 = "stop-timeout" as NumberKind<u64, 0, 86_400>,
        default 30;
    /// The time that `kas dump` has after a build to report how kas reads the kas files, in seconds
    /// (docs/skipping.md). Without its report, the next run builds the variant again. Default 120.
    dump_timeout: u64 = "dump-timeout" as NumberKind<u64, 1, 86_400>,
        default 120;
    /// On WSL, the guard that keeps `sync(2)` inside a build from waiting for a Windows drive: `unmount`, `seccomp`,
    /// `off`, or `auto` for `seccomp` if a test shows that it works, else `unmount` (docs/wsl.md). Default
    /// `auto`.
    wsl_sync_guard: SyncGuard = "wsl.sync-guard" as ChoiceKind<SyncGuard>,
        default SyncGuard::Auto;
    /// How a drive is unmounted: `real`, when no process uses it, or `lazy`, at once and only from the
    /// directory tree. Default `real`.
    wsl_unmount: UnmountMode = "wsl.unmount" as ChoiceKind<UnmountMode>,
        default UnmountMode::Real;
    /// The behaviour of a build if processes use a drive that must be unmounted: `wait` for them, `ask` on the
    /// terminal, or `fail`. Default `wait`.
    wsl_holders: DriveUsers = "wsl.holders" as ChoiceKind<DriveUsers>,
        default DriveUsers::Wait;
    /// How long `wait` waits for processes that use a drive, in seconds. Default 60.
    wsl_holders_timeout: u64 = "wsl.holders-timeout" as NumberKind<u64, 0, 86_400>,
        default 60;
    /// Coloured output: `always`, `never`, or `auto` for terminals only. Default `auto`.
    color: ColorChoice = "color" as ChoiceKind<ColorChoice>,
        default ColorChoice::Auto,
        option "--no-color",
        aliases [
            VariableAlias { name: "NO_COLOR", reading: VariableReading::Presence("never") },
            VariableAlias { name: "CLICOLOR_FORCE", reading: VariableReading::Switch("always") }
        ];
}

/// The setting with a key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
