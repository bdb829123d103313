//! The caches of downloads and shared state: whose they are, who uses them, what goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use support::project::Project;

const DOWNLOADS: &str = "home/.cache/yocto/downloads";

/// The first bytes of a program for arm64.
fn arm64_program() -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    head[18] = 183;
    head
}

fn put(project: &Project, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = project.path().join(DOWNLOADS).join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn age(path: &Path, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_times(times).unwrap();
}

/// A run whose build waits until the file `go` is there, once it is under way.
fn waiting(project: &Project, args: &[&str]) -> Child {
    project.instead(
        "qemuarm64.base",
        "until [ -e \"$FAKE_DIR/go\" ]; do sleep 0.05; done; deploy",
    );
    let child = project
        .command(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !project.path().join("fake/qemuarm64.base.env").exists() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn a_run_stamps_its_caches_and_a_list_shows_them() {
    let project = Project::new();
    assert!(project.run(&["cache", "list"]).stdout.contains("no caches"));
    let said = project.run(&["--variant", "base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for arch in ["amd64", "arm64"] {
        let stamp = project.read(&format!("{DOWNLOADS}/{arch}/.isar-build-all.arch"));
        assert_eq!(stamp, format!("{arch}\n"));
    }
    put(&project, "amd64/source.tar.gz", vec![1; 5000]);
    let said = project.run(&["cache", "list", "--format", "json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let list: Value = serde_json::from_str(&said.stdout).unwrap();
    let caches = list["caches"].as_array().unwrap();
    assert_eq!(caches.len(), 3);
    assert_eq!(caches[0]["arch"], "amd64");
    assert_eq!(caches[0]["stamped"], true);
    assert_eq!(caches[0]["files"], 1);
    assert_eq!(caches[2]["purpose"], "sstate");
    assert!(!said.stdout.contains("null"));
}

#[test]
fn a_program_for_another_architecture_is_refused_before_anything_is_built() {
    let project = Project::new();
    let k3s = put(&project, "amd64/k3s", arm64_program());
    let said = project.run(&[]);
    assert_eq!(said.code, Some(4));
    insta::assert_snapshot!(said.stderr, @"
    error: the download cache [project]/home/.cache/yocto/downloads/amd64 is for amd64, but k3s is a program for arm64 (ELF)
    hint: remove it, and it is downloaded again: rm -f [project]/home/.cache/yocto/downloads/amd64/k3s [project]/home/.cache/yocto/downloads/amd64/k3s.done; if it belongs there, name it in the setting `foreign-downloads`; isar-build-all cache audit shows the recipes that share a name
    ");
    assert!(!project.path().join("fake/qemuamd64.base.env").exists());

    // What is meant for any machine may be there.
    let said = project.said(
        project
            .command(&["--variant", "qemuamd64/base"])
            .env("ISAR_BUILD_ALL_FOREIGN_DOWNLOADS", "k3*"),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // A stamped cache is looked at as well.
    let build = ["--no-skip", "--variant", "qemuamd64/base"];
    assert_eq!(project.run(&build).code, Some(4));
    fs::remove_file(k3s).unwrap();
    assert_eq!(project.run(&build).code, Some(0));
}

#[test]
fn a_cache_of_another_architecture_is_refused() {
    let project = Project::new();
    assert_eq!(project.run(&["--variant", "qemuamd64/base"]).code, Some(0));
    let root = project.path().join(DOWNLOADS);
    std::os::unix::fs::symlink("amd64", root.join("arm64")).unwrap();
    let said = project.run(&["--machine", "qemuarm64"]);
    assert_eq!(said.code, Some(4));
    insta::assert_snapshot!(said.stderr, @"
    error: the download cache [project]/home/.cache/yocto/downloads/arm64 is for amd64, not for arm64
    hint: every architecture needs a directory of its own, which is not linked to another's: ls -ld [project]/home/.cache/yocto/downloads/arm64; or set another DL_DIR
    ");
}

#[test]
fn nothing_is_pruned_while_a_build_uses_it_and_wait_waits() {
    let project = Project::new();
    let old = put(&project, "arm64/old", "old");
    age(&old, 90);
    let mut run = waiting(&project, &["--machine", "qemuarm64"]);
    let said = project.run(&["cache", "prune", "--keep-days", "30"]);
    assert_eq!(said.code, Some(4));
    let holder = format!("is held by process {} on", run.id());
    assert!(said.stderr.contains(&holder), "{}", said.stderr);
    assert!(said.stderr.contains("hint: wait for its end"));
    assert!(old.exists());
    let listed = project.run(&["cache", "list"]).stdout;
    let user = format!("arm64 is in use by process {}", run.id());
    assert!(listed.contains(&user), "{listed}");

    let patient = project
        .command(&["cache", "prune", "--keep-days", "30", "--wait"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(old.exists());
    project.write("fake/go", "");
    assert!(run.wait().unwrap().success());
    assert!(patient.wait_with_output().unwrap().status.success());
    assert!(!old.exists());
}

#[test]
fn two_checkouts_build_on_one_cache_at_once() {
    let (one, two) = (Project::new(), Project::new());
    let mut run = waiting(&one, &["--machine", "qemuarm64"]);
    let home = one.path().join("home");
    let said = two.said(two.command(&["--machine", "qemuarm64"]).env("HOME", &home));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    one.write("fake/go", "");
    assert!(run.wait().unwrap().success());
    let lock = format!("{DOWNLOADS}/arm64/.isar-build-all.lock");
    assert!(!one.path().join(lock).exists(), "the last one removed it");
}

#[test]
fn pruning_takes_the_longest_unused_and_shows_it_first() {
    let project = Project::new();
    for (name, days) in [
        ("amd64/a", 90),
        ("amd64/a.done", 90),
        ("arm64/b", 60),
        ("arm64/c", 1),
    ] {
        age(&put(&project, name, vec![1; 4096]), days);
    }
    let prune = ["cache", "prune", "--keep-days", "30"];
    let dry = project.run(&[&prune[..], &["--dry-run", "--format", "json"]].concat());
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    let dry: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(dry["removed"].as_array().unwrap().len(), 2);
    assert!(project.path().join(DOWNLOADS).join("amd64/a").exists());

    let said = project.run(&[&prune[..], &["--only", "sstate"]].concat());
    assert!(
        said.stdout.contains("removed 0 cached objects"),
        "{}",
        said.stdout
    );
    let said = project.run(&prune);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.stdout);
    assert!(lines[0].contains("downloads/amd64/a ("), "{}", lines[0]);
    assert!(lines[1].contains("downloads/arm64/b ("), "{}", lines[1]);
    assert!(
        lines[2].starts_with("removed 2 cached objects, "),
        "{}",
        lines[2]
    );
    let said = project.run(&["cache", "prune", "--max-size", "0"]);
    assert_eq!(said.code, Some(0));
    assert!(!project.path().join(DOWNLOADS).join("arm64/c").exists());
    assert_eq!(project.run(&["cache", "prune"]).code, Some(2));
    assert_eq!(
        project.run(&["cache", "prune", "--max-size", "much"]).code,
        Some(2)
    );
}

#[test]
fn an_audit_says_everything_that_is_wrong() {
    let project = Project::new();
    project.write(
        "kas/base.yml",
        "header:\n  version: 14\nrepos:\n  product:\n    layers:\n      meta-product:\n",
    );
    let recipe = "meta-product/recipes/k3s/k3s_1.0.bb";
    project.write(
        recipe,
        "SRC_URI = \"https://x.invalid/k3s-${DISTRO_ARCH}\"\n",
    );
    let said = project.run(&["cache", "audit"]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(
        said.stdout,
        "0 caches, 1 recipe file in 1 layer: no faults\n"
    );

    project.write(
        recipe,
        "SRC_URI = \"https://x.invalid/k3s-${DISTRO_ARCH};downloadfilename=k3s\"\n",
    );
    for (name, content) in [
        ("amd64/k3s", arm64_program()),
        ("arm64/k3s", b"another".to_vec()),
        ("amd64/tool_1_arm64.deb", b"!<arch>\n".to_vec()),
        ("amd64/half.part", b"x".to_vec()),
    ] {
        put(&project, name, content);
    }
    for name in [
        "amd64/k3s.done",
        "arm64/k3s.done",
        "amd64/tool_1_arm64.deb.done",
    ] {
        put(&project, name, "");
    }
    let said = project.run(&["cache", "audit"]);
    assert_eq!(said.code, Some(10), "{}", said.stderr);
    let findings = said.stdout.split_once("\n\n").unwrap().1;
    insta::assert_snapshot!(findings, @"
    error: [project]/home/.cache/yocto/downloads/amd64/k3s: in the cache of amd64, k3s is a program for arm64 (ELF)
    hint: remove it: rm -f [project]/home/.cache/yocto/downloads/amd64/k3s [project]/home/.cache/yocto/downloads/amd64/k3s.done; if it belongs there, name it in the setting `foreign-downloads`

    error: [project]/home/.cache/yocto/downloads/amd64/tool_1_arm64.deb: in the cache of amd64, tool_1_arm64.deb is a package for arm64
    hint: remove it: rm -f [project]/home/.cache/yocto/downloads/amd64/tool_1_arm64.deb [project]/home/.cache/yocto/downloads/amd64/tool_1_arm64.deb.done; if it belongs there, name it in the setting `foreign-downloads`

    error: [project]/home/.cache/yocto/downloads/amd64/half.part: an unfinished download: its name is that of a partial download
    hint: remove it: rm -f [project]/home/.cache/yocto/downloads/amd64/half.part

    error: k3s: the caches of amd64 and arm64 hold different contents under this name
    hint: in its recipe, write downloadfilename=k3s-${DISTRO_ARCH}

    error: meta-product/recipes/k3s/k3s_1.0.bb:1: https://x.invalid/k3s-${DISTRO_ARCH} differs between the variants, but is always downloaded as k3s
    hint: write downloadfilename=k3s-${DISTRO_ARCH} and use that name in the recipe

    2 caches, 1 recipe file in 1 layer: 5 faults
    ");

    let json = project.run(&["cache", "audit", "--format", "json"]);
    assert_eq!(json.code, Some(10));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let kinds: Vec<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["what"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["foreign", "foreign", "unfinished", "ambiguous", "recipe"]
    );
    assert_eq!(json["layers"][0], "meta-product");
}

#[test]
fn a_build_for_which_there_is_no_room_does_not_start() {
    let project = Project::new();
    let with = |space: &str, free: &str| {
        project.said(
            project
                .command(&["--variant", "qemuamd64/base"])
                .env("ISAR_BUILD_ALL_BUILD_SPACE", space)
                .env("ISAR_BUILD_ALL_MIN_FREE", free),
        )
    };
    for (space, free) in [("1048576", "0"), ("0", "1048576")] {
        let said = with(space, free);
        assert_eq!(said.code, Some(10), "{}", said.stderr);
        assert!(
            said.stderr.contains("not enough disk space: "),
            "{}",
            said.stderr
        );
        assert!(
            said.stderr.contains("this build needs 1.0 TiB"),
            "{}",
            said.stderr
        );
        assert!(!project.path().join("fake/qemuamd64.base.env").exists());
    }
    assert_eq!(with("1", "0").code, Some(0));
    // From now on what it took counts, and not the estimate.
    let size = project.read(".isar-build-all/sizes/qemuamd64/base");
    assert!(size.trim().parse::<u64>().unwrap() > 0, "{size}");
    let said = with("1048576", "0");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
