//! Simulation: walks a plan with a clock that is only a number and returns when each node would run. Drives the same
//! ready set as the scheduler. Pure.
//!
//! How far a schedule is from the best is in [`crate::plan::bounds`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::outcome::Outcome;
use crate::plan::ready::ReadySet;
use crate::plan::skip::Skips;
use crate::plan::{NodeIx, Plan};

/// When a node would run, in milliseconds from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSpan {
    /// The start.
    pub start: u64,
    /// The end.
    pub end: u64,
}

/// A simulated run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// By node; absent where the node is skipped or does not run.
    pub spans: Vec<Option<NodeSpan>>,
    /// By node: the group leader that the node waited for.
    pub followed: Vec<Option<NodeIx>>,
    /// The end of the last node, in milliseconds.
    pub makespan: u64,
}

/// An occurrence in simulated time; at equal times in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Occurrence {
    /// The shared state of a group leader is in the cache.
    StateShared,
    NodeEnds,
}

/// Simulates a plan of which `skips` are skipped. `outcome` returns how a node ends.
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
    let mut leaders = LeaderLog::of(plan);
    let mut coming: BinaryHeap<Reverse<(u64, Occurrence, NodeIx)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while let Some(ix) = ready.take_next() {
            let node = plan.node(ix);
            let end = now + node.millis;
            schedule.spans[ix.0] = Some(NodeSpan { start: now, end });
            schedule.followed[ix.0] = leaders.started(ix, ready.leads(ix));
            if ready.leads(ix) {
                let shared = now + node.shared_millis.min(node.millis);
                coming.push(Reverse((shared, Occurrence::StateShared, ix)));
            }
            coming.push(Reverse((end, Occurrence::NodeEnds, ix)));
        }
        let Some(&Reverse((next, _, _))) = coming.peek() else {
            break;
        };
        now = next;
        // Nothing starts before all occurrences of one time are through.
        while let Some(&Reverse((time, occurrence, ix))) = coming.peek() {
            if time > now {
                break;
            }
            coming.pop();
            match occurrence {
                Occurrence::StateShared => ready.release_followers(ix),
                Occurrence::NodeEnds => {
                    schedule.makespan = now;
                    ready.finish(ix, outcome(ix));
                }
            }
        }
    }
    schedule
}

/// The present leader of each cold group.
struct LeaderLog {
    group_of: Vec<Option<usize>>,
    leaders: Vec<Option<NodeIx>>,
}

impl LeaderLog {
    fn of(plan: &Plan) -> LeaderLog {
        let mut group_of = vec![None; plan.nodes.len()];
        for (number, group) in plan.groups.iter().enumerate() {
            for member in &group.members {
                group_of[member.0] = Some(number);
            }
        }
        LeaderLog {
            group_of,
            leaders: vec![None; plan.groups.len()],
        }
    }

    /// Notes a start and returns the leader that the node waited for.
    fn started(&mut self, ix: NodeIx, leads: bool) -> Option<NodeIx> {
        let leader = &mut self.leaders[self.group_of[ix.0]?];
        let before = *leader;
        if leads {
            *leader = Some(ix);
        }
        before
    }
}

/// The duration of each node in milliseconds; 0 for a skipped one.
pub(crate) fn durations(plan: &Plan, skips: &Skips) -> Vec<u64> {
    plan.nodes
        .iter()
        .map(|node| match skips.contains(node.variant) {
            true => 0,
            false => node.millis,
        })
        .collect()
}

/// The duration of all nodes one after the other, in milliseconds.
#[must_use]
pub fn serial(plan: &Plan, skips: &Skips) -> u64 {
    durations(plan, skips).iter().sum()
}

/// The number of variants that are not skipped.
#[must_use]
pub fn at_work(plan: &Plan, skips: &Skips) -> usize {
    plan.variants.len() - skips.len()
}
