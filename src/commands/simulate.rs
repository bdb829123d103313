//! `plan --simulate`: what would run when, how long all of it takes, and how far that is from the best.
//! Nothing is run.

use std::collections::HashMap;

use serde::Serialize;

use crate::cli::{Format, PlanArgs};
use crate::model::order;
use crate::model::outcome::Outcome;
use crate::model::plan::{NodeIx, Plan, Scope, StepKind};
use crate::model::simulate::{
    Bounds, Schedule, at_work, bounds, list_bound, serial, simulate as walk,
};
use crate::model::skip::Skips;
use crate::report::human;
use crate::report::paint::Paint;
use crate::report::terminal;
use crate::settings::Jobs;

use super::context::Context;
use super::failure::{Failure, Kind};
use super::forecast::{Forecast, millis};
use super::gantt;
use super::json;
use super::project::Project;
use super::unchanged;

/// How wide the chart is where there is no terminal.
const NO_TERMINAL_COLUMNS: usize = 100;

/// The document of `--format json`. Times are seconds from the beginning.
#[derive(Debug, Serialize)]
struct Document<'p> {
    schema: u32,
    jobs: Jobs,
    lanes: serde_json::Map<String, serde_json::Value>,
    nodes: Vec<NodeEntry<'p>>,
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
struct NodeEntry<'p> {
    id: &'p str,
    start: f64,
    end: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<&'p str>,
}

#[derive(Debug, Serialize)]
struct CriticalPath<'p> {
    seconds: f64,
    nodes: Vec<&'p str>,
}

/// The schedule of what the command line selects, less what would be skipped.
///
/// # Errors
/// Faults of the matrix, and durations that name nothing or are no numbers.
pub(super) fn simulate(
    context: &Context,
    args: &PlanArgs,
    project: &Project,
) -> Result<String, Failure> {
    let jobs = args
        .jobs
        .or(context.cli.run.jobs)
        .unwrap_or(project.settings.jobs.value);
    let mut forecast = Forecast::of(project, Scope::Full, jobs);
    let given = given(context, &args.durations)?;
    set(&mut forecast, project, &given)?;
    let mut plan = forecast.plan(project, Scope::Full)?;
    let skips = unchanged::would_skip(context, project, &plan)?;
    order::improve(&mut plan, &skips);
    let simulation = Simulation {
        schedule: walk(&plan, &skips, |_| Outcome::Succeeded),
        bounds: bounds(&plan, &skips),
        plan: &plan,
        skips: &skips,
        forecast: &forecast,
        jobs,
    };
    match context.cli.output.format {
        Format::Json => json(&simulation.document()),
        Format::Text | Format::Dot => {
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
    bounds: Bounds,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a schedule need no more than 52 bits"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

impl Simulation<'_> {
    fn ids(&self, nodes: &[NodeIx]) -> Vec<&str> {
        nodes
            .iter()
            .map(|&ix| self.plan.node(ix).id.as_str())
            .collect()
    }

    /// The lanes that several variants share.
    fn lanes(&self) -> impl Iterator<Item = (&str, u32)> {
        self.plan
            .lanes
            .iter()
            .filter(|lane| !lane.is_build_dir())
            .map(|lane| (lane.name.as_str(), lane.size))
    }

    /// Variants that would be built, and of these how many durations were measured.
    fn measured(&self) -> (usize, usize) {
        let all = at_work(self.plan, self.skips);
        let built = (0..self.plan.variants.len()).filter(|&index| {
            self.forecast.measured.get(index) == Some(&true)
                && !self.skips.contains(crate::model::plan::VariantIx(index))
        });
        (all, built.count())
    }

    fn document(&self) -> Document<'_> {
        let (all, measured) = self.measured();
        let nodes = self.plan.nodes.iter().zip(&self.schedule.spans).enumerate();
        Document {
            schema: 1,
            jobs: self.jobs,
            lanes: self
                .lanes()
                .map(|(name, size)| (name.to_owned(), size.into()))
                .collect(),
            nodes: nodes
                .filter_map(|(index, (node, span))| {
                    let span = (*span)?;
                    Some(NodeEntry {
                        id: &node.id,
                        start: seconds(span.start),
                        end: seconds(span.end),
                        follows: self.schedule.followed[index]
                            .map(|leader| self.plan.node(leader).id.as_str()),
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
            human::count(all, "variant"),
            self.jobs,
            lanes.join(", ")
        );
        text += &gantt::chart(self.plan, &self.schedule, columns, paint);
        let duration = |millis: u64| human::duration(seconds(millis));
        let mut line = |name: &str, value: String| text += &format!("{name:<15}  {value}\n");
        line("Makespan", duration(self.schedule.makespan));
        line(
            "Critical path",
            format!(
                "{}  {}",
                duration(self.bounds.critical),
                self.ids(&self.bounds.critical_path).join(", ")
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
            let members = group.members.len();
            line("Leader first", format!("{}: {members} builds", group.name));
        }
        if !self.skips.is_empty() {
            line("Skipped", human::count(self.skips.len(), "variant"));
        }
        match all - measured {
            0 => {}
            1 => line("Durations", "that of 1 build is a guess".to_owned()),
            guessed => line(
                "Durations",
                format!("those of {guessed} builds are guesses"),
            ),
        }
        text
    }
}

/// A lane and its size in the unit that people think in.
fn lane((name, size): (&str, u32)) -> String {
    match name {
        "cpu" => format!("cpu {}.{:02}", size / 100, size % 100),
        "memory" => format!("memory {}", human::bytes(u64::from(size) << 20)),
        _ => format!("{name} {size}"),
    }
}

/// Seconds by what they are for, as they were given.
fn given(context: &Context, words: &[String]) -> Result<HashMap<String, f64>, Failure> {
    let mut given = HashMap::new();
    for word in words {
        if let Some((name, seconds)) = word.split_once('=') {
            given.insert(name.to_owned(), number(word, seconds)?);
            continue;
        }
        let path = context.working_dir.join(word);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(Kind::Usage, format!("{word} cannot be read: {error}")).hint(Some(
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
            Failure::new(Kind::Usage, format!("`{line}` says no duration")).hint(Some(
                "write seconds as a number: qemuamd64/base=140".to_owned(),
            ))
        })
}

/// Puts given durations in the place of those that were measured or guessed. A name is that of a node, of a
/// variant with its machine, or of a variant on every machine that has it; the first two count before the last.
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
        let node = |step: StepKind| format!("{}:{key}", step.as_str());
        let names = [
            vec![node(StepKind::Build), key.clone(), variant.key.id.clone()],
            vec![node(StepKind::Capture)],
            vec![node(StepKind::Compress)],
            vec![node(StepKind::Register)],
        ];
        let found = names.map(|names| {
            unused.retain(|name| !names.iter().any(|known| known == name));
            names
                .iter()
                .find_map(|name| given.get(name))
                .map(|&seconds| millis(seconds))
        });
        let expected = &mut forecast.durations()[index];
        if let Some(build) = found[0] {
            // What is shared comes after the same part of it.
            let before = u128::from(expected.build.max(1));
            let shared = u128::from(expected.shared) * u128::from(build) / before;
            expected.shared = u64::try_from(shared).unwrap_or(build);
            expected.build = build;
            forecast.measured[index] = true;
        }
        let expected = &mut forecast.durations()[index];
        expected.capture = found[1].unwrap_or(expected.capture);
        expected.compress = found[2].unwrap_or(expected.compress);
        expected.register = found[3].unwrap_or(expected.register);
    }
    unused.sort_unstable();
    match unused.first() {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            Kind::Usage,
            format!("`{name}` is no selected variant, nor a node of one"),
        )
        .hint(Some("isar-build-all --list shows them".to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_shown_in_the_units_of_people() {
        assert_eq!(lane(("cpu", 250)), "cpu 2.50");
        assert_eq!(lane(("memory", 6144)), "memory 6.0 GiB");
        assert_eq!(lane(("build", 4)), "build 4");
    }
}
