//! The values of settings that are a choice between a few words.
//!
//! The comments of the variants are also the help of the command line.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// The program that runs kas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorChoice {
    /// `kas-container`: kas in a container of its own
    KasContainer,
    /// `kas` itself, for use inside a kas-isar image
    Kas,
}

/// The container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineChoice {
    /// The first that works: docker, then podman (for a rootless container podman, then docker)
    Auto,
    /// Docker
    Docker,
    /// Podman
    Podman,
}

/// The mode in which kas-container runs ISAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum IsarMode {
    /// A privileged container (`--isar-privileged`, or `--isar` before kas 5.4)
    Privileged,
    /// A rootless container (`--isar-rootless`, kas 5.4 and later)
    Rootless,
}

/// The treatment of a build that hangs in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HungBuild {
    /// A warning names the hang
    Warn,
    /// The build is stopped, and has failed
    Kill,
}

/// A gate between build and registration, as a setting names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GateChoice {
    /// Every program has the architecture of the machine
    Architecture,
    /// The file is complete and of the expected format
    Shape,
    /// A `unique` artifact differs from those of all other variants
    Content,
    /// The file is from this build, or unchanged output of the same variant
    Freshness,
    /// The build directory contains nothing of another variant or of a failed build
    Contamination,
}

impl GateChoice {
    /// The name, in settings and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GateChoice::Architecture => "architecture",
            GateChoice::Shape => "shape",
            GateChoice::Content => "content",
            GateChoice::Freshness => "freshness",
            GateChoice::Contamination => "contamination",
        }
    }
}

/// A store that the setting `store` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreWord {
    /// The word.
    pub name: &'static str,
    /// Its meaning, for the help of the command line.
    pub help: &'static str,
}

/// The store in which artifacts are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    /// The first store that is usable.
    Auto,
    /// The store with this name.
    Named(String),
}

impl StoreChoice {
    /// The choice that is not the name of a store.
    pub const AUTO: StoreWord = StoreWord {
        name: "auto",
        help: "Nix if it is usable, else local",
    };

    /// The choice that a word stands for. Whether a store has that name is not checked.
    #[must_use]
    pub fn of(word: &str) -> StoreChoice {
        match word {
            "auto" => StoreChoice::Auto,
            name => StoreChoice::Named(name.to_owned()),
        }
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            StoreChoice::Auto => StoreChoice::AUTO.name,
            StoreChoice::Named(name) => name,
        }
    }
}

impl std::str::FromStr for StoreChoice {
    type Err = std::convert::Infallible;

    fn from_str(word: &str) -> Result<StoreChoice, Self::Err> {
        Ok(StoreChoice::of(word))
    }
}

impl Serialize for StoreChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How files are added to a Nix store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoreWrite {
    /// With `builtins.path`, else with `nix-store --add-fixed`
    Auto,
    /// Directly into directory and database of a store that the user owns; else like `auto`
    Direct,
    /// With `nix-store --add-fixed`
    AddFixed,
}

/// Which variants share a build directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BuildSharing {
    /// None: each variant has its own
    None,
    /// The variants of one machine, which then build one after the other
    Machine,
    /// All variants, which then build one after the other
    All,
}

/// The guard that keeps `sync(2)` inside a build from waiting for a Windows drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SyncGuard {
    /// `seccomp` if a test shows that it works, else `unmount`
    Auto,
    /// The drives are unmounted while an image is made
    Unmount,
    /// A seccomp profile makes `sync(2)` do nothing inside the container
    Seccomp,
    /// Nothing
    Off,
}

/// How a drive is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum UnmountMode {
    /// When no process uses it any more
    Real,
    /// At once from the directory tree, while processes that use it keep it (`MNT_DETACH`)
    Lazy,
}

/// The behaviour of a build if processes use a drive that has to be unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DriveUsers {
    /// It waits for them
    Wait,
    /// It asks on the terminal, and fails if there is none
    Ask,
    /// It fails
    Fail,
}

/// Whether output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ColorChoice {
    /// If the stream is a terminal with colours
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether a stream has colours.
    #[must_use]
    pub fn applies_to(self, stream_is_terminal: bool, terminal_knows_colors: bool) -> bool {
        match self {
            ColorChoice::Auto => stream_is_terminal && terminal_knows_colors,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// The number of builds that run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as the host has room for.
    Auto,
    /// This number.
    Fixed(u32),
}

impl Serialize for Jobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Jobs::Auto => serializer.serialize_str("auto"),
            Jobs::Fixed(number) => serializer.serialize_u32(*number),
        }
    }
}

impl std::fmt::Display for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Jobs::Auto => f.pad("auto"),
            Jobs::Fixed(number) => number.fmt(f),
        }
    }
}

impl std::str::FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Jobs, String> {
        match text.trim() {
            "auto" => Ok(Jobs::Auto),
            number => number
                .parse()
                .ok()
                .filter(|number| (1..=Jobs::MAX).contains(number))
                .map(Jobs::Fixed)
                .ok_or_else(|| {
                    format!(
                        "expected `auto` or a whole number from 1 to {}, found `{number}`",
                        Jobs::MAX
                    )
                }),
        }
    }
}

impl Jobs {
    /// The largest number that a setting accepts.
    pub(crate) const MAX: u32 = 1024;
}
