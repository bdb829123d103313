//! What the tests really observed, for `scripts/faults` and `scripts/truth`: one JSON line an observation, appended to the file
//! that `ISAR_TEST_COUNTS` names. The script adds them up.

use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::{Map, Value, json};

/// Appends these numbers.
#[allow(clippy::disallowed_methods)]
pub fn count(numbers: &[(&str, usize)]) {
    let line: Map<String, Value> = numbers
        .iter()
        .map(|(name, number)| ((*name).to_owned(), json!(number)))
        .collect();
    append(&Value::Object(line));
}

/// Something was refused.
pub fn refused(what: &str) {
    append(&json!({ "refusals": { what: 1 } }));
}

/// A case of `tests/cases`: asked, and right if `check` does not panic.
pub fn case(check: impl FnOnce()) {
    count(&[("cases", 1)]);
    check();
    count(&[("cases_right", 1)]);
}

#[allow(clippy::disallowed_methods)]
fn append(line: &Value) {
    let Some(path) = std::env::var_os("ISAR_TEST_COUNTS") else {
        return;
    };
    // In one piece, since the tests run beside each other.
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
