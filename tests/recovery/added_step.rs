//! A step that a caller adds, killed in the middle of what it announced, and recovered by its own `recover`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use isar_build_all::base::failure::Failure;
use isar_build_all::commands::Tool;
use isar_build_all::plan::step_info::always;
use isar_build_all::plan::{BuildDirUse, Scope, StepInfo, StepKind, StepWords};
use isar_build_all::steps::context::StepContext;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::step::{InterruptedStep, Step, StepFuture};
use isar_build_all::steps::variant_state::VariantState;
use support::eventually;
use support::project::Project;

/// Set for the process that is killed: the directory of its project.
const KILLED_IN: &str = "ISAR_TEST_KILLED_IN";

static SEAL_INFO: StepInfo = StepInfo {
    kind: StepKind::new("seal"),
    words: StepWords {
        verb: "seal",
        past: "sealed",
        doing: "sealing",
    },
    mark: 's',
    scopes: &[Scope::FromOutput],
    applies: always,
    lanes: &[],
    build_dir: BuildDirUse::None,
    heavy: false,
    assumed_millis: 1_000,
};

/// Writes a seal in two halves.
struct Seal {
    /// Whether it stops for ever between the halves.
    hangs: bool,
}

static SEAL: Seal = Seal { hangs: false };
static HALF_SEAL: Seal = Seal { hangs: true };

impl Step for Seal {
    fn info(&self) -> &'static StepInfo {
        &SEAL_INFO
    }

    fn run<'a>(&'a self, cx: &'a StepContext, _: &'a mut VariantState) -> StepFuture<'a> {
        Box::pin(async move {
            let seal = cx.output_dir().join("seal");
            let payload = serde_json::json!({ "seal": seal });
            if let Err(result) = cx.announce(payload).await {
                return result;
            }
            fs::write(&seal, "half").unwrap();
            if self.hangs {
                std::future::pending::<()>().await;
            }
            fs::write(&seal, "whole").unwrap();
            cx.settle().await;
            StepResult::succeeded()
        })
    }

    fn recover(&self, left: &InterruptedStep<'_>) -> Result<Option<String>, Failure> {
        let seal = PathBuf::from(left.payload["seal"].as_str().unwrap());
        if left.dry_run {
            return Ok(Some(format!("would break the seal of {}", left.variant)));
        }
        fs::remove_file(seal).map_err(Failure::environment)?;
        Ok(Some(format!("broke the seal of {}", left.variant)))
    }
}

fn tool(seal: &'static Seal) -> Tool {
    let mut tool = Tool::standard();
    tool.parts.steps.push(seal);
    tool
}

/// Calls a tool for the project in `dir`.
fn call(tool: &Tool, dir: &Path, words: &[&str]) -> ExitCode {
    let file = dir.join("variants.toml");
    let file = ["--file", file.to_str().unwrap()];
    let words = [&["isar-build-all"], words, &file].concat();
    tool.main(words.into_iter().map(Into::into))
}

const HASH_ONLY: [&str; 5] = ["--machine", "qemuarm64", "--hash-only", "--store", "local"];

/// A project with an output entry for `--hash-only`.
fn project() -> Project {
    let project = Project::new();
    project.write("artifacts/qemuarm64/isar-base-qemuarm64.wic", "an image");
    project
}

fn seal_of(project: &Project) -> PathBuf {
    project.path().join("artifacts/qemuarm64/seal")
}

/// Also the body of the process that [`killed`] kills.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the process that is killed gets its project this way"
)]
fn a_step_that_settles_leaves_nothing_to_recover() {
    if let Some(dir) = std::env::var_os(KILLED_IN) {
        call(&tool(&HALF_SEAL), Path::new(&dir), &HASH_ONLY);
        return;
    }
    let project = project();

    assert_eq!(
        call(&tool(&SEAL), project.path(), &HASH_ONLY),
        ExitCode::SUCCESS
    );

    assert_eq!(fs::read_to_string(seal_of(&project)).unwrap(), "whole");
    // Without the step, an entry of it could not be recovered.
    let recovered = call(&Tool::standard(), project.path(), &["recover"]);
    assert_eq!(recovered, ExitCode::SUCCESS);
}

/// A project whose run was killed in the middle of the step.
fn killed() -> Project {
    let project = project();
    let name = "added_step::a_step_that_settles_leaves_nothing_to_recover";
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(KILLED_IN, project.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seal = seal_of(&project);
    let is_half = || fs::read_to_string(&seal).is_ok_and(|text| text == "half");
    assert!(eventually(Duration::from_secs(60), is_half), "no seal");
    run.kill().unwrap();
    run.wait().unwrap();
    project
}

#[test]
fn a_step_that_was_killed_is_recovered_by_its_own_recover() {
    let project = killed();
    let recover = |words: &[&str]| call(&tool(&SEAL), project.path(), words);

    assert_eq!(recover(&["recover", "--dry-run"]), ExitCode::SUCCESS);
    assert!(seal_of(&project).exists());
    assert_eq!(recover(&["recover"]), ExitCode::SUCCESS);
    assert!(!seal_of(&project).exists());

    // The second time there is nothing left: `recover` of the step would fail without the file.
    assert_eq!(recover(&["recover"]), ExitCode::SUCCESS);
}

#[test]
fn the_next_run_recovers_a_step_that_was_killed() {
    let project = killed();

    let code = call(&tool(&SEAL), project.path(), &HASH_ONLY);

    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(fs::read_to_string(seal_of(&project)).unwrap(), "whole");
    assert!(
        !project
            .path()
            .join(".isar-build-all/journal.jsonl")
            .exists()
    );
}

#[test]
fn an_entry_of_an_unknown_step_is_kept_until_its_step_is_there() {
    let project = killed();

    let without = call(&Tool::standard(), project.path(), &["recover"]);

    assert_eq!(without, ExitCode::from(10));
    assert_eq!(fs::read_to_string(seal_of(&project)).unwrap(), "half");
    let with = call(&tool(&SEAL), project.path(), &["recover"]);
    assert_eq!(with, ExitCode::SUCCESS);
    assert!(!seal_of(&project).exists());
}
