//! What builds need of the machine, in the places of the lanes `cpu` and `memory`: from what earlier
//! builds of a variant took, or a guess. Pure.

/// What the lane `cpu` counts: hundredths of a processor core.
pub const CORE: u32 = 100;

/// What the builds of a run may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Hundredths of a core; at least one.
    pub cpu: u32,
    /// MiB of memory, at least one; none where it is not known how much there is.
    pub memory: Option<u32>,
}

/// What a build takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Hundredths of a core.
    pub cpu: u32,
    /// MiB of memory.
    pub memory: u32,
}

/// What a build took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Took {
    /// The most memory at one time, in bytes, less what the kernel could have taken back.
    pub memory: u64,
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Wall time over which both were measured, in seconds.
    pub seconds: f64,
}

/// Of a build that was never measured: BitBake on most of its way keeps one core busy, and the
/// compression of a root file system takes the rest.
impl Default for Need {
    fn default() -> Need {
        Need {
            cpu: CORE,
            memory: 2048,
        }
    }
}

/// Needs are rounded up to such steps, so that there are few different ones: the ready set looks at one
/// node of each.
const CPU_STEP: u32 = 25;
const MEMORY_STEP: u32 = 256;

/// What even a build that waits for its downloads all the time counts for.
const LEAST_CPU: u32 = 50;

impl Need {
    /// What the next build will take, from what the last ones took; the default where there are none.
    ///
    /// Memory is the most of them and a quarter more, for it is sampled and must not be missed. Processor
    /// time is that of the last one, and never counts for more than one core: how many cores a build
    /// can make use of is limited by its share of the threads, and where it counted for more than what
    /// it takes at its narrowest, cores would stand idle during the long parts that use one.
    #[must_use]
    pub fn of(took: &[Took]) -> Need {
        let Some(last) = took.first() else {
            return Need::default();
        };
        let most = took.iter().map(|took| took.memory).max().unwrap_or(0);
        let mib = (most / 4).saturating_mul(5).div_ceil(1 << 20);
        let memory = u32::try_from(mib)
            .unwrap_or(u32::MAX - MEMORY_STEP)
            .max(1)
            .next_multiple_of(MEMORY_STEP);
        let busy = last.cpu_seconds / last.seconds.max(0.001) * f64::from(CORE);
        // Out of the range of numbers it saturates, and then it is clamped.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float that is cast saturates"
        )]
        let busy = busy as u32;
        let cpu = busy.clamp(LEAST_CPU, CORE).next_multiple_of(CPU_STEP);
        Need { cpu, memory }
    }

    /// No more than there is, so that every build can run, alone if need be.
    #[must_use]
    pub fn within(self, all: Capacity) -> Need {
        Need {
            cpu: self.cpu.min(all.cpu),
            memory: self.memory.min(all.memory.unwrap_or(u32::MAX)),
        }
    }
}

/// The middle one of some durations; none of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(mib: u64, busy: f64) -> Took {
        Took {
            memory: mib << 20,
            cpu_seconds: busy * 10.0,
            seconds: 10.0,
        }
    }

    #[test]
    fn memory_is_the_most_of_the_last_builds_and_a_quarter_more() {
        let need = Need::of(&[took(1000, 1.0), took(3000, 1.0), took(2000, 1.0)]);
        assert_eq!(need.memory, 3840, "3750, in steps of 256");
        assert_eq!(Need::of(&[]), Need::default());
        assert_eq!(Need::of(&[took(0, 0.0)]).memory, 256);
        assert!(Need::of(&[took(u64::MAX >> 20, 1.0)]).memory > u32::MAX / 2);
    }

    #[test]
    fn a_build_counts_for_one_core_at_most_and_for_half_of_one_at_least() {
        for (busy, cpu) in [(0.0, 50), (0.6, 75), (0.75, 75), (0.9, 100), (3.5, 100)] {
            assert_eq!(Need::of(&[took(1, busy)]).cpu, cpu, "{busy}");
        }
        assert_eq!(
            Need::of(&[took(1, 0.5), took(1, 1.0)]).cpu,
            50,
            "the last one's"
        );
        assert_eq!(Need::of(&[took(1, f64::NAN)]).cpu, 50);
    }

    #[test]
    fn every_build_fits_in_alone() {
        let all = Capacity {
            cpu: 80,
            memory: Some(900),
        };
        let need = Need::default().within(all);
        assert_eq!((need.cpu, need.memory), (80, 900));
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![3.0, 9.0, 1.0]), Some(3.0));
    }
}
