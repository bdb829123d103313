//! `cache audit`: everything that is wrong with the caches and with the names that recipes give their
//! downloads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::caches::recipes::{self, Scanned};
use crate::caches::{Cache, Purpose, audit, stamp};
use crate::cli::Format;
use crate::commands::context::Context;
use crate::commands::failure::Failure;
use crate::commands::json;
use crate::commands::paint::{Color, paint};
use crate::commands::project::Project;
use crate::kas;
use crate::model::arch::Arch;
use crate::model::pattern::Pattern;
use crate::model::src_uri::{Differs, with_arch};
use crate::report::human;
use crate::state::use_lock::{Sharing, holders};

use super::list::{Listed, table};
use super::{PATIENCE, foreign_downloads, locked, present, this, unreadable};

/// The exit code where something is wrong.
const WRONG: u8 = 10;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// A cache is stamped for another architecture.
    Stamp,
    /// A program or package is for another architecture.
    Foreign,
    /// A name stands for different contents in several caches.
    Ambiguous,
    /// A download did not come to its end.
    Unfinished,
    /// A recipe gives different downloads one name.
    Recipe,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
struct Finding {
    what: What,
    /// The file, and in a recipe the line.
    place: String,
    why: String,
    hint: String,
}

/// `{"schema":1,"caches":[…],"layers":[…],"recipes":N,"findings":[…],"notes":[…]}` as JSON.
#[derive(Debug, Serialize)]
struct Audit {
    schema: u32,
    caches: Vec<Listed>,
    /// The layers whose recipes were read.
    layers: Vec<String>,
    /// How many recipe files that were.
    recipes: usize,
    findings: Vec<Finding>,
    /// What was not looked at, and why.
    notes: Vec<String>,
}

pub(super) fn run(context: &Context) -> Result<(String, u8), Failure> {
    let project = Project::load(context)?;
    let settings = &project.settings;
    let caches = present(settings);
    let allowed = foreign_downloads(settings);
    let mut audit = Audit {
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
        let lock = cache.hold(Sharing::Shared, &this(), PATIENCE);
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
    let text = match context.cli.output.format {
        Format::Json => json(&audit)?,
        Format::Text | Format::Dot => render(&audit, context.colors_output(settings)),
    };
    Ok((text, code))
}

/// What is wrong in one cache.
fn look_into(
    cache: &Cache,
    allowed: &[Pattern],
    listed: &Listed,
    audit: &mut Audit,
) -> Result<(), Failure> {
    let Purpose::Downloads(arch) = cache.purpose else {
        return Ok(());
    };
    let place = |file: &Path| cache.path.join(file).display().to_string();
    if let Err(error) = stamp::check(&cache.path, arch) {
        audit.findings.push(Finding {
            what: What::Stamp,
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
            audit.findings.push(Finding {
                what: What::Foreign,
                why: format!("in the cache of {arch}, {foreign}"),
                hint: format!(
                    "{}; where it belongs there, name it in the setting `foreign-downloads`",
                    removal(&path)
                ),
                place: path,
            });
        }
    }
    if !listed.is_idle() {
        audit.notes.push(format!(
            "{} is in use: what is not downloaded yet was not judged",
            cache.path.display()
        ));
        return Ok(());
    }
    for unfinished in audit::unfinished(&cache.path).map_err(|error| unreadable(&error))? {
        let path = place(&unfinished.file);
        audit.findings.push(Finding {
            what: What::Unfinished,
            why: format!(
                "a download that did not come to its end: {}",
                unfinished.sign
            ),
            hint: removal(&path),
            place: path,
        });
    }
    Ok(())
}

/// How to be rid of a download, with its stamp where it has one.
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

/// What differs between the caches.
fn compare(caches: &[Cache], audit: &mut Audit) -> Result<(), Failure> {
    let downloads: Vec<(Arch, &Path)> = caches
        .iter()
        .filter_map(|cache| Some((cache.purpose.arch()?, cache.path.as_path())))
        .collect();
    for ambiguous in audit::ambiguous(&downloads).map_err(|error| unreadable(&error))? {
        let name = ambiguous.file.display().to_string();
        let archs: Vec<&str> = ambiguous.archs.iter().map(|arch| arch.as_str()).collect();
        audit.findings.push(Finding {
            what: What::Ambiguous,
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

/// The layers of the project's own repository that the chains of the variants use.
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

fn collisions(scanned: &Scanned) -> impl Iterator<Item = Finding> {
    scanned.collisions.iter().map(|collision| Finding {
        what: What::Recipe,
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

fn render(audit: &Audit, color: bool) -> String {
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
        number => human::count(number, "fault"),
    };
    let (caches, recipes, layers) = (audit.caches.len(), audit.recipes, audit.layers.len());
    text + &format!(
        "{}, {} in {}: {wrong}\n",
        human::count(caches, "cache"),
        human::count(recipes, "recipe file"),
        human::count(layers, "layer"),
    )
}
