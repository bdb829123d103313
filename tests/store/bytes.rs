//! The ways into a Nix store, through its real programs: every one leaves the same, and none takes a file
//! that changes, more memory than it should, or more than it was given.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use isar_build_all::event::ArtifactOrigin;
use isar_build_all::fs::stamp::Stamp;
use isar_build_all::store::copy::{CopyError, Dest, copy, hash};
use isar_build_all::store::hashing::Want;
use isar_build_all::store::in_place::{FileInPlace, Go};
use isar_build_all::store::{Captured, NixStore, OpenStore as _, Store, StoreError};
use support::PrivateNix;
use support::{eventually, script};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    InPlace,
    Path,
    Direct,
    Fixed,
}

const WAYS: [Way; 4] = [Way::InPlace, Way::Path, Way::Direct, Way::Fixed];

fn nix_store(nix: &PrivateNix, way: Way) -> NixStore {
    NixStore {
        store_dir: nix.store_dir(),
        state_dir: nix.state_dir(),
        env: nix.env(),
        instantiate: (way != Way::Fixed).then(|| "nix-instantiate".into()),
        direct: way == Way::Direct,
        ..NixStore::new("nix-store".into())
    }
}

/// A store that adds in place by `program`.
fn in_place_by(nix: &PrivateNix, program: &Path) -> NixStore {
    NixStore {
        instantiate: Some(program.to_owned()),
        ..nix_store(nix, Way::InPlace)
    }
}

/// 3 MiB of data around 5 MiB of nothing.
fn image(path: &Path) {
    let mut file = File::create(path).unwrap();
    let data: Vec<u8> = (0_u32..400_000)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    file.write_all(&data).unwrap();
    file.seek(SeekFrom::Start(6 << 20)).unwrap();
    file.write_all(&data).unwrap();
    file.set_len(8 << 20).unwrap();
}

fn stamp(path: &Path) -> Stamp {
    Stamp::of(&path.symlink_metadata().unwrap())
}

fn go() -> Go {
    let go = Go::default();
    go.say(true);
    go
}

/// Captures as the step of this way does.
fn capture(nix: &NixStore, way: Way, hold: &isar_build_all::store::Hold, image: &Path) -> Captured {
    let name = "isar-one.img";
    let mut captured = Captured {
        kind: "wic".to_owned(),
        unique_name: name.to_owned(),
        deploy_name: "image.img".to_owned(),
        path: image.to_owned(),
        bytes: 0,
        sha256: [0; 32],
        nar_sha256: None,
        staged: false,
        source: stamp(image),
        added: None,
    };
    let hashed = match way {
        Way::InPlace => {
            let file = FileInPlace {
                source: image,
                name,
                before: &stamp(image),
            };
            let (hashed, how) = nix.add_in_place(hold, &file, &go()).unwrap();
            captured.added = Some(how);
            hashed
        }
        Way::Path => hash(image, Want::FlatAndNar, &|| false).unwrap(),
        Way::Direct | Way::Fixed => {
            let dir = match way {
                Way::Direct => nix.store_dir.join(".isar-build-all-run"),
                _ => image.parent().unwrap().join("staging"),
            };
            fs::create_dir_all(&dir).unwrap();
            captured.path = dir.join(name);
            captured.staged = true;
            let dest = Dest::at(&captured.path);
            copy(image, dest, Want::FlatAndNar, &|| false).unwrap().0
        }
    };
    captured.bytes = hashed.stamp.bytes;
    captured.sha256 = hashed.sums.sha256;
    captured.nar_sha256 = hashed.sums.nar_sha256;
    captured
}

type Row = (
    String,
    i64,
    Option<String>,
    Option<i64>,
    Option<String>,
    String,
);

fn row(nix: &PrivateNix, path: &Path) -> Row {
    let database = rusqlite::Connection::open(nix.state_dir().join("db/db.sqlite")).unwrap();
    database
        .query_row(
            "SELECT hash, narSize, deriver, ultimate, sigs, ca FROM ValidPaths WHERE path = ?1",
            [path.to_str().unwrap()],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                ))
            },
        )
        .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".links")
        .collect();
    names.sort();
    names
}

#[test]
fn every_way_leaves_the_same() {
    let nix = PrivateNix::new();
    let image_path = nix.dir().join("image.img");
    image(&image_path);
    let output = nix.dir().join("artifacts");
    fs::create_dir_all(&output).unwrap();
    let mut rows = Vec::new();
    for way in WAYS {
        let of_way = nix_store(&nix, way);
        let store = Store::from(of_way.clone());
        let hold = store.hold().unwrap();
        let captured = capture(&of_way, way, &hold, &image_path);
        let added = store.insert(&hold, &captured).unwrap();
        assert_eq!(added.how, ArtifactOrigin::Added, "{way:?}");
        let path = &added.store_path;
        let printed = nix.output(
            "nix-hash",
            ["--type", "sha256", "--flat", path.to_str().unwrap()],
        );
        let computed = nix.output(
            "nix-store",
            ["--print-fixed-path", "sha256", &printed, "isar-one.img"],
        );
        assert_eq!(path, Path::new(&computed), "{way:?}");
        assert!(
            nix.succeeds("nix-store", ["--verify-path", path.to_str().unwrap()]),
            "{way:?}"
        );
        let there = path.symlink_metadata().unwrap();
        assert_eq!(
            (there.mode() & 0o7777, there.mtime()),
            (0o444, 1),
            "{way:?}"
        );
        assert_eq!(fs::read(path).unwrap(), fs::read(&image_path).unwrap());
        if way == Way::Direct && image_path.metadata().unwrap().blocks() * 512 < 8 << 20 {
            assert!(there.blocks() * 512 < 8 << 20, "its holes are kept");
        }
        rows.push(row(&nix, path));
        // It is a root's target, and gone with the root.
        let link = output.join("isar-one.img");
        store.link(&hold, &added, &link).unwrap();
        drop(hold);
        nix.output("nix-store", ["--gc"]);
        assert_eq!(fs::read_link(&link).unwrap(), *path);
        assert!(path.exists(), "{way:?}");
        fs::remove_file(&link).unwrap();
        let _ = fs::remove_dir_all(of_way.store_dir.join(".isar-build-all-run"));
        nix.output("nix-store", ["--gc"]);
        assert_eq!(names(&nix.store_dir()), [""; 0], "{way:?}");
    }
    assert!(rows[0].5.starts_with("fixed:sha256:"), "{}", rows[0].5);
    for (way, row) in WAYS.iter().zip(&rows) {
        assert_eq!(*row, rows[3], "{way:?} has the row of --add-fixed");
    }
}

#[test]
fn what_is_valid_is_added_by_nobody() {
    let nix = PrivateNix::new();
    let path = nix.dir().join("image.img");
    image(&path);
    for way in WAYS {
        let of_way = nix_store(&nix, way);
        let store = Store::from(of_way.clone());
        let hold = store.hold().unwrap();
        let first = capture(&of_way, way, &hold, &path);
        store.insert(&hold, &first).unwrap();
        let again = capture(&of_way, way, &hold, &path);
        assert_eq!(
            store.insert(&hold, &again).unwrap().how,
            ArtifactOrigin::AlreadyValid,
            "{way:?}"
        );
        assert!(of_way.is_tidy(), "{way:?}: {:?}", names(&nix.store_dir()));
    }
}

trait Tidy {
    fn is_tidy(&self) -> bool;
}

impl Tidy for NixStore {
    /// Nothing half lies in the store.
    fn is_tidy(&self) -> bool {
        names(&self.store_dir).iter().all(|name| {
            !name.starts_with("add-") && !name.starts_with("tmp-") && !name.ends_with(".lock")
        })
    }
}

/// Hashes and adds in place, with something happening between the two.
fn add_with(
    nix: &PrivateNix,
    program: &Path,
    image: &Path,
    between: impl FnOnce(),
) -> Result<ArtifactOrigin, StoreError> {
    let store = Store::from(in_place_by(nix, program));
    let hold = store.hold().unwrap();
    let (before, go) = (stamp(image), Go::default());
    let file = FileInPlace {
        source: image,
        name: "isar-one.img",
        before: &before,
    };
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| store.add_in_place(&hold, &file, &go).map(|(_, how)| how));
        // Long enough to hash 8 MiB, and it is no matter if it is not.
        std::thread::sleep(Duration::from_millis(500));
        between();
        go.say(true);
        adding.join().unwrap()
    })
}

#[test]
fn a_file_that_changes_between_hash_and_addition_is_refused() {
    let nix = PrivateNix::new();
    let path = nix.dir().join("image.img");
    let program = Path::new("nix-instantiate");
    let refused = |result: Result<ArtifactOrigin, StoreError>| {
        assert!(
            matches!(result, Err(StoreError::Copy(CopyError::Changed { .. }))),
            "{result:?}"
        );
    };
    image(&path);
    refused(add_with(&nix, program, &path, || {
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"other").unwrap();
    }));
    // The same bytes from another file: it was changed, whatever is in it.
    image(&path);
    refused(add_with(&nix, program, &path, || {
        let other = nix.dir().join("other.img");
        image(&other);
        fs::rename(&other, &path).unwrap();
    }));
    image(&path);
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"another").unwrap();
    assert_eq!(
        add_with(&nix, program, &path, || ()).unwrap(),
        ArtifactOrigin::Added
    );
}

#[test]
fn what_is_refused_while_it_is_hashed_is_not_added() {
    let nix = PrivateNix::new();
    let path = nix.dir().join("image.img");
    image(&path);
    // A start of this program would be another error.
    let program = Path::new("/nonexistent/nix-instantiate");
    let store = Store::from(in_place_by(&nix, program));
    let hold = store.hold().unwrap();
    let go = Go::default();
    go.say(false);
    let file = FileInPlace {
        source: &path,
        name: "i.img",
        before: &stamp(&path),
    };
    let result = store.add_in_place(&hold, &file, &go);
    assert!(
        matches!(result, Err(StoreError::Copy(CopyError::Stopped(_)))),
        "{result:?}"
    );
    assert_eq!(names(&nix.store_dir()), [""; 0]);
}

#[test]
fn a_nix_that_is_stopped_leaves_nothing() {
    let nix = PrivateNix::new();
    let path = nix.dir().join("image.img");
    image(&path);
    // Writes as Nix does before it knows the hash, and does not end.
    let program = script(
        nix.dir(),
        "nix-instantiate",
        "#!/bin/sh\nmkdir \"$NIX_STORE_DIR/add-$$-0\"\n: > \"$NIX_STORE_DIR/add-$$-0/x\"\nsleep 60\n",
    );
    let of_way = in_place_by(&nix, &program);
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let asked = std::sync::Arc::clone(&stop);
    let hold = Store::from(of_way.clone())
        .hold_until(move || asked.load(Ordering::Relaxed))
        .unwrap();
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            let file = FileInPlace {
                source: &path,
                name: "i.img",
                before: &stamp(&path),
            };
            of_way.add_in_place(&hold, &file, &go())
        });
        assert!(eventually(Duration::from_secs(20), || !of_way.is_tidy()));
        stop.store(true, Ordering::Relaxed);
        let result = adding.join().unwrap();
        assert!(matches!(
            result,
            Err(StoreError::Copy(CopyError::Stopped(_)))
        ));
    });
    assert!(of_way.is_tidy());
    // One that somebody else killed is found when it has been still for a while.
    let dead = nix.store_dir().join("add-999999999-0");
    fs::create_dir(&dead).unwrap();
    let begin = Instant::now();
    assert_eq!(of_way.unfinished_of_the_dead(), [dead]);
    assert!(begin.elapsed() > Duration::from_secs(2));
    let alive = nix
        .store_dir()
        .join(format!("add-{}-0", std::process::id()));
    fs::create_dir(&alive).unwrap();
    File::open(&alive)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    assert_eq!(of_way.unfinished_of_the_dead().len(), 1);
}

#[test]
fn direct_repairs_waits_and_knows_its_schema() {
    let nix = PrivateNix::new();
    let path = nix.dir().join("image.img");
    image(&path);
    let of_way = nix_store(&nix, Way::Direct);
    assert_eq!(of_way.not_direct(), None);
    let store = Store::from(of_way.clone());
    let hold = store.hold().unwrap();
    let captured = capture(&of_way, Way::Direct, &hold, &path);
    let place = store.path_of(&captured.sha256, "isar-one.img").unwrap();
    // What a dead process left there, and the lock of a living one.
    fs::write(&place, "half").unwrap();
    let lock = File::create(place.with_file_name(format!(
        "{}.lock",
        place.file_name().unwrap().to_str().unwrap()
    )))
    .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| store.insert(&hold, &captured).unwrap());
        std::thread::sleep(Duration::from_millis(400));
        assert!(!adding.is_finished());
        assert_eq!(fs::read(&place).unwrap(), b"half");
        drop(lock);
        assert_eq!(adding.join().unwrap().how, ArtifactOrigin::Added);
    });
    assert!(nix.succeeds("nix-store", ["--verify-path", place.to_str().unwrap()]));
    assert!(of_way.is_tidy());

    fs::write(nix.state_dir().join("db/schema"), "11").unwrap();
    assert_eq!(
        of_way.not_direct().as_deref(),
        Some("its database has schema 11, and only 10 is known")
    );
}

/// A project of one variant whose image lies in a build directory, and a store for it.
struct Project {
    nix: PrivateNix,
}

impl Project {
    fn new() -> Project {
        let nix = PrivateNix::new();
        let root = nix.dir();
        fs::write(
            root.join("kas.yml"),
            "header:\n  version: 14\nbuild_system: isar\nmachine: m\ndistro: d\ntarget: t\n",
        )
        .unwrap();
        fs::write(
            root.join("variants.toml"),
            r#"
schema = 1
[axes]
role = ["base"]
[naming]
id = "{role}"
unique_name = "isar-{id}-{machine}{extension}"
deploy_name = "image{extension}"
attr_path = ["{machine}", "{role}"]
[artifacts]
image = { extension = ".img", attr = "image", format = "any" }
[machines.m]
arch = "amd64"
kas = "kas.yml"
artifacts = ["image"]
[kas]
chain = ["{machine.kas}"]
[[variants]]
machine = ["m"]
role = "base"
"#,
        )
        .unwrap();
        fs::create_dir_all(root.join("build/tmp/deploy/images/m")).unwrap();
        Project { nix }
    }

    fn image(&self) -> PathBuf {
        self.nix.dir().join("build/tmp/deploy/images/m/image.img")
    }

    /// An image of so many MiB, with data at its beginning and end.
    fn sparse(&self, mebibytes: u64) {
        let mut file = File::create(self.image()).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        file.seek(SeekFrom::End(-9)).unwrap();
        file.write_all(b"the end.\n").unwrap();
    }

    fn start(&self, write: &str, log: &Path) -> Child {
        Command::new(support::tool())
            .args(["--store", "nix", "--rename-existing", "--adopt"])
            .args(["--build-dir", "build"])
            .current_dir(self.nix.dir())
            .envs(self.nix.env())
            .env("ISAR_BUILD_ALL_STORE_WRITE", write)
            .stdin(Stdio::null())
            .stdout(File::create(log).unwrap())
            .stderr(File::create(log.with_extension("err")).unwrap())
            .spawn()
            .unwrap()
    }

    /// Runs to the end, and returns the most memory that our own process had, in KiB.
    fn run(&self, write: &str) -> u64 {
        let log = self.nix.dir().join("log");
        let mut child = self.start(write, &log);
        let status = format!("/proc/{}/status", child.id());
        let mut most = 0;
        while child.try_wait().unwrap().is_none() {
            // It only grows, so that the last look tells.
            let peak = fs::read_to_string(&status).ok().and_then(|text| {
                let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
                line.split_whitespace().nth(1)?.parse().ok()
            });
            most = peak.unwrap_or(most);
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = fs::read_to_string(log.with_extension("err")).unwrap();
        assert!(child.wait().unwrap().success(), "{write}: {said}");
        most
    }

    fn entry(&self) -> PathBuf {
        self.nix.dir().join("artifacts/m/isar-base-m.img")
    }

    fn forget(&self) {
        for path in ["artifacts", ".isar-build-all"] {
            fs::remove_dir_all(self.nix.dir().join(path)).unwrap();
        }
        self.nix.output("nix-store", ["--gc"]);
    }
}

#[test]
fn memory_is_bounded_whatever_the_size() {
    let project = Project::new();
    project.sparse(1024);
    for write in ["auto", "direct"] {
        let peak = project.run(write);
        assert!(
            (1024..64 * 1024).contains(&peak),
            "{write}: {peak} KiB at most"
        );
        let target = fs::read_link(project.entry()).unwrap();
        assert_eq!(target.metadata().unwrap().len(), 1 << 30);
        if write == "direct" {
            assert!(
                target.metadata().unwrap().blocks() < 10_000,
                "holes are kept"
            );
        }
        project.forget();
    }
}

#[test]
fn a_run_that_is_killed_while_it_captures_leaves_nothing_that_the_next_does_not_clear() {
    for write in ["auto", "direct"] {
        let project = Project::new();
        project.sparse(256);
        let store = project.nix.store_dir();
        let mut child = project.start(write, &project.nix.dir().join("killed"));
        let begun =
            |name: &String| name.starts_with("add-") || name.starts_with(".isar-build-all-");
        assert!(
            eventually(Duration::from_secs(30), || names(&store).iter().any(begun)),
            "{write}: {}",
            fs::read_to_string(project.nix.dir().join("killed.err")).unwrap()
        );
        child.kill().unwrap();
        child.wait().unwrap();
        project.run(write);
        let target = fs::read_link(project.entry()).unwrap();
        assert!(
            project
                .nix
                .succeeds("nix-store", ["--verify-path", target.to_str().unwrap()])
        );
        // The Nix of the dead run goes on to its end, which is soon.
        assert!(
            eventually(Duration::from_secs(60), || names(&store).len() == 1),
            "{write}: {:?}",
            names(&store)
        );
    }
}

#[test]
fn the_bench_writes_its_figures() {
    let nix = PrivateNix::new();
    let json = nix.dir().join("bench.json");
    let output = Command::new(support::root().join("scripts/bench"))
        .args(["--quick", "pipeline", "plan", "--json"])
        .arg(&json)
        .arg("--tool")
        .arg(support::tool())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    for name in [
        "/pipeline_dense_ratio",
        "/pipeline_dense_ratio_fast",
        "/pipeline_sparse_ratio",
        "/pipeline_sparse_ratio_fast",
        "/pipeline_rss_mib",
        "/list_ms",
        "/plan_ms/10",
        "/plan_ms/100",
        "/denominators/pipeline_dense_ms",
    ] {
        let figure = figures.pointer(name).and_then(serde_json::Value::as_f64);
        assert!(
            figure.is_some_and(|figure| figure > 0.0),
            "{name}: {figures}"
        );
    }
}
