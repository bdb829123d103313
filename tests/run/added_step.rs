//! A step that a caller adds to the tool: a type that implements `Step`, and one line.

use std::fs;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use isar_build_all::base::arch::Arch;
use isar_build_all::commands::Tool;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{Event, Reporter};
use isar_build_all::matrix::{Variant, VariantKey};
use isar_build_all::plan::simulate::simulate;
use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::step_info::always;
use isar_build_all::plan::{
    BuildDirUse, Expected, LaneSize, Plan, Resources, Scope, StepInfo, StepKind, StepLane,
    StepWords,
};
use isar_build_all::report::plain::{Plain, PlainOptions};
use isar_build_all::steps::context::StepContext;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::step::{Step, StepFuture};
use isar_build_all::steps::variant_state::VariantState;
use support::project::Project;

static ATTEST_INFO: StepInfo = StepInfo {
    kind: StepKind::new("attest"),
    words: StepWords {
        verb: "attest",
        past: "attested",
        doing: "attesting",
    },
    mark: 'a',
    scopes: &[Scope::Full, Scope::FromOutput],
    applies: always,
    lanes: &[StepLane {
        name: "attest",
        size: LaneSize::Fixed(1),
    }],
    build_dir: BuildDirUse::None,
    heavy: false,
    assumed_millis: 2_000,
};

/// Writes a file beside the output entries of a variant.
struct Attest;

impl Step for Attest {
    fn info(&self) -> &'static StepInfo {
        &ATTEST_INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, _: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move {
            let file = cx
                .output_dir()
                .join(format!("{}.attested", cx.variant.key.id));
            match cx.blocking(move || fs::write(file, "attested")).await {
                Ok(Ok(())) => StepResult::succeeded(),
                Ok(Err(error)) => StepResult::error(&error, None),
                Err(result) => result,
            }
        })
    }
}

fn tool() -> Tool {
    let mut tool = Tool::standard();
    tool.parts.steps.push(&Attest);
    tool
}

/// Runs `--hash-only` for the arm64 variant, whose output entry is there.
fn hash_only(project: &Project) -> ExitCode {
    project.write("artifacts/qemuarm64/isar-base-qemuarm64.wic", "an image");
    let file = project.path().join("variants.toml");
    let events = project.path().join("events.jsonl");
    let words = [
        "isar-build-all",
        "--file",
        file.to_str().unwrap(),
        "--machine",
        "qemuarm64",
        "--hash-only",
        "--store",
        "local",
        "--events",
        events.to_str().unwrap(),
    ];
    tool().main(words.map(Into::into))
}

fn variant() -> Variant {
    Variant {
        key: VariantKey {
            machine: "m".to_owned(),
            id: "v".to_owned(),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: Vec::new(),
        attr_path: Vec::new(),
        artifacts: Vec::new(),
    }
}

#[test]
fn an_added_step_is_planned_and_simulated() {
    let tool = tool();
    let variants = vec![variant()];
    let resources = Resources {
        build_dirs: vec!["d".to_owned()],
        expected: vec![Expected::assumed(&tool.parts.step_infos())],
        ..Resources::default()
    };

    let plan = Plan::new(&tool.parts.step_infos(), variants, Scope::Full, &resources);

    let ids: Vec<String> = plan
        .nodes
        .iter()
        .map(|node| plan.id_of(node).to_string())
        .collect();
    assert_eq!(
        ids,
        ["build:m/v", "capture:m/v", "register:m/v", "attest:m/v"]
    );
    let last = plan.nodes.last().unwrap();
    assert_eq!(plan.taken(last), [("attest", 1)]);
    let schedule = simulate(&plan, &Skips::none(), |_| Outcome::Succeeded);
    let span = schedule.spans.last().unwrap().unwrap();
    assert_eq!(span.end - span.start, ATTEST_INFO.assumed_millis);
}

#[test]
fn an_added_step_is_run_and_drawn_with_its_words() {
    let project = Project::new();

    let code = hash_only(&project);

    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(
        project.read("artifacts/qemuarm64/base.attested"),
        "attested"
    );
    let drawn = draw(&project);
    assert!(drawn.contains("qemuarm64/base  attested"), "{drawn}");
}

/// The events of the last run as the plain reporter draws them.
fn draw(project: &Project) -> String {
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
    let out = Box::new(written.clone());
    let mut reporter = Plain::new(out, clock, PlainOptions::default());
    for line in project.read("events.jsonl").lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        reporter.event(&event).unwrap();
    }
    reporter.finish().unwrap();
    let written = written.0.lock().unwrap();
    String::from_utf8(written.clone()).unwrap()
}
