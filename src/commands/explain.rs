//! `explain`: why a variant would be built or skipped, its inputs, and what a build would reuse. Starts no
//! process.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::base::failure::{Failure, FailureKind};
use crate::commands::output::{json, print};
use crate::commands::{Invocation, Subcommand};
use crate::event::numbers;
use crate::inputs::key;
use crate::inputs::key::{InputClass, KeyLine, Unpinned};
use crate::inputs::record::KeyRecord;
use crate::inputs::skip_decision::{BuildReason, SkipDecision};
use crate::matrix::selection::{VariantGlob, VariantIndex};
use crate::matrix::{Variant, VariantKey};
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;
use crate::run::forced::Forced;
use crate::run::skips;
use crate::run::skips::ProjectJudge;
use crate::state::records::Records;

/// Reasons shown without `--verbose`; further ones are counted, so that the text fits on a screen.
const REASONS: usize = 12;

/// Explain why a variant would be built or skipped, and list its inputs (all of them with --verbose)
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// An id (on every machine that has it) or machine/id; a glob
    #[arg(required = true, value_name = "VARIANT")]
    variants: Vec<String>,
}

pub(super) struct ExplainCommand;

impl Subcommand for ExplainCommand {
    fn define(&self) -> clap::Command {
        ExplainArgs::augment_args(clap::Command::new("explain"))
    }

    fn run(&self, call: &Invocation<'_>) -> Result<ExitCode, Failure> {
        print(&explain(&call.context()?, &call.args()?)?)
    }
}

/// The explanation of a variant.
#[derive(Debug, Serialize)]
struct Explained {
    variant: VariantKey,
    /// `build` or `skip`.
    would: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Because>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<ExplainedBuild>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpinned: Vec<Unpinned>,
    max_age: String,
    reuse: Vec<Reuse>,
    made_of: Vec<KeyEntry>,
}

/// A reason, for programs and as a sentence.
#[derive(Debug, Serialize)]
struct Because {
    #[serde(flatten)]
    reason: BuildReason,
    /// The position of the file in the chain, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    text: String,
}

/// The last complete build.
#[derive(Debug, Serialize)]
struct ExplainedBuild {
    run: String,
    started: Timestamp,
    key: String,
}

/// A directory that a build would reuse.
#[derive(Debug, Serialize)]
struct Reuse {
    what: &'static str,
    path: String,
    there: bool,
}

/// A line of the input key.
#[derive(Debug, Serialize)]
struct KeyEntry {
    class: InputClass,
    name: String,
    value: String,
}

/// Explains the named variants.
///
/// # Errors
/// Faults of the matrix; a name that matches no variant.
fn explain(context: &Context, args: &ExplainArgs) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let variants = named(&project, &args.variants)?;
    let records = match skips::existing_records(&project)? {
        Some(records) => records,
        None => Records::in_memory().map_err(Failure::environment)?,
    };
    let forced = Forced::of(context, &project)?;
    let now = Timestamp::now();
    let project_judge = ProjectJudge::new(context, &project, &forced);
    let explained = project_judge.with_judge(&records, now, |judge| {
        let explain_one = |variant: &Variant| {
            let judged = judge.judge(variant, &project.kas, forced.builds(&variant.key), true);
            let lines = judge
                .inputs(variant, &project.kas)
                .map(|gathered| key::lines(&gathered.inputs))
                .unwrap_or_default();
            let (would, reasons) = match judged.decision {
                SkipDecision::Skip(_) => ("skip", Vec::new()),
                SkipDecision::Build(reasons) => ("build", reasons),
            };
            Explained {
                variant: variant.key.clone(),
                would,
                because: reasons
                    .into_iter()
                    .map(|reason| because(reason, variant))
                    .collect(),
                key: judged.key,
                last: judged.record.map(last),
                unpinned: judged.unpinned,
                max_age: project.settings.max_age.value.to_string(),
                reuse: reuse(&project, variant),
                made_of: lines
                    .into_iter()
                    .map(|KeyLine(class, name, value)| KeyEntry { class, name, value })
                    .collect(),
            }
        };
        variants.into_iter().map(explain_one).collect::<Vec<_>>()
    })?;
    if context.arguments.output.format == OutputFormat::Json {
        return json(&serde_json::json!({ "schema": 1, "variants": explained }));
    }
    let verbose = context.arguments.output.verbose;
    let texts: Vec<String> = explained
        .iter()
        .map(|one| text(one, now, verbose))
        .collect();
    Ok(texts.join("\n"))
}

fn named<'p>(project: &'p Project, words: &[String]) -> Result<Vec<&'p Variant>, Failure> {
    let variants = &project.matrix.variants;
    let index = VariantIndex::new(variants.iter().map(|variant| &variant.key));
    let mut found = Vec::new();
    for word in words {
        let wrong = |why: String, hint| Failure::new(FailureKind::Configuration, why).hint(hint);
        let glob = VariantGlob::new(word)
            .map_err(|why| wrong(format!("`{word}` is not a glob: {why}"), None))?;
        let places = index.find(&glob);
        if places.is_empty() {
            let why = format!("there is no variant `{word}`");
            return Err(wrong(why, Some(index.hint(word))));
        }
        found.extend(places);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found.into_iter().map(|place| &variants[place]).collect())
}

fn because(reason: BuildReason, variant: &Variant) -> Because {
    let place = match &reason {
        BuildReason::Changed(change) if change.class == InputClass::KasFile => variant
            .kas
            .iter()
            .position(|file| *file == change.name)
            .map(|place| place + 1),
        _ => None,
    };
    let mut text = reason.to_string();
    if let Some(place) = place {
        let _ = write!(text, " (place {place} of the chain)");
    }
    Because {
        reason,
        place,
        text,
    }
}

fn last(record: KeyRecord) -> ExplainedBuild {
    ExplainedBuild {
        run: record.run,
        started: record.started,
        key: record.key,
    }
}

fn reuse(project: &Project, variant: &Variant) -> Vec<Reuse> {
    let dirs = project.dirs(variant);
    let used = |what, path: &Path| Reuse {
        what,
        there: std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        path: project.relative(path),
    };
    vec![
        used("build directory", &dirs.build),
        used("shared state", &dirs.sstate),
        used("downloads", &dirs.dl),
        used("reference clones", &dirs.repo_ref),
    ]
}

fn text(one: &Explained, now: Timestamp, verbose: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = describe(&mut out, one, now, verbose);
    out
}

fn describe(out: &mut String, one: &Explained, now: Timestamp, verbose: bool) -> std::fmt::Result {
    let ago = |then: Timestamp| numbers::duration(now.duration_since(then).as_secs_f64());
    match one.would {
        "skip" => writeln!(out, "{}: unchanged, would not be built", one.variant)?,
        _ => writeln!(out, "{}: would be built", one.variant)?,
    }
    let shown = if verbose { usize::MAX } else { REASONS };
    for because in one.because.iter().take(shown) {
        writeln!(out, "  because     {}", because.text)?;
    }
    if let Some(more) = one
        .because
        .len()
        .checked_sub(shown)
        .filter(|more| *more > 0)
    {
        writeln!(out, "              and {more} more (--verbose shows them)")?;
    }
    match &one.last {
        Some(last) => writeln!(
            out,
            "  last built  {} ago, run {}",
            ago(last.started),
            last.run
        )?,
        None => writeln!(out, "  last built  no complete build is recorded")?,
    }
    for unpinned in &one.unpinned {
        writeln!(out, "  ages        {unpinned}")?;
    }
    if !one.unpinned.is_empty() {
        writeln!(
            out,
            "              counts as current for max-age {}",
            one.max_age
        )?;
    }
    for reuse in &one.reuse {
        let there = if reuse.there { "" } else { "  (empty)" };
        writeln!(out, "  reuses      {} {}{there}", reuse.what, reuse.path)?;
    }
    if let Some(key) = &one.key {
        writeln!(out, "  key         {key}")?;
    }
    if verbose {
        writeln!(out, "  made of")?;
        for line in &one.made_of {
            writeln!(
                out,
                "    {} {}: {}",
                line.class.noun(),
                line.name,
                line.value
            )?;
        }
    } else {
        writeln!(out, "  made of     {}", counted(&one.made_of))?;
    }
    Ok(())
}

/// The number of inputs of each class.
fn counted(lines: &[KeyEntry]) -> String {
    [
        (InputClass::KasFile, "kas file"),
        (InputClass::Layer, "local layer"),
        (InputClass::Repository, "repository"),
        (InputClass::Patch, "patch"),
        (InputClass::Input, "further input"),
        (InputClass::Variable, "variable"),
    ]
    .into_iter()
    .filter_map(|(class, noun)| {
        let count = lines.iter().filter(|line| line.class == class).count();
        let plural = match (count, noun.strip_suffix('y')) {
            (0, _) => return None,
            (1, _) => noun.to_owned(),
            (_, Some(stem)) if noun == "repository" => format!("{stem}ies"),
            _ => format!("{noun}s"),
        };
        Some(format!("{count} {plural}"))
    })
    .collect::<Vec<_>>()
    .join(", ")
}
