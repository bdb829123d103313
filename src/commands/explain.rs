//! `explain`: why a variant would be built, or why not, what it is made of, and what a build would use
//! again. Starts no process.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::context::Context;
use super::failure::{Failure, Kind};
use super::json;
use super::project::Project;
use super::unchanged::{self, Asked};
use crate::cli::{ExplainArgs, Format};
use crate::model::key::{self, Class, Line, Unpinned};
use crate::model::matrix::{Variant, VariantKey};
use crate::model::select::{Index, VariantGlob};
use crate::report::human;
use crate::skipping::{Reason, Verdict};
use crate::state::records::Records;
use crate::state::records::keys::KeyRecord;

/// Reasons past this many are counted: one screen is enough to see what it is.
const REASONS: usize = 12;

/// What there is to say of a variant.
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
    last: Option<Last>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unpinned: Vec<Unpinned>,
    max_age: String,
    reuse: Vec<Reuse>,
    made_of: Vec<MadeOf>,
}

/// A reason, for programs and in words.
#[derive(Debug, Serialize)]
struct Because {
    #[serde(flatten)]
    reason: Reason,
    /// Where the file stands in the chain, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    text: String,
}

/// The last complete build.
#[derive(Debug, Serialize)]
struct Last {
    run: String,
    started: Timestamp,
    key: String,
}

/// Something that a build would use again.
#[derive(Debug, Serialize)]
struct Reuse {
    what: &'static str,
    path: String,
    there: bool,
}

/// A line of the key.
#[derive(Debug, Serialize)]
struct MadeOf {
    class: Class,
    name: String,
    value: String,
}

/// Explains the variants that are named.
///
/// # Errors
/// Faults of the matrix; a name that names nothing.
pub fn explain(context: &Context, args: &ExplainArgs) -> Result<String, Failure> {
    let project = Project::load(context)?;
    let variants = named(&project, &args.variants)?;
    let records = match unchanged::records(&project)? {
        Some(records) => records,
        None => Records::in_memory().map_err(Failure::environment)?,
    };
    let asked = Asked::of(context, &project)?;
    let now = Timestamp::now();
    let mut cache = unchanged::open_cache(&project);
    let explained = unchanged::with_judge(context, &project, &records, &mut cache, now, |judge| {
        let explain_one = |variant: &Variant| {
            let built = context.cli.run.no_skip || asked.rebuilds(&variant.key);
            let judged = judge.judge(variant, &project.kas, built, true);
            let lines = judge
                .inputs(variant, &project.kas)
                .map(|gathered| key::lines(&gathered.inputs))
                .unwrap_or_default();
            let (would, reasons) = match judged.verdict {
                Verdict::Skip(_) => ("skip", Vec::new()),
                Verdict::Build(reasons) => ("build", reasons),
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
                    .map(|Line(class, name, value)| MadeOf { class, name, value })
                    .collect(),
            }
        };
        variants.into_iter().map(explain_one).collect::<Vec<_>>()
    })?;
    if context.cli.output.format == Format::Json {
        return json(&serde_json::json!({ "schema": 1, "variants": explained }));
    }
    let verbose = context.cli.output.verbose;
    let texts: Vec<String> = explained
        .iter()
        .map(|one| text(one, now, verbose))
        .collect();
    Ok(texts.join("\n"))
}

fn named<'p>(project: &'p Project, words: &[String]) -> Result<Vec<&'p Variant>, Failure> {
    let variants = &project.matrix.variants;
    let index = Index::new(variants.iter().map(|variant| &variant.key));
    let mut found = Vec::new();
    for word in words {
        let wrong = |why: String, hint| Failure::new(Kind::Configuration, why).hint(hint);
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

fn because(reason: Reason, variant: &Variant) -> Because {
    let place = match &reason {
        Reason::Changed(change) if change.class == Class::KasFile => variant
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

fn last(record: KeyRecord) -> Last {
    Last {
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
    let ago = |then: Timestamp| human::duration(now.duration_since(then).as_secs_f64());
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

/// How many lines of each class there are.
fn counted(lines: &[MadeOf]) -> String {
    [
        (Class::KasFile, "kas file"),
        (Class::Layer, "local layer"),
        (Class::Repository, "repository"),
        (Class::Patch, "patch"),
        (Class::Input, "further input"),
        (Class::Variable, "variable"),
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
