//! The settings that are a choice between a few words.
//!
//! Knows nothing of what follows from a choice.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// How kas is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// `kas-container`: kas in a container of its own
    KasContainer,
    /// `kas` itself, for use inside a kas-isar image
    Kas,
}

/// Which container engine is used.
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

/// In which mode kas-container runs ISAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum IsarMode {
    /// A privileged container (`--isar-privileged`, or `--isar` before kas 5.4)
    Privileged,
    /// A rootless container (`--isar-rootless`, kas 5.4 and later)
    Rootless,
}

/// What is done with a build that hangs in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HungBuild {
    /// It is said
    Warn,
    /// It is stopped
    Kill,
}

/// A gate between build and registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Every program is for the machine
    Architecture,
    /// The file is whole
    Shape,
    /// A unique artifact is like no other variant's
    Content,
    /// The file is of this build, or unchanged output of the same variant
    Freshness,
    /// Nothing of another variant or of a failed build lies in the build directory
    Contamination,
}

impl Gate {
    /// The word for it, as it is set and as events say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Gate::Architecture => "architecture",
            Gate::Shape => "shape",
            Gate::Content => "content",
            Gate::Freshness => "freshness",
            Gate::Contamination => "contamination",
        }
    }
}

/// Where captured artifacts are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoreChoice {
    /// Nix where it is usable, else local
    Auto,
    /// The Nix store
    Nix,
    /// A content-addressed store in the state directory
    Local,
}

/// How files are put into a Nix store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StoreWrite {
    /// By Nix's official interfaces: `builtins.path`, else `nix-store --add-fixed`
    Auto,
    /// Into its directory and database, where the store is the user's; else as `auto`
    Direct,
    /// By `nix-store --add-fixed`
    AddFixed,
}

/// Which variants build in one directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BuildSharing {
    /// None: each has its own
    None,
    /// Those of one machine, one after the other
    Machine,
    /// All, one after the other
    All,
}

/// How `sync(2)` inside a build is kept from waiting for a Windows drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SyncGuard {
    /// `seccomp` where it is seen to work, else `unmount`
    Auto,
    /// The drives are unmounted while an image is made
    Unmount,
    /// `sync(2)` does nothing inside the container
    Seccomp,
    /// Nothing is done
    Off,
}

/// How a drive is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Unmount {
    /// Only once nobody uses it
    Real,
    /// At once, from sight; who uses it goes on using it
    Lazy,
}

/// What is done about processes that use a drive which is to be unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Holders {
    /// They are waited for
    Wait,
    /// The user is asked, on the terminal; without one it fails
    Ask,
    /// The build fails
    Fail,
}

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ColorChoice {
    /// Where the stream is a terminal that knows colours
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether a stream gets colours.
    #[must_use]
    pub fn applies_to(self, stream_is_terminal: bool, terminal_knows_colors: bool) -> bool {
        match self {
            ColorChoice::Auto => stream_is_terminal && terminal_knows_colors,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// How many builds run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// As many as fit the machine.
    Auto,
    /// So many.
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
                .filter(|number| (1..=Jobs::MOST).contains(number))
                .map(Jobs::Fixed)
                .ok_or_else(|| {
                    format!(
                        "expected `auto` or a whole number from 1 to {}, found `{number}`",
                        Jobs::MOST
                    )
                }),
        }
    }
}

impl Jobs {
    /// The most that can be asked for.
    pub(crate) const MOST: u32 = 1024;
}
