//! What a scenario told: its checks by name, also for `scripts/vm-9p`.

use std::fs::OpenOptions;
use std::io::Write;

use serde::{Deserialize, Serialize};

/// A file that checks are added to, a line of JSON each.
const RESULTS: &str = "ISAR_BUILD_ALL_VM_RESULTS";

#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) ok: bool,
    pub(crate) seconds: f64,
    #[serde(skip_serializing)]
    pub(crate) why: String,
}

impl Check {
    /// The check that a line of the console tells.
    pub(crate) fn told_by(line: &str) -> Option<Check> {
        let json = line.split_once("@check ")?.1.trim();
        Some(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}")))
    }

    /// One that was never told.
    fn missing(name: &str) -> Check {
        Check {
            name: name.to_owned(),
            ok: false,
            seconds: 0.0,
            why: "the scenario ended before it".to_owned(),
        }
    }
}

/// All that were expected, as they were told.
pub(crate) fn complete(told: &[Check], expected: &[&str]) -> Vec<Check> {
    let mut all = told.to_vec();
    for name in expected {
        if !told.iter().any(|check| check.name == *name) {
            all.push(Check::missing(name));
        }
    }
    all
}

#[allow(clippy::disallowed_methods)]
pub(crate) fn record(checks: &[Check]) {
    let Some(path) = std::env::var_os(RESULTS) else {
        return;
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    let lines: String = checks
        .iter()
        .map(|check| format!("{}\n", serde_json::to_string(check).unwrap()))
        .collect();
    // One write: other scenarios add theirs at the same time.
    file.write_all(lines.as_bytes()).unwrap();
}
