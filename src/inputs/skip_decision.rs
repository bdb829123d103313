//! The skip decision: a variant need not be built when its input key is that of its last complete build, no unpinned
//! input is older than `max-age`, and the registered files are still there. Starts no process.

use jiff::Timestamp;
use serde::Serialize;

use crate::event::numbers;
use crate::fs::PathError;
use crate::inputs::key;
use crate::inputs::key::{InputChange, InputClass, Unpinned};
use crate::inputs::listings::{Listings, shown};
use crate::inputs::proof::Proofs;
use crate::inputs::record::{DecisionRecords, KeyRecord, RefreshedStamps};
use crate::inputs::{GatheredInputs, Gatherer, ToolIdentity};
use crate::kas::tree::KasTree;
use crate::matrix::Variant;
use crate::plan::skip::Skip;
use crate::settings::{Age, Settings, StoreChoice};

/// Why a variant is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum BuildReason {
    /// The command line forces it.
    #[serde(rename = "asked")]
    Forced,
    /// No complete build is recorded.
    NoRecord {
        /// Why the last build left no record, where it succeeded.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// An input has changed.
    Changed(InputChange),
    /// A file of a layer, patch or further input has changed.
    ChangedFile {
        /// The class of the tree.
        class: InputClass,
        /// The path of the file.
        file: String,
        /// `changed`, `new` or `gone`.
        how: String,
    },
    /// An unpinned input was last used or checked longer ago than `max-age`.
    TooOld {
        /// The input.
        unpinned: Unpinned,
        /// Its age in seconds.
        seconds: u64,
        /// The setting `max-age`.
        max_age: String,
    },
    /// A registered file is missing or has changed.
    Artifact {
        /// The difference, as a sentence.
        what: String,
    },
    /// An input cannot be read.
    Unreadable {
        /// The error, as a sentence.
        what: String,
    },
}

impl std::fmt::Display for BuildReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BuildReason::Forced => f.write_str("the command line asks for it"),
            BuildReason::NoRecord { why: None } => {
                f.write_str("no complete build of it is recorded")
            }
            BuildReason::NoRecord { why: Some(why) } => {
                write!(f, "its last build does not count: {why}")
            }
            BuildReason::Changed(change) => write!(f, "{change}"),
            BuildReason::ChangedFile { class, file, how } => {
                let how = match how.as_str() {
                    "changed" => "has changed",
                    "new" => "is new",
                    _ => "is gone",
                };
                write!(f, "{} file {file} {how}", class.noun())
            }
            BuildReason::TooOld {
                unpinned,
                seconds,
                max_age,
            } => {
                #[expect(clippy::cast_precision_loss, reason = "an age for people")]
                let age = numbers::duration(*seconds as f64);
                write!(f, "{unpinned}, last checked {age} ago (max-age {max_age})")
            }
            BuildReason::Artifact { what } => f.write_str(what),
            BuildReason::Unreadable { what } => {
                write!(f, "unknown whether it has changed: {what}")
            }
        }
    }
}

/// Whether a variant is skipped or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipDecision {
    /// It is unchanged since its last complete build.
    Skip(Skip),
    /// It is built, for these reasons; there is at least one.
    Build(Vec<BuildReason>),
}

/// The decision about a variant, and what it is based on.
#[derive(Debug, Clone)]
pub struct JudgedVariant {
    /// The decision.
    pub decision: SkipDecision,
    /// Its present key; `None` if it is unknown or was not computed.
    pub key: Option<String>,
    /// The inputs that nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// Its last complete build.
    pub record: Option<KeyRecord>,
}

impl JudgedVariant {
    /// The decision to build a variant with an unknown key.
    fn without_key(reasons: Vec<BuildReason>, record: Option<KeyRecord>) -> JudgedVariant {
        JudgedVariant {
            decision: SkipDecision::Build(reasons),
            key: None,
            unpinned: Vec::new(),
            record,
        }
    }
}

/// Decides about one variant after the other.
pub struct SkipJudge<'a> {
    settings: &'a Settings,
    gatherer: Gatherer<'a>,
    records: DecisionRecords<'a>,
    proofs: Proofs<'a>,
    listings: Listings,
    now: Timestamp,
    refreshed: RefreshedStamps,
}

impl<'a> SkipJudge<'a> {
    /// A judge that gathers inputs with `gatherer` and compares them with `records`.
    #[must_use]
    pub fn new(
        gatherer: Gatherer<'a>,
        records: DecisionRecords<'a>,
        proofs: Proofs<'a>,
        listings: Listings,
        now: Timestamp,
    ) -> SkipJudge<'a> {
        SkipJudge {
            settings: gatherer.settings(),
            gatherer,
            records,
            proofs,
            listings,
            now,
            refreshed: RefreshedStamps::default(),
        }
    }

    /// Decides about a variant. A variant that is `forced` or has no record is built in any case; its inputs are
    /// gathered only if `closely`.
    pub fn judge(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
        forced: bool,
        closely: bool,
    ) -> JudgedVariant {
        let record = self.records.keys.get(&variant.key).cloned();
        let mut reasons = Vec::new();
        if forced {
            reasons.push(BuildReason::Forced);
        }
        if record.is_none() {
            let why = self.records.doubts.get(&variant.key).cloned();
            reasons.push(BuildReason::NoRecord { why });
        }
        if !reasons.is_empty() && !closely {
            return JudgedVariant::without_key(reasons, record);
        }
        let gathered = match self.inputs(variant, kas) {
            Ok(gathered) => gathered,
            Err(error) => {
                reasons.push(BuildReason::Unreadable {
                    what: error.to_string(),
                });
                return JudgedVariant::without_key(reasons, record);
            }
        };
        let key = key::digest(&gathered.inputs);
        let mut unpinned = gathered.unpinned.clone();
        if let Some(record) = &record {
            if record.key != key {
                self.changed(variant, &gathered, &mut reasons);
            }
            // The build may have found unpinned inputs in clones that are no longer there.
            let pinned = &self.settings.pinned.value;
            for one in &record.unpinned {
                if !unpinned.contains(one) && !pinned.iter().any(|word| word == one.word()) {
                    unpinned.push(one.clone());
                }
            }
            reasons.extend(self.too_old(record, &unpinned));
            reasons.extend(self.artifacts(variant, record));
        }
        let decision = match (&record, reasons.is_empty()) {
            (Some(record), true) => SkipDecision::Skip(Skip {
                key: key.clone(),
                why: format!(
                    "built {} ago, and nothing of it has changed since",
                    self.ago(record.started)
                ),
            }),
            _ => SkipDecision::Build(reasons),
        };
        JudgedVariant {
            decision,
            key: Some(key),
            unpinned,
            record,
        }
    }

    /// The present inputs of a variant.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn inputs(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
    ) -> Result<GatheredInputs, PathError> {
        let tools = self
            .records
            .tools
            .as_ref()
            .map_or_else(ToolIdentity::default, |tools| ToolIdentity {
                version: tools.version.clone(),
                digest: tools.digest.clone(),
            });
        self.gatherer.gather(variant, kas, &tools)
    }

    /// Writes the hash cache, and returns the stamps that the caller records.
    pub fn finish(mut self) -> RefreshedStamps {
        // Without the cache, the next decision reads the files again.
        if let Err(error) = self.gatherer.save() {
            tracing::warn!("{error}");
        }
        self.refreshed
    }

    fn ago(&self, then: Timestamp) -> String {
        numbers::duration(seconds_between(then, self.now))
    }

    /// The lines that differ, and in place of a changed tree its files that differ.
    fn changed(
        &self,
        variant: &Variant,
        gathered: &GatheredInputs,
        reasons: &mut Vec<BuildReason>,
    ) {
        let before = (self.records.key_lines)(&variant.key);
        let now = key::lines(&gathered.inputs);
        let changes = key::changes(&before.unwrap_or_default(), &now);
        for change in changes {
            let files = change.before.as_deref().and_then(|before| {
                let (_, tree) = gathered
                    .trees
                    .iter()
                    .find(|(name, _)| *name == change.name)?;
                self.listings.differences(before, tree)
            });
            match files {
                Some(files) if !files.is_empty() => {
                    reasons.extend(
                        files
                            .into_iter()
                            .map(|(path, how)| BuildReason::ChangedFile {
                                class: change.class,
                                file: shown(&change.name, &path),
                                how: how.to_owned(),
                            }),
                    );
                }
                _ => reasons.push(BuildReason::Changed(change)),
            }
        }
    }

    fn too_old(&self, record: &KeyRecord, unpinned: &[Unpinned]) -> Vec<BuildReason> {
        let Age::Seconds(limit) = self.settings.max_age.value else {
            return Vec::new();
        };
        let mut reasons = Vec::new();
        for one in unpinned {
            let since = match (&self.records.tools, one.is_image()) {
                (Some(tools), true) => tools.asked,
                _ => record.started,
            };
            let seconds = seconds_between(since, self.now).max(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative, and far from the end of the range"
            )]
            let seconds = seconds as u64;
            // A record from the future counts as too old: its clock was wrong.
            if seconds >= limit || since > self.now {
                reasons.push(BuildReason::TooOld {
                    unpinned: one.clone(),
                    seconds,
                    max_age: self.settings.max_age.value.to_string(),
                });
            }
        }
        reasons
    }

    fn artifacts(&mut self, variant: &Variant, record: &KeyRecord) -> Option<BuildReason> {
        let wanted = match &self.settings.store.value {
            StoreChoice::Auto => None,
            StoreChoice::Named(name) => Some(name.as_str()),
        };
        if wanted.is_some_and(|wanted| wanted != record.store_kind()) {
            let what = format!("it is registered in another store: {}", record.store);
            return Some(BuildReason::Artifact { what });
        }
        let products = self
            .records
            .products
            .get(&variant.key)
            .map_or(&[][..], Vec::as_slice);
        let checked = self.proofs.check(variant, record).and_then(|artifacts| {
            let products = self.proofs.check_products(variant, record, products)?;
            Ok((artifacts, products))
        });
        match checked {
            Err(what) => Some(BuildReason::Artifact { what }),
            Ok((artifacts, products)) => {
                let key = || variant.key.clone();
                let refreshed = &mut self.refreshed;
                refreshed
                    .artifacts
                    .extend(artifacts.map(|all| (key(), all)));
                refreshed.products.extend(products.map(|all| (key(), all)));
                None
            }
        }
    }
}

fn seconds_between(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64()
}
