//! What is known of a plan before it is walked: what the machine offers, what each build will take of
//! it and for how long, and which builds have to wait for one that leads.
//!
//! All of it is a help and none of it is needed: what cannot be read is guessed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::caches::warm;
use crate::machine::Machine;
use crate::model::affinity::Shared;
use crate::model::collide;
use crate::model::matrix::VariantKey;
use crate::model::need::{CORE, Capacity, Need, Took, median};
use crate::model::plan::{Expected, Plan, Resources, Scope, VariantIx};
use crate::settings::Jobs;
use crate::state::StateDir;
use crate::state::records::Records;
use crate::state::records::measures::{Past, RECENT};
use crate::steps::build::first::Until;
use crate::tools::Runner;

use super::failure::{Failure, Kind};
use super::project::Project;

/// How long the steps of a minimal image take where nothing was measured, in milliseconds.
const ASSUMED: Expected = Expected {
    build: 180_000,
    shared: 90_000,
    capture: 3_000,
    compress: 5_000,
    register: 5_000,
};

/// What is known beforehand.
#[derive(Debug)]
pub(super) struct Forecast {
    /// The machine.
    pub(super) machine: Machine,
    /// What each variant shares with others.
    pub(super) shared: Vec<Option<Arc<Shared>>>,
    /// For each variant whether the duration of its build was measured.
    pub(super) measured: Vec<bool>,
    /// Sizes and needs.
    pub(super) resources: Resources,
}

impl Forecast {
    /// For the selected variants of a project, built so many at a time.
    #[must_use]
    pub(super) fn of(project: &Project, scope: Scope, jobs: Jobs) -> Forecast {
        let machine = Machine::capture(&project.system_root);
        let variants = &project.matrix.variants;
        let mut resources = Resources {
            captures: machine.cores().min(4),
            build_dirs: project.build_dirs(),
            cores: Some(machine.cores()),
            ..Resources::default()
        };
        match jobs {
            Jobs::Fixed(number) => resources.builds = number,
            Jobs::Auto => {
                // The lanes of processor and memory say how many; no build counts for less than half a core.
                resources.builds = (machine.cpu / (CORE / 2)).clamp(1, Jobs::MOST);
                let mib = |bytes: u64| u32::try_from(bytes >> 20).unwrap_or(u32::MAX).max(1);
                resources.capacity = Some(Capacity {
                    cpu: machine.cpu,
                    memory: machine.memory.map(mib),
                });
            }
        }
        let mut forecast = Forecast {
            machine,
            shared: Vec::new(),
            measured: vec![false; variants.len()],
            resources,
        };
        if scope == Scope::Full {
            forecast.look_back(project);
            forecast.find_leaders(project);
        }
        forecast
    }

    /// From the records: what builds took and how long.
    fn look_back(&mut self, project: &Project) {
        let past = past(project);
        if past.is_empty() {
            return;
        }
        let of = |past: &[Past], value: fn(&Past) -> Option<f64>| {
            median(past.iter().filter_map(value).collect())
        };
        let seconds = |past: &[Past]| of(past, |past| Some(past.seconds));
        // A build that is not known will take as long as those that are.
        let known = past.values().filter_map(|past| seconds(recent(past)));
        let usual = median(known.collect());
        let variants = &project.matrix.variants;
        for (index, variant) in variants.iter().enumerate() {
            let past = past.get(&variant.key).map_or(&[][..], Vec::as_slice);
            let build = seconds(recent(past)).or(usual);
            let shared = of(recent(past), |past| past.measure.shared_seconds);
            self.measured[index] = !past.is_empty();
            self.resources.needs.push(Need::of(&took(past)));
            let build = build.map_or(ASSUMED.build, millis);
            self.resources.expected.push(Expected {
                build,
                shared: shared.map_or(build / 2, millis),
                ..ASSUMED
            });
        }
    }

    /// Where the shared state is cold, one build of those that share it leads. Nobody has to where builds
    /// do not run beside each other.
    fn find_leaders(&mut self, project: &Project) {
        let cache = &project.settings.sstate_dir.value;
        let mut cold: HashMap<&str, usize> = HashMap::new();
        let mut warm: HashMap<&str, bool> = HashMap::new();
        for (index, variant) in project.matrix.variants.iter().enumerate() {
            let shared = project.affinity.shared(variant);
            self.shared.push(shared.cloned());
            let Some(shared) = shared else {
                continue;
            };
            let Shared { name, digest } = &**shared;
            let is_warm = *warm
                .entry(digest)
                .or_insert_with(|| warm::is_warm(cache, digest));
            if is_warm || self.resources.builds == 1 {
                continue;
            }
            let groups = &mut self.resources.cold;
            let group = *cold.entry(digest).or_insert_with(|| {
                groups.push((name.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(VariantIx(index));
        }
    }

    /// The durations where none is known yet, so that they can be set one by one.
    pub(super) fn durations(&mut self) -> &mut Vec<Expected> {
        let count = self.measured.len();
        let expected = &mut self.resources.expected;
        if expected.is_empty() {
            expected.resize(count, ASSUMED);
        }
        expected
    }

    /// The plan.
    ///
    /// # Errors
    /// When two variants would take one file.
    pub(super) fn plan(&self, project: &Project, scope: Scope) -> Result<Plan, Failure> {
        let plan = Plan::new(Arc::clone(&project.matrix.variants), scope, &self.resources);
        match collide::meeting(&plan) {
            None => Ok(plan),
            Some(meeting) => {
                Err(Failure::new(Kind::Configuration, &meeting).hint(Some(meeting.hint())))
            }
        }
    }
}

/// The last builds, less the older ones that are there for what they took.
fn recent(past: &[Past]) -> &[Past] {
    past.get(..RECENT).unwrap_or(past)
}

/// What the last builds took that began with an image. One that did not had next to nothing to do, and says
/// nothing of the next one that has; only where there are no others they have to do.
fn took(past: &[Past]) -> Vec<Took> {
    let began = |past: &&Past| past.measure.shared_seconds.is_some();
    let took = |past: &Past| past.measure.took;
    let real: Vec<Took> = past.iter().filter(began).filter_map(took).collect();
    if real.is_empty() {
        return past.iter().filter_map(took).collect();
    }
    real
}

/// The last good builds of each variant, where there are records that can be read.
fn past(project: &Project) -> HashMap<VariantKey, Vec<Past>> {
    let path = StateDir::at(project.settings.state_dir.value.clone()).records();
    let past = Records::read(&path).and_then(|records| match records {
        Some(records) => records.past_builds(),
        None => Ok(HashMap::new()),
    });
    past.unwrap_or_else(|error| {
        tracing::warn!("{error}");
        HashMap::new()
    })
}

/// What the first build prepares for the others: a container registers foreign architectures where the
/// host has not, and kas makes the first clones.
pub(super) fn first_start(runner: Option<&Runner>, project: &Project) -> Until {
    let Some(runner) = runner else {
        return Until::Now;
    };
    let has_any = |dir: PathBuf, is_one: fn(&str) -> bool| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| is_one(&name))
    };
    let clones = project.settings.repo_ref_dir.value.clone();
    if !has_any(clones, |name| !name.starts_with('.')) {
        return Until::CheckedOut;
    }
    let table = project.system_root.join("proc/sys/fs/binfmt_misc");
    match runner {
        Runner::Container { .. } if !has_any(table, |name| name.starts_with("qemu-")) => {
            Until::KasRuns
        }
        _ => Until::Now,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is cast saturates"
)]
pub(super) fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::measures::Measure;

    #[test]
    fn builds_that_had_nothing_to_do_say_nothing_of_what_the_next_one_takes() {
        let past = |memory: u64, shared_seconds: Option<f64>| Past {
            seconds: 1.0,
            measure: Measure {
                took: Some(Took {
                    memory,
                    cpu_seconds: 1.0,
                    seconds: 1.0,
                }),
                shared_seconds,
            },
        };
        let memory = |past: &[Past]| {
            took(past)
                .iter()
                .map(|took| took.memory)
                .collect::<Vec<_>>()
        };
        let (cheap, real) = (past(1, None), past(9, Some(1.0)));
        assert_eq!(memory(&[cheap, cheap, real]), [9]);
        assert_eq!(memory(&[cheap, cheap]), [1, 1], "there are no others");
    }
}
