//! A Nix store that belongs to one test.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Nix store of the test's own, away from `/nix`, gone with its directory.
pub struct PrivateNix {
    dir: tempfile::TempDir,
}

impl PrivateNix {
    /// Makes one. Panics where Nix is not installed.
    pub fn new() -> PrivateNix {
        // A test that returned here would pass without having tested anything.
        assert!(
            which::which("nix-store").is_ok(),
            "nix-store is missing in PATH: scripts/setup installs it"
        );
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        std::fs::create_dir(dir.path().join("conf")).unwrap();
        // As root Nix would look for a group of build users, which a store for files does not need.
        std::fs::write(dir.path().join("conf/nix.conf"), "build-users-group =\n").unwrap();
        let nix = PrivateNix { dir };
        // Two that begin at the same time in a store without a database meet half of one.
        nix.output("nix-store", ["--init"]);
        nix
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn store_dir(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("var/nix")
    }

    /// The variables that make Nix's programs use this store.
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "var/nix"),
            ("NIX_LOCALSTATE_DIR", "var"),
            ("NIX_LOG_DIR", "var/log"),
            ("NIX_CONF_DIR", "conf"),
            ("HOME", "home"),
        ]
        .map(|(name, path)| (name.into(), self.dir.path().join(path).into()))
        .into_iter()
        .chain([("NIX_REMOTE".into(), OsString::new())])
        .collect()
    }

    /// What a Nix program prints.
    pub fn output<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> String {
        let output = Command::new(program)
            .args(args)
            .envs(self.env())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Which of these output entries Nix does not keep: their store path is not valid, or the collector would
    /// not find it through them. Asks of Nix one process for all: it looks for roots in every process of the
    /// machine, which takes seconds where much runs, so its roots directory is read here. That it is what
    /// Nix goes by, `roots` shows.
    pub fn not_kept<'a>(&self, entries: &'a [(String, PathBuf)]) -> Vec<&'a str> {
        let store_path = |entry: &Path| std::fs::read_link(entry).unwrap_or_default();
        let links = std::fs::read_dir(self.state_dir().join("gcroots/auto"));
        let roots: std::collections::BTreeSet<PathBuf> = links
            .into_iter()
            .flatten()
            .map(|link| store_path(&link.unwrap().path()))
            .collect();
        let paths = entries.iter().map(|(_, entry)| store_path(entry));
        let options = ["--check-validity", "--print-invalid"].map(PathBuf::from);
        let invalid = match entries {
            [] => String::new(),
            _ => self.output("nix-store", options.into_iter().chain(paths)),
        };
        let invalid: Vec<&Path> = invalid.lines().map(Path::new).collect();
        entries
            .iter()
            .filter(|(_, entry)| {
                !roots.contains(entry) || invalid.contains(&store_path(entry).as_path())
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Asks Nix itself whether the collector finds a store path through each of these output entries.
    pub fn are_roots(&self, entries: &[(String, PathBuf)]) -> bool {
        let roots = self.output("nix-store", ["--gc", "--print-roots"]);
        let is_root = |entry: &Path| {
            let store_path = std::fs::read_link(entry).unwrap_or_default();
            let line = format!("{} -> {}", entry.display(), store_path.display());
            roots.lines().any(|root| root == line)
        };
        entries.iter().all(|(_, entry)| is_root(entry))
    }

    /// Whether a Nix program succeeds.
    pub fn succeeds<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> bool {
        Command::new(program)
            .args(args)
            .envs(self.env())
            .output()
            .unwrap()
            .status
            .success()
    }
}
