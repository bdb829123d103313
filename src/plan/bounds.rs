//! Bounds of schedules: how good a schedule can be, and how bad one of the ready set cannot be. Pure.

use crate::plan::ready::contended;
use crate::plan::simulate::{Schedule, durations};
use crate::plan::skip::Skips;
use crate::plan::{NodeIx, Plan};

/// Lower bounds of the makespan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakespanBounds {
    /// The nodes of the longest path through the plan.
    pub critical_path: Vec<NodeIx>,
    /// The duration of the critical path in milliseconds.
    pub critical: u64,
    /// The lower bound of every schedule, in milliseconds.
    pub lower: u64,
    /// The lane whose work alone takes that long; absent where the critical path does.
    pub lane: Option<String>,
}

/// The lower bounds of a plan of which `skips` are skipped.
///
/// No schedule is shorter than the longest path of nodes that wait for each other, and none is shorter than the work
/// of all nodes in a lane divided by the lane's size. (R. L. Graham, "Bounds on Multiprocessing Timing Anomalies",
/// SIAM J. Appl. Math. 17 (1969).)
#[must_use]
pub fn bounds(plan: &Plan, skips: &Skips) -> MakespanBounds {
    let millis = durations(plan, skips);
    let paths = longest_paths(plan, &millis, &[]);
    let critical = paths.iter().copied().max().unwrap_or(0);
    let mut bounds = MakespanBounds {
        critical_path: critical_path(plan, &millis, &paths, critical),
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

/// The nodes of a path of length `critical`, without those of no duration.
fn critical_path(plan: &Plan, millis: &[u64], paths: &[u64], critical: u64) -> Vec<NodeIx> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); plan.nodes.len()];
    for (index, node) in plan.nodes.iter().enumerate() {
        for before in node.needs.iter().chain(&node.after) {
            dependents[before.0].push(index);
        }
    }
    let mut path = Vec::new();
    let mut next = (0..paths.len()).find(|&index| paths[index] == critical);
    while let Some(index) = next {
        if millis[index] > 0 {
            path.push(NodeIx(index));
        }
        let rest = paths[index] - millis[index];
        next = dependents[index]
            .iter()
            .copied()
            .find(|&dependent| rest > 0 && paths[dependent] == rest);
    }
    path
}

/// The upper bound of every schedule that the ready set makes, whatever its order: Graham's bound of list schedules
/// (as in [`bounds`]), for several lanes (M. R. Garey and R. L. Graham, "Bounds for Multiprocessor Scheduling with
/// Resource Constraints", SIAM J. Comput. 4 (1975)).
///
/// Proof. Take the node that ends last, and from each node go on to the last to end of the nodes that it waited for:
/// those that it needs or follows, and its group leader. These nodes form a chain, and together they take at most
/// the longest path. At any other time the next node of the chain was ready and did not start, so in some lane `l`
/// fewer places than it takes were free, and at least `size - most + 1` places were taken, where `most` is the most
/// that any node takes of `l`. All nodes together take `work(l)` of the lane, so these times add up to at most the
/// sum over the lanes of `work(l) / (size - most + 1)`. Lanes for which no node can ever wait do not count.
#[must_use]
pub fn list_bound(plan: &Plan, skips: &Skips, schedule: &Schedule) -> u64 {
    let millis = durations(plan, skips);
    let paths = longest_paths(plan, &millis, &schedule.followed);
    let chain = paths.into_iter().max().unwrap_or(0);
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

/// The work of all nodes in each lane: places times milliseconds.
fn work(plan: &Plan, millis: &[u64]) -> Vec<u128> {
    let mut work = vec![0u128; plan.lanes.len()];
    for (node, &millis) in plan.nodes.iter().zip(millis) {
        for &(lane, places) in &node.lanes {
            work[lane.0] += u128::from(places) * u128::from(millis);
        }
    }
    work
}

/// For each node the longest path through the nodes that wait for it, including itself.
fn longest_paths(plan: &Plan, millis: &[u64], followed: &[Option<NodeIx>]) -> Vec<u64> {
    // A leader may stand behind its followers, so plan order is not a topological order here.
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
    let mut paths = vec![0u64; plan.nodes.len()];
    for &index in order.iter().rev() {
        let longest = waiting[index].iter().map(|ix| paths[ix.0]).max();
        paths[index] = millis[index].saturating_add(longest.unwrap_or(0));
    }
    paths
}
