//! The scheduler: drives the ready set, keeps lanes, and passes on requests to stop.
//!
//! One `select!` orders everything that can happen. Knows nothing of what a step does, and never
//! prints: what happens becomes an event.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::model::event::{EventKind, PlannedNode};
use crate::model::outcome::{Outcome, RunOutcome};
use crate::model::plan::{NodeIx, Plan, StepKind};
use crate::model::ready::ReadySet;
use crate::model::skip::Skips;
use crate::model::threads::Threads;
use crate::report::EventSink;
use crate::steps::share::Share;
use crate::steps::{StepResult, StopLevel, StopSignal};

/// What to do after a step has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// Start no further variant; what runs goes on to its end.
    #[default]
    FinishRunning,
    /// Go on with every variant that does not need the failed step (`-k`).
    KeepGoing,
    /// Start no further variant and stop the builds that run (`--fail-fast`).
    StopRunning,
}

/// A request to stop, from a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl StopRequest {
    fn outcome(self) -> RunOutcome {
        match self {
            StopRequest::Interrupt => RunOutcome::Interrupted,
            StopRequest::Terminate => RunOutcome::Terminated,
        }
    }
}

/// The work behind the nodes of a plan.
pub trait Work: Send + Sync + 'static {
    /// The file with the node's whole output, where it has one.
    fn log(&self, node: NodeIx) -> Option<String>;

    /// Does the node's work with its share of the machine. Ends soon after `stop` asks for it.
    fn run(
        &self,
        node: NodeIx,
        share: Share,
        stop: StopSignal,
    ) -> impl Future<Output = StepResult> + Send;

    /// Why no further build is to start beside those that run, where there is a reason.
    fn pressed(&self) -> Option<String> {
        None
    }
}

/// How often a reason not to start is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Walks `plan` to its end and returns how the run ended. Emits everything between the `plan` event
/// and the last `node_finished`. The first request to stop gives up what has not started and stops
/// builds; a second kills. The nodes of `skips` end before any other starts.
pub async fn run<W: Work>(
    plan: &Plan,
    skips: &Skips,
    work: Arc<W>,
    policy: FailurePolicy,
    events: &EventSink,
    requests: mpsc::Receiver<StopRequest>,
) -> RunOutcome {
    events.emit(EventKind::Plan {
        nodes: planned(plan),
    });
    let mut walk = Walk {
        plan,
        ready: ReadySet::new(plan),
        started: vec![None; plan.nodes.len()],
        threads: plan.cores.map(Threads::of),
        go: mpsc::unbounded_channel(),
        said_pressed: false,
        events,
        level: watch::Sender::new(StopLevel::Run),
        policy,
        asked: None,
        failed: false,
    };
    walk.skip(skips);
    walk.walk(work, requests).await
}

/// The nodes of a plan as its event lists them.
#[must_use]
pub fn planned(plan: &Plan) -> Vec<PlannedNode> {
    plan.nodes
        .iter()
        .map(|node| PlannedNode {
            id: node.id.clone(),
            step: node.step,
            variant: plan.variant(node.variant).key.to_string(),
            needs: plan.ids(&node.needs),
            after: plan.ids(&node.after),
        })
        .collect()
}

struct Walk<'a> {
    plan: &'a Plan,
    ready: ReadySet,
    started: Vec<Option<(Id, Instant)>>,
    threads: Option<Threads>,
    go: (
        mpsc::UnboundedSender<NodeIx>,
        mpsc::UnboundedReceiver<NodeIx>,
    ),
    said_pressed: bool,
    events: &'a EventSink,
    level: watch::Sender<StopLevel>,
    policy: FailurePolicy,
    asked: Option<StopRequest>,
    failed: bool,
}

impl Walk<'_> {
    async fn walk<W: Work>(
        mut self,
        work: Arc<W>,
        mut requests: mpsc::Receiver<StopRequest>,
    ) -> RunOutcome {
        let mut running: JoinSet<(NodeIx, StepResult)> = JoinSet::new();
        loop {
            self.announce_ready();
            self.look_for_pressure(&*work);
            while let Some(node) = self.ready.take_next() {
                self.start(node, &work, &mut running);
            }
            if self.ready.is_done() {
                break;
            }
            let held = self.ready.is_held();
            if held {
                self.say_pressed(&*work);
            }
            tokio::select! {
                biased;
                Some(request) = requests.recv() => self.stop(request),
                Some(node) = self.go.1.recv() => self.let_go(node),
                Some(ended) = running.join_next_with_id() => {
                    let (node, result) = self.ended(ended);
                    self.finish(node, result);
                }
                () = tokio::time::sleep(LOOK_AGAIN), if held => {}
            }
        }
        match self.asked {
            Some(request) => request.outcome(),
            None if self.failed => RunOutcome::Failed,
            None => RunOutcome::Succeeded,
        }
    }

    /// Ends what there is nothing to do for. One event a variant says why.
    fn skip(&mut self, skips: &Skips) {
        let mut said = None;
        for (node, skip) in skips.nodes(self.plan) {
            let planned = self.plan.node(node);
            if said.replace(planned.variant) != Some(planned.variant) {
                self.events.emit(EventKind::Skip {
                    node: planned.id.clone(),
                    key: skip.key.clone(),
                    why: skip.why.clone(),
                });
            }
            self.ready.skip(node);
            self.say_finished(node, Outcome::Skipped, 0.0, Some(skip.why.clone()), None);
        }
    }

    fn announce_ready(&mut self) {
        for node in self.ready.take_fresh() {
            self.events.emit(EventKind::NodeReady {
                node: self.plan.node(node).id.clone(),
            });
        }
    }

    /// Looked at only where a build could start beside another.
    fn look_for_pressure<W: Work>(&mut self, work: &W) {
        let (running, ready) = self.ready.builds();
        let held = ready > 0 && running + ready > 1 && work.pressed().is_some();
        self.ready.hold_builds(held);
    }

    fn say_pressed<W: Work>(&mut self, work: &W) {
        if let Some(why) = work.pressed()
            && !std::mem::replace(&mut self.said_pressed, true)
        {
            let message = format!("no further build is started for now: {why}");
            let hint = "it goes on by itself; the setting `memory-pressure` says from when on";
            self.events.warn(None, message, Some(hint.to_owned()));
        }
    }

    /// What a build shares with others is there.
    fn let_go(&mut self, node: NodeIx) {
        let followers = self.ready.led_by(node);
        self.ready.let_go(node);
        if followers > 0 {
            // From here on it makes its image, one step after the other.
            if let Some(threads) = &mut self.threads {
                threads.narrow(node);
            }
            let message = format!("what it shares is there: {followers} more may follow");
            self.events.note(Some(&self.plan.node(node).id), message);
        }
    }

    /// The threads of a build that starts: its part of the cores, by how many could run at once.
    fn threads(&mut self, node: NodeIx) -> Option<u32> {
        let threads = self.threads.as_mut()?;
        let planned = self.plan.node(node);
        if planned.step != StepKind::Build {
            return None;
        }
        // This one is among those that run already.
        let (running, ready) = self.ready.builds();
        let fit = planned
            .lanes
            .iter()
            .filter(|(lane, _)| !self.plan.lane(*lane).is_build_dir())
            .map(|&(lane, places)| self.plan.lane(lane).size / places.max(1))
            .min()
            .unwrap_or(1);
        let width = u32::try_from(running + ready).unwrap_or(u32::MAX).min(fit);
        Some(threads.give(node, width))
    }

    fn start<W: Work>(
        &mut self,
        node: NodeIx,
        work: &Arc<W>,
        running: &mut JoinSet<(NodeIx, StepResult)>,
    ) {
        self.events.emit(EventKind::NodeStarted {
            node: self.plan.node(node).id.clone(),
            log: work.log(node),
        });
        let followers = self.ready.led_by(node);
        if followers > 0 {
            let message = format!("{followers} more wait until what they share with it is there");
            self.events.note(Some(&self.plan.node(node).id), message);
        }
        let share = Share::new(node, self.threads(node), self.go.0.clone());
        let (work, stop) = (Arc::clone(work), self.level.subscribe());
        let task = running.spawn(async move { (node, work.run(node, share, stop).await) });
        self.started[node.0] = Some((task.id(), Instant::now()));
    }

    /// Which node ended, and how; a step that panicked has failed.
    fn ended(&self, ended: Result<(Id, (NodeIx, StepResult)), JoinError>) -> (NodeIx, StepResult) {
        match ended {
            Ok((_, pair)) => pair,
            Err(error) => {
                let id = error.id();
                let node = self
                    .started
                    .iter()
                    .position(|started| started.is_some_and(|(task, _)| task == id))
                    .map_or(NodeIx(0), NodeIx);
                (node, StepResult::failed(format!("internal fault: {error}")))
            }
        }
    }

    fn finish(&mut self, node: NodeIx, result: StepResult) {
        let seconds = self.started[node.0].map_or(0.0, |(_, at)| at.elapsed().as_secs_f64());
        self.say_finished(node, result.outcome, seconds, result.why, result.hint);
        if let Some(threads) = &mut self.threads {
            threads.take_back(node);
        }
        let dropped = self.ready.finish(node, result.outcome);
        self.say_not_run(
            &dropped,
            &format!("{} did not succeed", self.plan.node(node).id),
        );
        if result.outcome.is_failure() {
            self.failed = true;
            match self.policy {
                FailurePolicy::KeepGoing => {}
                FailurePolicy::FinishRunning => self.give_up("a step before it failed"),
                FailurePolicy::StopRunning => {
                    self.give_up("a step before it failed");
                    self.raise(StopLevel::Graceful);
                }
            }
        }
    }

    fn stop(&mut self, request: StopRequest) {
        if self.asked.is_none() {
            self.asked = Some(request);
            self.give_up("the run was stopped");
            self.raise(StopLevel::Graceful);
        } else {
            self.raise(StopLevel::Kill);
        }
    }

    fn raise(&self, level: StopLevel) {
        self.level.send_if_modified(|now| {
            let raised = level > *now;
            *now = level.max(*now);
            raised
        });
    }

    /// Gives up what has not started, except the capture and registration of what is built or on its
    /// way there: a build that ended well is never thrown away.
    fn give_up(&mut self, why: &str) {
        let (plan, ready) = (self.plan, &self.ready);
        let begun: Vec<bool> = plan
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| {
                let ix = NodeIx(index);
                node.needs.is_empty()
                    && (ready.is_running(ix)
                        || ready.outcome(ix).is_some_and(Outcome::lets_descendants_run))
            })
            .collect();
        let mut variant_begun = vec![false; plan.variants.len()];
        for (index, node) in plan.nodes.iter().enumerate() {
            variant_begun[node.variant.0] |= begun[index];
        }
        let dropped = self.ready.give_up_waiting(|ix| {
            let node = plan.node(ix);
            node.step != StepKind::Build && variant_begun[node.variant.0]
        });
        self.say_not_run(&dropped, why);
    }

    fn say_not_run(&self, nodes: &[NodeIx], why: &str) {
        for &node in nodes {
            self.say_finished(node, Outcome::NotRun, 0.0, Some(why.to_owned()), None);
        }
    }

    fn say_finished(
        &self,
        node: NodeIx,
        outcome: Outcome,
        seconds: f64,
        why: Option<String>,
        hint: Option<String>,
    ) {
        let node = self.plan.node(node).id.clone();
        self.events.emit(EventKind::NodeFinished {
            node,
            outcome,
            seconds,
            why,
            hint,
        });
    }
}
