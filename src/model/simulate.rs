//! Walks a plan with a clock that is only a number: what would run when, and how far that is from the
//! best. Drives the same ready set as the scheduler. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::outcome::Outcome;
use super::plan::{NodeIx, Plan, StepKind};
use super::ready::{ReadySet, contended};
use super::skip::Skips;

/// When a node would run, in milliseconds from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub start: u64,
    /// To.
    pub end: u64,
}

/// What would run when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// By node; none where it is skipped or kept from running.
    pub spans: Vec<Option<Span>>,
    /// For each build that was kept back for a leader, which one.
    pub followed: Vec<Option<NodeIx>>,
    /// The end of the last node, in milliseconds.
    pub makespan: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Shared,
    Ends,
}

/// The schedule of a plan of which `skips` are skipped; `outcome` says how a node ends.
#[must_use]
pub fn simulate(
    plan: &Plan,
    skips: &Skips,
    mut outcome: impl FnMut(NodeIx) -> Outcome,
) -> Schedule {
    let mut ready = ReadySet::new(plan);
    for (node, _) in skips.nodes(plan) {
        ready.skip(node);
    }
    let mut schedule = Schedule {
        spans: vec![None; plan.nodes.len()],
        followed: vec![None; plan.nodes.len()],
        makespan: 0,
    };
    let mut leaders = Leaders::of(plan);
    let mut coming: BinaryHeap<Reverse<(u64, Happens, NodeIx)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while let Some(ix) = ready.take_next() {
            let node = plan.node(ix);
            let end = now + node.millis;
            schedule.spans[ix.0] = Some(Span { start: now, end });
            schedule.followed[ix.0] = leaders.started(ix, ready.leads(ix));
            if ready.leads(ix)
                && let Some(expected) = plan.expected.get(node.variant.0)
            {
                let shared = now + expected.shared.min(node.millis);
                coming.push(Reverse((shared, Happens::Shared, ix)));
            }
            coming.push(Reverse((end, Happens::Ends, ix)));
        }
        let Some(&Reverse((next, _, _))) = coming.peek() else {
            break;
        };
        now = next;
        // All that happens at one time has happened before anything starts.
        while let Some(&Reverse((time, happens, ix))) = coming.peek() {
            if time > now {
                break;
            }
            coming.pop();
            match happens {
                Happens::Shared => ready.let_go(ix),
                Happens::Ends => {
                    schedule.makespan = now;
                    ready.finish(ix, outcome(ix));
                }
            }
        }
    }
    schedule
}

/// Who leads each group, as far as the schedule has come.
struct Leaders {
    group_of: Vec<Option<usize>>,
    leads: Vec<Option<NodeIx>>,
}

impl Leaders {
    fn of(plan: &Plan) -> Leaders {
        let mut group_of = vec![None; plan.nodes.len()];
        for (number, group) in plan.groups.iter().enumerate() {
            for member in &group.members {
                group_of[member.0] = Some(number);
            }
        }
        Leaders {
            group_of,
            leads: vec![None; plan.groups.len()],
        }
    }

    /// The one that a build waited for before it started.
    fn started(&mut self, ix: NodeIx, leads: bool) -> Option<NodeIx> {
        let leader = &mut self.leads[self.group_of[ix.0]?];
        let before = *leader;
        if leads {
            *leader = Some(ix);
        }
        before
    }
}

/// How good a schedule can be, and how bad it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The nodes of the longest way through the plan.
    pub critical_path: Vec<NodeIx>,
    /// How long they take one after the other, in milliseconds.
    pub critical: u64,
    /// No schedule is shorter than this, in milliseconds.
    pub lower: u64,
    /// The lane whose work alone takes that long, where it is not the critical path.
    pub lane: Option<String>,
}

/// The bounds of every schedule of a plan of which `skips` are skipped.
///
/// None is shorter than the longest way through what waits for each other, and none is shorter than what
/// all nodes together take of a lane, divided by its size. (R. L. Graham, "Bounds on Multiprocessing
/// Timing Anomalies", SIAM J. Appl. Math. 17 (1969).)
#[must_use]
pub fn bounds(plan: &Plan, skips: &Skips) -> Bounds {
    let millis = millis(plan, skips);
    let ways = ways(plan, &millis, &[]);
    let mut critical_path = Vec::new();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        for before in node.needs.iter().chain(&node.after) {
            dependents[before.0].push(index);
        }
    }
    let critical = ways.iter().copied().max().unwrap_or(0);
    let mut next = (0..ways.len()).find(|&index| ways[index] == critical);
    while let Some(index) = next {
        if millis[index] > 0 {
            critical_path.push(NodeIx(index));
        }
        let rest = ways[index] - millis[index];
        next = dependents[index]
            .iter()
            .copied()
            .find(|&dependent| rest > 0 && ways[dependent] == rest);
    }
    let mut bounds = Bounds {
        critical_path,
        critical,
        lower: critical,
        lane: None,
    };
    for (lane, work) in plan.lanes.iter().zip(work(plan, &millis)) {
        let least = work.div_ceil(u128::from(lane.size.max(1)));
        let least = u64::try_from(least).unwrap_or(u64::MAX);
        if least > bounds.lower {
            bounds.lower = least;
            bounds.lane = Some(lane.name.clone());
        }
    }
    bounds
}

/// What no schedule of the ready set is longer than, whatever its order: Graham's bound of list
/// schedules (as in [`bounds`]), for several lanes (M. R. Garey and R. L. Graham, "Bounds for
/// Multiprocessor Scheduling with Resource Constraints", SIAM J. Comput. 4 (1975)).
///
/// Proof. Take the node that ends last, and from each node go on to the last to end of those that it
/// waited for: the nodes that it needs or comes after, and the leader that kept it back. That is a
/// chain, and its nodes take at most the longest way. At any other time the next node of the chain
/// was ready and did not start, so in some lane `l` less than it takes was free, and at least
/// `size - most + 1` places were taken, where `most` is the most that any node takes of `l`. All nodes
/// together take `work(l)` of it, so these times add up to at most the sum over the lanes of
/// `work(l) / (size - most + 1)`. A lane for which nobody can ever wait does not count.
#[must_use]
pub fn list_bound(plan: &Plan, skips: &Skips, schedule: &Schedule) -> u64 {
    let millis = millis(plan, skips);
    let ways = ways(plan, &millis, &schedule.followed);
    let chain = ways.into_iter().max().unwrap_or(0);
    let mut most = vec![0u32; plan.lanes.len()];
    for node in &plan.nodes {
        for &(lane, places) in &node.lanes {
            most[lane.0] = most[lane.0].max(places);
        }
    }
    let work = work(plan, &millis);
    let waits: u128 = contended(plan)
        .iter()
        .enumerate()
        .filter(|(_, contended)| **contended)
        .map(|(lane, _)| {
            let taken = plan.lanes[lane].size.saturating_sub(most[lane]) + 1;
            work[lane].div_ceil(u128::from(taken))
        })
        .sum();
    chain.saturating_add(u64::try_from(waits).unwrap_or(u64::MAX))
}

/// How long each node takes; those that are skipped take none.
pub(super) fn millis(plan: &Plan, skips: &Skips) -> Vec<u64> {
    plan.nodes
        .iter()
        .map(|node| match skips.contains(node.variant) {
            true => 0,
            false => node.millis,
        })
        .collect()
}

/// What all nodes together take of each lane: places times milliseconds.
fn work(plan: &Plan, millis: &[u64]) -> Vec<u128> {
    let mut work = vec![0u128; plan.lanes.len()];
    for (node, &millis) in plan.nodes.iter().zip(millis) {
        for &(lane, places) in &node.lanes {
            work[lane.0] += u128::from(places) * u128::from(millis);
        }
    }
    work
}

/// For each node the longest way through what waits for it, itself included.
fn ways(plan: &Plan, millis: &[u64], followed: &[Option<NodeIx>]) -> Vec<u64> {
    // A leader may stand behind those that follow it, so this goes by the order of a search in depth.
    let mut waiting: Vec<Vec<NodeIx>> = vec![Vec::new(); plan.nodes.len()];
    let mut before = vec![0usize; plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        let leader = followed.get(index).copied().flatten();
        for ix in node.needs.iter().chain(&node.after).chain(&leader) {
            waiting[ix.0].push(NodeIx(index));
            before[index] += 1;
        }
    }
    let mut order: Vec<usize> = (0..before.len()).filter(|&ix| before[ix] == 0).collect();
    let mut next = 0;
    while let Some(&index) = order.get(next) {
        next += 1;
        for ix in &waiting[index] {
            before[ix.0] -= 1;
            if before[ix.0] == 0 {
                order.push(ix.0);
            }
        }
    }
    let mut ways = vec![0u64; plan.nodes.len()];
    for &index in order.iter().rev() {
        let longest = waiting[index].iter().map(|ix| ways[ix.0]).max();
        ways[index] = millis[index].saturating_add(longest.unwrap_or(0));
    }
    ways
}

/// How long everything takes one after the other, in milliseconds.
#[must_use]
pub fn serial(plan: &Plan, skips: &Skips) -> u64 {
    millis(plan, skips).iter().sum()
}

/// How many variants the plan builds, or captures, of those that are not skipped.
#[must_use]
pub fn at_work(plan: &Plan, skips: &Skips) -> usize {
    plan.nodes
        .iter()
        .filter(|node| node.step == StepKind::Register && !skips.contains(node.variant))
        .count()
}
