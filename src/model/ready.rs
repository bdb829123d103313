//! The ready set: which node may start now, given what has ended and which lanes are free.
//!
//! Pure, and the target of property tests: no node before what it needs, no lane over its size,
//! it always ends, and a failure keeps exactly the descendants from running. The idea of a pure queue
//! under an effectful loop is cargo's `DependencyQueue`.

use std::collections::{BTreeMap, BTreeSet};

use super::outcome::Outcome;
use super::plan::{NodeIx, Plan};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { unmet: usize },
    Running,
    Done(Outcome),
}

/// The state of a plan that is being walked.
#[derive(Debug, Clone)]
pub struct ReadySet {
    state: Vec<State>,
    dependents: Vec<Vec<NodeIx>>,
    followers: Vec<Vec<NodeIx>>,
    lanes: Vec<BTreeMap<String, u32>>,
    free: BTreeMap<String, u32>,
    ready: BTreeSet<(std::cmp::Reverse<usize>, NodeIx)>,
    depth: Vec<usize>,
    open: usize,
}

impl ReadySet {
    /// Starts a walk over `plan`. Among ready nodes the deeper one goes first, so that a finished
    /// build is captured and registered before the next build takes the machine; then plan order.
    #[must_use]
    pub fn new(plan: &Plan) -> ReadySet {
        let count = plan.nodes.len();
        let mut dependents = vec![Vec::new(); count];
        let mut followers = vec![Vec::new(); count];
        let mut depth = vec![0; count];
        let mut state = Vec::with_capacity(count);
        for (index, node) in plan.nodes.iter().enumerate() {
            for need in &node.needs {
                dependents[need.0].push(NodeIx(index));
                depth[index] = depth[index].max(depth[need.0] + 1);
            }
            for before in &node.after {
                followers[before.0].push(NodeIx(index));
            }
            state.push(State::Waiting {
                unmet: node.needs.len() + node.after.len(),
            });
        }
        let ready = (0..count)
            .filter(|&index| state[index] == State::Waiting { unmet: 0 })
            .map(|index| (std::cmp::Reverse(depth[index]), NodeIx(index)))
            .collect();
        ReadySet {
            state,
            dependents,
            followers,
            lanes: plan.nodes.iter().map(|node| node.lanes.clone()).collect(),
            free: plan.lanes.clone(),
            ready,
            depth,
            open: count,
        }
    }

    /// Takes the next node whose needs are met and whose lanes are all free, and takes those lanes,
    /// all at once. `None` when nothing can start now.
    pub fn take_next(&mut self) -> Option<NodeIx> {
        let entry = *self.ready.iter().find(|(_, ix)| self.fits(*ix))?;
        self.ready.remove(&entry);
        let ix = entry.1;
        for (lane, places) in &self.lanes[ix.0] {
            if let Some(free) = self.free.get_mut(lane) {
                *free -= places;
            }
        }
        self.state[ix.0] = State::Running;
        Some(ix)
    }

    fn fits(&self, ix: NodeIx) -> bool {
        self.lanes[ix.0]
            .iter()
            .all(|(lane, places)| self.free.get(lane).is_some_and(|free| free >= places))
    }

    /// Says how a running node ended and gives its lanes back. Returns the nodes that now will not run.
    pub fn finish(&mut self, ix: NodeIx, outcome: Outcome) -> Vec<NodeIx> {
        if self.state[ix.0] == State::Running {
            for (lane, places) in &self.lanes[ix.0] {
                if let Some(free) = self.free.get_mut(lane) {
                    *free += places;
                }
            }
        }
        self.settle(ix, outcome);
        if outcome.lets_descendants_run() {
            for dependent in self.dependents[ix.0].clone() {
                self.meet(dependent);
            }
            Vec::new()
        } else {
            self.drop_descendants(ix)
        }
    }

    /// Ends a node that has not started and has nothing to do; what needs it may run.
    pub fn skip(&mut self, ix: NodeIx) {
        self.ready
            .remove(&(std::cmp::Reverse(self.depth[ix.0]), ix));
        self.finish(ix, Outcome::Skipped);
    }

    /// One thing less that a waiting node waits for.
    fn meet(&mut self, ix: NodeIx) {
        if let State::Waiting { unmet } = &mut self.state[ix.0] {
            *unmet -= 1;
            if *unmet == 0 {
                self.ready.insert((std::cmp::Reverse(self.depth[ix.0]), ix));
            }
        }
    }

    /// The node has ended; who only waited for that waits no longer.
    fn settle(&mut self, ix: NodeIx, outcome: Outcome) {
        if matches!(self.state[ix.0], State::Done(_)) {
            return;
        }
        self.open -= 1;
        self.state[ix.0] = State::Done(outcome);
        for follower in self.followers[ix.0].clone() {
            self.meet(follower);
        }
    }

    fn drop_descendants(&mut self, ix: NodeIx) -> Vec<NodeIx> {
        let mut dropped = Vec::new();
        let mut stack = self.dependents[ix.0].clone();
        while let Some(next) = stack.pop() {
            if matches!(self.state[next.0], State::Waiting { .. }) {
                self.settle(next, Outcome::NotRun);
                stack.extend(self.dependents[next.0].iter().copied());
                dropped.push(next);
            }
        }
        dropped.sort();
        dropped
    }

    /// Gives up every node that has not started, except those that `keep` names (what finishes
    /// work already done). Returns the ones given up.
    pub fn give_up_waiting(&mut self, keep: impl Fn(NodeIx) -> bool) -> Vec<NodeIx> {
        let mut dropped = Vec::new();
        for index in 0..self.state.len() {
            let ix = NodeIx(index);
            if matches!(self.state[index], State::Waiting { .. }) && !keep(ix) {
                self.ready
                    .remove(&(std::cmp::Reverse(self.depth[index]), ix));
                self.settle(ix, Outcome::NotRun);
                dropped.push(ix);
                dropped.extend(self.drop_descendants(ix));
            }
        }
        dropped.sort();
        dropped
    }

    /// Whether nothing waits or runs any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Whether a node is ready but for its lanes: its needs are all met and it has not started.
    #[must_use]
    pub fn ready(&self) -> Vec<NodeIx> {
        self.ready.iter().map(|(_, ix)| *ix).collect()
    }

    /// How a node ended, where it has.
    #[must_use]
    pub fn outcome(&self, ix: NodeIx) -> Option<Outcome> {
        match self.state[ix.0] {
            State::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether a node runs now.
    #[must_use]
    pub fn is_running(&self, ix: NodeIx) -> bool {
        self.state[ix.0] == State::Running
    }
}
