//! Another list scheduler, as plain as can be: at each time it goes through all that waits, in a given order,
//! and starts what fits. Shares nothing with the ready set and the simulator.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::{BuildDirUse, Plan, StepInfo};

/// Numbers that look random (an xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Shared,
    Ends,
}

struct Group {
    warm: bool,
    leader: Option<usize>,
    waiting: BTreeSet<(Reverse<u64>, usize)>,
}

struct Walk<'p> {
    plan: &'p Plan,
    skips: &'p Skips,
    order: &'p [u64],
    unmet: Vec<usize>,
    behind: Vec<Vec<usize>>,
    group_of: Vec<Option<usize>>,
    groups: Vec<Group>,
    /// By step, so that nobody goes through all builds to find that the lane of builds is full.
    waiting: [BTreeSet<(Reverse<u64>, usize)>; 3],
    free: Vec<u32>,
    coming: BinaryHeap<Reverse<(u64, Event, usize)>>,
    now: u64,
}

/// When all of a plan has ended if what could start does so in this order, the greatest first.
pub(crate) fn makespan(plan: &Plan, skips: &Skips, order: &[u64]) -> u64 {
    let count = plan.nodes.len();
    let mut walk = Walk {
        plan,
        skips,
        order,
        unmet: vec![0; count],
        behind: vec![Vec::new(); count],
        group_of: vec![None; count],
        groups: Vec::new(),
        waiting: Default::default(),
        free: plan.lanes.iter().map(|lane| lane.size).collect(),
        coming: BinaryHeap::new(),
        now: 0,
    };
    for (number, group) in plan.groups.iter().enumerate() {
        group
            .members
            .iter()
            .for_each(|member| walk.group_of[member.0] = Some(number));
        walk.groups.push(Group {
            warm: false,
            leader: None,
            waiting: BTreeSet::new(),
        });
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let before: BTreeSet<usize> = node
            .needs
            .iter()
            .chain(&node.after)
            .map(|ix| ix.0)
            .collect();
        walk.unmet[index] = before.len();
        for before in before {
            walk.behind[before].push(index);
        }
    }
    let first: Vec<usize> = (0..count).filter(|&ix| walk.unmet[ix] == 0).collect();
    first.into_iter().for_each(|index| walk.ready(index));
    walk.run()
}

impl Walk<'_> {
    fn ready(&mut self, index: usize) {
        // One that is skipped takes neither lanes nor time.
        if self.skips.contains(self.plan.nodes[index].variant) {
            self.pass_on(index);
            return;
        }
        let place = (Reverse(self.order[index]), index);
        match self.group_of[index] {
            Some(group) if !self.groups[group].warm => self.groups[group].waiting.insert(place),
            _ => self.waiting[step(self.plan.nodes[index].step)].insert(place),
        };
    }

    fn run(mut self) -> u64 {
        loop {
            for group in 0..self.groups.len() {
                if self.groups[group].leader.is_none()
                    && let Some(place) = self.groups[group].waiting.pop_first()
                {
                    self.groups[group].leader = Some(place.1);
                    self.waiting[BUILD].insert(place);
                }
            }
            for step in 0..3 {
                self.start(step);
            }
            let Some(&Reverse((next, _, _))) = self.coming.peek() else {
                let stuck = self.waiting.iter().any(|waiting| !waiting.is_empty());
                assert!(!stuck && self.groups.iter().all(|group| group.waiting.is_empty()));
                return self.now;
            };
            self.now = next;
            while let Some(&Reverse((time, event, index))) = self.coming.peek() {
                if time > self.now {
                    break;
                }
                self.coming.pop();
                if event == Event::Ends {
                    self.end(index);
                }
                if let Some(group) = self.group_of[index]
                    && self.groups[group].leader == Some(index)
                {
                    self.groups[group].warm = true;
                    let followers = std::mem::take(&mut self.groups[group].waiting);
                    self.waiting[BUILD].extend(followers);
                }
            }
        }
    }

    fn start(&mut self, step: usize) {
        if self.free[OWN_LANE[step]] == 0 {
            return;
        }
        let candidates: Vec<(Reverse<u64>, usize)> = self.waiting[step].iter().copied().collect();
        for place in candidates {
            let index = place.1;
            let node = &self.plan.nodes[index];
            if self.free[OWN_LANE[step]] == 0 {
                return;
            }
            if node
                .lanes
                .iter()
                .any(|(lane, places)| self.free[lane.0] < *places)
            {
                continue;
            }
            self.waiting[step].remove(&place);
            for (lane, places) in &node.lanes {
                self.free[lane.0] -= places;
            }
            if self.group_of[index].is_some_and(|group| self.groups[group].leader == Some(index)) {
                let shared = node.shared_millis.min(node.millis);
                self.coming
                    .push(Reverse((self.now + shared, Event::Shared, index)));
            }
            self.coming
                .push(Reverse((self.now + node.millis, Event::Ends, index)));
        }
    }

    fn end(&mut self, index: usize) {
        for (lane, places) in &self.plan.nodes[index].lanes {
            self.free[lane.0] += places;
        }
        self.pass_on(index);
    }

    fn pass_on(&mut self, index: usize) {
        for next in std::mem::take(&mut self.behind[index]) {
            self.unmet[next] -= 1;
            if self.unmet[next] == 0 {
                self.ready(next);
            }
        }
    }
}

/// The lane that all of a step take, by the step's number.
const OWN_LANE: [usize; 3] = [2, 1, 0];

const BUILD: usize = 2;

fn step(step: &StepInfo) -> usize {
    match step.build_dir {
        // Nothing is made of what the variants here have.
        BuildDirUse::None => 0,
        BuildDirUse::Reads => 1,
        BuildDirUse::Writes => BUILD,
    }
}
