//! The ready set: which node may start now, given the nodes that have ended and the lanes that are free.
//!
//! Pure, and the target of property tests: no node starts before its needs, no lane exceeds its size, every walk
//! ends, and a failure keeps exactly the descendants from running. A pure queue under an effectful loop is the idea
//! of cargo's `DependencyQueue`.
//!
//! Waiting nodes that take the same places of the same lanes form one *demand class*, sorted by start rank: when its
//! first node does not fit, none does. So a start looks at one node a class, however many nodes wait. Lanes whose
//! users can never meet (a variant's own build directory) are not part of a demand.

mod groups;
mod rank;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::event::outcome::Outcome;
use crate::plan::ready::groups::GroupLeaders;
use crate::plan::ready::rank::StartRank;
use crate::plan::{LaneIx, NodeIx, Plan};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeState {
    /// `unmet` nodes before it have not ended.
    Waiting {
        unmet: usize,
    },
    /// Skipped, but its dependents wait until the `unmet` nodes before it have ended.
    Passed {
        unmet: usize,
    },
    Running,
    Done(Outcome),
}

/// Waiting nodes with the same demand.
#[derive(Debug, Clone)]
struct DemandClass {
    lanes: Vec<(LaneIx, u32)>,
    heavy: bool,
    waiting: BTreeSet<StartRank>,
}

/// The state of a walk over a plan.
#[derive(Debug, Clone)]
pub struct ReadySet {
    state: Vec<NodeState>,
    dependents: Vec<Vec<NodeIx>>,
    followers: Vec<Vec<NodeIx>>,
    rank: Vec<StartRank>,
    class_of: Vec<usize>,
    classes: Vec<DemandClass>,
    /// The first node of each class with waiting nodes.
    heads: BTreeSet<(StartRank, usize)>,
    free: Vec<u32>,
    leaders: GroupLeaders,
    /// Nodes that became ready since [`ReadySet::take_fresh`].
    fresh: Vec<NodeIx>,
    /// Whether further heavy nodes are held back.
    held: bool,
    ready_heavy: usize,
    running_heavy: usize,
    /// Nodes that have not ended.
    open: usize,
    /// Skipped nodes whose predecessors have ended and that have not been ended themselves yet.
    passed: Vec<NodeIx>,
}

impl ReadySet {
    /// Starts a walk over `plan`.
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
            state.push(NodeState::Waiting {
                unmet: node.needs.len() + node.after.len(),
            });
        }
        let rank: Vec<StartRank> = (0..count)
            .map(|index| {
                let weight = plan.order.get(index).copied().unwrap_or(0);
                (Reverse(depth[index]), Reverse(weight), NodeIx(index))
            })
            .collect();
        let (classes, class_of) = classes(plan);
        let mut ready = ReadySet {
            state,
            dependents,
            followers,
            rank,
            class_of,
            classes,
            heads: BTreeSet::new(),
            free: plan.lanes.iter().map(|lane| lane.size).collect(),
            leaders: GroupLeaders::of(plan),
            fresh: Vec::new(),
            held: false,
            ready_heavy: 0,
            running_heavy: 0,
            open: count,
            passed: Vec::new(),
        };
        for index in 0..count {
            if ready.state[index] == (NodeState::Waiting { unmet: 0 }) {
                ready.admit(NodeIx(index));
            }
        }
        ready
    }

    /// Starts the next node whose needs are met and whose lanes are all free, and takes these lanes all at once.
    /// `None` when no node can start now.
    pub fn take_next(&mut self) -> Option<NodeIx> {
        self.elect();
        let held = self.held && self.running_heavy > 0;
        let &(rank, class) = self.heads.iter().find(|(_, class)| {
            let class = &self.classes[*class];
            !(held && class.heavy) && self.fits(&class.lanes)
        })?;
        self.leave(rank, class);
        for (lane, places) in &self.classes[class].lanes {
            self.free[lane.0] -= places;
        }
        self.state[rank.2.0] = NodeState::Running;
        self.running_heavy += usize::from(self.classes[class].heavy);
        Some(rank.2)
    }

    fn fits(&self, lanes: &[(LaneIx, u32)]) -> bool {
        lanes
            .iter()
            .all(|(lane, places)| self.free[lane.0] >= *places)
    }

    /// Holds back further heavy nodes beside those that run, or lets them start. One may always run.
    pub fn hold_heavy(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether a heavy node could start and is held back.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
            && self.running_heavy > 0
            && self.heads.iter().any(|(_, class)| {
                let class = &self.classes[*class];
                class.heavy && self.fits(&class.lanes)
            })
    }

    /// The number of heavy nodes that run, and of those that could start if all lanes were free.
    #[must_use]
    pub fn heavy(&self) -> (usize, usize) {
        (self.running_heavy, self.ready_heavy)
    }

    /// Ends a running node and frees its lanes. Returns the nodes that will not run because of its outcome.
    pub fn finish(&mut self, ix: NodeIx, outcome: Outcome) -> Vec<NodeIx> {
        if self.state[ix.0] == NodeState::Running {
            let class = &self.classes[self.class_of[ix.0]];
            for (lane, places) in &class.lanes {
                self.free[lane.0] += places;
            }
            self.running_heavy -= usize::from(class.heavy);
        }
        let dropped = if outcome.lets_descendants_run() {
            self.end(ix, outcome);
            Vec::new()
        } else {
            self.settle(ix, outcome);
            self.drop_descendants(ix)
        };
        self.pass_on();
        dropped
    }

    /// Skips a node that has not started; its dependents may run. Nodes before and after it in a shared build
    /// directory still keep their order.
    pub fn skip(&mut self, ix: NodeIx) {
        self.withdraw(ix);
        match self.state[ix.0] {
            NodeState::Waiting { unmet } if unmet > 0 => {
                self.state[ix.0] = NodeState::Passed { unmet }
            }
            _ => {
                self.finish(ix, Outcome::Skipped);
            }
        }
    }

    /// The shared state of a running build is in the cache: its followers may start.
    pub fn release_followers(&mut self, ix: NodeIx) {
        if self.state[ix.0] == NodeState::Running {
            for rank in self.leaders.warm(ix) {
                self.enqueue(rank);
            }
        }
    }

    /// Whether a node is the leader of a group that is still cold.
    #[must_use]
    pub fn leads(&self, ix: NodeIx) -> bool {
        self.leaders.leads(ix)
    }

    /// How many nodes wait for this group leader.
    #[must_use]
    pub fn followers(&self, ix: NodeIx) -> usize {
        self.leaders.followers(ix)
    }

    /// One node that a waiting node waits for has ended.
    fn meet(&mut self, ix: NodeIx) {
        match &mut self.state[ix.0] {
            NodeState::Waiting { unmet } => {
                *unmet -= 1;
                if *unmet == 0 {
                    self.admit(ix);
                }
            }
            NodeState::Passed { unmet } => {
                *unmet -= 1;
                if *unmet == 0 {
                    self.passed.push(ix);
                }
            }
            NodeState::Running | NodeState::Done(_) => {}
        }
    }

    /// Ends skipped nodes that wait for nothing. Each may release the next, so this is a loop: a recursion through
    /// thousands would overflow the stack.
    fn pass_on(&mut self) {
        while let Some(ix) = self.passed.pop() {
            self.end(ix, Outcome::Skipped);
        }
    }

    /// Ends a node whose dependents may run.
    fn end(&mut self, ix: NodeIx, outcome: Outcome) {
        self.settle(ix, outcome);
        for dependent in std::mem::take(&mut self.dependents[ix.0]) {
            self.meet(dependent);
        }
    }

    /// All nodes before a node have ended: it is ready, or waits for its group leader.
    fn admit(&mut self, ix: NodeIx) {
        let rank = self.rank[ix.0];
        if !self.leaders.keep(rank) {
            self.enqueue(rank);
        }
    }

    fn elect(&mut self) {
        while let Some(leader) = self.leaders.elect() {
            self.enqueue(leader);
        }
    }

    fn enqueue(&mut self, rank: StartRank) {
        let number = self.class_of[rank.2.0];
        let class = &mut self.classes[number];
        let first = class.waiting.first().copied();
        class.waiting.insert(rank);
        self.ready_heavy += usize::from(class.heavy);
        if first.is_none_or(|first| rank < first) {
            if let Some(first) = first {
                self.heads.remove(&(first, number));
            }
            self.heads.insert((rank, number));
        }
        self.fresh.push(rank.2);
    }

    /// Removes a node from its class, if it waits there.
    fn leave(&mut self, rank: StartRank, number: usize) {
        let class = &mut self.classes[number];
        if !class.waiting.remove(&rank) {
            return;
        }
        self.ready_heavy -= usize::from(class.heavy);
        if self.heads.remove(&(rank, number))
            && let Some(&next) = class.waiting.first()
        {
            self.heads.insert((next, number));
        }
    }

    /// Removes a node that has not started from its group and its class.
    fn withdraw(&mut self, ix: NodeIx) {
        self.leaders.withdraw(self.rank[ix.0]);
        self.leave(self.rank[ix.0], self.class_of[ix.0]);
    }

    /// Ends a node and meets the nodes that only had to come after it.
    fn settle(&mut self, ix: NodeIx, outcome: Outcome) {
        if matches!(self.state[ix.0], NodeState::Done(_)) {
            return;
        }
        self.open -= 1;
        self.state[ix.0] = NodeState::Done(outcome);
        for rank in self.leaders.ended(ix, outcome == Outcome::Succeeded) {
            self.enqueue(rank);
        }
        for follower in std::mem::take(&mut self.followers[ix.0]) {
            self.meet(follower);
        }
    }

    fn drop_descendants(&mut self, ix: NodeIx) -> Vec<NodeIx> {
        let mut dropped = Vec::new();
        let mut stack = self.dependents[ix.0].clone();
        while let Some(next) = stack.pop() {
            if matches!(self.state[next.0], NodeState::Waiting { .. }) {
                self.settle(next, Outcome::NotRun);
                stack.extend(self.dependents[next.0].iter().copied());
                dropped.push(next);
            }
        }
        dropped.sort();
        dropped
    }

    /// Gives up every node that has not started, except those for which `keep` is true. Returns the given-up nodes.
    pub fn give_up_waiting(&mut self, keep: impl Fn(NodeIx) -> bool) -> Vec<NodeIx> {
        let mut dropped = Vec::new();
        for index in 0..self.state.len() {
            let ix = NodeIx(index);
            if matches!(self.state[index], NodeState::Waiting { .. }) && !keep(ix) {
                self.withdraw(ix);
                self.settle(ix, Outcome::NotRun);
                dropped.push(ix);
                dropped.extend(self.drop_descendants(ix));
                // Nodes behind skipped ones have to be waiting before they can be given up.
                self.pass_on();
            }
        }
        dropped.sort();
        dropped
    }

    /// Whether every node has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// The nodes that became ready (but for their lanes) since the last call, in that order.
    pub fn take_fresh(&mut self) -> Vec<NodeIx> {
        self.elect();
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|ix| matches!(self.state[ix.0], NodeState::Waiting { .. }));
        fresh
    }

    /// The outcome of a node that has ended.
    #[must_use]
    pub fn outcome(&self, ix: NodeIx) -> Option<Outcome> {
        match self.state[ix.0] {
            NodeState::Done(outcome) => Some(outcome),
            NodeState::Passed { .. } => Some(Outcome::Skipped),
            _ => None,
        }
    }

    /// Whether a node is running.
    #[must_use]
    pub fn is_running(&self, ix: NodeIx) -> bool {
        self.state[ix.0] == NodeState::Running
    }
}

/// The classes of a plan, and the class of each node.
fn classes(plan: &Plan) -> (Vec<DemandClass>, Vec<usize>) {
    let contended = contended(plan);
    let mut known: HashMap<(bool, Vec<(LaneIx, u32)>), usize> = HashMap::new();
    let mut classes = Vec::new();
    let class_of = plan
        .nodes
        .iter()
        .map(|node| {
            let heavy = node.step.heavy;
            let mut lanes = node.lanes.clone();
            lanes.retain(|(lane, _)| contended[lane.0]);
            lanes.sort_unstable();
            *known
                .entry((heavy, lanes))
                .or_insert_with_key(|(heavy, lanes)| {
                    classes.push(DemandClass {
                        lanes: lanes.clone(),
                        heavy: *heavy,
                        waiting: BTreeSet::new(),
                    });
                    classes.len() - 1
                })
        })
        .collect();
    (classes, class_of)
}

/// Whether a node may have to wait for a lane, by lane. Never for one that has places for all nodes at once, or whose
/// users are ordered by edges.
pub(crate) fn contended(plan: &Plan) -> Vec<bool> {
    let mut sum = vec![0u64; plan.lanes.len()];
    let mut last: Vec<Option<NodeIx>> = vec![None; plan.lanes.len()];
    let mut chained = vec![true; plan.lanes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        for &(lane, places) in &node.lanes {
            sum[lane.0] += u64::from(places);
            if let Some(last) = last[lane.0].replace(NodeIx(index)) {
                chained[lane.0] &= node.needs.contains(&last) || node.after.contains(&last);
            }
        }
    }
    plan.lanes
        .iter()
        .enumerate()
        .map(|(index, lane)| !chained[index] && sum[index] > u64::from(lane.size))
        .collect()
}
