//! `graph`: the steps of the plan and their dependencies, as text, as dot for Graphviz, or as JSON. Runs no
//! program.
//!
//! There are two kinds of edge. Within a variant, a step needs the success of the one before it. Between variants
//! that share a build directory, a build waits for the end of the capture before it (a collision edge).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::commands::output::{json, print};
use crate::commands::{Invocation, Subcommand};
use crate::event::numbers;
use crate::plan::collide;
use crate::plan::{NodeId, Plan, StepKind};

use crate::base::failure::Failure;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::run::{Parts, forecast};

pub(super) struct GraphCommand;

impl Subcommand for GraphCommand {
    fn define(&self) -> clap::Command {
        clap::Command::new("graph")
            .about("Print the steps and their dependencies; --format dot or json for programs")
    }

    fn draws_dot(&self) -> bool {
        true
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print(&graph(&call.context()?, &call.tool.parts)?)
    }
}

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct PlanGraph<'p> {
    schema: u32,
    nodes: Vec<GraphNode<'p>>,
    edges: Vec<GraphEdge<'p>>,
}

#[derive(Debug, Serialize)]
struct GraphNode<'p> {
    id: NodeId<'p>,
    step: StepKind,
    variant: String,
}

#[derive(Debug, Serialize)]
struct GraphEdge<'p> {
    from: NodeId<'p>,
    to: NodeId<'p>,
    kind: GraphEdgeKind,
    /// The directory that two variants share, where that makes the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_dir: Option<&'p str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum GraphEdgeKind {
    Needs,
    Collision,
}

/// The graph of the plan of what the command line selects.
///
/// # Errors
/// Faults of the matrix, and captures that could meet.
fn graph(context: &Context, parts: &Parts) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let plan = forecast::plan(&project, Project::scope(context), parts)?;
    let graph = of(&plan);
    match context.arguments.output.format {
        OutputFormat::Json => json(&graph),
        OutputFormat::Text => Ok(text(&graph)),
        OutputFormat::Dot => Ok(dot(&graph)),
    }
}

fn of(plan: &Plan) -> PlanGraph<'_> {
    let mut edges: Vec<GraphEdge<'_>> = Vec::new();
    for node in &plan.nodes {
        edges.extend(node.needs.iter().map(|&need| GraphEdge {
            from: plan.id(need),
            to: plan.id_of(node),
            kind: GraphEdgeKind::Needs,
            build_dir: None,
        }));
    }
    edges.extend(collide::collisions(plan).into_iter().map(|edge| GraphEdge {
        from: plan.id(edge.reader),
        to: plan.id(edge.writer),
        kind: GraphEdgeKind::Collision,
        build_dir: Some(edge.build_dir),
    }));
    PlanGraph {
        schema: 1,
        nodes: plan
            .nodes
            .iter()
            .map(|node| GraphNode {
                id: plan.id_of(node),
                step: node.step.kind,
                variant: plan.variant(node.variant).key.to_string(),
            })
            .collect(),
        edges,
    }
}

fn text(graph: &PlanGraph<'_>) -> String {
    let mut text = String::new();
    let mut edges: HashMap<NodeId<'_>, Vec<&GraphEdge<'_>>> = HashMap::new();
    for edge in &graph.edges {
        edges.entry(edge.to).or_default().push(edge);
    }
    for node in &graph.nodes {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", node.id);
        for edge in edges.get(&node.id).into_iter().flatten() {
            let _ = match edge.build_dir {
                None => writeln!(text, "  needs    {}", edge.from),
                Some(dir) => writeln!(text, "  follows  {}  (both in {dir})", edge.from),
            };
        }
    }
    let collisions = graph
        .edges
        .iter()
        .filter(|edge| edge.kind == GraphEdgeKind::Collision)
        .count();
    let steps = numbers::count(graph.nodes.len(), "step");
    let edges = numbers::count(graph.edges.len(), "edge");
    let collisions = numbers::count(collisions, "collision");
    text + &format!("\nTotal: {steps}, {edges} ({collisions})\n")
}

fn dot(graph: &PlanGraph<'_>) -> String {
    let mut text = "digraph isar_build_all {\n  rankdir = LR;\n  node [shape = box];\n".to_owned();
    for node in &graph.nodes {
        text += &format!("  {};\n", quoted(&node.id));
    }
    for edge in &graph.edges {
        let style = match edge.build_dir {
            None => String::new(),
            Some(dir) => format!(" [style = dashed, color = red, label = {}]", quoted(&dir)),
        };
        text += &format!("  {} -> {}{style};\n", quoted(&edge.from), quoted(&edge.to));
    }
    text + "}\n"
}

/// A string of the dot language.
fn quoted(word: &dyn std::fmt::Display) -> String {
    let word = word.to_string();
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
