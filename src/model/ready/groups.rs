//! Who leads and who follows among builds that would make the same things one beside the other.
//!
//! A group is cold until its leader says that what they share is there, or ends well. Until then its
//! other builds are kept back. A leader that ends otherwise, or is skipped, makes the next one lead; so
//! as long as somebody waits, somebody leads or is about to.

use std::collections::BTreeSet;

use super::Rank;
use crate::model::plan::{NodeIx, Plan};

#[derive(Debug, Clone, Default)]
struct Group {
    leader: Option<NodeIx>,
    warm: bool,
    waiting: BTreeSet<Rank>,
}

#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// By node, where there are groups at all.
    group_of: Vec<Option<usize>>,
    groups: Vec<Group>,
    /// Groups that may need a leader.
    leaderless: Vec<usize>,
}

impl Groups {
    pub(super) fn of(plan: &Plan) -> Groups {
        let mut group_of = Vec::new();
        if !plan.groups.is_empty() {
            group_of = vec![None; plan.nodes.len()];
        }
        for (number, group) in plan.groups.iter().enumerate() {
            for member in &group.members {
                group_of[member.0] = Some(number);
            }
        }
        Groups {
            group_of,
            groups: vec![Group::default(); plan.groups.len()],
            leaderless: Vec::new(),
        }
    }

    fn number(&self, ix: NodeIx) -> Option<usize> {
        self.group_of.get(ix.0).copied().flatten()
    }

    /// Keeps a build that is ready but for its leader; answers whether it is to wait.
    pub(super) fn keep(&mut self, rank: Rank) -> bool {
        let Some(number) = self.number(rank.2) else {
            return false;
        };
        let group = &mut self.groups[number];
        if group.warm {
            return false;
        }
        group.waiting.insert(rank);
        if group.leader.is_none() {
            self.leaderless.push(number);
        }
        true
    }

    /// The next one that has come to lead a group.
    pub(super) fn elect(&mut self) -> Option<Rank> {
        while let Some(number) = self.leaderless.pop() {
            let group = &mut self.groups[number];
            if group.warm || group.leader.is_some() {
                continue;
            }
            if let Some(rank) = group.waiting.pop_first() {
                group.leader = Some(rank.2);
                return Some(rank);
            }
        }
        None
    }

    /// What a leader shares with others is there. Answers those who waited for it.
    pub(super) fn warm(&mut self, ix: NodeIx) -> BTreeSet<Rank> {
        match self.number(ix) {
            Some(number) if self.groups[number].leader == Some(ix) => {
                self.groups[number].warm = true;
                std::mem::take(&mut self.groups[number].waiting)
            }
            _ => BTreeSet::new(),
        }
    }

    /// A build has ended. Answers those who waited for that.
    pub(super) fn ended(&mut self, ix: NodeIx, well: bool) -> BTreeSet<Rank> {
        let Some(number) = self.number(ix) else {
            return BTreeSet::new();
        };
        if self.groups[number].leader != Some(ix) {
            return BTreeSet::new();
        }
        if well {
            return self.warm(ix);
        }
        self.groups[number].leader = None;
        self.leaderless.push(number);
        BTreeSet::new()
    }

    /// A build that has not started will not, or not now.
    pub(super) fn withdraw(&mut self, rank: Rank) {
        if let Some(number) = self.number(rank.2) {
            self.groups[number].waiting.remove(&rank);
        }
    }

    /// Whether this one leads and is not through yet.
    pub(super) fn leads(&self, ix: NodeIx) -> bool {
        self.number(ix).is_some_and(|number| {
            let group = &self.groups[number];
            group.leader == Some(ix) && !group.warm
        })
    }

    /// How many wait for this one.
    pub(super) fn led_by(&self, ix: NodeIx) -> usize {
        match self.number(ix) {
            Some(number) if self.groups[number].leader == Some(ix) => {
                self.groups[number].waiting.len()
            }
            _ => 0,
        }
    }
}
