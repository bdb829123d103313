//! `plan`: variants, artifacts, releases, steps and lanes. Runs no program.

use std::mem::ManuallyDrop;
use std::process::ExitCode;

use clap::Args;

use crate::base::arch::{Arch, UnknownArch};
use crate::commands::output::{print, print_json};
use crate::commands::{Invocation, Subcommand, simulate};
use crate::event::numbers;
use crate::plan::json;
use crate::plan::skip::Skips;
use crate::plan::{Plan, Scope, VariantIx};

use crate::base::failure::Failure;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::run::{Parts, forecast, skips};
use crate::settings::Jobs;

/// Print the plan: variants, artifacts, releases, steps and lanes
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Plan for a host of this architecture, or `none` for no native overlays [default: this host's]
    #[arg(long, value_name = "ARCH", value_parser = host_arch)]
    host_arch: Option<HostArch>,
    /// The version in the names of release assets [default: release.version, else dev]
    #[arg(long, value_name = "VERSION")]
    release_version: Option<String>,
    /// Draw the schedule of a run as a chart, with its makespan and lower bounds
    #[arg(long)]
    simulate: bool,
    /// With --simulate: builds at the same time [default: as in a run]
    #[arg(short, long, value_name = "N|auto", requires = "simulate")]
    pub(super) jobs: Option<Jobs>,
    /// With --simulate: durations of builds, instead of the measured ones: `VARIANT=SECONDS`, or a file of
    /// such lines; repeatable. The id of a node sets one step: `capture:machine/id=3`
    #[arg(long, value_name = "FILE|VARIANT=SECONDS", requires = "simulate")]
    pub(super) durations: Vec<String>,
}

impl PlanArgs {
    /// The architecture of the host to plan for; none for no native overlays.
    pub(super) fn host(&self) -> Option<Arch> {
        match self.host_arch {
            None => Arch::host(),
            Some(HostArch(arch)) => arch,
        }
    }
}

/// A value of `--host-arch`: an architecture, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostArch(Option<Arch>);

fn host_arch(word: &str) -> Result<HostArch, String> {
    if word == "none" {
        return Ok(HostArch(None));
    }
    word.parse()
        .map(|arch| HostArch(Some(arch)))
        .map_err(|error: UnknownArch| {
            let known: Vec<&str> = Arch::ALL.into_iter().map(Arch::as_str).collect();
            format!("{error}; known are {} and none", known.join(", "))
        })
}

pub(super) struct PlanCommand;

impl Subcommand for PlanCommand {
    fn define(&self) -> clap::Command {
        PlanArgs::augment_args(clap::Command::new("plan"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        plan(&call.context()?, &call.args()?, &call.tool.parts)
    }
}

/// Prints the plan: as JSON, or as text with one line for each node.
///
/// # Errors
/// Faults of the matrix.
fn plan(context: &Context, args: &PlanArgs, parts: &Parts) -> Result<ExitCode, Failure> {
    // Not dropped: freeing thousands of variants takes a tenth of the command's time, and the process ends anyway.
    let project = ManuallyDrop::new(Project::load_for(
        context,
        args.host(),
        args.release_version.clone(),
    )?);
    if args.simulate {
        return print(&simulate::simulate(context, args, &project, parts)?);
    }
    let plan = ManuallyDrop::new(forecast::plan(&project, Scope::Full, parts)?);
    let skips = skips::would_skip(context, &project, &plan)?;
    match context.arguments.output.format {
        OutputFormat::Json => print_json(&json::document(&plan, &project.matrix.releases, &skips)),
        OutputFormat::Text | OutputFormat::Dot => print(&text(&plan, &skips)),
    }
}

/// A lane, with the number of places if it is more than one.
fn taken((lane, places): (&str, u32)) -> String {
    match places {
        1 => lane.to_owned(),
        _ => format!("{lane} {places}"),
    }
}

fn text(plan: &Plan, skips: &Skips) -> String {
    let mut lines = String::new();
    for (index, variant) in plan.variants.iter().enumerate() {
        lines += &format!(
            "{} ({})\n  kas  {}\n",
            variant.key,
            variant.arch,
            variant.kas_chain()
        );
        if let Some(skip) = skips.get(VariantIx(index)) {
            lines += &format!("  skipped: {}\n", skip.why);
        }
        for artifact in &variant.artifacts {
            let optional = if artifact.optional {
                "  (optional)"
            } else {
                ""
            };
            lines += &format!(
                "  {}  <-  {}{optional}\n",
                artifact.unique_name, artifact.deploy_name
            );
            for product in &artifact.products {
                lines += &format!(
                    "  {}  made from it ({})\n",
                    product.unique_name, product.method
                );
            }
        }
    }
    lines += "\nSteps:\n";
    for node in &plan.nodes {
        let lanes: Vec<String> = plan.taken(node).into_iter().map(taken).collect();
        lines += &format!("  {}  takes {}", plan.id_of(node), lanes.join(", "));
        let mut needs = plan.ids(&node.needs);
        needs.extend(plan.ids(&node.after));
        if !needs.is_empty() {
            lines += &format!("  after {}", needs.join(", "));
        }
        lines += "\n";
    }
    let variants = numbers::count(plan.variants.len(), "variant");
    let steps = numbers::count(plan.nodes.len(), "step");
    let unchanged = match skips.len() {
        0 => String::new(),
        count => format!(" ({count} unchanged)"),
    };
    lines + &format!("\nTotal: {variants}{unchanged}, {steps}\n")
}
