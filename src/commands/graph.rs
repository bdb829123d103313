//! `graph`: the steps of the plan and what each waits for, as text, as dot for Graphviz, or as JSON.
//! Nothing is run.
//!
//! There are two kinds of edge: within a variant a step needs the one before it to have succeeded;
//! between variants that build in one directory a build only waits until the capture before it has
//! ended (a collision edge).

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::Format;
use crate::model::collide;
use crate::model::plan::{NodeIx, Plan, StepKind};

use super::context::Context;
use super::failure::Failure;
use super::json;
use super::project::Project;

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct Graph<'p> {
    schema: u32,
    nodes: Vec<GraphNode<'p>>,
    edges: Vec<Edge<'p>>,
}

#[derive(Debug, Serialize)]
struct GraphNode<'p> {
    id: &'p str,
    step: StepKind,
    variant: String,
}

#[derive(Debug, Serialize)]
struct Edge<'p> {
    from: &'p str,
    to: &'p str,
    kind: EdgeKind,
    /// The directory that two variants share, where that makes the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_dir: Option<&'p str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum EdgeKind {
    Needs,
    Collision,
}

/// The graph of the plan of what the command line selects.
///
/// # Errors
/// Faults of the matrix, and captures that could meet.
pub fn graph(context: &Context) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let plan = project.plan(Project::scope(context))?;
    let graph = of(&plan);
    match context.cli.output.format {
        Format::Json => json(&graph),
        Format::Text => Ok(text(&graph)),
        Format::Dot => Ok(dot(&graph)),
    }
}

fn of(plan: &Plan) -> Graph<'_> {
    let id = |ix: NodeIx| plan.node(ix).id.as_str();
    let mut edges: Vec<Edge<'_>> = Vec::new();
    for node in &plan.nodes {
        edges.extend(node.needs.iter().map(|&need| Edge {
            from: id(need),
            to: &node.id,
            kind: EdgeKind::Needs,
            build_dir: None,
        }));
    }
    edges.extend(collide::collisions(plan).into_iter().map(|edge| Edge {
        from: id(edge.capture),
        to: id(edge.build),
        kind: EdgeKind::Collision,
        build_dir: Some(edge.build_dir),
    }));
    Graph {
        schema: 1,
        nodes: plan
            .nodes
            .iter()
            .map(|node| GraphNode {
                id: &node.id,
                step: node.step,
                variant: plan.variant(node.variant).key.to_string(),
            })
            .collect(),
        edges,
    }
}

fn text(graph: &Graph<'_>) -> String {
    let mut text = String::new();
    let mut edges: HashMap<&str, Vec<&Edge<'_>>> = HashMap::new();
    for edge in &graph.edges {
        edges.entry(edge.to).or_default().push(edge);
    }
    for node in &graph.nodes {
        text += node.id;
        text += "\n";
        for edge in edges.get(node.id).into_iter().flatten() {
            // Writing to a String does not fail.
            let _ = match edge.build_dir {
                None => writeln!(text, "  needs    {}", edge.from),
                Some(dir) => writeln!(text, "  follows  {}  (both in {dir})", edge.from),
            };
        }
    }
    let collisions = graph
        .edges
        .iter()
        .filter(|edge| edge.kind == EdgeKind::Collision)
        .count();
    let (nodes, edges) = (graph.nodes.len(), graph.edges.len());
    text + &format!("\nTotal: {nodes} steps, {edges} edges, {collisions} of them collisions\n")
}

fn dot(graph: &Graph<'_>) -> String {
    let mut text = "digraph isar_build_all {\n  rankdir = LR;\n  node [shape = box];\n".to_owned();
    for node in &graph.nodes {
        text += &format!("  {};\n", quoted(node.id));
    }
    for edge in &graph.edges {
        let style = match edge.build_dir {
            None => String::new(),
            Some(dir) => format!(" [style = dashed, color = red, label = {}]", quoted(dir)),
        };
        text += &format!("  {} -> {}{style};\n", quoted(edge.from), quoted(edge.to));
    }
    text + "}\n"
}

/// A string of the dot language.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
