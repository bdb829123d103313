use crate::fs::stamp::Stamp;
use crate::state::records::*;

fn key(id: &str) -> VariantKey {
    VariantKey {
        machine: "qemuamd64".to_owned(),
        id: id.to_owned(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn begin(records: &Records, id: &str, dir: &str) -> BuildId {
    let names = ["image.wic".to_owned(), "image-vmlinuz".to_owned()];
    let start = BuildStart {
        run: "r1",
        variant: &key(id),
        build_dir: Path::new(dir),
        kas: "a.yml:b.yml",
        deploy_names: &names,
        started: at(0),
    };
    records.record_build_started(&start).unwrap()
}

fn build(records: &Records, id: &str, dir: &str, outcome: Option<Outcome>, seconds: f64) {
    let build = begin(records, id, dir);
    if let Some(outcome) = outcome {
        records
            .record_build_finished(build, outcome, seconds, at(5))
            .unwrap();
    }
}

#[test]
fn the_last_successful_build_owns_the_files_that_it_deployed() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(&dir.path().join("r.sqlite")).unwrap();
    let owner = |dir: &str, name: &str| records.owner_of_deploy(Path::new(dir), name).unwrap();
    assert_eq!(owner("/b", "image.wic"), None);
    build(&records, "one", "/b", Some(Outcome::Succeeded), 1.0);
    build(&records, "two", "/other", Some(Outcome::Succeeded), 1.0);
    assert_eq!(owner("/b", "image.wic"), Some(key("one")));
    assert_eq!(owner("/other", "image-vmlinuz"), Some(key("two")));
    assert_eq!(owner("/b", "unknown"), None);
    // A failed build may have deployed half of its files.
    build(&records, "three", "/b", Some(Outcome::Failed), 1.0);
    assert_eq!(owner("/b", "image.wic"), None);
    build(&records, "three", "/b", Some(Outcome::Succeeded), 1.0);
    assert_eq!(owner("/b", "image.wic"), Some(key("three")));
    // So may a build that still runs or was killed.
    build(&records, "one", "/b", None, 0.0);
    assert_eq!(owner("/b", "image.wic"), None);
}

#[test]
fn durations_are_those_of_the_last_successful_builds() {
    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(&dir.path().join("r.sqlite")).unwrap();
    build(&records, "one", "/b", Some(Outcome::Succeeded), 100.0);
    build(&records, "one", "/b", Some(Outcome::Succeeded), 80.0);
    build(&records, "one", "/b", Some(Outcome::Failed), 3.0);
    build(&records, "two", "/b", Some(Outcome::Cancelled), 4.0);
    assert_eq!(
        records.last_durations().unwrap(),
        BTreeMap::from([(key("one"), 80.0)])
    );
}

#[test]
fn the_last_registration_of_a_name_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.sqlite");
    let captured = Captured {
        kind: "wic".to_owned(),
        unique_name: "one.wic".to_owned(),
        deploy_name: "image.wic".to_owned(),
        path: PathBuf::from("/a/one.wic"),
        bytes: u64::MAX >> 1,
        sha256: [0xab; 32],
        nar_sha256: None,
        staged: true,
        source: Stamp {
            device: 1,
            inode: u64::MAX,
            bytes: 5,
            mtime: (1, 2),
            ctime: (3, 4),
        },
        added: None,
    };
    {
        let records = Records::open(&path).unwrap();
        records
            .record_run_started("r1", "isar-build-all -k", at(0))
            .unwrap();
        for (place, second) in [("/s/old", 1), ("/s/new", 2)] {
            let registered = Registered {
                captured: &captured,
                store_path: Path::new(place),
            };
            records
                .record_registered("r1", &key("one"), &[registered], at(second))
                .unwrap();
        }
        records
            .record_run_finished("r1", "succeeded", at(9))
            .unwrap();
    }
    let records = Records::open(&path).unwrap();
    assert_eq!(records.last_registered("two.wic").unwrap(), None);
    assert_eq!(
        records.last_registered("one.wic").unwrap(),
        Some(ArtifactRecord {
            variant: key("one"),
            run: "r1".to_owned(),
            bytes: u64::MAX >> 1,
            sha256: "ab".repeat(32),
            store_path: PathBuf::from("/s/new"),
            registered_at: at(2),
            source_inode: u64::MAX,
            source_ctime: (3, 4),
        })
    );
}

#[test]
fn a_newer_corrupt_or_absent_database_is_refused_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.sqlite");
    drop(Records::open(&path).unwrap());
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let newer = Records::open(&path).unwrap_err();
    let text = dir.path().join("text");
    std::fs::write(
        &text,
        "not a database, but long enough to look at ".repeat(40),
    )
    .unwrap();
    let broken = Records::open(&text).unwrap_err();
    let absent = Records::open(&dir.path().join("absent/r.sqlite")).unwrap_err();
    let out = [newer, broken, absent]
        .map(|error| format!("{error}\nhint: {:?}", error.hint()))
        .join("\n");
    insta::assert_snapshot!(out.replace(dir.path().to_str().unwrap(), "DIR")
            .replace(&format!("knows {}", MIGRATIONS.len()), "knows N"), @r#"
    DIR/r.sqlite has schema version 99; this version of isar-build-all knows N
    hint: Some("use the version that wrote it, or another --state-dir")
    DIR/text: file is not a database
    hint: Some("move it away; only history is lost: mv DIR/text DIR/text.broken")
    DIR/absent/r.sqlite: unable to open database file: DIR/absent/r.sqlite
    hint: Some("check the permissions: namei -l DIR/absent/r.sqlite")
    "#);
}

#[test]
fn eight_connections_write_at_once_without_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.sqlite");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let records = Records::open(path).unwrap();
                for _ in 0..10 {
                    build(
                        &records,
                        &format!("v{thread}"),
                        "/b",
                        Some(Outcome::Succeeded),
                        1.0,
                    );
                }
            });
        }
    });
    assert_eq!(
        Records::open(&path)
            .unwrap()
            .last_durations()
            .unwrap()
            .len(),
        8
    );
}

#[test]
fn measures_of_the_last_successful_builds_are_returned_newest_first() {
    use crate::host::usage::ResourceUsage;
    use crate::state::records::measures::{Measure, Past};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.sqlite");
    assert!(Records::read(&path).unwrap().is_none());
    assert!(!path.exists(), "a read-only open creates no file");
    let records = Records::open(&path).unwrap();
    for number in 0..7u32 {
        let id = begin(&records, "one", "/b");
        let took = (number == 6).then_some(ResourceUsage {
            memory: 7 << 30,
            cpu_seconds: 9.5,
            seconds: 5.0,
        });
        let measure = Measure {
            took,
            shared_seconds: Some(2.0),
        };
        records.record_measure(id, &measure).unwrap();
        let outcome = if number == 5 {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        };
        records
            .record_build_finished(id, outcome, f64::from(number), at(5))
            .unwrap();
    }
    build(&records, "two", "/b", Some(Outcome::Failed), 1.0);
    let past = Records::read(&path)
        .unwrap()
        .unwrap()
        .past_builds()
        .unwrap();
    assert_eq!(past.len(), 1, "a failed build has no measures");
    let one = &past[&key("one")];
    let seconds: Vec<f64> = one.iter().map(|past| past.seconds).collect();
    assert_eq!(seconds, [6.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(
        one[0],
        Past {
            seconds: 6.0,
            measure: Measure {
                took: Some(ResourceUsage {
                    memory: 7 << 30,
                    cpu_seconds: 9.5,
                    seconds: 5.0
                }),
                shared_seconds: Some(2.0),
            },
        }
    );
    assert_eq!(one[1].measure.took, None);
}

#[test]
fn older_builds_with_shared_seconds_follow_the_recent_ones() {
    use crate::state::records::measures::{Measure, RECENT};

    let dir = tempfile::tempdir().unwrap();
    let records = Records::open(&dir.path().join("r.sqlite")).unwrap();
    for number in 0..20u32 {
        let id = begin(&records, "one", "/b");
        // The first, the second, and the newest but one.
        let began = [0, 1, 18].contains(&number);
        let measure = Measure {
            took: None,
            shared_seconds: began.then_some(2.0),
        };
        records.record_measure(id, &measure).unwrap();
        records
            .record_build_finished(id, Outcome::Succeeded, f64::from(number), at(5))
            .unwrap();
    }
    let past = &records.past_builds().unwrap()[&key("one")];
    let seconds: Vec<f64> = past.iter().map(|past| past.seconds).collect();
    assert_eq!(seconds[..RECENT], [19.0, 18.0, 17.0, 16.0, 15.0]);
    assert_eq!(seconds[RECENT..], [1.0, 0.0]);
}
