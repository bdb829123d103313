//! `cache audit`: faults of the caches, and recipes whose download names collide.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::arch::Arch;
use crate::base::failure::Failure;
use crate::base::pattern::Pattern;
use crate::bitbake::src_uri::{Differs, with_arch};
use crate::caches::recipes;
use crate::caches::recipes::Scanned;
use crate::caches::{Cache, PRUNE_PATIENCE, Purpose, audit, foreign_downloads, stamp};
use crate::commands::output::json;
use crate::commands::paint::{Color, paint};
use crate::event::numbers;
use crate::fs::use_lock::{Sharing, holders};
use crate::kas;
use crate::project::Project;
use crate::project::arguments::OutputFormat;
use crate::project::context::Context;

use crate::commands::cache::list::{Listed, table};
use crate::commands::cache::{locked, present, this, unreadable};

/// The exit code if there is a fault.
const WRONG: u8 = 10;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FindingKind {
    /// A cache is stamped with another architecture.
    Stamp,
    /// A program or package is for another architecture.
    Foreign,
    /// Several caches hold different contents under one name.
    Ambiguous,
    /// A download was not completed.
    Unfinished,
    /// A recipe gives one name to different downloads.
    Recipe,
}

/// A fault.
#[derive(Debug, Serialize)]
struct CacheFinding {
    what: FindingKind,
    /// The file; in a recipe, with the line.
    place: String,
    why: String,
    hint: String,
}

/// `{"schema":1,"caches":[…],"layers":[…],"recipes":N,"findings":[…],"notes":[…]}` as JSON.
#[derive(Debug, Serialize)]
struct AuditReport {
    schema: u32,
    caches: Vec<Listed>,
    /// The layers whose recipes were read.
    layers: Vec<String>,
    /// The number of recipe files.
    recipes: usize,
    findings: Vec<CacheFinding>,
    /// The parts that were not checked, each with the reason.
    notes: Vec<String>,
}

pub(super) fn run(context: &Context) -> Result<(String, u8), Failure> {
    let project = Project::load(context)?;
    let settings = &project.settings;
    let caches = present(settings);
    let allowed = foreign_downloads(settings);
    let mut audit = AuditReport {
        schema: 1,
        caches: Vec::new(),
        layers: Vec::new(),
        recipes: 0,
        findings: Vec::new(),
        notes: Vec::new(),
    };
    let mut locks = Vec::new();
    for cache in &caches {
        let busy = holders(&cache.lock());
        let lock = cache.hold(Sharing::Shared, &this(context), PRUNE_PATIENCE);
        locks.push(lock.map_err(|error| locked(&error))?);
        let mut listed = Listed::of(cache)?;
        listed.users = busy;
        look_into(cache, &allowed, &listed, &mut audit)?;
        audit.caches.push(listed);
    }
    compare(&caches, &mut audit)?;
    let layers = own_layers(&project);
    let scanned = recipes::scan(&layers, &project.directory, differs(&project))
        .map_err(|error| unreadable(&error))?;
    audit.recipes = scanned.files;
    audit.layers = layers.iter().map(|layer| project.relative(layer)).collect();
    audit.findings.extend(collisions(&scanned));
    let code = if audit.findings.is_empty() { 0 } else { WRONG };
    let text = match context.arguments.output.format {
        OutputFormat::Json => json(&audit)?,
        OutputFormat::Text | OutputFormat::Dot => render(&audit, context.colors_output(settings)),
    };
    Ok((text, code))
}

/// Adds the faults of one cache.
fn look_into(
    cache: &Cache,
    allowed: &[Pattern],
    listed: &Listed,
    audit: &mut AuditReport,
) -> Result<(), Failure> {
    let Purpose::Downloads(arch) = cache.purpose else {
        return Ok(());
    };
    let place = |file: &Path| cache.path.join(file).display().to_string();
    if let Err(error) = stamp::check(&cache.path, arch) {
        audit.findings.push(CacheFinding {
            what: FindingKind::Stamp,
            place: cache.path.display().to_string(),
            hint: error.hint().unwrap_or_default(),
            why: error.to_string(),
        });
    }
    let programs = audit::foreign(&cache.path, arch, allowed);
    let packages = audit::foreign_packages(&cache.path, arch, allowed);
    for list in [programs, packages] {
        for foreign in list.map_err(|error| unreadable(&error))? {
            let path = place(&foreign.file);
            audit.findings.push(CacheFinding {
                what: FindingKind::Foreign,
                why: format!("in the cache of {arch}, {foreign}"),
                hint: format!(
                    "{}; if it belongs there, name it in the setting `foreign-downloads`",
                    removal(&path)
                ),
                place: path,
            });
        }
    }
    if !listed.is_idle() {
        audit.notes.push(format!(
            "{} is in use: unfinished downloads were not checked",
            cache.path.display()
        ));
        return Ok(());
    }
    for unfinished in audit::unfinished(&cache.path).map_err(|error| unreadable(&error))? {
        let path = place(&unfinished.file);
        audit.findings.push(CacheFinding {
            what: FindingKind::Unfinished,
            why: format!("an unfinished download: {}", unfinished.sign),
            hint: removal(&path),
            place: path,
        });
    }
    Ok(())
}

/// The command that removes a download and its stamp.
fn removal(path: &str) -> String {
    let stamp = format!("{path}.done");
    let mut words = vec![path];
    if Path::new(&stamp).exists() {
        words.push(&stamp);
    }
    match shlex::try_join(words) {
        Ok(words) => format!("remove it: rm -f {words}"),
        Err(_) => "remove it".to_owned(),
    }
}

/// Adds the names under which the caches hold different contents.
fn compare(caches: &[Cache], audit: &mut AuditReport) -> Result<(), Failure> {
    let downloads: Vec<(Arch, &Path)> = caches
        .iter()
        .filter_map(|cache| Some((cache.purpose.arch()?, cache.path.as_path())))
        .collect();
    for ambiguous in audit::ambiguous(&downloads).map_err(|error| unreadable(&error))? {
        let name = ambiguous.file.display().to_string();
        let archs: Vec<&str> = ambiguous.archs.iter().map(|arch| arch.as_str()).collect();
        audit.findings.push(CacheFinding {
            what: FindingKind::Ambiguous,
            why: format!(
                "the caches of {} hold different contents under this name",
                archs.join(" and ")
            ),
            hint: format!("in its recipe, write downloadfilename={}", with_arch(&name)),
            place: name,
        });
    }
    Ok(())
}

fn differs(project: &Project) -> Differs {
    Differs {
        archs: project.differs.archs,
        machines: project.differs.machines,
    }
}

/// The layers in the project's own repository that the chains use.
fn own_layers(project: &Project) -> Vec<PathBuf> {
    let root = project.directory.join(&project.kas.root);
    let layers: BTreeSet<PathBuf> = project
        .kas
        .includes
        .keys()
        .filter_map(|file| std::fs::read_to_string(project.directory.join(file)).ok())
        .flat_map(|text| kas::own_layers(&text))
        .map(|layer| root.join(layer).components().collect())
        .collect();
    layers.into_iter().collect()
}

fn collisions(scanned: &Scanned) -> impl Iterator<Item = CacheFinding> {
    scanned.collisions.iter().map(|collision| CacheFinding {
        what: FindingKind::Recipe,
        place: format!("{}:{}", collision.file, collision.line),
        why: format!(
            "{} differs between the variants, but is always downloaded as {}",
            collision.url, collision.name
        ),
        hint: format!(
            "write downloadfilename={} and use that name in the recipe",
            collision.instead
        ),
    })
}

fn render(audit: &AuditReport, color: bool) -> String {
    let mut text = String::new();
    if !audit.caches.is_empty() {
        text += &table(&audit.caches);
        text += "\n";
    }
    for finding in &audit.findings {
        let error = paint(color, Color::Red, "error:");
        text += &format!(
            "{error} {}: {}\nhint: {}\n\n",
            finding.place, finding.why, finding.hint
        );
    }
    for note in &audit.notes {
        text += &format!("note: {note}\n");
    }
    let wrong = match audit.findings.len() {
        0 => "no faults".to_owned(),
        number => numbers::count(number, "fault"),
    };
    let (caches, recipes, layers) = (audit.caches.len(), audit.recipes, audit.layers.len());
    text + &format!(
        "{}, {} in {}: {wrong}\n",
        numbers::count(caches, "cache"),
        numbers::count(recipes, "recipe file"),
        numbers::count(layers, "layer"),
    )
}
