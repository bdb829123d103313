//! Variants that share a build directory, and what `graph` shows of them.

use support::project::{Project, outcome};

const SERVERS: [&str; 2] = ["--variant", "qemuamd64/server-*"];

fn sharing(project: &Project, word: &str, args: &[&str]) -> support::project::Said {
    project.said(
        project
            .command(args)
            .env("ISAR_BUILD_ALL_BUILD_SHARING", word),
    )
}

#[test]
fn a_shared_directory_is_cleaned_between_variants_and_each_gets_its_own_image() {
    let project = Project::new();
    // Each deploys only where nothing of the other is left, as a restore from shared state would mix it.
    for id in ["server-1", "server-2"] {
        project.instead(
            &format!("qemuamd64.server-{id}"),
            "[ ! -e \"$KAS_BUILD_DIR/tmp\" ] && deploy",
        );
    }
    let args = [&SERVERS[..], &["-j", "2", "--events", "events.jsonl"]].concat();
    let said = sharing(&project, "machine", &args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for id in ["server-1", "server-2"] {
        let image = project.read(&format!(
            "artifacts/qemuamd64/isar-server-{id}-qemuamd64.wic"
        ));
        assert!(image.ends_with(&format!("server-{id}\n")), "{image}");
    }
    assert!(
        project
            .path()
            .join(".isar-build-all/build/qemuamd64/.shared/build/tmp")
            .is_dir()
    );
    assert_eq!(project.read("fake/cleaned"), "qemuamd64/server-server-2\n");
    let events = project.events("events.jsonl");
    let place = |node: &str, kind: &str| {
        events
            .iter()
            .position(|event| event["node"] == node && event["kind"] == kind)
            .unwrap()
    };
    let captured = place("capture:qemuamd64/server-server-1", "node_finished");
    assert!(captured < place("build:qemuamd64/server-server-2", "node_started"));
    assert!(
        events.iter().any(|event| event["kind"] == "warning"
            && event["message"]
                .as_str()
                .unwrap()
                .contains("the last build in it was qemuamd64/server-server-1's")),
        "it is said"
    );
}

#[test]
fn the_image_that_another_variant_left_is_refused() {
    let project = Project::new();
    let first = ["--variant", "qemuamd64/server-server-1"];
    assert_eq!(sharing(&project, "machine", &first).code, Some(0));
    // Cleaning overlooks the image, and the build, which says that all went well, makes none.
    project.instead(
        "qemuamd64.server-server-2.clean",
        "mkdir -p \"$KAS_BUILD_DIR/out/deploy/images\"; \
         mv \"$KAS_BUILD_DIR/tmp/deploy/images/qemuamd64\" \"$KAS_BUILD_DIR/out/deploy/images\"; \
         rm -r \"$KAS_BUILD_DIR/tmp\"",
    );
    project.instead("qemuamd64.server-server-2", ":");
    let second = [
        "--variant",
        "qemuamd64/server-server-2",
        "--events",
        "events.jsonl",
    ];
    let said = sharing(&project, "machine", &second);
    assert_eq!(said.code, Some(10), "{}", said.stderr);
    let events = project.events("events.jsonl");
    assert_eq!(
        outcome(&events, "capture:qemuamd64/server-server-2"),
        "refused"
    );
    assert!(
        said.stderr
            .contains("stale: belongs to qemuamd64/server-server-1, written "),
        "{}",
        said.stderr
    );
    assert_eq!(project.hashed().len(), 2, "those of the first");
}

#[test]
fn with_k_a_failure_does_not_keep_the_next_from_the_directory() {
    let project = Project::new();
    project.instead("qemuamd64.server-server-1", "deploy; exit 1");
    let args = [&SERVERS[..], &["-k"]].concat();
    let said = sharing(&project, "all", &args);
    assert_eq!(said.code, Some(10));
    assert_eq!(
        project.hashed(),
        [
            "isar-server-server-2-qemuamd64.wic",
            "isar-server-server-2-qemuamd64.wic.bmap"
        ]
    );
    assert_eq!(project.read("fake/cleaned"), "qemuamd64/server-server-2\n");
}

#[test]
fn the_graph_shows_what_follows_what() {
    let project = Project::new();
    let graph = |word: &str, format: &str| {
        let args = [&SERVERS[..], &["graph", "--format", format]].concat();
        let said = sharing(&project, word, &args);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout
    };
    insta::assert_snapshot!(graph("machine", "text"), @"
    build:qemuamd64/server-server-1
    capture:qemuamd64/server-server-1
      needs    build:qemuamd64/server-server-1
    register:qemuamd64/server-server-1
      needs    capture:qemuamd64/server-server-1
    build:qemuamd64/server-server-2
      follows  capture:qemuamd64/server-server-1  (both in .isar-build-all/build/qemuamd64/.shared/build)
    capture:qemuamd64/server-server-2
      needs    build:qemuamd64/server-server-2
    register:qemuamd64/server-server-2
      needs    capture:qemuamd64/server-server-2

    Total: 6 steps, 5 edges (1 collision)
    ");
    insta::assert_snapshot!(graph("machine", "dot"), @r#"
    digraph isar_build_all {
      rankdir = LR;
      node [shape = box];
      "build:qemuamd64/server-server-1";
      "capture:qemuamd64/server-server-1";
      "register:qemuamd64/server-server-1";
      "build:qemuamd64/server-server-2";
      "capture:qemuamd64/server-server-2";
      "register:qemuamd64/server-server-2";
      "build:qemuamd64/server-server-1" -> "capture:qemuamd64/server-server-1";
      "capture:qemuamd64/server-server-1" -> "register:qemuamd64/server-server-1";
      "build:qemuamd64/server-server-2" -> "capture:qemuamd64/server-server-2";
      "capture:qemuamd64/server-server-2" -> "register:qemuamd64/server-server-2";
      "capture:qemuamd64/server-server-1" -> "build:qemuamd64/server-server-2" [style = dashed, color = red, label = ".isar-build-all/build/qemuamd64/.shared/build"];
    }
    "#);
    let json: serde_json::Value = serde_json::from_str(&graph("machine", "json")).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 6);
    let collisions: Vec<_> = json["edges"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|edge| edge["kind"] == "collision")
        .collect();
    assert_eq!(collisions.len(), 1);
    assert_eq!(collisions[0]["from"], "capture:qemuamd64/server-server-1");
    assert_eq!(collisions[0]["to"], "build:qemuamd64/server-server-2");
    assert!(graph("none", "text").ends_with("6 steps, 4 edges (0 collisions)\n"));
    let said = project.run(&["plan", "--format", "dot"]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
}

#[test]
fn two_captures_that_would_take_one_file_are_refused() {
    let project = Project::new();
    let taking = [&SERVERS[..], &["--rename-existing", "--build-dir", "old"]].concat();
    let said = project.run(&taking);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"
    error: qemuamd64/server-server-1 and qemuamd64/server-server-2 would both capture image-qemuamd64.wic from old, but it belongs to one of them
    hint: select the one that it belongs to: --variant qemuamd64/server-server-1
    ");
    let shared = [&SERVERS[..], &["--rename-existing"]].concat();
    assert_eq!(sharing(&project, "machine", &shared).code, Some(3));
    let own = [&SERVERS[..], &["--rename-existing"]].concat();
    assert_eq!(project.run(&own).code, Some(10), "nothing lies there");
}
