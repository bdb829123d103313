//! The scheduler over scripted steps: policies after a failure, both signals, panics, event order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::Hub;
use isar_build_all::event::outcome::{Outcome, RunOutcome};
use isar_build_all::event::{Event, EventKind};
use isar_build_all::exec::{StopLevel, StopSignal};
use isar_build_all::matrix::{Variant, VariantKey};
use isar_build_all::plan::skip::{Skip, Skips};
use isar_build_all::plan::{NodeIx, Plan, Resources, Scope, VariantIx};
use isar_build_all::run::scheduler::{FailurePolicy, StopRequest, WalkOptions, Work, run};
use isar_build_all::steps::build_share::BuildShare;
use isar_build_all::steps::result::StepResult;
use tokio::sync::mpsc;

use support::steps::Collect;

/// What a scripted node does.
#[derive(Clone, Copy)]
enum Script {
    Succeed,
    Fail,
    Panic,
    /// Runs until it is asked to stop.
    UntilStopped,
    /// Ignores the first request and ends at the second.
    UntilKilled,
    /// Takes a while and ignores requests, as captures do.
    TakeMillis(u64),
}

struct Scripted {
    ids: Vec<String>,
    scripts: HashMap<&'static str, Script>,
    asked: Mutex<Vec<(String, StopLevel)>>,
}

impl Work for Scripted {
    fn log(&self, _: NodeIx) -> Option<String> {
        None
    }

    async fn run(&self, node: NodeIx, _: BuildShare, mut stop: StopSignal) -> StepResult {
        let id = &self.ids[node.0];
        let wait = async |stop: &mut StopSignal, level: StopLevel| {
            stop.wait_for(|now| *now >= level).await.unwrap();
            self.asked.lock().unwrap().push((id.clone(), level));
            StepResult::cancelled()
        };
        match self
            .scripts
            .get(id.as_str())
            .copied()
            .unwrap_or(Script::Succeed)
        {
            Script::Succeed => StepResult::succeeded(),
            Script::Fail => StepResult::failed("scripted"),
            Script::Panic => panic!("scripted panic"),
            Script::UntilStopped => wait(&mut stop, StopLevel::Graceful).await,
            Script::UntilKilled => wait(&mut stop, StopLevel::Kill).await,
            Script::TakeMillis(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                StepResult::succeeded()
            }
        }
    }
}

struct Ran {
    outcome: RunOutcome,
    ended: HashMap<String, Outcome>,
    started: Vec<String>,
    asked: Vec<(String, StopLevel)>,
    /// Node and reason of every skip.
    skipped: Vec<(String, String)>,
}

/// Walks build, capture, register of the variants a, b, c with `jobs` builds at once; `requests` are
/// sent when the node named beside them starts.
fn walk(
    scripts: &[(&'static str, Script)],
    policy: FailurePolicy,
    jobs: u32,
    requests: &[(&'static str, StopRequest)],
) -> Ran {
    walk_but(&Skips::none(), scripts, policy, jobs, requests)
}

/// The same, less what is skipped.
fn walk_but(
    skips: &Skips,
    scripts: &[(&'static str, Script)],
    policy: FailurePolicy,
    jobs: u32,
    requests: &[(&'static str, StopRequest)],
) -> Ran {
    let variants: Vec<Variant> = ["a", "b", "c"]
        .iter()
        .map(|id| Variant {
            key: VariantKey {
                machine: "m".into(),
                id: (*id).into(),
            },
            arch: Arch::Amd64,
            axes: Vec::new(),
            kas: Vec::new(),
            attr_path: Vec::new(),
            artifacts: Vec::new(),
        })
        .collect();
    let build_dirs = variants
        .iter()
        .map(|variant| variant.key.to_string())
        .collect();
    let plan = Plan::new(
        &isar_build_all::steps::infos(),
        variants,
        Scope::Full,
        &Resources {
            builds: jobs,
            captures: 2,
            build_dirs,
            ..Resources::default()
        },
    );
    let work = Arc::new(Scripted {
        ids: plan
            .nodes
            .iter()
            .map(|node| plan.id_of(node).to_string())
            .collect(),
        scripts: scripts.iter().copied().collect(),
        asked: Mutex::default(),
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (hub, events) = Hub::start(
        "test",
        Arc::new(jiff::Timestamp::now),
        vec![Box::new(Collect(Arc::clone(&seen)))],
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let (sender, receiver) = mpsc::channel(4);
        for (node, request) in requests.iter().copied() {
            let (sender, seen) = (sender.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let started = |event: &Event| {
                    matches!(&event.kind, EventKind::NodeStarted { node: id, .. } if id == node)
                };
                while !seen.lock().unwrap().iter().any(started) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                sender.send(request).await.unwrap();
            });
        }
        let options = WalkOptions {
            plan: &plan,
            skips,
            policy,
        };
        run(options, Arc::clone(&work), &events, receiver).await
    });
    drop(events);
    assert!(hub.join().is_empty());
    let events = seen.lock().unwrap();
    let mut ended = HashMap::new();
    for event in events.iter() {
        if let EventKind::NodeFinished { node, outcome, .. } = &event.kind {
            assert!(
                ended.insert(node.clone(), *outcome).is_none(),
                "{node} ended twice"
            );
        }
    }
    assert_eq!(ended.len(), plan.nodes.len(), "every node ends");
    let started = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::NodeStarted { node, .. } => Some(node.clone()),
            _ => None,
        })
        .collect();
    let asked = work.asked.lock().unwrap().clone();
    let skipped = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Skip { node, why, .. } => Some((node.clone(), why.clone())),
            _ => None,
        })
        .collect();
    Ran {
        outcome,
        ended,
        started,
        asked,
        skipped,
    }
}

#[test]
fn what_is_skipped_ends_without_work_and_the_rest_is_done() {
    let mut skips = Skips::none();
    for index in [0, 2] {
        let skip = Skip {
            key: "k".to_owned(),
            why: "unchanged".to_owned(),
        };
        skips.insert(VariantIx(index), skip);
    }
    let ran = walk_but(&skips, &[], FailurePolicy::FinishRunning, 1, &[]);
    assert_eq!(ran.outcome, RunOutcome::Succeeded);
    assert_eq!(ran.started, ["build:m/b", "capture:m/b", "register:m/b"]);
    for id in ["a", "c"] {
        for step in ["build", "capture", "register"] {
            assert_eq!(ran.ended[&format!("{step}:m/{id}")], Outcome::Skipped);
        }
    }
    let said = |node: &str| (node.to_owned(), "unchanged".to_owned());
    assert_eq!(ran.skipped, [said("build:m/a"), said("build:m/c")]);
}

#[test]
fn all_succeed() {
    let ran = walk(&[], FailurePolicy::FinishRunning, 1, &[]);
    assert_eq!(ran.outcome, RunOutcome::Succeeded);
    assert!(
        ran.ended
            .values()
            .all(|outcome| *outcome == Outcome::Succeeded)
    );
}

#[test]
fn after_a_failure_nothing_new_starts_and_what_is_built_is_registered() {
    let ran = walk(
        &[
            ("capture:m/a", Script::TakeMillis(150)),
            ("build:m/b", Script::Fail),
        ],
        FailurePolicy::FinishRunning,
        1,
        &[],
    );
    assert_eq!(ran.outcome, RunOutcome::Failed);
    assert_eq!(ran.ended["register:m/a"], Outcome::Succeeded);
    assert_eq!(ran.ended["capture:m/b"], Outcome::NotRun);
    assert_eq!(ran.ended["build:m/c"], Outcome::NotRun);
    assert!(!ran.started.contains(&"build:m/c".to_owned()));
}

#[test]
fn keep_going_builds_the_others() {
    let ran = walk(
        &[("build:m/a", Script::Fail)],
        FailurePolicy::KeepGoing,
        1,
        &[],
    );
    assert_eq!(ran.outcome, RunOutcome::Failed);
    assert_eq!(ran.ended["register:m/a"], Outcome::NotRun);
    assert_eq!(ran.ended["register:m/b"], Outcome::Succeeded);
    assert_eq!(ran.ended["register:m/c"], Outcome::Succeeded);
}

#[test]
fn fail_fast_stops_the_other_builds() {
    let ran = walk(
        &[
            ("build:m/a", Script::Fail),
            ("build:m/b", Script::UntilStopped),
        ],
        FailurePolicy::StopRunning,
        2,
        &[],
    );
    assert_eq!(ran.outcome, RunOutcome::Failed);
    assert_eq!(ran.ended["build:m/b"], Outcome::Cancelled);
    assert_eq!(ran.ended["build:m/c"], Outcome::NotRun);
}

#[test]
fn the_first_signal_stops_builds_and_lets_captures_finish() {
    let ran = walk(
        &[
            ("capture:m/a", Script::TakeMillis(300)),
            ("build:m/b", Script::UntilStopped),
        ],
        FailurePolicy::FinishRunning,
        1,
        &[("build:m/b", StopRequest::Interrupt)],
    );
    assert_eq!(ran.outcome, RunOutcome::Interrupted);
    assert_eq!(ran.ended["register:m/a"], Outcome::Succeeded);
    assert_eq!(ran.ended["build:m/b"], Outcome::Cancelled);
    assert_eq!(ran.ended["capture:m/b"], Outcome::NotRun);
    assert_eq!(ran.ended["build:m/c"], Outcome::NotRun);
}

#[test]
fn the_second_signal_kills() {
    let ran = walk(
        &[("build:m/a", Script::UntilKilled)],
        FailurePolicy::FinishRunning,
        1,
        &[
            ("build:m/a", StopRequest::Terminate),
            ("build:m/a", StopRequest::Terminate),
        ],
    );
    assert_eq!(ran.outcome, RunOutcome::Terminated);
    assert_eq!(ran.asked, [("build:m/a".to_owned(), StopLevel::Kill)]);
    assert_eq!(ran.ended["build:m/a"], Outcome::Cancelled);
}

#[test]
fn a_step_that_panics_has_failed_and_nothing_hangs() {
    let ran = walk(
        &[("build:m/a", Script::Panic)],
        FailurePolicy::KeepGoing,
        1,
        &[],
    );
    assert_eq!(ran.outcome, RunOutcome::Failed);
    assert_eq!(ran.ended["build:m/a"], Outcome::Failed);
    assert_eq!(ran.ended["register:m/c"], Outcome::Succeeded);
}
