//! The failures that this project exists to prevent, each played twice: refused by exactly one gate with
//! nothing registered, and, with that gate left open, registered with a warning. So each scenario is a real
//! one, and each gate is what stands in its way.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use serde_json::Value;

use support::counts::refused;
use support::project::Project;

const ONE: &str = "qemuamd64/server-server-1";
const TWO: &str = "qemuamd64/server-server-2";
const FAKE_ONE: &str = "qemuamd64.server-server-1";
const FAKE_TWO: &str = "qemuamd64.server-server-2";
const WIC: &str = "image-qemuamd64.wic";

/// A run with some gates open.
fn run(
    project: &Project,
    variant: &str,
    sharing: &str,
    open: &[&str],
) -> (Option<i32>, Vec<Value>) {
    let mut command = project.command(&["--variant", variant, "--events", "events.jsonl"]);
    // Nothing is skipped because it looks unchanged.
    command
        .env("ISAR_BUILD_ALL_MAX_AGE", "0")
        .env("ISAR_BUILD_ALL_BUILD_SHARING", sharing);
    if !open.is_empty() {
        command.env("ISAR_BUILD_ALL_SKIP_GATES", open.join(" "));
    }
    let said = project.said(&mut command);
    eprintln!("{}", said.stderr);
    (said.code, project.events("events.jsonl"))
}

fn good(project: &Project, variant: &str, sharing: &str) {
    assert_eq!(run(project, variant, sharing, &[]).0, Some(0));
}

struct Scenario<'a> {
    variant: &'a str,
    sharing: &'a str,
    gate: &'a str,
    /// A gate that stands before it and has to be open for this one to be asked.
    before: &'a [&'a str],
    why: &'a str,
}

impl Scenario<'_> {
    /// Refused by this gate alone, with nothing changed.
    fn is_refused(&self, project: &Project, open: &[&str]) {
        let entry = format!("artifacts/qemuamd64/isar-{}-{}", self.id(), "qemuamd64.wic");
        let state = || {
            let target = fs::read_link(project.path().join(&entry)).ok();
            let hashes = fs::read_to_string(project.path().join("artifact-hashes.nix"));
            (target, hashes.unwrap_or_default())
        };
        let before = state();
        let (code, events) = run(project, self.variant, self.sharing, open);
        assert_eq!(code, Some(10));
        let refusals: Vec<(&str, &str)> = events
            .iter()
            .filter(|event| event["kind"] == "gate" && event["verdict"] == "refused")
            .map(|event| {
                (
                    event["name"].as_str().unwrap(),
                    event["why"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].0, self.gate);
        assert!(refusals[0].1.contains(self.why), "{}", refusals[0].1);
        assert!(events.iter().any(|event| event["outcome"] == "refused"));
        assert_eq!(state(), before, "nothing is registered");
        assert!(
            !project
                .path()
                .join("artifacts/qemuamd64/.captured")
                .exists()
        );
    }

    /// With the gate open it is registered, and a warning says so.
    fn goes_through_open(&self, project: &Project, warning: &str) {
        let open = [self.before, &[self.gate]].concat();
        let (code, events) = run(project, self.variant, self.sharing, &open);
        assert_eq!(code, Some(0));
        let warned = events.iter().any(|event| {
            event["kind"] == "warning" && event["message"].as_str().unwrap().contains(warning)
        });
        assert!(warned, "no warning has {warning}");
        assert!(
            project
                .hashed()
                .contains(&format!("isar-{}-{}", self.id(), "qemuamd64.wic")),
            "{:?}",
            project.hashed()
        );
    }

    fn id(&self) -> &str {
        self.variant.split_once('/').unwrap().1
    }

    fn played_twice(&self, what: &str, make: impl Fn() -> Project) {
        self.is_refused(&make(), self.before);
        refused(what);
        let warning = format!("the gate `{}` is left open", self.gate);
        self.goes_through_open(&make(), &warning);
    }
}

#[test]
fn an_output_that_another_overwrote_is_stale() {
    let scenario = Scenario {
        variant: ONE,
        sharing: "none",
        gate: "freshness",
        before: &[],
        why: "is stale",
    };
    scenario.played_twice("stale", || {
        let project = Project::new();
        good(&project, ONE, "none");
        let deployed =
            format!(".isar-build-all/build/{ONE}/build/tmp/deploy/images/qemuamd64/{WIC}");
        project.write(&deployed, "the image of another variant");
        project.instead(FAKE_ONE, ":");
        project
    });
}

#[test]
fn the_previous_variants_image_is_not_the_next_ones() {
    let scenario = Scenario {
        variant: TWO,
        sharing: "all",
        gate: "freshness",
        before: &["contamination"],
        why: "is stale: belongs to qemuamd64/server-server-1",
    };
    let make = || {
        let project = Project::new();
        good(&project, ONE, "all");
        // It ends well and has made no image.
        project.instead(FAKE_TWO, ":");
        project
    };
    scenario.played_twice("previous_variant", make);
    // As it is delivered, the directory was cleaned before, and there is no image to mistake.
    let project = make();
    let (code, events) = run(&project, TWO, "all", &[]);
    assert_eq!(code, Some(10));
    assert!(!events.iter().any(|event| event["verdict"] == "refused"));
    assert!(
        project
            .hashed()
            .iter()
            .all(|name| name.contains("server-1"))
    );
    // Where the build says that it failed, what lies there is not even looked at.
    let project = make();
    project.instead(FAKE_TWO, "exit 1");
    let everything = [
        "contamination",
        "freshness",
        "architecture",
        "shape",
        "content",
    ];
    assert_eq!(run(&project, TWO, "all", &everything).0, Some(10));
    assert!(
        project
            .hashed()
            .iter()
            .all(|name| name.contains("server-1"))
    );
}

#[test]
fn nothing_is_built_upon_what_another_variant_left() {
    let scenario = Scenario {
        variant: TWO,
        sharing: "all",
        gate: "contamination",
        before: &[],
        why: "the last build in it was qemuamd64/server-server-1's, and cleaning left",
    };
    let make = || {
        let project = Project::new();
        project.instead(
            FAKE_ONE,
            "mkdir -p \"$KAS_BUILD_DIR/tmp\"; echo foreign > \"$KAS_BUILD_DIR/tmp/rootfs\"; deploy",
        );
        good(&project, ONE, "all");
        project.instead(
            FAKE_TWO,
            &format!("deploy; cat \"$KAS_BUILD_DIR/tmp/rootfs\" >> \"$place/{WIC}\" || true"),
        );
        project
    };
    let image =
        |project: &Project| project.read("artifacts/qemuamd64/isar-server-server-2-qemuamd64.wic");
    // Cleaning does not help: nothing is built.
    let project = make();
    project.instead(&format!("{FAKE_TWO}.clean"), ":");
    scenario.is_refused(&project, &[]);
    refused("contaminated");
    // It does: nothing of the other is in the image.
    let project = make();
    good(&project, TWO, "all");
    assert!(!image(&project).contains("foreign"));
    // Not asked for: it is, and a warning says why.
    let project = make();
    scenario.goes_through_open(&project, "is not cleaned before the build");
    assert!(
        image(&project).contains("foreign"),
        "the scenario is a real one"
    );
}

/// Makes the first variant's build deploy an image that a script writes to `$wic`.
fn deploying(script: &str) -> Project {
    let project = Project::new();
    project.instead(
        FAKE_ONE,
        &format!("deploy; wic=$place/{WIC}; rm \"$wic\"; {script}"),
    );
    project
}

#[test]
fn a_program_for_another_architecture_is_foreign() {
    let scenario = Scenario {
        variant: ONE,
        sharing: "none",
        gate: "architecture",
        before: &[],
        why: "is for arm64, the machine is amd64",
    };
    // The head of an ELF file: 64 bits, little endian, an executable for AArch64 (183).
    let elf = r"printf '\177ELF\002\001\001\0\0\0\0\0\0\0\0\0\002\0\267\0rest' > $wic";
    scenario.played_twice("foreign_elf", || deploying(elf));
}

#[test]
fn two_variants_with_one_image_are_one_too_many() {
    let scenario = Scenario {
        variant: TWO,
        sharing: "none",
        gate: "content",
        before: &[],
        why: "is the same file as isar-server-server-1-qemuamd64.wic (qemuamd64/server-server-1)",
    };
    scenario.played_twice("equal_images", || {
        let project = Project::new();
        let matrix = project.read("variants.toml");
        let unique = matrix.replace(
            "extension = \".wic\",",
            "extension = \".wic\", unique = true,",
        );
        assert_ne!(matrix, unique);
        project.write("variants.toml", &unique);
        for fake in [FAKE_ONE, FAKE_TWO] {
            project.instead(fake, &format!("deploy; echo the same > \"$place/{WIC}\""));
        }
        good(&project, ONE, "none");
        project
    });
}

#[test]
fn a_truncated_file_is_not_whole() {
    let scenario = Scenario {
        variant: ONE,
        sharing: "none",
        gate: "shape",
        before: &[],
        why: "it is truncated",
    };
    scenario.played_twice("truncated", || {
        deploying("head -c 100000 /dev/urandom | gzip | head -c 60000 > \"$wic\"")
    });
}

#[test]
fn what_is_no_regular_file_is_refused_whatever_is_left_open() {
    let everything = [
        "contamination",
        "freshness",
        "architecture",
        "shape",
        "content",
    ];
    for (what, script, why) in [
        (
            "symlink",
            "ln -s /etc/passwd \"$wic\"",
            "is a symbolic link",
        ),
        // tests/support/fakes has a sudo of its own.
        (
            "device",
            "/usr/bin/sudo -n mknod \"$wic\" c 1 5",
            "is a character device",
        ),
    ] {
        let scenario = Scenario {
            variant: ONE,
            sharing: "none",
            gate: "shape",
            before: &[],
            why,
        };
        scenario.is_refused(&deploying(script), &[]);
        refused(what);
        scenario.is_refused(&deploying(script), &everything);
    }
    let project = deploying("/usr/bin/sudo -n mknod \"$wic\" b 7 0");
    assert_eq!(run(&project, ONE, "none", &[]).0, Some(10));
    let path = format!(".isar-build-all/build/{ONE}/build/tmp/deploy/images/qemuamd64/{WIC}");
    let kind = fs::symlink_metadata(project.path().join(path))
        .unwrap()
        .file_type();
    assert!(kind.is_block_device(), "it was one, and nobody opened it");
}
