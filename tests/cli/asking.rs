//! Everything that asks and runs nothing, and every way to ask wrongly.

use serde_json::Value;

use support::project::Project;

#[test]
fn list_is_aligned_and_complete() {
    let project = Project::new();
    let said = project.run(&["--list"]);
    assert_eq!(said.code, Some(0));
    insta::assert_snapshot!(said.stdout, @"
    VARIANT          MACHINE    ROLE    NODE
    base             qemuamd64  base    -
    base             qemuarm64  base    -
    server-server-1  qemuamd64  server  server-1
    server-server-2  qemuamd64  server  server-2

    Total: 4 variants
    ");
    let json: Value =
        serde_json::from_str(&project.run(&["--list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 4);
    assert_eq!(json[0]["machine"], "qemuamd64");
}

#[test]
fn dry_run_shows_every_step_and_leaves_nothing() {
    let project = Project::new();
    let said = project.run(&["--dry-run", "--variant", "qemuamd64/base"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    insta::assert_snapshot!(said.stdout, @"
    [1/1] qemuamd64/base
      would build     kas-container build kas/base.yml:kas/qemuamd64.yml
                      KAS_WORK_DIR=.isar-build-all/build/qemuamd64/base/work
                      KAS_BUILD_DIR=.isar-build-all/build/qemuamd64/base/build
                      DL_DIR=home/.cache/yocto/downloads/amd64
                      SSTATE_DIR=home/.cache/yocto/sstate
      would capture   image-qemuamd64.wic -> isar-base-qemuamd64.wic  (not deployed yet)
      would register  isar-base-qemuamd64.wic
      would capture   image-qemuamd64.wic.bmap -> isar-base-qemuamd64.wic.bmap  (optional, not deployed yet)
      would register  isar-base-qemuamd64.wic.bmap
      would update    artifact-hashes.nix

    Dry run complete. Nothing was changed.
    ");
    assert!(!project.path().join(".isar-build-all").exists());
    let json: Value =
        serde_json::from_str(&project.run(&["--dry-run", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["variants"].as_array().unwrap().len(), 4);
}

#[test]
fn the_plan_is_that_of_the_contract() {
    let project = Project::new();
    let said = project.run(&["plan", "--format", "json", "--variant", "qemuamd64/base"]);
    insta::assert_snapshot!(said.stdout, @r#"
    {
      "schema": 1,
      "variants": [
        {
          "id": "base",
          "machine": "qemuamd64",
          "arch": "amd64",
          "axes": {
            "role": "base"
          },
          "kas": "kas/base.yml:kas/qemuamd64.yml",
          "attr_path": [
            "qemuamd64",
            "base"
          ],
          "artifacts": [
            {
              "type": "wic",
              "unique_name": "isar-base-qemuamd64.wic",
              "deploy_name": "image-qemuamd64.wic",
              "optional": false
            },
            {
              "type": "bmap",
              "unique_name": "isar-base-qemuamd64.wic.bmap",
              "deploy_name": "image-qemuamd64.wic.bmap",
              "optional": true
            }
          ]
        }
      ],
      "releases": [],
      "nodes": [
        {
          "id": "build:qemuamd64/base",
          "step": "build",
          "variant": "qemuamd64/base",
          "needs": [],
          "lanes": {
            "build": 1,
            "builddir:.isar-build-all/build/qemuamd64/base/build": 1
          }
        },
        {
          "id": "capture:qemuamd64/base",
          "step": "capture",
          "variant": "qemuamd64/base",
          "needs": [
            "build:qemuamd64/base"
          ],
          "lanes": {
            "builddir:.isar-build-all/build/qemuamd64/base/build": 1,
            "capture": 1
          }
        },
        {
          "id": "register:qemuamd64/base",
          "step": "register",
          "variant": "qemuamd64/base",
          "needs": [
            "capture:qemuamd64/base"
          ],
          "lanes": {
            "register": 1
          }
        }
      ]
    }
    "#);
    assert!(!said.stdout.contains("null"));
}

#[test]
fn a_selection_of_nothing_says_what_there_is() {
    let project = Project::new();
    let said = project.run(&["--variant", "sever-server-1"]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"
    error: no variant matches `sever-server-1`
    hint: did you mean `server-server-1`?
    ");
}

#[test]
fn faults_are_all_said_with_exit_3() {
    let project = Project::new();
    let matrix = project
        .read("variants.toml")
        .replace("extension = \".wic\"", "extention = \".wic\"")
        .replace("kas/base.yml", "kas/bse.yml");
    project.write("variants.toml", &matrix);
    let said = project.run(&[]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @r#"
      error: unknown key `extention` in `artifacts.wic`
        ,-[variants.toml:14:9]
     13 | [artifacts]
     14 | wic = { extention = ".wic", format = "any" }
        :         ^^^^|^^^^
        :             `-- not a key of this table
     15 | bmap = { extension = ".wic.bmap", optional = true, format = "any" }
        `----
      hint: did you mean `extension`?

      error: kas file `kas/bse.yml` does not exist
        ,-[variants.toml:28:10]
     27 | [kas]
     28 | chain = ["kas/bse.yml", "{machine.kas}", { file = "kas/{node}.yml", when = { node = "*" } }]
        :          ^^^^^^|^^^^^^
        :                `-- used by `machine = qemuamd64, role = base`
     29 | 
        `----
      hint: did you mean `kas/base.yml`?

    error: 2 faults in variants.toml
    "#);
}

#[test]
fn what_helps_with_a_broken_file_works_with_one() {
    let project = Project::new();
    project.write("variants.toml", "schema = [");
    for args in [
        &["--help"][..],
        &["schema"],
        &["completions", "bash"],
        &["man"],
        &["config"],
        &["doctor"],
    ] {
        let said = project.run(args);
        assert!(!said.stdout.is_empty(), "{args:?}");
        assert_ne!(said.code, Some(3), "{args:?}: {}", said.stderr);
    }
    assert_eq!(project.run(&["--list"]).code, Some(3));
}

#[test]
fn usage_faults_exit_with_2() {
    let project = Project::new();
    for args in [
        &["--no-such"][..],
        &["--adopt"],
        &["--list", "--hash-only"],
        &["-j", "0"],
        &["-k", "--fail-fast"],
        &["--hash-only", "plan"],
    ] {
        assert_eq!(project.run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn without_an_engine_the_exit_code_is_4_and_there_is_a_hint() {
    let project = Project::new();
    let said = project.said(project.command(&[]).env("PATH", "/nonexistent"));
    assert_eq!(said.code, Some(4));
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
}

#[test]
fn without_a_matrix_the_message_says_where_it_was_looked_for() {
    let project = Project::new();
    std::fs::remove_file(project.path().join("variants.toml")).unwrap();
    let said = project.run(&["--list"]);
    assert_eq!(said.code, Some(3));
    insta::assert_snapshot!(said.stderr, @"
    error: there is no variants.toml in [project] or above it
    hint: name the file with `-f FILE`, or write one; `isar-build-all schema` prints its schema
    ");
}

#[test]
fn github_gets_groups_and_a_summary_and_gitlab_sections() {
    let project = Project::new();
    project.instead("qemuarm64.base", "echo '::error::injected'; deploy");
    let summary = project.path().join("summary.md");
    let said = project.said(
        project
            .command(&["--variant", "base"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", &summary),
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        said.stdout.matches("::group::").count(),
        2,
        "{}",
        said.stdout
    );
    assert!(
        !said
            .stdout
            .lines()
            .any(|line| line.starts_with("::error::injected")),
        "{}",
        said.stdout
    );
    assert!(
        project
            .read("summary.md")
            .contains("isar-base-qemuarm64.wic")
    );

    let said = project.said(
        project
            .command(&["--variant", "base"])
            .env("GITLAB_CI", "true"),
    );
    assert!(said.stdout.contains("section_start:"), "{}", said.stdout);
}

#[test]
fn events_on_standard_output_are_nothing_but_events() {
    let project = Project::new();
    for (variable, value) in [
        ("TERM", "dumb"),
        ("GITHUB_ACTIONS", "true"),
        ("GITLAB_CI", "true"),
    ] {
        let said = project.said(
            project
                .command(&["--machine", "qemuarm64", "--events", "-"])
                .env(variable, value),
        );
        assert_eq!(said.code, Some(0));
        assert!(said.stdout.lines().count() > 5);
        for line in said.stdout.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{variable}: {line}"));
        }
        assert!(said.stderr.contains("registered"), "{}", said.stderr);
    }
}

#[test]
fn what_the_tool_does_is_traced_on_request() {
    let project = Project::new();
    let said = project.said(
        project
            .command(&["doctor"])
            .env("ISAR_BUILD_ALL_LOG", "debug"),
    );
    assert!(said.stderr.contains("ask "), "{}", said.stderr);
    assert!(!project.run(&["doctor"]).stderr.contains("ask "));
}
