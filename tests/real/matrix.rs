//! The whole root matrix: every image is its own variant's, and what is written is what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::image;
use crate::project::{Project, is_link, output};

#[test]
fn every_variant_is_built_and_registered_as_itself() {
    let project = Project::new();
    let run = project.run(&["--store", "nix", "-j", "2", "--events", "events.jsonl"]);
    assert_eq!(run.status.code(), Some(0));
    assert_eq!(project.containers(), Vec::<String>::new());

    let plan: Value =
        serde_json::from_slice(&project.run(&["plan", "--format", "json"]).stdout).unwrap();
    let variants = plan["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 10);
    let hashes: BTreeMap<String, String> = project.hashes().into_iter().collect();
    let store_paths: BTreeMap<String, String> = project
        .events("events.jsonl")
        .iter()
        .filter(|event| event["kind"] == "artifact" && event["store_path"].is_string())
        .map(|event| {
            (
                event["name"].as_str().unwrap().to_owned(),
                event["store_path"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let roots = output(Command::new("nix-store").args(["--gc", "--print-roots"]));
    let mut images = BTreeSet::new();
    for variant in variants {
        let (machine, id) = (
            variant["machine"].as_str().unwrap(),
            variant["id"].as_str().unwrap(),
        );
        for artifact in variant["artifacts"].as_array().unwrap() {
            let name = artifact["unique_name"].as_str().unwrap();
            let entry = project.path().join("artifacts").join(machine).join(name);
            let hash = output(
                Command::new("nix-hash")
                    .args(["--type", "sha256", "--flat", "--base32"])
                    .arg(&entry),
            );
            assert_eq!(
                hashes.get(name).map(String::as_str),
                Some(hash.trim()),
                "{name}"
            );
            let store_path = &store_paths[name];
            output(Command::new("nix-store").args(["--check-validity", store_path]));
            assert!(
                is_link(&entry),
                "{} is a link into the store",
                entry.display()
            );
            assert_eq!(
                fs::canonicalize(&entry).unwrap().to_str(),
                Some(store_path.as_str())
            );
            assert!(
                roots.contains(entry.to_str().unwrap()),
                "{name} is a root of the collector"
            );
            let fixed = output(Command::new("nix-store").args([
                "--print-fixed-path",
                "sha256",
                &hash_hex(&entry),
                name,
            ]));
            assert_eq!(fixed.trim(), store_path);
            if artifact["type"] == "wic" {
                assert!(images.insert(hash), "{name} equals another image");
                let profile = variant["axes"]["profile"].as_str();
                let node = variant["axes"]["node"].as_str();
                let role = variant["axes"]["role"].as_str().unwrap();
                let hostname = node.unwrap_or(role);
                let marker: Vec<&str> = [Some(role), profile, node].into_iter().flatten().collect();
                assert_eq!(
                    image::read(&entry, "/etc/hostname").trim(),
                    hostname,
                    "{machine}/{id}"
                );
                assert_eq!(
                    image::read(&entry, "/etc/image-variant").trim(),
                    marker.join(" "),
                    "{machine}/{id}"
                );
            }
        }
    }
    assert_eq!(images.len(), 10);
    assert_eq!(
        hashes.len(),
        store_paths.len(),
        "the hashes file has what is registered, and nothing else"
    );
    left_no_parts(&project);
}

fn hash_hex(path: &std::path::Path) -> String {
    let sum = output(Command::new("sha256sum").arg(path));
    sum.split_whitespace().next().unwrap().to_owned()
}

fn left_no_parts(project: &Project) {
    let parts = output(
        Command::new("find")
            .arg(project.path().join("artifacts"))
            .args(["-name", "*.part", "-o", "-path", "*/.captured/*"]),
    );
    assert_eq!(parts, "", "captures are moved on, not left");
}
