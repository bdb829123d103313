use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::caches::audit::{ambiguous, foreign, foreign_packages, unfinished};
use crate::caches::prune::{Limits, Pruned, prune};
use crate::caches::*;

fn elf(arch: Arch) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    head[18] = if arch == Arch::Amd64 { 62 } else { 183 };
    head
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn downloads(dir: &Path, arch: Arch) -> Cache {
    Cache {
        purpose: Purpose::Downloads(arch),
        path: dir.to_owned(),
    }
}

fn me() -> Holder {
    Holder::this("test", "2026-11-22T03:00:00Z".parse().unwrap())
}

fn enter_one(dir: &Path, arch: Arch, allowed: &[Pattern]) -> Result<InUse, CacheError> {
    enter(&[downloads(dir, arch)], allowed, &me(), Duration::ZERO)
}

#[test]
fn a_new_cache_is_stamped_and_then_its_architectures() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("amd64");
    let first = enter_one(&cache, Arch::Amd64, &[]).unwrap();
    let _second = enter_one(&cache, Arch::Amd64, &[]).unwrap();
    assert_eq!(stamp::read(&cache).unwrap(), Some(Arch::Amd64));
    let error = enter_one(&cache, Arch::Arm64, &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("is for amd64, not for arm64"), "{text}");
    assert!(error.hint().unwrap().contains("directory of its own"));
    drop(first);
}

#[test]
fn an_old_cache_is_taken_over_unless_something_in_it_is_foreign() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    write(cache, "k3s", elf(Arch::Arm64));
    write(cache, "deb/bookworm/x_1_arm64.deb", elf(Arch::Arm64));
    write(cache, "git/some.clone/hooks/x", elf(Arch::Arm64));
    write(cache, "source.tar.gz", "text");
    let error = enter_one(cache, Arch::Amd64, &[]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("is for amd64, but k3s is a program for arm64 (ELF)"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("k3s.done"));
    assert_eq!(
        stamp::read(cache).unwrap(),
        None,
        "refused, it is not stamped"
    );

    let allowed = [Pattern::new("k3*").unwrap()];
    drop(enter_one(cache, Arch::Amd64, &allowed).unwrap());
    assert_eq!(stamp::read(cache).unwrap(), Some(Arch::Amd64));
    assert!(
        enter_one(cache, Arch::Amd64, &[]).is_err(),
        "also with its stamp"
    );
}

#[test]
fn packages_are_told_by_their_names_outside_of_the_archives() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    for name in [
        "a_1_arm64.deb",
        "b_1_amd64.deb",
        "c_1_all.deb",
        "deb/x/d_1_arm64.deb",
    ] {
        write(cache, name, "!<arch>\n");
    }
    assert_eq!(foreign(cache, Arch::Amd64, &[]).unwrap(), []);
    let found = foreign_packages(cache, Arch::Amd64, &[]).unwrap();
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(text, ["a_1_arm64.deb is a package for arm64"]);
}

#[test]
fn one_name_with_two_contents_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (amd64, arm64) = (dir.path().join("amd64"), dir.path().join("arm64"));
    write(&amd64, "k3s", elf(Arch::Amd64));
    write(&arm64, "k3s", elf(Arch::Arm64));
    for cache in [&amd64, &arm64] {
        write(cache, "source.tar.gz", "the same");
        write(cache, "deb/x/y_1_all.deb", cache.display().to_string());
        write(cache, "k3s.done", cache.display().to_string());
    }
    write(&amd64, "size", "1");
    write(&arm64, "size", "22");
    let found = ambiguous(&[(Arch::Amd64, &amd64), (Arch::Arm64, &arm64)]).unwrap();
    let names: Vec<String> = found.iter().map(|f| f.file.display().to_string()).collect();
    assert_eq!(names, ["k3s", "size"]);
    assert_eq!(found[0].archs, [Arch::Amd64, Arch::Arm64]);
}

#[test]
fn downloads_without_an_end_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    for name in [
        "good",
        "good.done",
        "good.lock",
        "half",
        "gone.lock",
        "x.part",
        "below/named",
        "named.done",
        "deb/bookworm/x_1_all.deb",
        "deb/bookworm.lock",
        "deb/bookworm/y.deb.host.1.tmp",
        "git/clone/HEAD",
    ] {
        write(cache, name, "");
    }
    let found = unfinished(cache).unwrap();
    let text: Vec<String> = found
        .iter()
        .map(|one| format!("{}: {}", one.file.display(), one.sign))
        .collect();
    assert_eq!(
        text,
        [
            "deb/bookworm/y.deb.host.1.tmp: its name is that of a partial download",
            "gone.lock: a lock without a download",
            "half: it has no .done stamp",
            "x.part: its name is that of a partial download",
        ]
    );
}

/// Sets when a file was last used, in days ago.
fn age(dir: &Path, name: &str, days: u64) {
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    File::options()
        .write(true)
        .open(dir.join(name))
        .unwrap()
        .set_times(times)
        .unwrap();
}

fn days_ago(days: i64) -> Option<Timestamp> {
    Some(Timestamp::now() - jiff::SignedDuration::from_hours(24 * days))
}

fn names(dir: &Path, pruned: &Pruned) -> Vec<String> {
    pruned
        .removed
        .iter()
        .map(|one| one.path.strip_prefix(dir).unwrap().display().to_string())
        .collect()
}

#[test]
fn the_longest_unused_go_with_their_stamps_and_a_dry_run_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    for (name, days) in [
        ("old", 40),
        ("old.done", 40),
        ("stamped-lately", 40),
        ("stamped-lately.done", 1),
        ("new", 2),
        ("git/clone/HEAD", 50),
        ("git/clone/objects/x", 45),
    ] {
        write(cache, name, vec![1; 10_000]);
        age(cache, name, days);
    }
    let caches = [downloads(cache, Arch::Amd64)];
    let limits = Limits {
        before: days_ago(30),
        max_bytes: None,
    };
    let would = prune(&caches, limits, true).unwrap();
    assert_eq!(names(cache, &would), ["git/clone", "old"]);
    assert!(cache.join("old").exists());
    let done = prune(&caches, limits, false).unwrap();
    assert_eq!(done, would);
    for (name, there) in [
        ("old", false),
        ("old.done", false),
        ("git/clone", false),
        ("stamped-lately", true),
        ("new", true),
    ] {
        assert_eq!(cache.join(name).exists(), there, "{name}");
    }
    assert_eq!(fs::read_dir(cache.join("git")).unwrap().count(), 0);
    // What a killed one left goes with the next.
    write(cache, "git/.isar-build-all.removed.clone/x", "x");
    prune(&caches, limits, false).unwrap();
    assert_eq!(fs::read_dir(cache.join("git")).unwrap().count(), 0);
    assert_eq!(done.bytes_before - done.bytes_after, done.bytes_freed);
    assert_eq!(
        done.bytes_after,
        files::occupied(&files::list(cache).unwrap())
    );
}

#[test]
fn a_size_is_reached_and_links_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("sstate");
    for (name, days) in [
        ("aa/sstate:1.tar.zst", 9),
        ("bb/sstate:2.tar.zst", 8),
        ("cc/sstate:3.tar.zst", 7),
    ] {
        write(&cache, name, vec![1; 100_000]);
        age(&cache, name, days);
    }
    write(&cache, "thesis.txt", "no shared state");
    age(&cache, "thesis.txt", 900);
    fs::hard_link(
        cache.join("aa/sstate:1.tar.zst"),
        cache.join("aa/sstate:again"),
    )
    .unwrap();
    fs::hard_link(
        cache.join("bb/sstate:2.tar.zst"),
        dir.path().join("outside"),
    )
    .unwrap();
    let sstate = Cache {
        purpose: Purpose::Sstate,
        path: cache.clone(),
    };
    let one = files::list(&cache).unwrap()[0].allocated();
    let limits = Limits {
        before: None,
        max_bytes: Some(one),
    };
    let pruned = prune(&[sstate], limits, false).unwrap();
    assert_eq!(pruned.bytes_before, 3 * one);
    assert_eq!(pruned.bytes_after, one);
    assert_eq!(
        pruned.bytes_freed, one,
        "the one with a name outside frees nothing"
    );
    assert_eq!(
        names(&cache, &pruned),
        [
            "aa/sstate:1.tar.zst",
            "aa/sstate:again",
            "bb/sstate:2.tar.zst"
        ]
    );
    assert!(cache.join("thesis.txt").exists());
    assert!(cache.join("cc/sstate:3.tar.zst").exists());
}

#[test]
fn what_somebody_uses_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    for name in ["open", "locked", "locked.lock", "free"] {
        write(cache, name, "x");
        age(cache, name, 90);
    }
    let _open = File::open(cache.join("open")).unwrap();
    let lock = File::open(cache.join("locked.lock")).unwrap();
    assert!(crate::fs::try_lock(&lock).unwrap());
    let limits = Limits {
        before: days_ago(30),
        max_bytes: None,
    };
    let pruned = prune(&[downloads(cache, Arch::Amd64)], limits, false).unwrap();
    assert_eq!(names(cache, &pruned), ["free"]);
    assert_eq!(pruned.kept.len(), 2);
    assert!(pruned.kept.iter().all(|kept| !kept.failed));
    assert!(cache.join("locked").exists() && cache.join("open").exists());
}

#[test]
fn nothing_is_removed_under_a_lock_that_a_build_holds() {
    let dir = tempfile::tempdir().unwrap();
    let in_use = enter_one(dir.path(), Arch::Amd64, &[]).unwrap();
    let cache = downloads(dir.path(), Arch::Amd64);
    let error = cache
        .hold(Sharing::Exclusive, &me(), Duration::ZERO)
        .unwrap_err();
    assert!(error.to_string().contains("test"), "{error}");
    drop(in_use);
    let _alone = cache
        .hold(Sharing::Exclusive, &me(), Duration::ZERO)
        .unwrap();
    assert!(enter_one(dir.path(), Arch::Amd64, &[]).is_err());
}
