//! The ready set: which node may start now, given what has ended and which lanes are free.
//!
//! Pure, and the target of property tests: no node before what it needs, no lane over its size,
//! it always ends, and a failure keeps exactly the descendants from running. The idea of a pure queue
//! under an effectful loop is cargo's `DependencyQueue`.
//!
//! Nodes that take the same places of the same lanes stand in one *class*, in the order in which they
//! are to start: where its first does not fit, none of it does. So a start costs a look at one node a
//! class, however many nodes wait. A lane whose users can never meet (a variant's own build directory)
//! is not looked at.

mod groups;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::outcome::Outcome;
use super::plan::{LaneIx, NodeIx, Plan, StepKind};
use groups::Groups;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting {
        unmet: usize,
    },
    /// It has nothing to do, and what comes after it waits for what it would have waited for.
    Passed {
        unmet: usize,
    },
    Running,
    Done(Outcome),
}

/// The order in which nodes start: the deeper first, so that a finished build is captured and registered
/// before the next build takes the machine; then as the plan's order says; then plan order.
type Rank = (Reverse<usize>, Reverse<u64>, NodeIx);

/// Nodes with the same demand.
#[derive(Debug, Clone)]
struct Class {
    lanes: Vec<(LaneIx, u32)>,
    builds: bool,
    waiting: BTreeSet<Rank>,
}

/// The state of a plan that is being walked.
#[derive(Debug, Clone)]
pub struct ReadySet {
    state: Vec<State>,
    dependents: Vec<Vec<NodeIx>>,
    followers: Vec<Vec<NodeIx>>,
    rank: Vec<Rank>,
    class_of: Vec<usize>,
    classes: Vec<Class>,
    /// The first of each class in which somebody waits.
    heads: BTreeSet<(Rank, usize)>,
    free: Vec<u32>,
    groups: Groups,
    fresh: Vec<NodeIx>,
    held: bool,
    ready_builds: usize,
    running_builds: usize,
    open: usize,
    /// Those that have nothing to do and wait for nothing, and have not ended yet.
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
            state.push(State::Waiting {
                unmet: node.needs.len() + node.after.len(),
            });
        }
        let rank: Vec<Rank> = (0..count)
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
            groups: Groups::of(plan),
            fresh: Vec::new(),
            held: false,
            ready_builds: 0,
            running_builds: 0,
            open: count,
            passed: Vec::new(),
        };
        for index in 0..count {
            if ready.state[index] == (State::Waiting { unmet: 0 }) {
                ready.admit(NodeIx(index));
            }
        }
        ready
    }

    /// Takes the next node whose needs are met and whose lanes are all free, and takes those lanes,
    /// all at once. `None` when nothing can start now.
    pub fn take_next(&mut self) -> Option<NodeIx> {
        self.elect();
        let held = self.held && self.running_builds > 0;
        let &(rank, class) = self.heads.iter().find(|(_, class)| {
            let class = &self.classes[*class];
            !(held && class.builds) && self.fits(&class.lanes)
        })?;
        self.leave(rank, class);
        for (lane, places) in &self.classes[class].lanes {
            self.free[lane.0] -= places;
        }
        self.state[rank.2.0] = State::Running;
        self.running_builds += usize::from(self.classes[class].builds);
        Some(rank.2)
    }

    fn fits(&self, lanes: &[(LaneIx, u32)]) -> bool {
        lanes
            .iter()
            .all(|(lane, places)| self.free[lane.0] >= *places)
    }

    /// Keeps further builds from starting beside those that run, or lets them. One always may run.
    pub fn hold_builds(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether a build could start and is kept from it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held
            && self.running_builds > 0
            && self.heads.iter().any(|(_, class)| {
                let class = &self.classes[*class];
                class.builds && self.fits(&class.lanes)
            })
    }

    /// Builds that run, and builds that could start if there were room for all.
    #[must_use]
    pub fn builds(&self) -> (usize, usize) {
        (self.running_builds, self.ready_builds)
    }

    /// Says how a running node ended and gives its lanes back. Returns the nodes that now will not run.
    pub fn finish(&mut self, ix: NodeIx, outcome: Outcome) -> Vec<NodeIx> {
        if self.state[ix.0] == State::Running {
            let class = &self.classes[self.class_of[ix.0]];
            for (lane, places) in &class.lanes {
                self.free[lane.0] += places;
            }
            self.running_builds -= usize::from(class.builds);
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

    /// Ends a node that has not started and has nothing to do; what needs it may run. Where several build in one
    /// directory, those on both sides of it still keep their order.
    pub fn skip(&mut self, ix: NodeIx) {
        self.withdraw(ix);
        match self.state[ix.0] {
            State::Waiting { unmet } if unmet > 0 => self.state[ix.0] = State::Passed { unmet },
            _ => {
                self.finish(ix, Outcome::Skipped);
            }
        }
    }

    /// What a running build shares with others is there: those that wait for it follow.
    pub fn let_go(&mut self, ix: NodeIx) {
        if self.state[ix.0] == State::Running {
            for rank in self.groups.warm(ix) {
                self.enqueue(rank);
            }
        }
    }

    /// Whether others wait for what this one shares with them, or will when they are ready.
    #[must_use]
    pub fn leads(&self, ix: NodeIx) -> bool {
        self.groups.leads(ix)
    }

    /// How many builds wait for what this one shares with them.
    #[must_use]
    pub fn led_by(&self, ix: NodeIx) -> usize {
        self.groups.led_by(ix)
    }

    /// One thing less that a waiting node waits for.
    fn meet(&mut self, ix: NodeIx) {
        match &mut self.state[ix.0] {
            State::Waiting { unmet } => {
                *unmet -= 1;
                if *unmet == 0 {
                    self.admit(ix);
                }
            }
            State::Passed { unmet } => {
                *unmet -= 1;
                if *unmet == 0 {
                    self.passed.push(ix);
                }
            }
            State::Running | State::Done(_) => {}
        }
    }

    /// Ends those that have nothing to do and that nothing keeps back any more; one may let the next go, and so on
    /// through thousands.
    fn pass_on(&mut self) {
        while let Some(ix) = self.passed.pop() {
            self.end(ix, Outcome::Skipped);
        }
    }

    /// The node has ended, and what needs it may run.
    fn end(&mut self, ix: NodeIx, outcome: Outcome) {
        self.settle(ix, outcome);
        for dependent in std::mem::take(&mut self.dependents[ix.0]) {
            self.meet(dependent);
        }
    }

    /// All that a node needs has ended: it may start, or waits for the one that leads it.
    fn admit(&mut self, ix: NodeIx) {
        let rank = self.rank[ix.0];
        if !self.groups.keep(rank) {
            self.enqueue(rank);
        }
    }

    fn elect(&mut self) {
        while let Some(leader) = self.groups.elect() {
            self.enqueue(leader);
        }
    }

    fn enqueue(&mut self, rank: Rank) {
        let number = self.class_of[rank.2.0];
        let class = &mut self.classes[number];
        let first = class.waiting.first().copied();
        class.waiting.insert(rank);
        self.ready_builds += usize::from(class.builds);
        if first.is_none_or(|first| rank < first) {
            if let Some(first) = first {
                self.heads.remove(&(first, number));
            }
            self.heads.insert((rank, number));
        }
        self.fresh.push(rank.2);
    }

    /// Takes a node out of its class, if it stands there.
    fn leave(&mut self, rank: Rank, number: usize) {
        let class = &mut self.classes[number];
        if !class.waiting.remove(&rank) {
            return;
        }
        self.ready_builds -= usize::from(class.builds);
        if self.heads.remove(&(rank, number))
            && let Some(&next) = class.waiting.first()
        {
            self.heads.insert((next, number));
        }
    }

    /// Takes a node that has not started out of everything in which it waits.
    fn withdraw(&mut self, ix: NodeIx) {
        self.groups.withdraw(self.rank[ix.0]);
        self.leave(self.rank[ix.0], self.class_of[ix.0]);
    }

    /// The node has ended; who only waited for that waits no longer.
    fn settle(&mut self, ix: NodeIx, outcome: Outcome) {
        if matches!(self.state[ix.0], State::Done(_)) {
            return;
        }
        self.open -= 1;
        self.state[ix.0] = State::Done(outcome);
        for rank in self.groups.ended(ix, outcome == Outcome::Succeeded) {
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
                self.withdraw(ix);
                self.settle(ix, Outcome::NotRun);
                dropped.push(ix);
                dropped.extend(self.drop_descendants(ix));
                // What they let go is given up too, if it has work to do.
                self.pass_on();
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

    /// The nodes that have become ready but for their lanes since this was last asked, in that order.
    pub fn take_fresh(&mut self) -> Vec<NodeIx> {
        self.elect();
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|ix| matches!(self.state[ix.0], State::Waiting { .. }));
        fresh
    }

    /// How a node ended, where it has.
    #[must_use]
    pub fn outcome(&self, ix: NodeIx) -> Option<Outcome> {
        match self.state[ix.0] {
            State::Done(outcome) => Some(outcome),
            State::Passed { .. } => Some(Outcome::Skipped),
            _ => None,
        }
    }

    /// Whether a node runs now.
    #[must_use]
    pub fn is_running(&self, ix: NodeIx) -> bool {
        self.state[ix.0] == State::Running
    }
}

/// The classes of a plan, and the class of each node.
fn classes(plan: &Plan) -> (Vec<Class>, Vec<usize>) {
    let contended = contended(plan);
    let mut known: HashMap<(bool, Vec<(LaneIx, u32)>), usize> = HashMap::new();
    let mut classes = Vec::new();
    let class_of = plan
        .nodes
        .iter()
        .map(|node| {
            let builds = node.step == StepKind::Build;
            let mut lanes = node.lanes.clone();
            lanes.retain(|(lane, _)| contended[lane.0]);
            lanes.sort_unstable();
            *known
                .entry((builds, lanes))
                .or_insert_with_key(|(builds, lanes)| {
                    classes.push(Class {
                        lanes: lanes.clone(),
                        builds: *builds,
                        waiting: BTreeSet::new(),
                    });
                    classes.len() - 1
                })
        })
        .collect();
    (classes, class_of)
}

/// Which lanes somebody may have to wait for: not those that have room for all at once, and not those
/// whose users follow each other anyhow.
pub(super) fn contended(plan: &Plan) -> Vec<bool> {
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
