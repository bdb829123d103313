//! A checkout of its own for each test: the root matrix, its kas files and the stand-in's pin, with the
//! caches shared between tests, as the variants of one project share them.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use support::{environment, output};
use support::{root, tool};

/// A checkout that is removed at the end, root-owned build directories included.
pub(crate) struct Project {
    directory: Option<TempDir>,
    standin: PathBuf,
    caches: PathBuf,
}

impl Project {
    /// A checkout with the root matrix.
    pub(crate) fn new() -> Project {
        Project::of("")
    }

    /// A checkout with the matrix of a directory of this repository.
    pub(crate) fn of(matrix: &str) -> Project {
        let uid = rustix::process::getuid();
        assert!(
            !uid.is_root(),
            "builds do not run as root; run these through scripts/test"
        );
        let directory = TempDir::with_prefix("isar-build-all-").unwrap();
        let caches = PathBuf::from(environment("HOME")).join(".cache/isar-build-all/tests");
        fs::create_dir_all(&caches).unwrap();
        let standin = directory.path().join("standin");
        fs::create_dir(&standin).unwrap();
        output(Command::new(root().join("tests/standin/make-repo")).arg(standin.join("isar.git")));
        let project = Project {
            directory: Some(directory),
            standin,
            caches,
        };
        let checkout = project.path();
        fs::create_dir_all(checkout.join("tests/standin")).unwrap();
        let matrix = root().join(matrix);
        for (from, path) in [
            (&matrix, "variants.toml"),
            (&matrix, "kas"),
            (&root(), "tests/standin/standin.yml"),
        ] {
            output(
                Command::new("cp")
                    .arg("-r")
                    .arg(from.join(path))
                    .arg(checkout.join(path)),
            );
        }
        output(Command::new("git").args(["init", "-q"]).arg(&checkout));
        project
    }

    /// The checkout.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory
            .as_ref()
            .expect("it lives until drop")
            .path()
            .join("checkout")
    }

    /// The directory that stands for `/standin` in containers: it holds `isar.git`.
    pub(crate) fn standin(&self) -> &Path {
        &self.standin
    }

    /// Writes a kas file and appends it to the chain of the variants for which `when` holds.
    pub(crate) fn overlay(&self, name: &str, when: &str, local_conf: &str) {
        let file = format!("kas/opt/{name}.yml");
        self.set(name, local_conf);
        let matrix = self.path().join("variants.toml");
        let text = fs::read_to_string(&matrix).unwrap();
        let anchor = "    \"kas/opt/debian-archive-only.yml\",\n";
        assert!(
            text.contains(anchor),
            "the root matrix ends its chain in another way now"
        );
        let entry = format!("    {{ file = \"{file}\", when = {when} }},\n");
        fs::write(&matrix, text.replace(anchor, &format!("{anchor}{entry}"))).unwrap();
    }

    /// Writes another text into the kas file of [`Project::overlay`].
    pub(crate) fn set(&self, name: &str, local_conf: &str) {
        let file = self.path().join(format!("kas/opt/{name}.yml"));
        let lines: String = std::iter::once("# a test's")
            .chain(local_conf.lines())
            .map(|line| format!("    {}\n", line.trim()))
            .collect();
        fs::write(
            file,
            format!("header:\n  version: 14\nlocal_conf_header:\n  {name}: |\n{lines}"),
        )
        .unwrap();
    }

    /// The built binary in this checkout, on the stand-in.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(tool());
        command
            .current_dir(self.path())
            .args(["--overlay", "tests/standin/standin.yml"])
            .args(args)
            .env(
                "KAS_PREMIRRORS",
                "https://github.com/ilbers/isar file:///standin/isar.git",
            )
            .env(
                "ISAR_BUILD_ALL_MOUNTS",
                format!("{}:/standin:ro", self.standin.display()),
            )
            .env("DL_DIR", self.caches.join("downloads"))
            .env("SSTATE_DIR", self.caches.join("sstate"))
            .env("NO_COLOR", "1")
            // Every run builds; a test that wants a skip asks for an age.
            .env("ISAR_BUILD_ALL_MAX_AGE", "0")
            // One after the other, unless a test says otherwise.
            .env("ISAR_BUILD_ALL_JOBS", "1")
            .env_remove("CI")
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITLAB_CI")
            .stdin(Stdio::null());
        command
    }

    /// Runs the tool to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts the tool in a process group of its own, its output in `tool.log` of the checkout.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let log = fs::File::create(self.path().join("tool.log")).unwrap();
        self.command(args)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// The events in a file of the checkout.
    pub(crate) fn events(&self, file: &str) -> Vec<Value> {
        fs::read_to_string(self.path().join(file))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Waits until an event of the file pleases `wanted`.
    pub(crate) fn wait_for(&self, file: &str, what: &str, wanted: impl Fn(&Value) -> bool) {
        wait_until(Duration::from_secs(300), what, || {
            self.events(file).iter().any(&wanted)
        });
    }

    /// The names of the containers that this checkout's builds have, running or not.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!(
            "label=isar-build-all.state={}",
            self.path().join(".isar-build-all").display()
        );
        output(Command::new("sudo").args([
            "-n",
            "podman",
            "ps",
            "-a",
            "--filter",
            &label,
            "--format",
            "{{.Names}}",
        ]))
        .lines()
        .map(str::to_owned)
        .collect()
    }

    /// The entries of the hashes file: unique name and hash.
    pub(crate) fn hashes(&self) -> Vec<(String, String)> {
        fs::read_to_string(self.path().join("artifact-hashes.nix"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| {
                let mut quoted = line.split('"').skip(1).step_by(2);
                Some((quoted.next()?.to_owned(), quoted.next()?.to_owned()))
            })
            .collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            let path = directory.keep();
            let _ = Command::new("sudo")
                .args(["-n", "rm", "-rf", "--one-file-system"])
                .arg(path)
                .status();
        }
    }
}

/// Waits until `holds`, or fails after `limit`.
pub(crate) fn wait_until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether a path exists, without following it.
pub(crate) fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_symlink())
}
