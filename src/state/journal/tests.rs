use crate::exec::Undo;
use crate::fs::stamp::Stamp;
use crate::matrix::VariantKey;
use crate::state::journal::*;
use crate::store::entries::Before;

fn key(id: &str) -> VariantKey {
    VariantKey {
        machine: "qemuamd64".to_owned(),
        id: id.to_owned(),
    }
}

fn started(run: &str) -> Entry {
    Entry::RunStarted {
        run: run.to_owned(),
        pid: 7,
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn build(run: &str, name: &str) -> Entry {
    Entry::BuildStarted {
        run: run.to_owned(),
        variant: key("base"),
        name: name.to_owned(),
        undo: Undo {
            stop: vec!["podman".to_owned(), "rm".to_owned(), name.to_owned()],
            ..Undo::default()
        },
    }
}

fn registering(run: &str, number: u64) -> Entry {
    Entry::Registering(Registration {
        run: run.to_owned(),
        number,
        hashes_file: "/p/artifact-hashes.nix".into(),
        store: StorePlace::new("local", &[("dir", Path::new("/p/store"))]),
        variants: vec![IntendedVariant {
            key: key("base"),
            names: vec!["a.wic".to_owned()],
            artifacts: vec![IntendedArtifact {
                kind: "wic".to_owned(),
                unique_name: "a.wic".to_owned(),
                deploy_name: "image.wic".to_owned(),
                bytes: 3,
                nix32: "0".repeat(52),
                old_nix32: None,
                store_path: "/p/store/x-a.wic".into(),
                link: "/p/artifacts/qemuamd64/a.wic".into(),
                before: Before::Link {
                    target: "/p/store/y-a.wic".into(),
                },
                source: Stamp {
                    device: 1,
                    inode: 2,
                    bytes: 3,
                    mtime: (4, 5),
                    ctime: (6, 7),
                },
            }],
        }],
    })
}

#[test]
fn a_torn_last_line_is_ignored_and_the_next_entry_starts_a_new_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let entries = [started("r1"), build("r1", "c1"), registering("r1", 1)];
    let journal = Journal::open(&path).unwrap();
    for entry in &entries {
        journal.intend(entry).unwrap();
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    // A death at any byte of the second and third line.
    for length in second..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read, entries[..read.len()]);
        Journal::open(&path).unwrap().note(&started("r2")).unwrap();
        assert_eq!(
            crate::state::journal::read(&path).unwrap().last(),
            Some(&started("r2"))
        );
        assert_eq!(
            crate::state::journal::read(&path).unwrap().len(),
            read.len() + 1
        );
    }
}

#[test]
fn a_whole_line_that_is_not_an_entry_is_an_error_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    fs::write(&path, "{\"entry\":\"run_ended\",\"run\":\"r\"}\nwhat\n").unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(error.hint().unwrap().contains("mv "));
}

#[test]
fn the_end_of_a_run_removes_its_entries_and_keeps_unfinished_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let run = |run: &str, entries: &[Entry]| {
        let journal = Journal::open(&path).unwrap();
        journal.intend(&started(run)).unwrap();
        for entry in entries {
            journal.intend(entry).unwrap();
        }
        journal
    };
    let ended = |run: &str, name: &str| Entry::BuildEnded {
        run: run.to_owned(),
        name: name.to_owned(),
    };
    let registered = Entry::Registered {
        run: "r1".to_owned(),
        number: 1,
    };
    run(
        "r1",
        &[
            build("r1", "c1"),
            ended("r1", "c1"),
            registering("r1", 1),
            registered,
        ],
    )
    .end("r1")
    .unwrap();
    assert!(!path.exists());

    // A run that ended without removing its container.
    run("r2", &[build("r2", "c2")]).end("r2").unwrap();
    run("r3", &[build("r3", "c3"), ended("r3", "c3")])
        .end("r3")
        .unwrap();
    assert_eq!(read(&path).unwrap(), [started("r2"), build("r2", "c2")]);
    let open = unfinished(&read(&path).unwrap());
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].builds[0].name, "c2");
}

#[test]
fn a_line_that_a_full_disk_tore_in_the_middle_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    journal.intend(&started("r1")).unwrap();
    // The remains of a write that fitted only in part.
    let broken = &line(&build("r1", "c1")).unwrap()[..40];
    {
        let mut writing = journal.file.lock().unwrap();
        writing.file.write_all(broken).unwrap();
        writing.is_torn = true;
    }
    journal.intend(&build("r1", "c2")).unwrap();
    journal.intend(&registering("r1", 1)).unwrap();
    let all = [started("r1"), build("r1", "c2"), registering("r1", 1)];
    assert_eq!(read(&path).unwrap(), all);
    journal.end("r1").unwrap();
    assert_eq!(read(&path).unwrap(), all);
}

#[test]
fn an_entry_of_a_step_stays_unfinished_until_the_step_ends_it() {
    let (run, step) = (|| "r1".to_owned(), |name: &str| name.to_owned());
    let start = |name: &str, payload: u32| Entry::StepStarted {
        run: run(),
        variant: key("base"),
        step: step(name),
        payload: serde_json::json!({ "at": payload }),
    };
    let ended = Entry::StepEnded {
        run: run(),
        variant: key("base"),
        step: step("push"),
    };
    let entries = [started("r1"), start("push", 1), start("test", 2), ended];

    let open = unfinished(&entries);

    assert_eq!(open[0].steps.len(), 1);
    assert_eq!(open[0].steps[0].step, "test");
    assert!(open[0].holds_anything());
    assert_eq!(open[0].entries(), [started("r1"), start("test", 2)]);
}
