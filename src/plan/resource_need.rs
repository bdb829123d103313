//! Resource needs: what a build is expected to take of the lanes `cpu` and `memory`. Pure.
//!
//! A need comes from what earlier builds of the variant used, else it is an assumption.

use crate::host::usage::ResourceUsage;

/// Places of the lane `cpu` for one processor core: the lane counts hundredths.
pub const CORE: u32 = 100;

/// The capacity of the host for all builds of a run together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildCapacity {
    /// Hundredths of a core; at least one.
    pub cpu: u32,
    /// MiB of memory, at least one; absent where the machine's memory is unknown.
    pub memory: Option<u32>,
}

/// The need of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceNeed {
    /// Hundredths of a core.
    pub cpu: u32,
    /// MiB of memory.
    pub memory: u32,
}

/// The need of a build that was never measured: BitBake keeps one core busy for most of a build, and compressing a
/// root file system takes the memory.
impl Default for ResourceNeed {
    fn default() -> ResourceNeed {
        ResourceNeed {
            cpu: CORE,
            memory: 2048,
        }
    }
}

/// Needs are rounded up to multiples of this. Few different needs keep the ready set fast: it looks at one node of
/// each.
const CPU_STEP: u32 = 25;
/// The same for memory, in MiB.
const MEMORY_STEP: u32 = 256;

/// The least need of any build, in hundredths of a core: also one that only waits for downloads.
const LEAST_CPU: u32 = 50;

impl ResourceNeed {
    /// The need of the next build from the usage of earlier ones, the last one first; the default where there are
    /// none.
    ///
    /// Memory is the maximum and a quarter more, because it is sampled and running out of it kills builds. The
    /// processor need is that of the last build, at most one core: the share of threads limits how many cores a
    /// build can use, and a larger need would leave cores idle in the long parts of a build that use one.
    #[must_use]
    pub fn of(usage: &[ResourceUsage]) -> ResourceNeed {
        let Some(last) = usage.first() else {
            return ResourceNeed::default();
        };
        let most = usage.iter().map(|usage| usage.memory).max().unwrap_or(0);
        let mib = (most / 4).saturating_mul(5).div_ceil(1 << 20);
        let memory = u32::try_from(mib)
            .unwrap_or(u32::MAX - MEMORY_STEP)
            .max(1)
            .next_multiple_of(MEMORY_STEP);
        let busy = last.cpu_seconds / last.seconds.max(0.001) * f64::from(CORE);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from f64 saturates, and the result is clamped"
        )]
        let busy = busy as u32;
        let cpu = busy.clamp(LEAST_CPU, CORE).next_multiple_of(CPU_STEP);
        ResourceNeed { cpu, memory }
    }

    /// The need, limited to the capacity: every build must be able to run, if need be alone.
    #[must_use]
    pub fn within(self, capacity: BuildCapacity) -> ResourceNeed {
        ResourceNeed {
            cpu: self.cpu.min(capacity.cpu),
            memory: self.memory.min(capacity.memory.unwrap_or(u32::MAX)),
        }
    }
}

/// The median of durations, the lower one of an even number; absent for an empty list.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(mib: u64, busy: f64) -> ResourceUsage {
        ResourceUsage {
            memory: mib << 20,
            cpu_seconds: busy * 10.0,
            seconds: 10.0,
        }
    }

    #[test]
    fn memory_need_is_the_maximum_of_recent_builds_and_a_quarter_more() {
        let need = ResourceNeed::of(&[usage(1000, 1.0), usage(3000, 1.0), usage(2000, 1.0)]);
        assert_eq!(need.memory, 3840, "3750, in steps of 256");

        assert_eq!(ResourceNeed::of(&[]), ResourceNeed::default());
        assert_eq!(ResourceNeed::of(&[usage(0, 0.0)]).memory, 256);
        assert!(ResourceNeed::of(&[usage(u64::MAX >> 20, 1.0)]).memory > u32::MAX / 2);
    }

    #[test]
    fn cpu_need_is_between_half_a_core_and_one_core() {
        for (busy, cpu) in [(0.0, 50), (0.6, 75), (0.75, 75), (0.9, 100), (3.5, 100)] {
            assert_eq!(ResourceNeed::of(&[usage(1, busy)]).cpu, cpu, "{busy}");
        }
        assert_eq!(
            ResourceNeed::of(&[usage(1, 0.5), usage(1, 1.0)]).cpu,
            50,
            "of the last build"
        );
        assert_eq!(ResourceNeed::of(&[usage(1, f64::NAN)]).cpu, 50);
    }

    #[test]
    fn every_need_fits_into_the_capacity() {
        let capacity = BuildCapacity {
            cpu: 80,
            memory: Some(900),
        };

        let need = ResourceNeed::default().within(capacity);

        assert_eq!((need.cpu, need.memory), (80, 900));
    }

    #[test]
    fn median_of_an_even_number_is_the_lower_one() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![3.0, 9.0, 1.0]), Some(3.0));
    }
}
