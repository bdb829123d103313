//! A tally of faults that many variants share: the first is told in full, the others are counted.
//! Knows nothing of what they are.

use std::collections::HashMap;

use crate::model::faults::{Fault, Faults};

/// Faults by the place and the kind that make them one.
#[derive(Debug, Default)]
pub struct Tally {
    found: Vec<(Fault, usize)>,
    by: HashMap<(usize, &'static str), usize>,
}

impl Tally {
    /// Notes a fault; `place` and `kind` say with which others it is one.
    pub fn add(&mut self, place: usize, kind: &'static str, fault: impl FnOnce() -> Fault) {
        if let Some(&index) = self.by.get(&(place, kind)) {
            self.found[index].1 += 1;
        } else {
            self.by.insert((place, kind), self.found.len());
            self.found.push((fault(), 0));
        }
    }

    /// The faults, each with the number of its like.
    pub fn report(self, faults: &mut Faults) {
        for (mut fault, more) in self.found {
            if more > 0 {
                fault
                    .message
                    .push_str(&format!(" (and {more} more like it)"));
            }
            faults.push(fault);
        }
    }
}
