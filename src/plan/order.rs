//! Start order: which of the nodes that could start goes first, as weights of which the greatest wins. Pure.
//!
//! The rule is *longest path to the end first*, which is close to the best where many builds share a few lanes. It
//! is not where builds of different needs fill a lane, where one lane feeds a narrower one, or where there are few
//! builds: schedules of a fixed order have anomalies that no rule is free of (R. L. Graham, "Bounds on
//! Multiprocessing Timing Anomalies", 1969). So [`improve`] tries other orders in the simulator and takes the best.

use std::cmp::Reverse;

use crate::event::outcome::Outcome;
use crate::plan::bounds::bounds;
use crate::plan::simulate::{durations, simulate};
use crate::plan::skip::Skips;
use crate::plan::{NodeIx, Plan};

/// The number of node starts to simulate at most, some 50 ms of work. The more nodes a plan has, the less an order
/// can gain: one build is then a small part of the whole.
const TRIALS: usize = 60_000;

/// Fewer trials than these find nothing; the rule's order is kept.
const FEWEST_TRIALS: usize = 10;

/// A schedule is good enough at this many thousandths of the lower bound, which most plans cannot reach.
const GOOD: u64 = 1010;

/// Another order must take less than this many thousandths of the rule's makespan: users look at the order, and a
/// surprising one should have a reason.
const WORTH: u64 = 995;

/// The weights of *longest path first*. Empty where one build runs at a time: the order then changes next to
/// nothing, and users expect that of variants.toml.
#[must_use]
pub fn longest_first(plan: &Plan, skips: &Skips) -> Vec<u64> {
    if builds_at_once(plan) < 2 {
        return Vec::new();
    }
    let mut paths = durations(plan, skips);
    // Nodes stand after those that they wait for, so in reverse order the paths behind a node are complete.
    let mut behind = vec![0u64; paths.len()];
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        paths[index] = paths[index].saturating_add(behind[index]);
        for before in node.needs.iter().chain(&node.after) {
            behind[before.0] = behind[before.0].max(paths[index]);
        }
    }
    weigh_leaders(plan, skips, &mut paths);
    paths
}

/// Lets the longest build of each cold group lead: the time until the shared state is there hardly depends on the
/// leader. The paths of its followers begin at that time, so they count as its own.
fn weigh_leaders(plan: &Plan, skips: &Skips, paths: &mut [u64]) {
    for group in &plan.groups {
        let members = group.members.iter().map(|ix| ix.0);
        let members = members.filter(|&index| !skips.contains(plan.nodes[index].variant));
        let mut members: Vec<(Reverse<u64>, usize)> = members
            .map(|index| (Reverse(paths[index]), index))
            .collect();
        members.sort_unstable();
        if let [(Reverse(longest), leader), (Reverse(second), _), ..] = members[..] {
            let node = &plan.nodes[leader];
            let shared = node.shared_millis.min(node.millis);
            paths[leader] = longest.max(shared.saturating_add(second));
        }
    }
}

/// Sets the order of a plan of which `skips` are skipped: the best of [`longest_first`] and orders near it.
pub fn improve(plan: &mut Plan, skips: &Skips) {
    plan.order = longest_first(plan, skips);
    let trials = TRIALS / plan.nodes.len().max(1);
    let builds: Vec<usize> = plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.step.heavy && !skips.contains(node.variant))
        .map(|(index, _)| index)
        .collect();
    if plan.order.is_empty() || trials < FEWEST_TRIALS || builds.len() < 2 {
        return;
    }
    let good = bounds(plan, skips).lower.saturating_mul(GOOD) / 1000;
    let rule = plan.order.clone();
    let mut search = OrderSearch {
        skips,
        plan: &mut *plan,
        best: Vec::new(),
        makespan: u64::MAX,
    };
    search.attempt(rule.clone());
    let makespan_of_rule = search.makespan;
    for other in other_rules(search.plan, &builds, &rule) {
        if search.makespan > good {
            search.attempt(other);
        }
    }
    search.wander(&builds, trials, good);
    let worth = search.makespan < makespan_of_rule.saturating_mul(WORTH) / 1000;
    plan.order = if worth { search.best } else { rule };
}

/// The orders of other rules. `paths` are the weights of *longest path first*.
fn other_rules(plan: &Plan, builds: &[usize], paths: &[u64]) -> Vec<Vec<u64>> {
    let weighed = |weight: &dyn Fn(usize) -> u64| {
        let mut order = paths.to_vec();
        for &index in builds {
            order[index] = weight(index);
        }
        order
    };
    let part = |index: usize| largest_part(plan, NodeIx(index));
    let tail = |index: usize| paths[index].saturating_sub(plan.nodes[index].millis);
    vec![
        // The builds that fill most of a lane for longest.
        weighed(&|index| paths[index].saturating_mul(part(index))),
        // The builds that are hardest to fit in, then the others.
        weighed(&|index| {
            part(index)
                .saturating_mul(1 << 40)
                .saturating_add(paths[index])
        }),
        // For a bottleneck behind the builds: first those that reach it soon and keep it long (S. M. Johnson,
        // "Optimal two- and three-stage production schedules", 1954).
        weighed(&|index| match plan.nodes[index].millis {
            millis if millis < tail(index) => u64::MAX - millis,
            _ => tail(index),
        }),
    ]
}

/// The largest part of any shared lane that a node takes, in thousandths of the lane.
fn largest_part(plan: &Plan, ix: NodeIx) -> u64 {
    let lanes = plan.node(ix).lanes.iter();
    let shared = lanes.filter(|(lane, _)| !plan.lane(*lane).is_build_dir());
    let parts = shared
        .map(|&(lane, places)| u64::from(places) * 1000 / u64::from(plan.lane(lane).size.max(1)));
    parts.max().unwrap_or(0)
}

/// The search for a better order: simulates each candidate and keeps the best.
struct OrderSearch<'p> {
    plan: &'p mut Plan,
    skips: &'p Skips,
    best: Vec<u64>,
    makespan: u64,
}

impl OrderSearch<'_> {
    fn attempt(&mut self, order: Vec<u64>) {
        self.plan.order = order;
        let makespan = simulate(self.plan, self.skips, |_| Outcome::Succeeded).makespan;
        if makespan <= self.makespan {
            self.makespan = makespan;
            self.best = std::mem::take(&mut self.plan.order);
        }
    }

    /// Swaps two builds of the best order at a time. Every third trial is a random order, because swaps alone get
    /// stuck in local minima.
    fn wander(&mut self, builds: &[usize], trials: usize, good: u64) {
        let mut random = SplitMix64(0x5eed);
        for trial in 0..trials {
            if self.makespan <= good {
                break;
            }
            let mut next = self.best.clone();
            if trial % 3 == 2 {
                next.fill_with(|| random.draw());
            } else {
                let [one, other] = [(); 2].map(|()| builds[random.below(builds.len())]);
                next.swap(one, other);
            }
            self.attempt(next);
        }
    }
}

/// How many builds can run at the same time, as far as their first lane goes (`-j`).
fn builds_at_once(plan: &Plan) -> u32 {
    let mut heavy = plan.nodes.iter().filter(|node| node.step.heavy);
    let first = heavy.next().and_then(|node| node.lanes.first());
    first.map_or(0, |&(lane, places)| plan.lane(lane).size / places.max(1))
}

/// A pseudorandom generator with a fixed seed, so that a plan always gets the same order (G. Steele et al., "Fast
/// splittable pseudorandom number generators", 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % (end.max(1) as u64)).unwrap_or(0)
    }
}
