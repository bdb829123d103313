//! Many processes that update one hashes file.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use isar_build_all::fs::lock::Holder;
use isar_build_all::hashes_file::file::{HashesFile, WAIT};
use isar_build_all::hashes_file::{VariantHashes, parse};
use isar_build_all::matrix::VariantKey;

use crate::scale;
use support::counts::count;

const PROCESSES: u64 = 50;

fn rounds() -> u64 {
    scale("ISAR_FAULTS_UPDATES", 1000) / PROCESSES
}

fn name(writer: u64, round: u64) -> String {
    format!("artifact-{writer}-{round}.wic")
}

fn hash(writer: u64, round: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&writer.to_le_bytes());
    hash[8..16].copy_from_slice(&round.to_le_bytes());
    hash
}

/// What one process does, in a directory beside the file.
fn write_rounds(writer: u64) {
    let path = Path::new("../hashes.nix");
    for round in 0..rounds() {
        let holder = Holder::this("a test", jiff::Timestamp::UNIX_EPOCH);
        let file = HashesFile::lock(path, &holder, WAIT).unwrap();
        let update = VariantHashes {
            gone: Vec::new(),
            key: VariantKey {
                machine: "m".to_owned(),
                id: format!("w{writer}"),
            },
            names: Vec::new(),
            entries: vec![
                (name(writer, round), hash(writer, round)),
                (format!("last-{writer}.wic"), hash(writer, round)),
            ],
        };
        let updates = [update];
        file.write(file.with(&updates).unwrap(), &updates).unwrap();
    }
}

/// The test starts itself once a process, in a directory named after it.
#[test]
fn fifty_processes_lose_no_update() {
    let here = std::env::current_dir().unwrap();
    if let Some(writer) = here
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix("writer-"))
    {
        write_rounds(writer.parse().unwrap());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|writer| {
            let place = dir.path().join(format!("writer-{writer}"));
            fs::create_dir(&place).unwrap();
            Command::new(&program)
                .args([
                    "--exact",
                    "writers::fifty_processes_lose_no_update",
                    "--quiet",
                ])
                .current_dir(place)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let text = fs::read_to_string(dir.path().join("hashes.nix")).unwrap();
    let file = parse(&text).unwrap();
    let mut lost = 0;
    for writer in 0..PROCESSES {
        for round in 0..rounds() {
            lost += u64::from(file.get(&name(writer, round)) != Some(hash(writer, round)));
        }
        let last = file.get(&format!("last-{writer}.wic"));
        assert_eq!(last, Some(hash(writer, rounds() - 1)));
    }
    println!("{} updates, {lost} lost", PROCESSES * rounds());
    let updates = usize::try_from(PROCESSES * rounds()).unwrap();
    let lost_updates = usize::try_from(lost).unwrap();
    count(&[("updates", updates), ("updates_lost", lost_updates)]);
    assert_eq!(lost, 0);
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("writer-") && name != "hashes.nix")
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
