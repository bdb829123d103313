//! Which of the nodes that could start goes first: weights, the greatest first. Pure.
//!
//! The longest way to the end comes first, which is near the best where many builds share a few lanes. It is
//! not where a lane is filled by builds of different demands, where one lane feeds a narrower one, or where
//! there are few builds: schedules of a fixed order have anomalies that no rule for the order is free of (R. L.
//! Graham, "Bounds on Multiprocessing Timing Anomalies", 1969). So other orders are tried beforehand with the
//! simulator, and one is taken that makes the run shorter.

use std::cmp::Reverse;

use super::outcome::Outcome;
use super::plan::{Plan, StepKind};
use super::simulate::{bounds, millis, simulate};
use super::skip::Skips;

/// How many nodes the trials may start together: some 50 ms of work. The more nodes a plan has, the less there
/// is to gain, for one build is then a small part of the whole.
const TRIALS: usize = 60_000;

/// Fewer trials than these find nothing: the rule is left as it is.
const FEWEST: usize = 10;

/// A schedule is good enough that takes so many thousandths of the least, which most often cannot be reached.
const GOOD: u64 = 1010;

/// An order replaces the longest way first where it takes less than so many thousandths of it: people look for
/// the order in which things start, and it should have a reason.
const WORTH: u64 = 995;

/// The longest way to the end first; nothing where one builds at a time: there the order changes next to
/// nothing, and people expect theirs.
#[must_use]
pub fn longest_first(plan: &Plan, skips: &Skips) -> Vec<u64> {
    if builds_at_once(plan) < 2 {
        return Vec::new();
    }
    let mut ways = millis(plan, skips);
    // What a node waits for stands before it, so those that wait for it are done here.
    let mut behind = vec![0u64; ways.len()];
    for (index, node) in plan.nodes.iter().enumerate().rev() {
        ways[index] = ways[index].saturating_add(behind[index]);
        for before in node.needs.iter().chain(&node.after) {
            behind[before.0] = behind[before.0].max(ways[index]);
        }
    }
    lead(plan, skips, &mut ways);
    ways
}

/// Of each group the longest leads: how long it takes until what they share is there hardly depends on who
/// makes it. The others wait for that, and their way behind it counts as the leader's own.
fn lead(plan: &Plan, skips: &Skips, ways: &mut [u64]) {
    for group in &plan.groups {
        let members = group.members.iter().map(|ix| ix.0);
        let members = members.filter(|&index| !skips.contains(plan.nodes[index].variant));
        let mut members: Vec<(Reverse<u64>, usize)> =
            members.map(|index| (Reverse(ways[index]), index)).collect();
        members.sort_unstable();
        if let [(Reverse(longest), leader), (Reverse(second), _), ..] = members[..] {
            let node = &plan.nodes[leader];
            let expected = plan.expected.get(node.variant.0).copied();
            let shared = expected.unwrap_or_default().shared.min(node.millis);
            ways[leader] = longest.max(shared.saturating_add(second));
        }
    }
}

/// Changes the order of a plan of which `skips` are skipped, where another one is better.
pub fn improve(plan: &mut Plan, skips: &Skips) {
    plan.order = longest_first(plan, skips);
    let trials = TRIALS / plan.nodes.len().max(1);
    let builds: Vec<usize> = plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.step == StepKind::Build && !skips.contains(node.variant))
        .map(|(index, _)| index)
        .collect();
    if plan.order.is_empty() || trials < FEWEST || builds.len() < 2 {
        return;
    }
    let good = bounds(plan, skips).lower.saturating_mul(GOOD) / 1000;
    let mut search = Search {
        skips,
        plan: &mut *plan,
        best: Vec::new(),
        makespan: u64::MAX,
    };
    let first = search.plan.order.clone();
    search.attempt(first.clone());
    let longest = search.makespan;
    for other in others(search.plan, &builds, &first) {
        if search.makespan > good {
            search.attempt(other);
        }
    }
    // From the best, two builds that change places: what makes it no longer is kept. And every third time any
    // order, for that way alone leads into dead ends.
    let mut random = Random(0x5eed);
    for trial in 0..trials {
        if search.makespan <= good {
            break;
        }
        let mut next = search.best.clone();
        if trial % 3 == 2 {
            next.fill_with(|| random.draw());
        } else {
            let [one, other] = [(); 2].map(|()| builds[random.below(builds.len())]);
            next.swap(one, other);
        }
        search.attempt(next);
    }
    let worth = search.makespan < longest.saturating_mul(WORTH) / 1000;
    plan.order = if worth { search.best } else { first };
}

/// Other rules for the order of builds.
fn others(plan: &Plan, builds: &[usize], first: &[u64]) -> Vec<Vec<u64>> {
    // The part of a lane that a build takes, of the lane where that is most, in thousandths.
    let part = |index: usize| {
        let lanes = plan.nodes[index].lanes.iter();
        let shared = lanes.filter(|(lane, _)| !plan.lane(*lane).is_build_dir());
        let parts = shared.map(|&(lane, places)| {
            u64::from(places) * 1000 / u64::from(plan.lane(lane).size.max(1))
        });
        parts.max().unwrap_or(0)
    };
    let weighed = |weight: &dyn Fn(usize) -> u64| {
        let mut order = first.to_vec();
        for &index in builds {
            order[index] = weight(index);
        }
        order
    };
    let tail = |index: usize| first[index].saturating_sub(plan.nodes[index].millis);
    vec![
        // What fills most of a lane for longest.
        weighed(&|index| first[index].saturating_mul(part(index))),
        // What fits badly, before what fits anywhere.
        weighed(&|index| {
            part(index)
                .saturating_mul(1 << 40)
                .saturating_add(first[index])
        }),
        // Where the way behind the builds is the narrow one: what comes to it soon, and keeps it long (S. M.
        // Johnson, "Optimal two- and three-stage production schedules", 1954).
        weighed(&|index| match plan.nodes[index].millis {
            millis if millis < tail(index) => u64::MAX - millis,
            _ => tail(index),
        }),
    ]
}

struct Search<'p> {
    plan: &'p mut Plan,
    skips: &'p Skips,
    best: Vec<u64>,
    makespan: u64,
}

impl Search<'_> {
    fn attempt(&mut self, order: Vec<u64>) {
        self.plan.order = order;
        let makespan = simulate(self.plan, self.skips, |_| Outcome::Succeeded).makespan;
        if makespan <= self.makespan {
            self.makespan = makespan;
            self.best = std::mem::take(&mut self.plan.order);
        }
    }
}

fn builds_at_once(plan: &Plan) -> u32 {
    plan.lanes.first().map_or(0, |build| build.size)
}

/// The same numbers each time, so that a plan has one order (SplitMix64: G. Steele et al., "Fast splittable
/// pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
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
