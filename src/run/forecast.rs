//! Forecast: the resources of the host, the expected need and duration of each build, and the builds that wait for a
//! group leader.
//!
//! Only an aid to planning: a value that cannot be read is assumed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::caches::warm;
use crate::host::capacity::HostCapacity;
use crate::host::usage::ResourceUsage;
use crate::matrix::VariantKey;
use crate::plan::affinity::SharedState;
use crate::plan::collide;
use crate::plan::resource_need::{BuildCapacity, CORE, ResourceNeed, median};
use crate::plan::{Expected, Plan, Resources, Scope, StepInfo, VariantIx};
use crate::settings::Jobs;
use crate::state::StateDir;
use crate::state::records::Records;
use crate::state::records::measures::{Past, RECENT};
use crate::steps::build::warm_up::WarmUpGoal;
use crate::tools::Runner;

use crate::base::failure::{Failure, FailureKind};
use crate::project::Project;
use crate::run::parts::Parts;

/// The forecast of a plan.
#[derive(Debug)]
pub(crate) struct Forecast {
    /// The cores and the memory of the host.
    pub(crate) machine: HostCapacity,
    /// The shared state of each variant that others use, too.
    pub(crate) shared: Vec<Option<Arc<SharedState>>>,
    /// Whether the duration of each variant's build was measured.
    pub(crate) measured: Vec<bool>,
    /// Lane sizes, resource needs and durations, for the planner.
    pub(crate) resources: Resources,
    /// The steps to plan.
    pub(crate) steps: Vec<&'static StepInfo>,
}

impl Forecast {
    /// The forecast for the selected variants of a project, built `jobs` at a time.
    #[must_use]
    pub(crate) fn of(project: &Project, scope: Scope, jobs: Jobs, parts: &Parts) -> Forecast {
        let machine = HostCapacity::capture(&project.system_root);
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
                // The lanes `cpu` and `memory` set the limit; a build takes at least half a core.
                resources.builds = (machine.cpu / (CORE / 2)).clamp(1, Jobs::MAX);
                let mib = |bytes: u64| u32::try_from(bytes >> 20).unwrap_or(u32::MAX).max(1);
                resources.capacity = Some(BuildCapacity {
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
            steps: parts.step_infos(),
        };
        if scope == Scope::Full {
            forecast.look_back(project);
            forecast.find_leaders(project);
        }
        forecast
    }

    /// Reads from the records what builds used, and how long they took.
    fn look_back(&mut self, project: &Project) {
        let past = past(project);
        if past.is_empty() {
            return;
        }
        let of = |past: &[Past], value: fn(&Past) -> Option<f64>| {
            median(past.iter().filter_map(value).collect())
        };
        let seconds = |past: &[Past]| of(past, |past| Some(past.seconds));
        // A build without a record is assumed to take as long as the others.
        let known = past.values().filter_map(|past| seconds(recent(past)));
        let usual = median(known.collect());
        let assumed = Expected::assumed(&self.steps);
        let variants = &project.matrix.variants;
        for (index, variant) in variants.iter().enumerate() {
            let past = past.get(&variant.key).map_or(&[][..], Vec::as_slice);
            let mut expected = assumed.clone();
            if let Some(heavy) = self.steps.iter().find(|step| step.heavy) {
                let build = seconds(recent(past)).or(usual);
                let build = build.map_or(heavy.assumed_millis, millis);
                expected.set(heavy.kind, build);
                let shared = of(recent(past), |past| past.measure.shared_seconds);
                expected.shared_millis = shared.map_or(build / 2, millis);
            }
            self.measured[index] = !past.is_empty();
            self.resources.needs.push(ResourceNeed::of(&took(past)));
            self.resources.expected.push(expected);
        }
    }

    /// Groups the builds whose shared state cache is cold: in each group one build fills it first. Builds that
    /// run one at a time need no groups.
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
            let SharedState { name, digest } = &**shared;
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

    /// The expected durations of each variant, to be changed; the assumed ones where the records have none.
    pub(crate) fn durations(&mut self) -> &mut Vec<Expected> {
        let count = self.measured.len();
        let expected = &mut self.resources.expected;
        if expected.is_empty() {
            expected.resize(count, Expected::assumed(&self.steps));
        }
        expected
    }

    /// The plan for the project of this forecast.
    ///
    /// # Errors
    /// When two variants would capture to one file.
    pub(crate) fn plan(&self, project: &Project, scope: Scope) -> Result<Plan, Failure> {
        let variants = Arc::clone(&project.matrix.variants);
        let plan = Plan::new(&self.steps, variants, scope, &self.resources);
        match collide::capture_clash(&plan) {
            None => Ok(plan),
            Some(clash) => {
                Err(Failure::new(FailureKind::Configuration, &clash).hint(Some(clash.hint())))
            }
        }
    }
}

/// Plans the selected variants of a project, built as many at a time as the settings say.
///
/// # Errors
/// When two variants would capture to one file.
pub(crate) fn plan(project: &Project, scope: Scope, parts: &Parts) -> Result<Plan, Failure> {
    Forecast::of(project, scope, project.settings.jobs.value, parts).plan(project, scope)
}

/// The most recent builds: older ones count for resource needs alone.
fn recent(past: &[Past]) -> &[Past] {
    past.get(..RECENT).unwrap_or(past)
}

/// The resources that the last builds used. Builds that did not reach an image task did next to nothing, and count
/// only if there are no others.
fn took(past: &[Past]) -> Vec<ResourceUsage> {
    let began = |past: &&Past| past.measure.shared_seconds.is_some();
    let took = |past: &Past| past.measure.took;
    let real: Vec<ResourceUsage> = past.iter().filter(began).filter_map(took).collect();
    if real.is_empty() {
        return past.iter().filter_map(took).collect();
    }
    real
}

/// The last successful builds of each variant; empty where the records cannot be read.
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

/// How far the first build must get before others start: kas creates the reference clones, and a container
/// registers emulators for foreign architectures, unless the host has them already.
pub(crate) fn warm_up_goal(runner: Option<&Runner>, project: &Project) -> WarmUpGoal {
    let Some(runner) = runner else {
        return WarmUpGoal::Nothing;
    };
    let has_any = |dir: PathBuf, is_one: fn(&str) -> bool| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| is_one(&name))
    };
    let clones = project.settings.repo_ref_dir.value.clone();
    if !has_any(clones, |name| !name.starts_with('.')) {
        return WarmUpGoal::CheckedOut;
    }
    let table = project.system_root.join("proc/sys/fs/binfmt_misc");
    match runner {
        Runner::Container { .. } if !has_any(table, |name| name.starts_with("qemu-")) => {
            WarmUpGoal::KasRuns
        }
        _ => WarmUpGoal::Nothing,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that is cast saturates"
)]
pub(crate) fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::measures::Measure;

    #[test]
    fn builds_without_an_image_task_do_not_lower_the_resource_need() {
        let past = |memory: u64, shared_seconds: Option<f64>| Past {
            seconds: 1.0,
            measure: Measure {
                took: Some(ResourceUsage {
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
