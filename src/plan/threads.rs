//! Thread shares: how many BitBake threads each running build gets, so that all of them fit the machine. Pure.
//!
//! BitBake reads its number of threads once, at the start, so a build's share is settled then. The first of several
//! builds must not get all cores: they are divided by the number of builds that could run at the same time.

use std::collections::HashMap;

use crate::plan::NodeIx;

/// The threads of running builds.
#[derive(Debug, Clone)]
pub struct ThreadShares {
    cores: u32,
    given: HashMap<NodeIx, u32>,
}

impl ThreadShares {
    /// The shares of a machine with this many cores, none given out.
    #[must_use]
    pub fn of(cores: u32) -> ThreadShares {
        ThreadShares {
            cores: cores.max(1),
            given: HashMap::new(),
        }
    }

    /// The threads of a build that starts where `width` builds, including it, could run at once: its part of the
    /// cores, no more than are left, at least one.
    ///
    /// While no more than `width` builds run, their threads together are at most the cores, or one each where there
    /// are more builds than cores.
    pub fn give(&mut self, node: NodeIx, width: u32) -> u32 {
        let left = self.cores.saturating_sub(self.out());
        let threads = (self.cores / width.max(1)).min(left).max(1);
        self.given.insert(node, threads);
        threads
    }

    /// Reduces a build's share to one thread: from here on its tasks, those of the image, run one after the other.
    pub fn narrow(&mut self, node: NodeIx) {
        if let Some(threads) = self.given.get_mut(&node) {
            *threads = 1;
        }
    }

    /// Takes back the share of a build that has ended.
    pub fn take_back(&mut self, node: NodeIx) {
        self.given.remove(&node);
    }

    /// The number of threads given out.
    #[must_use]
    pub fn out(&self) -> u32 {
        self.given.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cores_are_divided_by_the_builds_that_could_run_at_once() {
        let mut threads = ThreadShares::of(8);
        assert_eq!(threads.give(NodeIx(0), 1), 8, "all for a build alone");
        threads.take_back(NodeIx(0));

        assert_eq!(threads.give(NodeIx(0), 3), 2);
        assert_eq!(threads.give(NodeIx(1), 3), 2);
        assert_eq!(threads.give(NodeIx(2), 3), 2);
        assert_eq!(threads.give(NodeIx(3), 1), 2, "no more than are left");
    }

    #[test]
    fn leader_that_makes_its_image_leaves_its_threads_to_followers() {
        let mut threads = ThreadShares::of(4);
        assert_eq!(threads.give(NodeIx(0), 1), 4);

        threads.narrow(NodeIx(0));

        assert_eq!(threads.give(NodeIx(1), 2), 2);
    }

    proptest! {
        #[test]
        fn threads_given_out_never_exceed_cores_or_builds(
            cores in 1u32..65,
            width in 1u32..20,
            steps in prop::collection::vec((0usize..20, 0u8..4), 1..100),
        ) {
            let mut threads = ThreadShares::of(cores);
            for (node, what) in steps {
                let running = u32::try_from(threads.given.len()).unwrap();
                match what {
                    0 => threads.take_back(NodeIx(node)),
                    1 => threads.narrow(NodeIx(node)),
                    _ if threads.given.contains_key(&NodeIx(node)) || running == width => {}
                    _ => prop_assert!(threads.give(NodeIx(node), width) >= 1),
                }
                let builds = u32::try_from(threads.given.len()).unwrap();
                prop_assert!(threads.out() <= cores.max(builds));
            }
        }
    }
}
