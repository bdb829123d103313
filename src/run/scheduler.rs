//! The scheduler: drives the ready set, and passes requests to stop on to running steps.
//!
//! One `select!` orders everything that can happen. The scheduler does not know what a step does, and never prints:
//! what happens becomes an event.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::event::numbers;
use crate::event::outcome::{Outcome, RunOutcome};
use crate::event::{EventKind, EventSink, NodeWords, PlannedNode};
use crate::exec::{StopLevel, StopSignal};
use crate::plan::ready::ReadySet;
use crate::plan::skip::Skips;
use crate::plan::threads::ThreadShares;
use crate::plan::{NodeIx, Plan};
use crate::steps::build_share::BuildShare;
use crate::steps::result::StepResult;

/// The reaction of a run to a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// No further variant starts; running variants are finished.
    #[default]
    FinishRunning,
    /// All other variants go on (`-k`).
    KeepGoing,
    /// No further variant starts, and running builds are stopped (`--fail-fast`).
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

    /// Does the node's work with its share of the processor. Ends soon after `stop` asks for it.
    fn run(
        &self,
        node: NodeIx,
        share: BuildShare,
        stop: StopSignal,
    ) -> impl Future<Output = StepResult> + Send;

    /// Why memory pressure keeps further builds from starting beside running ones; absent where it does not.
    fn memory_pressure(&self) -> Option<String> {
        None
    }
}

/// How often memory pressure is checked while a build is held back.
const PRESSURE_CHECK: Duration = Duration::from_secs(1);

/// A plan to walk, with its skips and the reaction to failures.
#[derive(Clone, Copy)]
pub struct WalkOptions<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The variants whose nodes end before any other starts.
    pub skips: &'a Skips,
    /// The reaction to a failed step.
    pub policy: FailurePolicy,
}

/// Walks a plan to its end and returns how the run ended. Emits every event from `plan` to the last `node_finished`. The
/// first request to stop gives up what has not started and stops builds; a second one kills.
pub async fn run<W: Work>(
    options: WalkOptions<'_>,
    work: Arc<W>,
    events: &EventSink,
    requests: mpsc::Receiver<StopRequest>,
) -> RunOutcome {
    let WalkOptions {
        plan,
        skips,
        policy,
    } = options;
    events.emit(EventKind::Plan {
        nodes: planned(plan),
    });
    let mut walk = PlanWalk {
        plan,
        ready: ReadySet::new(plan),
        started: vec![None; plan.nodes.len()],
        threads: plan.cores.map(ThreadShares::of),
        releases: mpsc::unbounded_channel(),
        pressure_announced: false,
        events,
        level: watch::Sender::new(StopLevel::Run),
        policy,
        stop_request: None,
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
            id: plan.id_of(node).to_string(),
            step: node.step.kind.to_string(),
            words: Some(NodeWords {
                verb: node.step.words.verb.to_owned(),
                past: node.step.words.past.to_owned(),
                doing: node.step.words.doing.to_owned(),
            }),
            variant: plan.variant(node.variant).key.to_string(),
            needs: plan.ids(&node.needs),
            after: plan.ids(&node.after),
        })
        .collect()
}

struct PlanWalk<'a> {
    plan: &'a Plan,
    ready: ReadySet,
    started: Vec<Option<(Id, Instant)>>,
    threads: Option<ThreadShares>,
    /// Leaders whose shared state is in the cache.
    releases: (
        mpsc::UnboundedSender<NodeIx>,
        mpsc::UnboundedReceiver<NodeIx>,
    ),
    pressure_announced: bool,
    events: &'a EventSink,
    level: watch::Sender<StopLevel>,
    policy: FailurePolicy,
    stop_request: Option<StopRequest>,
    failed: bool,
}

impl PlanWalk<'_> {
    async fn walk<W: Work>(
        mut self,
        work: Arc<W>,
        mut requests: mpsc::Receiver<StopRequest>,
    ) -> RunOutcome {
        let mut running: JoinSet<(NodeIx, StepResult)> = JoinSet::new();
        loop {
            self.announce_ready();
            self.check_pressure(&*work);
            while let Some(node) = self.ready.take_next() {
                self.start(node, &work, &mut running);
            }
            if self.ready.is_done() {
                break;
            }
            let held = self.ready.is_held();
            if held {
                self.announce_pressure(&*work);
            }
            tokio::select! {
                biased;
                Some(request) = requests.recv() => self.stop(request),
                Some(node) = self.releases.1.recv() => self.release_followers(node),
                Some(ended) = running.join_next_with_id() => {
                    let (node, result) = self.ended(ended);
                    self.finish(node, result);
                }
                () = tokio::time::sleep(PRESSURE_CHECK), if held => {}
            }
        }
        match self.stop_request {
            Some(request) => request.outcome(),
            None if self.failed => RunOutcome::Failed,
            None => RunOutcome::Succeeded,
        }
    }

    /// Ends the skipped nodes. One event for each variant has the reason.
    fn skip(&mut self, skips: &Skips) {
        let mut announced = None;
        for (node, skip) in skips.nodes(self.plan) {
            let planned = self.plan.node(node);
            if announced.replace(planned.variant) != Some(planned.variant) {
                self.events.emit(EventKind::Skip {
                    node: self.id(node),
                    key: skip.key.clone(),
                    why: skip.why.clone(),
                });
            }
            self.ready.skip(node);
            self.emit_finished(node, 0.0, StepResult::skipped(&skip.why));
        }
    }

    fn id(&self, node: NodeIx) -> String {
        self.plan.id(node).to_string()
    }

    fn announce_ready(&mut self) {
        for node in self.ready.take_fresh() {
            self.events.emit(EventKind::NodeReady {
                node: self.id(node),
            });
        }
    }

    /// Holds builds back under memory pressure. Checks only while a build could start beside another.
    fn check_pressure<W: Work>(&mut self, work: &W) {
        let (running, ready) = self.ready.heavy();
        let held = ready > 0 && running + ready > 1 && work.memory_pressure().is_some();
        self.ready.hold_heavy(held);
    }

    fn announce_pressure<W: Work>(&mut self, work: &W) {
        if let Some(why) = work.memory_pressure()
            && !std::mem::replace(&mut self.pressure_announced, true)
        {
            let message = format!("no further build starts for now: {why}");
            let hint = "builds go on when the pressure is lower; the limit is the setting `memory-pressure`";
            self.events.warn(None, message, Some(hint.to_owned()));
        }
    }

    /// The shared state of a leader is in the cache.
    fn release_followers(&mut self, node: NodeIx) {
        let followers = self.ready.followers(node);
        self.ready.release_followers(node);
        if followers > 0 {
            // From here on the leader makes its image, one task after the other.
            if let Some(threads) = &mut self.threads {
                threads.narrow(node);
            }
            let builds = numbers::count(followers, "build");
            let message = format!("its shared state is in the cache: {builds} may start");
            self.events.note(Some(&self.id(node)), message);
        }
    }

    /// The threads of a build that starts: its part of the cores, by the number of builds that could run at once.
    fn threads(&mut self, node: NodeIx) -> Option<u32> {
        let threads = self.threads.as_mut()?;
        let planned = self.plan.node(node);
        if !planned.step.heavy {
            return None;
        }
        // The starting build counts as running already.
        let (running, ready) = self.ready.heavy();
        let fit = self.plan.at_once(planned);
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
            node: self.id(node),
            log: work.log(node),
        });
        let followers = self.ready.followers(node);
        if followers > 0 {
            let builds = numbers::count(followers, "build");
            let message = format!("leads {builds}, until its shared state is in the cache");
            self.events.note(Some(&self.id(node)), message);
        }
        let share = BuildShare::new(node, self.threads(node), self.releases.0.clone());
        let (work, stop) = (Arc::clone(work), self.level.subscribe());
        let task = running.spawn(async move { (node, work.run(node, share, stop).await) });
        self.started[node.0] = Some((task.id(), Instant::now()));
    }

    /// The node that ended, and its result. A step that panicked has failed.
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
        let outcome = result.outcome;
        self.emit_finished(node, seconds, result);
        if let Some(threads) = &mut self.threads {
            threads.take_back(node);
        }
        let dropped = self.ready.finish(node, outcome);
        self.emit_not_run(&dropped, &format!("{} did not succeed", self.id(node)));
        if outcome.is_failure() {
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
        if self.stop_request.is_none() {
            self.stop_request = Some(request);
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

    /// Gives up nodes that have not started, except the light ones of variants that have begun: a good build is always
    /// captured and registered.
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
            !node.step.heavy && variant_begun[node.variant.0]
        });
        self.emit_not_run(&dropped, why);
    }

    fn emit_not_run(&self, nodes: &[NodeIx], why: &str) {
        for &node in nodes {
            self.emit_finished(node, 0.0, StepResult::not_run(why));
        }
    }

    fn emit_finished(&self, node: NodeIx, seconds: f64, result: StepResult) {
        let StepResult { outcome, why, hint } = result;
        self.events.emit(EventKind::NodeFinished {
            node: self.id(node),
            outcome,
            seconds,
            why,
            hint,
        });
    }
}
