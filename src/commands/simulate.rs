//! `plan --simulate`: the schedule of a run, its makespan, and lower bounds on it. Runs no program.

use std::collections::HashMap;

use serde::Serialize;

use crate::commands::plan::PlanArgs;
use crate::event::numbers;
use crate::event::outcome::Outcome;
use crate::plan::bounds::{MakespanBounds, bounds, list_bound};
use crate::plan::order;
use crate::plan::simulate::{Schedule, at_work, serial, simulate as walk};
use crate::plan::skip::Skips;
use crate::plan::{NodeId, NodeIx, Plan, Scope};
use crate::report::paint::Paint;
use crate::report::terminal;
use crate::settings::Jobs;

use crate::base::failure::{Failure, FailureKind};
use crate::commands::gantt;
use crate::commands::output::json;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::run::forecast::{Forecast, millis};
use crate::run::{Parts, skips};

/// The width of the chart without a terminal, in columns.
const NO_TERMINAL_COLUMNS: usize = 100;

/// The document of `--format json`. Times are seconds from the start of the run.
#[derive(Debug, Serialize)]
struct ScheduleDocument<'p> {
    schema: u32,
    jobs: Jobs,
    lanes: serde_json::Map<String, serde_json::Value>,
    nodes: Vec<SpanEntry<'p>>,
    skipped: Vec<String>,
    makespan: f64,
    critical_path: CriticalPath<'p>,
    lower_bound: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_by_lane: Option<&'p str>,
    list_bound: f64,
    serial: f64,
    measured: usize,
    assumed: usize,
}

#[derive(Debug, Serialize)]
struct SpanEntry<'p> {
    id: NodeId<'p>,
    start: f64,
    end: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<NodeId<'p>>,
}

#[derive(Debug, Serialize)]
struct CriticalPath<'p> {
    seconds: f64,
    nodes: Vec<NodeId<'p>>,
}

/// The schedule of the selected variants, except those that would be skipped.
///
/// # Errors
/// Faults of the matrix; durations that are not numbers, or whose name is unknown.
pub(super) fn simulate(
    context: &Context,
    args: &PlanArgs,
    project: &Project,
    parts: &Parts,
) -> Result<String, Failure> {
    let jobs = args
        .jobs
        .or(context.arguments.run.jobs)
        .unwrap_or(project.settings.jobs.value);
    let mut forecast = Forecast::of(project, Scope::Full, jobs, parts);
    let given = given(context, &args.durations)?;
    set(&mut forecast, project, &given)?;
    let mut plan = forecast.plan(project, Scope::Full)?;
    let skips = skips::would_skip(context, project, &plan)?;
    order::improve(&mut plan, &skips);
    let simulation = Simulation {
        schedule: walk(&plan, &skips, |_| Outcome::Succeeded),
        bounds: bounds(&plan, &skips),
        plan: &plan,
        skips: &skips,
        forecast: &forecast,
        jobs,
    };
    match context.arguments.output.format {
        OutputFormat::Json => json(&simulation.document()),
        OutputFormat::Text | OutputFormat::Dot => {
            let columns =
                terminal::stdout_size().map_or(NO_TERMINAL_COLUMNS, |(columns, _)| columns);
            let paint = Paint {
                color: context.colors_output(&project.settings),
            };
            Ok(simulation.text(columns, paint))
        }
    }
}

struct Simulation<'p> {
    plan: &'p Plan,
    skips: &'p Skips,
    forecast: &'p Forecast,
    jobs: Jobs,
    schedule: Schedule,
    bounds: MakespanBounds,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a schedule need no more than 52 bits"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

impl Simulation<'_> {
    fn ids(&self, nodes: &[NodeIx]) -> Vec<NodeId<'_>> {
        nodes.iter().map(|&ix| self.plan.id(ix)).collect()
    }

    /// The lanes that several variants share, with their sizes.
    fn lanes(&self) -> impl Iterator<Item = (&str, u32)> {
        self.plan
            .lanes
            .iter()
            .filter(|lane| !lane.is_build_dir())
            .map(|lane| (lane.name.as_str(), lane.size))
    }

    /// The number of variants that would be built, and of those with a measured duration.
    fn measured(&self) -> (usize, usize) {
        let all = at_work(self.plan, self.skips);
        let built = (0..self.plan.variants.len()).filter(|&index| {
            self.forecast.measured.get(index) == Some(&true)
                && !self.skips.contains(crate::plan::VariantIx(index))
        });
        (all, built.count())
    }

    fn document(&self) -> ScheduleDocument<'_> {
        let (all, measured) = self.measured();
        let nodes = self.plan.nodes.iter().zip(&self.schedule.spans).enumerate();
        ScheduleDocument {
            schema: 1,
            jobs: self.jobs,
            lanes: self
                .lanes()
                .map(|(name, size)| (name.to_owned(), size.into()))
                .collect(),
            nodes: nodes
                .filter_map(|(index, (node, span))| {
                    let span = (*span)?;
                    Some(SpanEntry {
                        id: self.plan.id_of(node),
                        start: seconds(span.start),
                        end: seconds(span.end),
                        follows: self.schedule.followed[index].map(|leader| self.plan.id(leader)),
                    })
                })
                .collect(),
            skipped: self
                .skips
                .iter()
                .map(|(ix, _)| self.plan.variant(ix).key.to_string())
                .collect(),
            makespan: seconds(self.schedule.makespan),
            critical_path: CriticalPath {
                seconds: seconds(self.bounds.critical),
                nodes: self.ids(&self.bounds.critical_path),
            },
            lower_bound: seconds(self.bounds.lower),
            bound_by_lane: self.bounds.lane.as_deref(),
            list_bound: seconds(list_bound(self.plan, self.skips, &self.schedule)),
            serial: seconds(serial(self.plan, self.skips)),
            measured,
            assumed: all - measured,
        }
    }

    fn text(&self, columns: usize, paint: Paint) -> String {
        let (all, measured) = self.measured();
        let lanes: Vec<String> = self.lanes().map(lane).collect();
        let mut text = format!(
            "{} at the same time: {} ({})\n\n",
            numbers::count(all, "variant"),
            self.jobs,
            lanes.join(", ")
        );
        text += &gantt::chart(self.plan, &self.schedule, columns, paint);
        let duration = |millis: u64| numbers::duration(seconds(millis));
        let mut line = |name: &str, value: String| text += &format!("{name:<15}  {value}\n");
        line("Makespan", duration(self.schedule.makespan));
        line(
            "Critical path",
            format!(
                "{}  {}",
                duration(self.bounds.critical),
                self.plan.ids(&self.bounds.critical_path).join(", ")
            ),
        );
        let by = match &self.bounds.lane {
            Some(lane) => format!("by the lane {lane}"),
            None => "by the critical path".to_owned(),
        };
        line(
            "Lower bound",
            format!("{}  {by}", duration(self.bounds.lower)),
        );
        line("One by one", duration(serial(self.plan, self.skips)));
        for group in &self.plan.groups {
            let builds = numbers::count(group.members.len(), "build");
            line("Leader first", format!("{}: {builds}", group.name));
        }
        if !self.skips.is_empty() {
            line("Skipped", numbers::count(self.skips.len(), "variant"));
        }
        match all - measured {
            0 => {}
            1 => line("Durations", "1 build is assumed".to_owned()),
            guessed => line("Durations", format!("{guessed} builds are assumed")),
        }
        text
    }
}

/// A lane and its size, in cores or bytes where it has a unit.
fn lane((name, size): (&str, u32)) -> String {
    match name {
        "cpu" => format!("cpu {}.{:02}", size / 100, size % 100),
        "memory" => format!("memory {}", numbers::bytes(u64::from(size) << 20)),
        _ => format!("{name} {size}"),
    }
}

/// The given durations in seconds, by name.
fn given(context: &Context, words: &[String]) -> Result<HashMap<String, f64>, Failure> {
    let mut given = HashMap::new();
    for word in words {
        if let Some((name, seconds)) = word.split_once('=') {
            given.insert(name.to_owned(), number(word, seconds)?);
            continue;
        }
        let path = context.working_dir.join(word);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(
                FailureKind::Usage,
                format!("{word} cannot be read: {error}"),
            )
            .hint(Some(
                "write VARIANT=SECONDS, or the name of a file of such lines".to_owned(),
            ))
        })?;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, seconds) = line.split_once('=').unwrap_or((line, ""));
            given.insert(name.trim().to_owned(), number(line, seconds)?);
        }
    }
    Ok(given)
}

fn number(line: &str, seconds: &str) -> Result<f64, Failure> {
    seconds
        .trim()
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
        .ok_or_else(|| {
            Failure::new(FailureKind::Usage, format!("`{line}` has no duration")).hint(Some(
                "write seconds as a number: qemuamd64/base=140".to_owned(),
            ))
        })
}

/// Replaces measured and assumed durations by the given ones. A name is that of a node, of a variant with its
/// machine, or of a variant on every machine that has it; the first two override the last.
fn set(
    forecast: &mut Forecast,
    project: &Project,
    given: &HashMap<String, f64>,
) -> Result<(), Failure> {
    forecast.durations();
    let mut unused: Vec<&str> = given.keys().map(String::as_str).collect();
    let variants = &project.matrix.variants;
    for (index, variant) in variants.iter().enumerate() {
        let key = variant.key.to_string();
        for step in forecast.steps.clone() {
            let mut names = vec![format!("{}:{key}", step.kind)];
            if step.heavy {
                names.extend([key.clone(), variant.key.id.clone()]);
            }
            unused.retain(|name| !names.iter().any(|known| known == name));
            let Some(&seconds) = names.iter().find_map(|name| given.get(name)) else {
                continue;
            };
            let expected = &mut forecast.durations()[index];
            if step.heavy {
                // What is shared comes after the same part of it.
                let before = u128::from(expected.millis(step.kind).max(1));
                let shared =
                    u128::from(expected.shared_millis) * u128::from(millis(seconds)) / before;
                expected.shared_millis = u64::try_from(shared).unwrap_or(millis(seconds));
                forecast.measured[index] = true;
            }
            forecast.durations()[index].set(step.kind, millis(seconds));
        }
    }
    unused.sort_unstable();
    match unused.first() {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            FailureKind::Usage,
            format!("`{name}` is not a selected variant, nor a node of one"),
        )
        .hint(Some("isar-build-all --list shows them".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_shown_in_cores_and_bytes() {
        assert_eq!(lane(("cpu", 250)), "cpu 2.50");
        assert_eq!(lane(("memory", 6144)), "memory 6.0 GiB");
        assert_eq!(lane(("build", 4)), "build 4");
    }
}
