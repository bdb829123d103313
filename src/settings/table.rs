//! The table of settings: the one place where a setting is added.
//!
//! A line gives the key, its kind, its default, and the variables of other programs that set it, too.
//! Everything else (the struct, reading each layer, `config`, the JSON Schema) comes out of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::choice::{
    BuildSharing, ColorChoice, EngineChoice, Executor, Gate, Holders, HungBuild, IsarMode, Jobs,
    StoreChoice, StoreWrite, SyncGuard, Unmount,
};
use super::kind::{
    Age, Choice, Choices, Globs, Kind, MaxAge, Mounts, Number, Parallel, PathGlobs, Place, Places,
    Program, Variables, Word, Words,
};
use super::layer::{Layer, Sourced};
use super::resolve::{LayerInput, Resolver};

/// How a variable of another program is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Its text is the setting's value.
    Value,
    /// Whatever it is set to, the setting is this.
    Presence(&'static str),
    /// Set to anything but `0`, the setting is this.
    Switch(&'static str),
}

/// A variable of another program that sets one of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alias {
    pub(crate) name: &'static str,
    pub(crate) reading: Reading,
}

const fn also(name: &'static str) -> Alias {
    Alias {
        name,
        reading: Reading::Value,
    }
}

/// What can be said of a setting without resolving it.
#[derive(Debug)]
pub struct Setting {
    /// The key in files.
    pub key: &'static str,
    /// What it is, in Markdown, from the field's documentation.
    pub doc: &'static str,
    /// The option that sets it, for messages.
    pub(crate) option: &'static str,
    pub(crate) aliases: &'static [Alias],
    pub(crate) schema: fn() -> serde_json::Value,
}

impl Setting {
    /// The variable of our own: `ISAR_BUILD_ALL_` and the key in capitals, `_` for `-` and `.`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{PREFIX}{}",
            self.key.replace(['-', '.'], "_").to_uppercase()
        )
    }

    /// Every variable that sets it, the strongest first.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let aliases = self.aliases.iter().map(|alias| alias.name.to_owned());
        std::iter::once(self.variable()).chain(aliases).collect()
    }
}

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "ISAR_BUILD_ALL_";

/// Variables with our prefix that are no settings.
pub(crate) const OTHER_VARIABLES: &[&str] = &["ISAR_BUILD_ALL_LOG", super::SYSTEM_ROOT];

/// A setting as `config` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The key.
    pub key: &'static str,
    /// The value, as text for people.
    #[serde(skip)]
    pub shown: String,
    /// The value; null where it is unset, which JSON leaves out.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, the variable, or the option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What it overrides, the nearest layer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverriddenEntry>,
}

/// An overridden value as `config` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverriddenEntry {
    /// The value, as text for people.
    #[serde(skip)]
    pub shown: String,
    /// The value; null where it is unset, which JSON leaves out.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, or the variable.
    pub place: String,
}

fn entry<K: Kind>(key: &'static str, sourced: &Sourced<K::Value>) -> Entry
where
    K::Value: Serialize,
{
    // None of the kinds can fail to become JSON.
    let json = |value: &K::Value| serde_json::to_value(value).unwrap_or_default();
    Entry {
        key,
        shown: K::show(&sourced.value),
        value: json(&sourced.value),
        layer: sourced.layer,
        place: sourced.place.clone(),
        overrides: sourced
            .overrides
            .iter()
            .map(|overridden| OverriddenEntry {
                shown: K::show(&overridden.value),
                value: json(&overridden.value),
                layer: overridden.layer,
                place: overridden.place.clone(),
            })
            .collect(),
    }
}

macro_rules! settings {
    (
        |$input:ident|
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $value:ty = $key:literal as $kind:ty,
                default $default:expr
                $(, option $option:literal)?
                $(, aliases [$($alias:expr),+])?;
        )+
    ) => {
        /// Every setting. Paths are absolute: a relative one is taken from the directory of the file
        /// that sets it (that of variants.toml for a default, the working directory for a variable or
        /// an option), and a leading `~/` is the home directory. A list or table replaces that of
        /// the layer below, it does not add to it.
        #[derive(Debug, Clone, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct Settings {
            $(
                $(#[doc = $doc])+
                pub $field: Sourced<$value>,
            )+
        }

        /// What the command line sets. Relative paths are taken from the working directory.
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
                    schema: <$kind as Kind>::schema,
                },
            )+
        ];

        impl Settings {
            /// Takes every setting from the layers. What is at fault is left out and recorded.
            pub(crate) fn take($input: &LayerInput, resolver: &mut Resolver<'_>) -> Self {
                $(
                    let $field: Sourced<$value> = resolver.take::<$kind>(
                        $key,
                        $input.command_line.$field.clone(),
                        $default,
                    );
                )+
                Self { $($field),+ }
            }

            /// Every setting as `config` shows it.
            #[must_use]
            pub fn entries(&self) -> Vec<Entry> {
                vec![$(entry::<$kind>($key, &self.$field)),+]
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
    |input|

    /// Where journal, locks, records and logs are kept. Default `.isar-build-all` beside variants.toml.
    state_dir: PathBuf = "state-dir" as Place,
        default input.project_dir.join(".isar-build-all");
    /// The directory of the work and build directories of the variants. Default `build` in the state directory.
    build_root: PathBuf = "build-root" as Place,
        default state_dir.value.join("build");
    /// Which variants share a build directory, to save space: `none`, those of a `machine`, or `all`. A
    /// shared one is cleaned before another variant builds in it. Default `none`.
    build_sharing: BuildSharing = "build-sharing" as Choice<BuildSharing>,
        default BuildSharing::None;
    /// Where captured artifacts go. Default `artifacts` beside variants.toml.
    output_dir: PathBuf = "output-dir" as Place,
        default input.project_dir.join("artifacts");
    /// The hashes file. Default `artifact-hashes.nix` beside variants.toml.
    hashes_file: PathBuf = "hashes-file" as Place,
        default input.project_dir.join("artifact-hashes.nix");
    /// The directory of the download caches, one an architecture. Default `~/.cache/yocto/downloads`.
    dl_dir: PathBuf = "dl-dir" as Place,
        default input.cache_dir().join("downloads"),
        aliases [also("DL_DIR")];
    /// The shared state cache. Default `~/.cache/yocto/sstate`.
    sstate_dir: PathBuf = "sstate-dir" as Place,
        default input.cache_dir().join("sstate"),
        aliases [also("SSTATE_DIR")];
    /// Names of downloads that may be for another machine than the cache that they lie in: tools that run
    /// on the build host, firmware. Globs. Default none.
    foreign_downloads: Vec<String> = "foreign-downloads" as Globs,
        default Vec::new();
    /// Reference clones that the builds share. Default `repos` in the state directory.
    repo_ref_dir: PathBuf = "repo-ref-dir" as Place,
        default state_dir.value.join("repos"),
        aliases [also("KAS_REPO_REF_DIR")];
    /// How kas is run: `kas-container`, or `kas` inside a kas-isar image. Default `kas-container`.
    executor: Executor = "executor" as Choice<Executor>,
        default Executor::KasContainer;
    /// The container engine: `docker`, `podman`, or `auto`, the first that works. Default `auto`.
    engine: EngineChoice = "engine" as Choice<EngineChoice>,
        default EngineChoice::Auto,
        aliases [also("KAS_CONTAINER_ENGINE"), also("KAS_DOCKER_ENGINE")];
    /// The mode of the container: `privileged`, or `rootless` with kas 5.4 and later. Default `privileged`.
    isar_mode: IsarMode = "isar-mode" as Choice<IsarMode>,
        default IsarMode::Privileged;
    /// The container image. Unset, kas-container chooses.
    image: Option<String> = "image" as Word,
        default None,
        aliases [also("KAS_CONTAINER_IMAGE")];
    /// The kas-container program: a name looked up in PATH, or a path. Default `kas-container`.
    kas_container: PathBuf = "kas-container" as Program,
        default PathBuf::from("kas-container");
    /// The kas program, for executor `kas`. Default `kas`.
    kas: PathBuf = "kas" as Program,
        default PathBuf::from("kas");
    /// Further mounts of the container, `HOST:CONTAINER` or `HOST:CONTAINER:ro`; none with executor `kas`.
    mounts: Vec<String> = "mounts" as Mounts,
        default Vec::new();
    /// Further arguments for the container engine's `run`; none with executor `kas`. kas-container splits
    /// them at white space.
    runtime_args: Vec<String> = "runtime-args" as Words,
        default Vec::new();
    /// Further arguments for `kas build`.
    kas_args: Vec<String> = "kas-args" as Words,
        default Vec::new();
    /// Variables that are set in the container, or for kas where that is the executor.
    env: BTreeMap<String, String> = "env" as Variables,
        default BTreeMap::new();
    /// Where artifacts are registered: `nix`, `local`, or `auto`, Nix where it is usable. Default `auto`.
    store: StoreChoice = "store" as Choice<StoreChoice>,
        default StoreChoice::Auto;
    /// How files are put into a Nix store: `auto`, by `builtins.path` from where they lie, or where there
    /// is no `nix-instantiate` by `nix-store --add-fixed`; `add-fixed`, always by that; `direct`, into its
    /// directory and database, which is the fastest (docs/performance.md) and takes a store of the user's
    /// own of a known schema, and is as `auto` elsewhere. Default `auto`.
    store_write: StoreWrite = "store-write" as Choice<StoreWrite>,
        default StoreWrite::Auto;
    /// Builds at the same time: a number, or `auto`, as many as processor, memory and disk take (see
    /// docs/parallel.md). Default `auto`.
    jobs: Jobs = "jobs" as Parallel,
        default Jobs::Auto;
    /// No further build is started beside those that run while processes of this machine waited for memory
    /// in this percentage of the last ten seconds, or more. 0: it is not looked at. Default 10.
    memory_pressure: u32 = "memory-pressure" as Number<u32, 0, 100>,
        default 10;
    /// What a build is expected to take in its directories, in MiB, until one of its variant was measured.
    /// Default 4096.
    build_space: u64 = "build-space" as Number<u64, 0, 1_048_576>,
        default 4096;
    /// What is to stay free on each file system that a build uses, in MiB. Where less would, a build waits
    /// for those that run, or is not started. Default 1024.
    min_free: u64 = "min-free" as Number<u64, 0, 1_048_576>,
        default 1024;
    /// How many ended runs keep their logs in `runs/` of the state directory. Default 30.
    keep_runs: usize = "keep-runs" as Number<usize, 1, 100_000>,
        default 30;
    /// Globs of paths inside images and archives where programs for other machines belong, besides
    /// those that are known (see docs/gates.md).
    foreign_allowed: Vec<String> = "foreign-allowed" as PathGlobs,
        default Vec::new();
    /// Gates that are left open: `architecture`, `shape`, `content`, `freshness`, `contamination`. What
    /// they would have refused is registered, with a warning.
    skip_gates: Vec<Gate> = "skip-gates" as Choices<Gate>,
        default Vec::new();
    /// Further files and directories that the builds read, beside kas files and the layers of local
    /// repositories: when one of them changes, every variant is built (see docs/skipping.md). Default none.
    inputs: Vec<PathBuf> = "inputs" as Places,
        default Vec::new();
    /// How long a build counts as current where something that it is made of can change by itself, such as
    /// a repository that follows a branch: `24h`, `90m`, `7d`; `0` builds always, `forever` never for that
    /// reason. Default `24h`, and `0` in CI.
    max_age: Age = "max-age" as MaxAge,
        default input.max_age();
    /// What is to count as pinned although nothing here says so: `apt`, `image`, `host`, or the name of a
    /// repository in the kas files. Default none.
    pinned: Vec<String> = "pinned" as Words,
        default Vec::new();
    /// For how many seconds a task may say nothing before its processes are looked at, or for three times as
    /// long as it ever did in a good build, whichever is more (docs/watchdog.md). Default 600.
    silence_limit: u64 = "silence-limit" as Number<u64, 1, 604_800>,
        default 600;
    /// What is done with a build that hangs in the kernel for good: `warn` says so, `kill` stops it, and it
    /// has failed. Default `warn`.
    hung_build: HungBuild = "hung-build" as Choice<HungBuild>,
        default HungBuild::Warn,
        option "--kill-hung";
    /// How many seconds a build may take to stop before it is killed. Default 30.
    stop_timeout: u64 = "stop-timeout" as Number<u64, 0, 86_400>,
        default 30;
    /// On WSL, what keeps `sync(2)` inside a build from waiting for a Windows drive: `unmount`, `seccomp`,
    /// `off`, or `auto`, `seccomp` where it is seen to work and else `unmount` (see docs/wsl.md). Default `auto`.
    wsl_sync_guard: SyncGuard = "wsl.sync-guard" as Choice<SyncGuard>,
        default SyncGuard::Auto;
    /// How a drive is unmounted: `real`, once nobody uses it, or `lazy`, from sight. Default `real`.
    wsl_unmount: Unmount = "wsl.unmount" as Choice<Unmount>,
        default Unmount::Real;
    /// What is done about processes that use a drive which is to be unmounted: `wait`, `ask`, or `fail`.
    /// Default `wait`.
    wsl_holders: Holders = "wsl.holders" as Choice<Holders>,
        default Holders::Wait;
    /// How many seconds they are waited for. Default 60.
    wsl_holders_timeout: u64 = "wsl.holders-timeout" as Number<u64, 0, 86_400>,
        default 60;
    /// Colour: `always`, `never`, or `auto`, on a terminal. Default `auto`.
    color: ColorChoice = "color" as Choice<ColorChoice>,
        default ColorChoice::Auto,
        option "--no-color",
        aliases [
            Alias { name: "NO_COLOR", reading: Reading::Presence("never") },
            Alias { name: "CLICOLOR_FORCE", reading: Reading::Switch("always") }
        ];
}

/// The setting of a key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The JSON Schema of the user's file, which is also that of `[settings]` in variants.toml.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut all = table_schema();
    for setting in SETTINGS {
        let mut schema = (setting.schema)();
        schema["description"] = setting.doc.trim().into();
        match setting.key.split_once('.') {
            None => all["properties"][setting.key] = schema,
            Some((table, key)) => {
                let inner = &mut all["properties"][table];
                if inner.is_null() {
                    *inner = table_schema();
                    inner["description"] = format!("The settings `{table}.…`.").into();
                }
                inner["properties"][key] = schema;
            }
        }
    }
    all
}

fn table_schema() -> serde_json::Value {
    serde_json::json!({"type": "object", "additionalProperties": false, "properties": {}})
}
