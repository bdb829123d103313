//! What a container takes is measured while it runs, and is what the next build is expected to take.

use rusqlite::Connection;
use serde_json::Value;

use crate::project::Project;

#[test]
fn what_a_container_takes_is_measured() {
    let project = Project::new();
    let mut command = project.command(&["--store", "local", "--variant", "qemuamd64/base"]);
    let run = command.env("ISAR_BUILD_ALL_JOBS", "auto").output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{said}");
    let records = project.path().join(".isar-build-all/records.sqlite");
    let (memory, cpu, seconds, built): (i64, f64, f64, f64) = Connection::open(records)
        .unwrap()
        .query_row(
            "SELECT memory, cpu_seconds, measured_seconds, seconds FROM build_measures
             JOIN builds ON builds.id = build_measures.build",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    // A container with kas and BitBake in it has tens of MiB and no less than a second of work.
    assert!((16 << 20..8_i64 << 30).contains(&memory), "{memory} bytes");
    assert!(
        cpu > 0.3 && seconds > 0.5 && seconds <= built,
        "{cpu} s in {seconds} of {built}"
    );
    let plan = project
        .command(&["plan", "--format", "json"])
        .env("ISAR_BUILD_ALL_JOBS", "auto")
        .output()
        .unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let node = |id: &str| {
        plan["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|node| node["id"] == id)
            .unwrap()
    };
    let memory = |id: &str| node(id)["lanes"]["memory"].as_u64().unwrap();
    assert_ne!(
        memory("build:qemuamd64/base"),
        memory("build:qemuarm64/base"),
        "one was measured"
    );
}
