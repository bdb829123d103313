use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;

use crate::inputs::cache::{UnixTime, now};
use crate::inputs::tree::*;

/// A clock with which the cache trusts every hash at once: only changed stamps count.
fn trusting() -> UnixTime {
    (i64::MAX, 0)
}

/// A clock with which the cache trusts no hash.
fn distrusting() -> UnixTime {
    (0, 0)
}

fn fresh(root: &Path) -> FileTree {
    read(root, &[], &mut HashCache::in_memory(distrusting)).unwrap()
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn names_bytes_modes_and_links_count_and_times_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("layer");
    write(&root, "conf/layer.conf", "a");
    write(&root, "files/x.bin", "b");
    let hash = |root: &Path| fresh(root).hash;
    let first = hash(&root);
    let mut now = first;
    let mut differs = |what: &str| {
        let then = std::mem::replace(&mut now, hash(&root));
        assert_ne!(then, now, "{what}");
    };
    write(&root, "files/x.bin", "c");
    differs("content");
    fs::rename(root.join("files/x.bin"), root.join("files/y.bin")).unwrap();
    differs("name");
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(root.join("files/y.bin"), mode(0o755)).unwrap();
    differs("executable");
    // git's ignore files have no effect.
    write(&root, ".gitignore", "*.bin\n");
    differs("a further file");
    write(&root, "files/y.bin", "d");
    differs("an ignored file");
    symlink("y.bin", root.join("files/link")).unwrap();
    differs("a link");
    fs::remove_file(root.join("files/link")).unwrap();
    symlink("z.bin", root.join("files/link")).unwrap();
    differs("the text of a link");
    write(dir.path(), "outside/one", "1");
    symlink("../../outside", root.join("files/out")).unwrap();
    differs("a link that leads out");
    write(dir.path(), "outside/one", "2");
    differs("the target of a link that leads out");

    let before = hash(&root);
    fs::create_dir(root.join("empty")).unwrap();
    write(&root, ".git/HEAD", "x");
    write(&root, "lib/__pycache__/x.pyc", "x");
    fs::set_permissions(root.join("conf/layer.conf"), mode(0o600)).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(root.join("conf/layer.conf"))
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(hash(&root), before);
}

#[test]
fn the_path_to_a_tree_and_excluded_paths_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    for place in ["one", "two"] {
        write(&dir.path().join(place), "a/b", "c");
    }
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    assert_eq!(fresh(&one), fresh(&two));
    write(&two, "state/x", "y");
    let without = [two.join("state")];
    let mut cache = HashCache::in_memory(distrusting);
    assert_eq!(read(&two, &without, &mut cache).unwrap(), fresh(&one));
    let file = fresh(&one.join("a/b"));
    assert_eq!(file.files.len(), 1);
    assert_ne!(file.hash, fresh(&one.join("a")).hash);
}

#[test]
fn a_walk_over_circular_links_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (root, other) = (dir.path().join("layer"), dir.path().join("other"));
    write(&root, "a", "1");
    write(&other, "b", "2");
    symlink(&other, root.join("out")).unwrap();
    symlink(&root, other.join("back")).unwrap();
    symlink(&other, other.join("self")).unwrap();
    assert!(fresh(&root).files.len() >= 4);
}

#[test]
fn an_unreadable_path_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let mut cache = HashCache::in_memory(distrusting);
    let error = read(&missing, &[], &mut cache).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

/// One edit of a tree.
#[derive(Debug, Clone)]
enum Edit {
    Write(u8, u8),
    Append(u8, u8),
    Remove(u8),
    Rename(u8, u8),
    Link(u8, u8),
    Executable(u8, bool),
    Touch(u8),
    Replace(u8, u8),
}

fn edits() -> impl Strategy<Value = Vec<Vec<Edit>>> {
    let place = 0..6_u8;
    let edit = prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Write(at, byte)),
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Edit::Append(at, byte)),
        place.clone().prop_map(Edit::Remove),
        (place.clone(), place.clone()).prop_map(|(from, to)| Edit::Rename(from, to)),
        (place.clone(), place.clone()).prop_map(|(at, to)| Edit::Link(at, to)),
        (place.clone(), any::<bool>()).prop_map(|(at, on)| Edit::Executable(at, on)),
        place.clone().prop_map(Edit::Touch),
        (place, any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
    ];
    proptest::collection::vec(proptest::collection::vec(edit, 1..5), 1..6)
}

fn place(root: &Path, at: u8) -> PathBuf {
    let names = ["a", "b", "dir/c", "dir/d", "dir/deep/e", "other/f"];
    root.join(names[usize::from(at)])
}

fn apply(root: &Path, edit: &Edit) {
    // An edit that is impossible in the present tree does nothing.
    let _ = match edit {
        Edit::Write(at, byte) => fs::write(place(root, *at), [*byte; 3]),
        Edit::Append(at, byte) => fs::read(place(root, *at)).and_then(|mut bytes| {
            bytes.push(*byte);
            fs::write(place(root, *at), bytes)
        }),
        Edit::Remove(at) => fs::remove_file(place(root, *at)),
        Edit::Rename(from, to) => fs::rename(place(root, *from), place(root, *to)),
        Edit::Link(at, to) => symlink(place(root, *to), place(root, *at)),
        Edit::Executable(at, on) => fs::set_permissions(
            place(root, *at),
            fs::Permissions::from_mode(if *on { 0o755 } else { 0o644 }),
        ),
        Edit::Touch(at) => fs::File::options()
            .write(true)
            .open(place(root, *at))
            .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH)),
        Edit::Replace(at, byte) => {
            let part = root.join("part");
            fs::write(&part, [*byte; 3]).and_then(|()| fs::rename(&part, place(root, *at)))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After any edits, a cached read equals a fresh read, and trees have equal hashes exactly when their files
    /// are equal.
    #[test]
    fn a_cached_read_equals_a_fresh_read(rounds in edits()) {
        let dir = tempfile::tempdir().unwrap();
        let (root, kept) = (dir.path().join("tree"), dir.path().join("cache"));
        for at in 0..6 {
            fs::create_dir_all(place(&root, at).parent().unwrap()).unwrap();
        }
        let mut known: BTreeMap<ContentHash, Vec<TreeFile>> = BTreeMap::new();
        for round in rounds {
            for edit in &round {
                apply(&root, edit);
            }
            let mut cache = HashCache::open(&kept, now);
            let tree = read(&root, &[], &mut cache).unwrap();
            cache.save().unwrap();
            let anew = fresh(&root);
            prop_assert_eq!(&tree, &anew);
            let files = known.entry(tree.hash).or_insert_with(|| tree.files.clone());
            prop_assert_eq!(&*files, &tree.files);
        }
        let distinct: std::collections::BTreeSet<&Vec<TreeFile>> = known.values().collect();
        prop_assert_eq!(distinct.len(), known.len());
    }
}

#[test]
fn an_unchanged_tree_costs_no_reads() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..20 {
        write(dir.path(), &format!("d{}/f{index}", index % 3), "x");
    }
    let mut cache = HashCache::in_memory(trusting);
    let first = read(dir.path(), &[], &mut cache).unwrap();
    assert_eq!(cache.read, 20);
    assert_eq!(read(dir.path(), &[], &mut cache).unwrap(), first);
    assert_eq!(cache.read, 20);
}
