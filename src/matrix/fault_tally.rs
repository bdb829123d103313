//! A tally of faults that many variants share: the first is reported in full, the others are
//! counted.

use std::collections::HashMap;

use crate::base::fault::{Fault, Faults};

/// Faults, grouped by offset and kind.
#[derive(Debug, Default)]
pub struct FaultTally {
    /// The first fault of each group, and the number of further ones.
    groups: Vec<(Fault, usize)>,
    index: HashMap<(usize, &'static str), usize>,
}

impl FaultTally {
    /// Adds a fault to the group of `offset` and `kind`; only the first of a group is built.
    pub fn add(&mut self, offset: usize, kind: &'static str, fault: impl FnOnce() -> Fault) {
        if let Some(&index) = self.index.get(&(offset, kind)) {
            self.groups[index].1 += 1;
        } else {
            self.index.insert((offset, kind), self.groups.len());
            self.groups.push((fault(), 0));
        }
    }

    /// Reports the first fault of each group, with the number of the others.
    pub fn report(self, faults: &mut Faults) {
        for (mut fault, more) in self.groups {
            if more > 0 {
                fault
                    .message
                    .push_str(&format!(" (and {more} more like this)"));
            }
            faults.push(fault);
        }
    }
}
