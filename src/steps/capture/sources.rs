//! Finds the files that a capture takes, and checks each before any is read. Blocking.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::fs::PathError;
use crate::fs::stamp::Stamp;
use crate::matrix::{Artifact, VariantKey};
use crate::settings::GateChoice;
use crate::state::records::{Records, RecordsError};
use crate::steps::capture::job::{CaptureJob, SourceFile};
use crate::steps::capture::policy::Provenance;
use crate::steps::context::StepContext;
use crate::steps::deploy_snapshot::until_a_change_shows;
use crate::steps::gates::freshness_gate;
use crate::steps::result::StepResult;
use crate::steps::{deploy_dir, gates};
use crate::store::copy;

/// How many similar names a message about a missing file lists.
const SIMILAR: usize = 5;

/// Finds the sources of a capture. Reports all faults at once.
pub(super) fn find(job: &CaptureJob) -> Result<Vec<SourceFile>, StepResult> {
    let cx = &job.cx;
    let names: Vec<&str> = cx
        .variant
        .artifacts
        .iter()
        .map(|artifact| artifact.deploy_name.as_str())
        .collect();
    let deploy_dir = deploy_dir::find(&job.build_dir, &cx.variant.key.machine, &names)
        .map_err(|error| StepResult::error(&error, Some(error.hint())))?;
    let mut search = Search::default();
    for artifact in &cx.variant.artifacts {
        search.look(cx, &deploy_dir, artifact);
    }
    let sources = search.found(cx, &deploy_dir, &names)?;
    let mut found = Vec::with_capacity(sources.len());
    for (artifact, path) in sources {
        freshness_gate::wait_until_readable(cx, &path)?;
        let settled = settled(artifact, path);
        found.push(settled.map_err(|error| StepResult::error(&error, error.hint()))?);
    }
    if let Provenance::Recorded(records) = &job.provenance {
        check_owners(cx, &job.build_dir, &found, records)?;
    }
    Ok(found)
}

#[derive(Default)]
struct Search<'v> {
    sources: Vec<(Artifact, PathBuf)>,
    /// Why files cannot be read.
    faults: Vec<String>,
    /// Why files are refused by the gate Shape.
    shapes: Vec<String>,
    /// The deploy names of required artifacts that are missing.
    missing: Vec<&'v str>,
    hint: Option<String>,
}

impl<'v> Search<'v> {
    fn look(&mut self, cx: &StepContext, deploy_dir: &Path, artifact: &'v Artifact) {
        let path = deploy_dir.join(&artifact.deploy_name);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if artifact.optional {
                    cx.warn(
                        format!("no {} in {}", artifact.deploy_name, deploy_dir.display()),
                        Some(format!(
                            "it is optional; {} is not registered",
                            artifact.unique_name
                        )),
                    );
                } else {
                    self.missing.push(&artifact.deploy_name);
                }
                return;
            }
            Err(error) => {
                let fault = PathError::on("read", &path)(error);
                self.faults.push(fault.to_string());
                return;
            }
        };
        match copy::regular(&path, &metadata) {
            Err(error) => {
                self.shapes.push(error.to_string());
                self.hint = error.hint();
            }
            Ok(()) if metadata.len() == 0 => {
                self.shapes.push(format!("{} is empty", path.display()));
                let hint = || "see in the log which task wrote it".to_owned();
                self.hint.get_or_insert_with(hint);
            }
            Ok(()) => self.sources.push((artifact.clone(), path)),
        }
    }

    /// The files that were found, if there was no fault.
    fn found(
        mut self,
        cx: &StepContext,
        deploy_dir: &Path,
        declared: &[&str],
    ) -> Result<Vec<(Artifact, PathBuf)>, StepResult> {
        if !self.missing.is_empty() {
            let missing = self.missing.join(", no ");
            self.faults
                .insert(0, format!("{} has no {missing}", deploy_dir.display()));
            self.hint = Some(near(deploy_dir, &self.missing, declared));
        }
        if !self.shapes.is_empty() {
            self.faults.extend(self.shapes);
            let why = self.faults.join("; ");
            return Err(gates::refuse(cx, GateChoice::Shape, why, self.hint));
        }
        if !self.faults.is_empty() {
            return Err(StepResult::failed(self.faults.join("; ")).hint_if(self.hint));
        }
        if self.sources.is_empty() && !declared.is_empty() {
            let why = format!(
                "{} has none of the declared files: {}",
                deploy_dir.display(),
                declared.join(", ")
            );
            return Err(StepResult::failed(why).hint_if(Some(near(deploy_dir, declared, declared))));
        }
        Ok(self.sources)
    }
}

/// A source whose stamp any later change is certain to change.
fn settled(artifact: Artifact, path: PathBuf) -> Result<SourceFile, PathError> {
    let look = || {
        path.symlink_metadata()
            .map(|metadata| Stamp::of(&metadata))
            .map_err(PathError::on("read", &path))
    };
    let mut stamp = look()?;
    if let Some(wait) = until_a_change_shows([&stamp], SystemTime::now()) {
        std::thread::sleep(wait);
        stamp = look()?;
    }
    Ok(SourceFile {
        artifact,
        path,
        stamp,
    })
}

/// The hint for files that are not there: those of the deploy directory that may be meant.
fn near(deploy_dir: &Path, missing: &[&str], declared: &[&str]) -> String {
    let similar = similar(deploy_dir, missing, declared);
    match similar.is_empty() {
        true => "see in the log whether the image task ran".to_owned(),
        false => format!(
            "there are {}; if one is meant, correct naming.deploy_name or the artifact's extension",
            similar.join(", ")
        ),
    }
}

/// Undeclared files in the deploy directory whose name is close to a missing one.
fn similar(deploy_dir: &Path, missing: &[&str], declared: &[&str]) -> Vec<String> {
    let mut scored: Vec<(f64, String)> = fs::read_dir(deploy_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !declared.contains(&name.as_str()))
        .map(|name| {
            let best = missing
                .iter()
                .map(|wanted| strsim::jaro_winkler(wanted, &name))
                .fold(0.0, f64::max);
            (best, name)
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
    scored
        .into_iter()
        .take(SIMILAR)
        .map(|(_, name)| name)
        .collect()
}

/// Refuses sources that the records do not have as the variant's.
fn check_owners(
    cx: &StepContext,
    build_dir: &Path,
    sources: &[SourceFile],
    records: &Records,
) -> Result<(), StepResult> {
    if gates::is_skipped(cx, GateChoice::Freshness) {
        gates::warn_skipped(cx, GateChoice::Freshness);
        return Ok(());
    }
    let key = &cx.variant.key;
    let mut faults = Vec::new();
    for source in sources {
        let path = source.path.display();
        let owner = recorded_owner(records, build_dir, source)
            .map_err(|error| StepResult::error(&error, error.hint()))?;
        match owner {
            Some(owner) if owner == *key => {}
            Some(owner) => faults.push(format!("{path} is {owner}'s")),
            None => faults.push(format!("no record says whose {path} is")),
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let hint = format!(
        "build it (isar-build-all --variant {key}), or declare that the files are {key}'s: --adopt"
    );
    let why = faults.join("; ");
    Err(gates::refuse(cx, GateChoice::Freshness, why, Some(hint)))
}

/// The owner of a file: the variant of the last build that may have deployed it, if that build was good and left the
/// file with this stamp.
fn recorded_owner(
    records: &Records,
    build_dir: &Path,
    source: &SourceFile,
) -> Result<Option<VariantKey>, RecordsError> {
    let deploy_name = &source.artifact.deploy_name;
    if records.owner_of_deploy(build_dir, deploy_name)?.is_none() {
        return Ok(None);
    }
    records.owner_of_state(build_dir, deploy_name, &source.stamp)
}
