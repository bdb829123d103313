//! `plan`, `check` and `--list`: what there is and what would be done. Nothing is run.

use std::mem::ManuallyDrop;

use crate::cli::{Format, HostArch, PlanArgs};
use crate::model::arch::Arch;
use crate::model::plan::{Plan, Scope, VariantIx};
use crate::model::plan_json;
use crate::model::skip::Skips;

use super::context::Context;
use super::failure::Failure;
use super::project::Project;
use super::{json, list, show, show_json, simulate, unchanged};

/// Prints the plan as JSON, or as text: a line a node with what it needs and takes.
///
/// # Errors
/// Faults of the matrix.
pub fn plan(context: &Context, args: &PlanArgs) -> Result<u8, Failure> {
    let host = args.host_arch.unwrap_or(HostArch(Arch::host()));
    // The process ends with the plan: to give thousands of variants back piece by piece takes a tenth of
    // the time of all the rest.
    let project = ManuallyDrop::new(Project::load_for(
        context,
        host,
        args.release_version.clone(),
    )?);
    if args.simulate {
        return show(&simulate::simulate(context, args, &project)?);
    }
    let plan = ManuallyDrop::new(project.plan(Scope::Full)?);
    let skips = unchanged::would_skip(context, &project, &plan)?;
    match context.cli.output.format {
        Format::Json => show_json(&plan_json::document(
            &plan,
            &project.matrix.releases,
            &skips,
        )),
        Format::Text | Format::Dot => show(&text(&plan, &skips)),
    }
}

/// A lane, with how many of its places where that is more than one.
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
                    "  {}  made of it ({})\n",
                    product.unique_name, product.method
                );
            }
        }
    }
    lines += "\nSteps:\n";
    for node in &plan.nodes {
        let lanes: Vec<String> = plan.taken(node).into_iter().map(taken).collect();
        lines += &format!("  {}  takes {}", node.id, lanes.join(", "));
        let mut needs = plan.ids(&node.needs);
        needs.extend(plan.ids(&node.after));
        if !needs.is_empty() {
            lines += &format!("  after {}", needs.join(", "));
        }
        lines += "\n";
    }
    let (variants, nodes) = (plan.variants.len(), plan.nodes.len());
    let unchanged = match skips.len() {
        0 => String::new(),
        count => format!(", {count} of {variants} variants unchanged"),
    };
    lines + &format!("\nTotal: {variants} variants, {nodes} steps{unchanged}\n")
}

/// Checks everything and says that it is well.
///
/// # Errors
/// Every fault of the matrix, its kas files and the settings.
pub fn check(context: &Context) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let artifacts: usize = project
        .matrix
        .variants
        .iter()
        .map(|variant| variant.artifacts.len())
        .sum();
    Ok(format!(
        "{}{} variants with {artifacts} artifacts: no faults\n",
        project.warnings,
        project.matrix.variants.len()
    ))
}

/// The list of variants.
///
/// # Errors
/// Faults of the matrix.
pub fn list(context: &Context) -> Result<String, Failure> {
    let project = Project::load(context)?;
    match context.cli.output.format {
        Format::Text | Format::Dot => Ok(list::text(&project.matrix)),
        Format::Json => json(&plan_json::variants(&project.matrix.variants)),
    }
}
