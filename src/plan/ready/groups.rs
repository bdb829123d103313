//! Group leaders: which build of a cold group leads, and which builds wait for it.
//!
//! A group is cold until its leader reports that the shared state is in the cache, or succeeds; until then its other
//! builds wait. When a leader ends otherwise or is skipped, the next build leads. So while builds of a group wait,
//! one of the group leads or is about to.

use std::collections::BTreeSet;

use crate::plan::ready::rank::StartRank;
use crate::plan::{NodeIx, Plan};

#[derive(Debug, Clone, Default)]
struct GroupState {
    leader: Option<NodeIx>,
    warm: bool,
    waiting: BTreeSet<StartRank>,
}

/// The state of all groups of a plan.
#[derive(Debug, Clone)]
pub(crate) struct GroupLeaders {
    /// By node; empty in a plan without groups.
    group_of: Vec<Option<usize>>,
    groups: Vec<GroupState>,
    /// Groups that may need a leader.
    leaderless: Vec<usize>,
}

impl GroupLeaders {
    pub(crate) fn of(plan: &Plan) -> GroupLeaders {
        let mut group_of = Vec::new();
        if !plan.groups.is_empty() {
            group_of = vec![None; plan.nodes.len()];
        }
        for (number, group) in plan.groups.iter().enumerate() {
            for member in &group.members {
                group_of[member.0] = Some(number);
            }
        }
        GroupLeaders {
            group_of,
            groups: vec![GroupState::default(); plan.groups.len()],
            leaderless: Vec::new(),
        }
    }

    fn number(&self, ix: NodeIx) -> Option<usize> {
        self.group_of.get(ix.0).copied().flatten()
    }

    /// Makes a build wait for its group's leader. Returns whether it has to wait.
    pub(crate) fn keep(&mut self, rank: StartRank) -> bool {
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

    /// Elects the leader of one group that has none. Call until it returns `None`.
    pub(crate) fn elect(&mut self) -> Option<StartRank> {
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

    /// The shared state of a leader is in the cache. Returns the builds that waited for it.
    pub(crate) fn warm(&mut self, ix: NodeIx) -> BTreeSet<StartRank> {
        match self.number(ix) {
            Some(number) if self.groups[number].leader == Some(ix) => {
                self.groups[number].warm = true;
                std::mem::take(&mut self.groups[number].waiting)
            }
            _ => BTreeSet::new(),
        }
    }

    /// A build has ended. Returns the builds that waited for that.
    pub(crate) fn ended(&mut self, ix: NodeIx, succeeded: bool) -> BTreeSet<StartRank> {
        let Some(number) = self.number(ix) else {
            return BTreeSet::new();
        };
        if self.groups[number].leader != Some(ix) {
            return BTreeSet::new();
        }
        if succeeded {
            return self.warm(ix);
        }
        self.groups[number].leader = None;
        self.leaderless.push(number);
        BTreeSet::new()
    }

    /// A waiting build will not start.
    pub(crate) fn withdraw(&mut self, rank: StartRank) {
        if let Some(number) = self.number(rank.2) {
            self.groups[number].waiting.remove(&rank);
        }
    }

    /// Whether a build leads a group that is still cold.
    pub(crate) fn leads(&self, ix: NodeIx) -> bool {
        self.number(ix).is_some_and(|number| {
            let group = &self.groups[number];
            group.leader == Some(ix) && !group.warm
        })
    }

    /// How many builds wait for a leader; 0 for any other node.
    pub(crate) fn followers(&self, ix: NodeIx) -> usize {
        match self.number(ix) {
            Some(number) if self.groups[number].leader == Some(ix) => {
                self.groups[number].waiting.len()
            }
            _ => 0,
        }
    }
}
