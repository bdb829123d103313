//! `nix/default.nix` under the real Nix evaluator: attribute paths, names, hashes, and what is missing.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// Evaluates `expression` over the library's result, with a `requireFile` that shows what it is given.
fn evaluate(expression: &str) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let artifact = |kind: &str, name: &str, optional: bool| json!({"type": kind, "unique_name": name, "deploy_name": name, "optional": optional});
    let plan = json!({"schema": 1, "variants": [
        {"id": "base", "machine": "m", "arch": "amd64", "axes": {}, "kas": "a.yml", "attr_path": ["m", "base"],
         "artifacts": [artifact("wic", "isar-base-m.wic", false), artifact("kernel", "isar-base-m-vmlinux", false), artifact("bmap", "isar-base-m.wic.bmap", true)]},
        {"id": "server-1", "machine": "m", "arch": "amd64", "axes": {}, "kas": "a.yml", "attr_path": ["m", "server", "server-1"],
         "artifacts": [artifact("wic", "isar-server-1-m.wic", false)]},
    ]});
    fs::write(place.join("plan.json"), plan.to_string()).unwrap();
    fs::write(
        place.join("variants.toml"),
        "[artifacts]\nwic = { extension = \".wic\" }\nkernel = { extension = \"-vmlinuz\", attr = \"vmlinuz\" }\n\
         bmap = { extension = \".wic.bmap\", attr = \"map\" }\n\
         [machines.m]\nartifacts = [\"wic\", { type = \"kernel\", extension = \"-vmlinux\", attr = \"vmlinux\" }, \"bmap\"]\n",
    )
    .unwrap();
    fs::write(
        place.join("hashes.nix"),
        "{\n  \"isar-base-m.wic\" = \"aaa\";\n  \"isar-base-m-vmlinux\" = \"bbb\";\n}\n",
    )
    .unwrap();
    let expression = format!(
        "let artifacts = import {library} {{ requireFile = args: {{ inherit (args) name sha256; }}; }} {{
           plan = builtins.fromJSON (builtins.readFile {place}/plan.json);
           matrix = builtins.fromTOML (builtins.readFile {place}/variants.toml);
           hashes = import {place}/hashes.nix;
         }}; in {expression}",
        library = support::root().join("nix").display(),
        place = place.display(),
    );
    let output = Command::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "--expr", &expression])
        .env("NIX_STORE_DIR", place.join("store"))
        .env("NIX_STATE_DIR", place.join("state"))
        .env("NIX_LOG_DIR", place.join("log"))
        .output()
        .expect("nix-instantiate is installed by scripts/setup");
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn artifacts_have_their_attributes() {
    assert_eq!(
        evaluate("artifacts.m.base").unwrap(),
        json!({"wic": {"name": "isar-base-m.wic", "sha256": "aaa"}, "vmlinux": {"name": "isar-base-m-vmlinux", "sha256": "bbb"}}),
        "the machine's own attribute for its kernel; the optional artifact that was never registered is absent"
    );
}

#[test]
fn an_artifact_without_a_hash_says_how_to_get_it() {
    let error = evaluate("artifacts.m.server.\"server-1\".wic").unwrap_err();
    assert!(
        error.contains("isar-build-all --variant m/server-1"),
        "{error}"
    );
}
