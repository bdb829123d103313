//! A snapshot of the process environment, and the only code that takes one.
//!
//! Everything else is given an [`Environment`], so that a test passes its own and what a program
//! was started with can be told afterwards. Knows nothing of what the variables mean.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// Environment variables, the home directory, and the directory of the user's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
    config_dir: Option<PathBuf>,
}

impl Environment {
    /// That of this process. The directories are those of the XDG base directory specification.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn capture() -> Self {
        let directories = etcetera::base_strategy::Xdg::new().ok();
        Self {
            variables: std::env::vars_os().collect(),
            home: directories.as_ref().map(|xdg| xdg.home_dir().to_path_buf()),
            config_dir: directories.as_ref().map(BaseStrategy::config_dir),
        }
    }

    /// One that holds the given variables, with `home` as home and `home/.config` for configuration.
    pub fn new<K, V>(home: &Path, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            home: Some(home.to_path_buf()),
            config_dir: Some(home.join(".config")),
        }
    }

    /// A variable that is set and not empty: shells and kas-container take empty for unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// As [`Self::get`], for a variable that is compared with words; not UTF-8 is taken for unset.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// Where `proc` and `sys` are read.
    #[must_use]
    pub fn system_root(&self) -> PathBuf {
        self.get(super::SYSTEM_ROOT)
            .map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// All variables, for a program that is started with them.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// `PATH`, in which programs are looked up.
    #[must_use]
    pub fn path(&self) -> Option<&OsStr> {
        self.get("PATH")
    }

    /// The home directory, where there is one.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The user's file of settings, whether it exists or not.
    #[must_use]
    pub fn user_file(&self) -> Option<PathBuf> {
        self.config_dir
            .as_ref()
            .map(|dir| dir.join("isar-build-all").join("config.toml"))
    }
}
