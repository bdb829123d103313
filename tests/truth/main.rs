//! Our reading of kas files against kas itself: random trees, loaded by both.
//!
//! `kas_dumps.py` writes the trees and runs kas's own code for `kas dump` on each. `ISAR_TRUTH_TREES` sets the number
//! of trees; `scripts/test` uses the default.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod refusals;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isar_build_all::kas::chain_check::ChainChecker;
use isar_build_all::kas::config::{self, DiskSource, KasConfig, KasPlaces, KasRepo};
use isar_build_all::kas::schema::KasSchema;
use isar_build_all::settings::Environment;
use isar_build_all::tools::{FoundKasSchema, KasOfSchema};
use serde_json::{Value, json};

/// Trees in a run of the test suite; about half of them are valid.
const TREES: usize = 150;

/// Errors of kas that show only when repositories are fetched.
const BEYOND_READING: [&str; 5] = [
    "TaskExecError",
    "RepoFetchError",
    "RepoRefError: Provided tag",
    "RepoRefError: Branch",
    "RepoRefError: Tag",
];

/// The error of kas for a file that its schema does not admit.
const SCHEMA_ERROR: &str = "LoadConfigException: Error(s) ";

/// The interpreter of the installed kas: the first line of its script names it.
fn kas_python() -> PathBuf {
    let kas = which::which("kas").expect("kas is in PATH; scripts/setup installs it");
    let script = std::fs::read_to_string(kas).unwrap();
    let first = script.lines().next().unwrap_or_default();
    PathBuf::from(first.strip_prefix("#!").expect("kas is a script").trim())
}

/// The schema of the installed kas.
fn kas_schema() -> KasSchema {
    let kas = which::which("kas").unwrap();
    let found = FoundKasSchema::ask(KasOfSchema::Installed(&kas), &Environment::capture()).unwrap();
    KasSchema::parse(&found.kas_version, &found.schema).unwrap()
}

/// The chain of a line of `kas_dumps.py`.
fn chain(tree: &Value) -> (Vec<PathBuf>, KasPlaces) {
    let path = |key: &str| PathBuf::from(tree[key].as_str().unwrap());
    let files = tree["files"].as_array().unwrap().iter();
    let files = files.map(|file| PathBuf::from(file.as_str().unwrap()));
    let places = KasPlaces {
        root: path("root"),
        work_dir: path("work"),
        in_container: false,
    };
    (files.collect(), places)
}

/// What `check` says of a tree: violations of kas's schema, and other faults.
fn checked(tree: &Value, schema: &KasSchema) -> (Vec<String>, Vec<String>) {
    let clone = |repo: &KasRepo| repo.path.is_dir().then(|| repo.path.clone());
    let mut checker = ChainChecker::new(Some(schema), &clone);
    let (files, places) = chain(tree);
    checker.chain(&files, &places);
    let (violations, others): (Vec<_>, Vec<_>) = checker
        .into_faults()
        .into_iter()
        .partition(|(_, is_violation)| *is_violation);
    // `kas dump` applies no patches, so it does not look for their repositories.
    let others: Vec<_> = others
        .into_iter()
        .filter(|(one, _)| !one.fault.message.contains("its patch "))
        .collect();
    let messages = |faults: Vec<(config::ChainFault, bool)>| {
        faults
            .into_iter()
            .map(|(one, _)| one.fault.message)
            .collect()
    };
    (messages(violations), messages(others))
}

/// What we make of the chain that a line of `kas_dumps.py` names.
fn read(tree: &Value) -> Result<(KasConfig, Vec<KasRepo>), String> {
    let (files, places) = chain(tree);
    let config = config::load(&files, &places, &mut DiskSource::default())
        .map_err(|fault| format!("{}: {}", fault.file.display(), fault.fault.message))?;
    if !config.missing_repos.is_empty() {
        return Err(format!("missing: {}", config.missing_repos.join(", ")));
    }
    let repos = config.repos().map_err(|fault| fault.to_string())?;
    Ok((config, repos))
}

fn shown(repo: &KasRepo) -> Value {
    let layers = repo
        .layers
        .iter()
        .map(|layer| json!([layer.name, layer.priority]));
    let patches = repo
        .patches
        .iter()
        .map(|patch| json!([patch.id, patch.repo, patch.path]));
    json!({
        "name": repo.name,
        "url": repo.url,
        "path": repo.path,
        "commit": repo.commit,
        "branch": repo.branch,
        "layers": layers.collect::<Vec<_>>(),
        "patches": patches.collect::<Vec<_>>(),
        "signers": repo.signers,
    })
}

/// The first difference between kas's reading of a tree and ours; `None` where there is none.
fn difference(tree: &Value, schema: &KasSchema) -> Option<String> {
    let kas = &tree["kas"];
    let (violations, others) = checked(tree, schema);
    let error = kas["error"].as_str().unwrap_or_default();
    if error.starts_with(SCHEMA_ERROR) {
        return violations
            .is_empty()
            .then(|| format!("kas's schema refuses it: {error}"));
    }
    // kas stops at the first fault, so a violation in a later file may stay unseen behind another fault.
    if error.is_empty() && (violations.len() + others.len()) > 0 {
        return Some(format!(
            "kas takes it, and check does not: {violations:?} {others:?}"
        ));
    }
    let ours = read(tree);
    if let Some(error) = kas["error"].as_str() {
        let beyond = BEYOND_READING.iter().any(|start| error.starts_with(start));
        let refused = ours.is_err() || !violations.is_empty() || !others.is_empty();
        return (!refused && !beyond).then(|| format!("kas refuses it: {error}"));
    }
    let (config, repos) = match ours {
        Ok(ours) => ours,
        Err(error) => return Some(format!("kas takes it, and we do not: {error}")),
    };
    let files: Vec<PathBuf> = config
        .files
        .iter()
        .map(|file| std::fs::canonicalize(&file.path).unwrap())
        .collect();
    let repos: serde_json::Map<String, Value> = repos
        .iter()
        .map(|repo| (repo.key.clone(), shown(repo)))
        .collect();
    for (what, ours, theirs) in [
        ("dump", config.dump(), &kas["dump"]),
        ("files", json!(files), &kas["files"]),
        ("repos", Value::Object(repos), &kas["repos"]),
        ("targets", json!(config.targets()), &kas["targets"]),
    ] {
        if ours != *theirs {
            return Some(format!("{what}: {ours}\n  kas: {theirs}"));
        }
    }
    None
}

#[test]
fn random_trees_are_read_as_kas_reads_them() {
    let count = std::env::var("ISAR_TRUTH_TREES").map_or(TREES, |count| count.parse().unwrap());
    let seed = std::env::var("ISAR_TRUTH_SEED").unwrap_or_else(|_| "1".to_owned());
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth/kas_dumps.py");
    let mut python = Command::new(kas_python())
        .arg(script)
        .arg(dir.path().join("trees"))
        .args([&count.to_string(), &seed])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();

    let schema = kas_schema();
    let mut compared = 0;
    let mut differences = Vec::new();
    for line in BufReader::new(python.stdout.take().unwrap()).lines() {
        let tree: Value = serde_json::from_str(&line.unwrap()).unwrap();
        compared += usize::from(tree["kas"]["error"].is_null());
        if let Some(difference) = difference(&tree, &schema) {
            differences.push(format!("{}: {difference}", tree["tree"]));
        }
    }

    assert!(python.wait().unwrap().success());
    support::counts::count(&[
        ("dumps_compared", compared),
        ("dumps_differ", differences.len()),
    ]);
    println!(
        "{count} trees, {compared} of them valid, {} differ",
        differences.len()
    );
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(
        compared * 3 > count,
        "only {compared} of {count} trees are valid"
    );
}
