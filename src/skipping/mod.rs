//! Whether a variant need not be built: its input key is that of its last complete build, nothing of it
//! is too old, and what was registered then is there still. Starts no process. Knows nothing of how a run
//! goes on from there.

pub mod proof;
mod roots;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::inputs::listing::{Listings, shown};
use crate::inputs::{Gathered, Gatherer, Tools};
use crate::model::kas_tree::KasTree;
use crate::model::key::{self, Change, Class, Unpinned};
use crate::model::matrix::{Variant, VariantKey};
use crate::model::skip::Skip;
use crate::report::human;
use crate::settings::{Age, Settings, StoreChoice};
use crate::state::records::keys::{KeyRecord, ToolsRecord};
use crate::state::records::products::ProductRecord;
use crate::state::records::{Records, RecordsError};

use proof::Proofs;

/// Why a variant is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// The command line says so.
    Asked,
    /// There is no record of a complete build.
    NoRecord,
    /// An input is not what it was.
    Changed(Change),
    /// A file of a tree is not what it was: the tree's own change is told file by file.
    ChangedFile {
        /// What the tree is.
        class: Class,
        /// The file.
        file: String,
        /// `changed`, `new` or `gone`.
        how: String,
    },
    /// Something that nothing pins has not been looked at for too long.
    TooOld {
        /// What.
        unpinned: Unpinned,
        /// For how many seconds.
        seconds: u64,
        /// The setting `max-age`.
        max_age: String,
    },
    /// What was registered is not there, or is not what it was.
    Artifact {
        /// What is wrong, in words.
        what: String,
    },
    /// Something cannot be read.
    Unreadable {
        /// What, in words.
        what: String,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Asked => f.write_str("the command line asks for it"),
            Reason::NoRecord => f.write_str("no complete build of it is recorded"),
            Reason::Changed(change) => write!(f, "{change}"),
            Reason::ChangedFile { class, file, how } => {
                let how = match how.as_str() {
                    "changed" => "has changed",
                    "new" => "is new",
                    _ => "is gone",
                };
                write!(f, "{} file {file} {how}", class.noun())
            }
            Reason::TooOld {
                unpinned,
                seconds,
                max_age,
            } => {
                #[expect(clippy::cast_precision_loss, reason = "an age for people")]
                let age = human::duration(*seconds as f64);
                write!(
                    f,
                    "{unpinned}, last looked at {age} ago (max-age {max_age})"
                )
            }
            Reason::Artifact { what } => f.write_str(what),
            Reason::Unreadable { what } => {
                write!(f, "nobody can say whether it has changed: {what}")
            }
        }
    }
}

/// What is to be done with a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is as it was built.
    Skip(Skip),
    /// It is built, for each of these reasons; there is at least one.
    Build(Vec<Reason>),
}

/// What is known of a variant, and what follows.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What follows.
    pub verdict: Verdict,
    /// Its key now; none where that cannot be told, or was not asked for.
    pub key: Option<String>,
    /// What of it nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// What is recorded of it.
    pub record: Option<KeyRecord>,
}

/// Judges one variant after the other.
pub struct Judge<'a> {
    settings: &'a Settings,
    gatherer: Gatherer<'a>,
    records: &'a Records,
    known: BTreeMap<VariantKey, KeyRecord>,
    products: BTreeMap<VariantKey, Vec<ProductRecord>>,
    tools: Option<ToolsRecord>,
    proofs: Proofs<'a>,
    listings: Listings,
    now: Timestamp,
}

impl<'a> Judge<'a> {
    /// Reads what is recorded.
    ///
    /// # Errors
    /// SQLite's.
    pub fn new(
        settings: &'a Settings,
        mut gatherer: Gatherer<'a>,
        records: &'a Records,
        proofs: Proofs<'a>,
        listings: Listings,
        now: Timestamp,
    ) -> Result<Judge<'a>, RecordsError> {
        let tools = match gatherer.subject() {
            Ok(subject) => records.tools(&subject)?,
            // It is said where the program's content is gathered.
            Err(_) => None,
        };
        Ok(Judge {
            known: records.keys()?,
            products: records.all_products()?,
            settings,
            gatherer,
            records,
            tools,
            proofs,
            listings,
            now,
        })
    }

    /// Judges a variant; `asked` says that it is built anyhow. Such a one, or one of which nothing is
    /// recorded, is not looked at unless `closely`.
    pub fn judge(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
        asked: bool,
        closely: bool,
    ) -> Judged {
        let record = self.known.get(&variant.key).cloned();
        let mut reasons = Vec::new();
        if asked {
            reasons.push(Reason::Asked);
        }
        if record.is_none() {
            reasons.push(Reason::NoRecord);
        }
        if !reasons.is_empty() && !closely {
            return Judged {
                verdict: Verdict::Build(reasons),
                key: None,
                unpinned: Vec::new(),
                record,
            };
        }
        let gathered = match self.inputs(variant, kas) {
            Ok(gathered) => gathered,
            Err(error) => {
                reasons.push(Reason::Unreadable {
                    what: error.to_string(),
                });
                return Judged {
                    verdict: Verdict::Build(reasons),
                    key: None,
                    unpinned: Vec::new(),
                    record,
                };
            }
        };
        let key = key::digest(&gathered.inputs);
        let mut unpinned = gathered.unpinned.clone();
        if let Some(record) = &record {
            if record.key != key {
                self.changed(variant, &gathered, &mut reasons);
            }
            // What the build found out of repositories that may not be there any more.
            let vouched = &self.settings.pinned.value;
            for one in &record.unpinned {
                if !unpinned.contains(one) && !vouched.iter().any(|word| word == one.word()) {
                    unpinned.push(one.clone());
                }
            }
            reasons.extend(self.too_old(record, &unpinned));
            reasons.extend(self.artifacts(variant, record));
        }
        let verdict = match (&record, reasons.is_empty()) {
            (Some(record), true) => Verdict::Skip(Skip {
                key: key.clone(),
                why: format!(
                    "built {} ago, and nothing of it has changed since",
                    self.ago(record.started)
                ),
            }),
            _ => Verdict::Build(reasons),
        };
        Judged {
            verdict,
            key: Some(key),
            unpinned,
            record,
        }
    }

    /// What it would take to build: the walk of the inputs, for who wants to see it.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub fn inputs(
        &mut self,
        variant: &Variant,
        kas: &KasTree,
    ) -> Result<Gathered, crate::files::PathError> {
        let tools = self
            .tools
            .as_ref()
            .map_or_else(Tools::default, |tools| Tools {
                version: tools.version.clone(),
                digest: tools.digest.clone(),
            });
        self.gatherer.gather(variant, kas, &tools)
    }

    /// Keeps the hashes that were taken, where there is a state directory.
    ///
    /// # Errors
    /// What the system answers.
    pub fn save(&mut self) -> Result<(), crate::files::PathError> {
        self.gatherer.save()
    }

    fn ago(&self, then: Timestamp) -> String {
        human::duration(seconds_between(then, self.now))
    }

    /// Which line differs, and of a tree which file.
    fn changed(&self, variant: &Variant, gathered: &Gathered, reasons: &mut Vec<Reason>) {
        let before = self.records.key_lines(&variant.key).ok().flatten();
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
                    reasons.extend(files.into_iter().map(|(path, how)| Reason::ChangedFile {
                        class: change.class,
                        file: shown(&change.name, &path),
                        how: how.to_owned(),
                    }));
                }
                _ => reasons.push(Reason::Changed(change)),
            }
        }
    }

    fn too_old(&self, record: &KeyRecord, unpinned: &[Unpinned]) -> Vec<Reason> {
        let Age::Seconds(limit) = self.settings.max_age.value else {
            return Vec::new();
        };
        let mut reasons = Vec::new();
        for one in unpinned {
            let since = match (&self.tools, one.is_image()) {
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
            // A record of the future is no proof of anything.
            if seconds >= limit || since > self.now {
                reasons.push(Reason::TooOld {
                    unpinned: one.clone(),
                    seconds,
                    max_age: self.settings.max_age.value.to_string(),
                });
            }
        }
        reasons
    }

    fn artifacts(&mut self, variant: &Variant, record: &KeyRecord) -> Option<Reason> {
        let asked = match self.settings.store.value {
            StoreChoice::Auto => None,
            StoreChoice::Nix => Some("nix"),
            StoreChoice::Local => Some("local"),
        };
        if asked.is_some_and(|asked| asked != record.kind()) {
            let what = format!("it is registered in another store: {}", record.store);
            return Some(Reason::Artifact { what });
        }
        let products = self
            .products
            .get(&variant.key)
            .map_or(&[][..], Vec::as_slice);
        let checked = self.proofs.check(variant, record).and_then(|artifacts| {
            let products = self.proofs.check_products(variant, record, products)?;
            Ok((artifacts, products))
        });
        match checked {
            Err(what) => Some(Reason::Artifact { what }),
            Ok((artifacts, products)) => {
                // Where they cannot be kept, the files are read once more next time.
                if let Some(artifacts) = artifacts {
                    let _ = self.records.record_stamps(&variant.key, &artifacts);
                }
                if let Some(products) = products {
                    let _ = self.records.record_products(&variant.key, &products);
                }
                None
            }
        }
    }
}

fn seconds_between(then: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(then).as_secs_f64()
}
