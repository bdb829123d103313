use std::fs;

use super::*;

/// The faults of a chain of these files: file, underlined text and message.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap();
    for (name, text) in files {
        fs::write(root.join(name), text).unwrap();
    }
    let places = KasPlaces {
        root: root.clone(),
        work_dir: root.join("work"),
        in_container: true,
    };
    let no_clone = |_: &KasRepo| None;
    let mut checker = ChainChecker::new(None, &no_clone);

    checker.chain(&[root.join(files[0].0)], &places);
    checker.chain(&[root.join(files[0].0)], &places);

    let shown = |(one, _): (ChainFault, bool)| {
        let name = one.file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&one.file).unwrap_or_default();
        let at = one.fault.span.map_or("", |span| &text[span]);
        format!("{name}: {at}: {}", one.fault.message)
    };
    checker.into_faults().into_iter().map(shown).collect()
}

const HEADER: &str = "header: {version: 14}\n";

fn file(text: &str) -> String {
    format!("{HEADER}{text}")
}

#[test]
fn a_repository_that_kas_refuses_is_a_fault_of_the_last_file_with_its_entry() {
    let base = "header: {version: 14, includes: [own.yml]}\nrepos: {isar: {refspec: a}}\n";
    let own = file("repos: {isar: {url: u, branch: b}}\n");

    let faults = faults(&[("base.yml", base), ("own.yml", &own)]);

    assert_eq!(
        faults,
        [
            "base.yml: isar: kas refuses repository `isar`: it mixes the old `refspec` with commit, tag or branch"
        ]
    );
}

#[test]
fn every_repository_of_a_chain_is_checked_and_each_fault_told_once() {
    let base = file(
        "repos: {a: {url: u}, b: {url: u, branch: b, signed: true}, c: {url: u, tag: t, branch: b}}\n",
    );

    let faults = faults(&[("base.yml", &base)]);

    assert_eq!(
        faults,
        [
            "base.yml: a: kas refuses repository `a`: it has a URL, and no commit, tag or branch",
            "base.yml: b: kas refuses repository `b`: it must be signed, and `allowed_signers` is empty",
            "base.yml: c: kas refuses repository `c`: it has both a tag and a branch",
        ]
    );
}

#[test]
fn a_patch_or_include_of_an_unknown_repository_is_a_fault() {
    let patch = file("repos: {isar: {url: u, branch: b, patches: {p: {repo: issar, path: x}}}}\n");
    let include = "header: {version: 14, includes: [{repo: meta, file: x.yml}]}\n";

    assert_eq!(
        faults(&[("base.yml", &patch)]),
        [
            "base.yml: isar: kas refuses repository `isar`: its patch `p` is in the repository `issar`, \
             which the chain does not have"
        ]
    );
    assert_eq!(
        faults(&[("base.yml", include)]),
        [
            "base.yml: {repo: meta, file: x.yml}: an include names the repository `meta`, \
             which the chain does not have"
        ]
    );
}

#[test]
fn repositories_are_left_to_kas_while_a_file_of_the_chain_is_not_cloned() {
    let base = "header: {version: 14, includes: [{repo: meta, file: x.yml}]}\n\
                repos: {meta: {url: u, branch: b}, isar: {url: u}}\n";

    assert_eq!(faults(&[("base.yml", base)]), [""; 0]);
}

#[test]
fn a_source_dir_counts_in_the_first_file_and_for_the_containers_mount_alone() {
    let mounted = file("_source_dir: /repo\n");
    let elsewhere = file("_source_dir: /home/me\n");
    let including = "header: {version: 14, includes: [own.yml]}\n";

    assert_eq!(faults(&[("base.yml", &mounted)]), [""; 0]);
    assert_eq!(
        faults(&[("base.yml", &elsewhere)]),
        [
            "base.yml: /home/me: `_source_dir` is not `/repo`, where kas-container mounts the repository"
        ]
    );
    assert_eq!(
        faults(&[("base.yml", including), ("own.yml", &mounted)]),
        ["own.yml: /repo: `_source_dir` is for the first file of a chain"]
    );
}
