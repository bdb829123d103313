//! How many threads each of the builds that run is given, so that together they fit the machine. Pure.
//!
//! A build's share is settled when it starts, since BitBake reads it once. So the first of several builds
//! must not be given all: the cores are divided by how many could run beside each other.

use std::collections::HashMap;

use super::plan::NodeIx;

/// The threads that have been given out.
#[derive(Debug, Clone)]
pub struct Threads {
    cores: u32,
    given: HashMap<NodeIx, u32>,
}

impl Threads {
    /// Of a machine with so many cores, nothing is given out.
    #[must_use]
    pub fn of(cores: u32) -> Threads {
        Threads {
            cores: cores.max(1),
            given: HashMap::new(),
        }
    }

    /// The threads of a build that starts where `width` builds, it included, could run at once: its part
    /// of the cores and no more than are left, but always one. As long as no more than `width` run at
    /// once they never have more threads together than there are cores, unless they are more than the
    /// cores: then they have one each.
    pub fn give(&mut self, node: NodeIx, width: u32) -> u32 {
        let left = self.cores.saturating_sub(self.out());
        let threads = (self.cores / width.max(1)).min(left).max(1);
        self.given.insert(node, threads);
        threads
    }

    /// A build goes on with what runs one step after the other: its image. It needs one thread.
    pub fn narrow(&mut self, node: NodeIx) {
        if let Some(threads) = self.given.get_mut(&node) {
            *threads = 1;
        }
    }

    /// A build has ended.
    pub fn take_back(&mut self, node: NodeIx) {
        self.given.remove(&node);
    }

    /// How many are given out.
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
    fn the_cores_are_divided_by_how_many_run_beside_each_other() {
        let mut threads = Threads::of(8);
        assert_eq!(threads.give(NodeIx(0), 1), 8, "alone it has all");
        threads.take_back(NodeIx(0));
        assert_eq!(threads.give(NodeIx(0), 3), 2);
        assert_eq!(threads.give(NodeIx(1), 3), 2);
        assert_eq!(threads.give(NodeIx(2), 3), 2);
        assert_eq!(threads.give(NodeIx(3), 1), 2, "no more than are left");
    }

    #[test]
    fn a_leader_that_makes_its_image_leaves_its_threads_to_its_followers() {
        let mut threads = Threads::of(4);
        assert_eq!(threads.give(NodeIx(0), 1), 4);
        threads.narrow(NodeIx(0));
        assert_eq!(threads.give(NodeIx(1), 2), 2);
    }

    proptest! {
        #[test]
        fn the_sum_fits_the_machine(
            cores in 1u32..65,
            width in 1u32..20,
            steps in prop::collection::vec((0usize..20, 0u8..4), 1..100),
        ) {
            let mut threads = Threads::of(cores);
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
