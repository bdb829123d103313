//! The input observer: takes a snapshot of a variant's inputs before its build and compares them with the inputs
//! after it. A key is worth recording only if both are equal. Blocking.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use thiserror::Error;

use crate::fs::PathError;
use crate::inputs::agreement;
use crate::inputs::cache;
use crate::inputs::key;
use crate::inputs::key::{InputChange, KeyLine, UnknownInputs, Unpinned};
use crate::inputs::listings::Listings;
use crate::inputs::record::ToolsRecord;
use crate::inputs::{
    Disagreement, GatheredInputs, Gatherer, HashCache, ObservedStamps, ToolIdentity, image_name,
};
use crate::kas;
use crate::kas::dump::KasDump;
use crate::matrix::Variant;
use crate::settings::{Environment, Settings};
use crate::tools::Runner;

/// The project whose inputs are observed, and the program that builds it.
pub struct ObservedProject {
    /// The directory of variants.toml.
    pub directory: PathBuf,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// The environment that reaches the builds.
    pub environment: Environment,
    /// The program that runs kas.
    pub runner: Runner,
}

/// Observes inputs during a run.
pub struct InputObserver {
    project: ObservedProject,
    listings: Listings,
    cache: Mutex<HashCache>,
    tools: Mutex<ToolIdentity>,
}

/// The inputs of a variant just before its build.
pub struct InputSnapshot {
    lines: Vec<KeyLine>,
    unknown: UnknownInputs,
    stamps: ObservedStamps,
    started: Timestamp,
}

/// The inputs of a build, proven to be the same before and after it, and read by kas as this tool reads them.
#[derive(Debug, Clone)]
pub struct StableInputs {
    /// The input key.
    pub key: String,
    /// The lines that the key is the hash of.
    pub lines: Vec<KeyLine>,
    /// The inputs that nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// Start of the build.
    pub started: Timestamp,
}

/// Why the inputs of a build are not proven.
#[derive(Debug, Error)]
pub enum UnstableInputs {
    /// An input differs from the snapshot.
    #[error("during the build, {}", list(.0))]
    Changed(Vec<InputChange>),
    /// A file has another stamp and the same content, as after a branch was checked out and left again: the build
    /// may have read other content in between.
    #[error("during the build, {} was written, though it is again what it was", .0.display())]
    Written(PathBuf),
    /// An included kas file is missing from its clone, so its content is unknown.
    #[error("what kas files include from a cloned repository is not there at its pin")]
    IncludesUnknown,
    /// kas did not report how it reads the kas files.
    #[error("how kas reads the kas files is unknown: {0}")]
    NoDump(String),
    /// kas reads the kas files differently.
    #[error("{0}")]
    Disagreement(#[from] Disagreement),
    /// An input cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PathError),
}

fn list(changes: &[InputChange]) -> String {
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    changes.join("; ")
}

/// The result of [`InputObserver::after`].
pub struct AfterBuild {
    /// The inputs, if they are proven.
    pub inputs: Result<StableInputs, UnstableInputs>,
    /// The first report of the tools, with the subject to record it under.
    pub tools: Option<(String, ToolsRecord)>,
}

impl InputObserver {
    /// An observer for the variants of a project whose tools reported `tools`.
    #[must_use]
    pub fn new(
        project: ObservedProject,
        tools: ToolIdentity,
        cache: HashCache,
        listings: Listings,
    ) -> InputObserver {
        InputObserver {
            project,
            listings,
            cache: Mutex::new(cache),
            tools: Mutex::new(tools),
        }
    }

    /// Gathers inputs without reusing earlier reads: another variant's build may have taken hours in between.
    fn gather(&self, variant: &Variant) -> Result<(GatheredInputs, ObservedStamps), PathError> {
        let directory = &self.project.directory;
        let files = variant.kas.iter().map(String::as_str);
        let kas = kas::read(directory, directory, files);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = self.tools();
        cache.observe();
        let mut gatherer = self.gatherer(&mut cache);
        let gathered = gatherer.gather(variant, &kas, &tools);
        if let Err(error) = gatherer.save() {
            tracing::warn!("{error}");
        }
        let stamps = cache.observed();
        Ok((gathered?, stamps))
    }

    fn gatherer<'a>(&'a self, cache: &'a mut HashCache) -> Gatherer<'a> {
        let project = &self.project;
        Gatherer::new(
            &project.directory,
            &project.settings,
            &project.environment,
            cache,
        )
    }

    /// The reports of the tools so far.
    #[must_use]
    pub fn tools(&self) -> ToolIdentity {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.clone()
    }

    /// Takes the snapshot before a build that starts at `now`.
    ///
    /// # Errors
    /// The first input that cannot be read. The build may succeed all the same; its inputs are then not proven.
    pub fn before(&self, variant: &Variant, now: Timestamp) -> Result<InputSnapshot, PathError> {
        let (gathered, stamps) = self.gather(variant)?;
        Ok(InputSnapshot {
            lines: key::lines(&gathered.inputs),
            unknown: gathered.unknown,
            stamps,
            started: now,
        })
    }

    /// Compares the inputs at `now`, after a build, with the snapshot and with kas's dump, or with why there is none.
    pub fn after(
        &self,
        variant: &Variant,
        before: &InputSnapshot,
        dump: Result<KasDump, String>,
        now: Timestamp,
    ) -> AfterBuild {
        AfterBuild {
            // First, so that the comparison knows the image that came with the build.
            tools: self.learn_image(now),
            inputs: self.compare(variant, before, dump),
        }
    }

    fn compare(
        &self,
        variant: &Variant,
        before: &InputSnapshot,
        dump: Result<KasDump, String>,
    ) -> Result<StableInputs, UnstableInputs> {
        let (gathered, stamps) = self.gather(variant)?;
        let lines = key::lines(&gathered.inputs);
        let changes = key::changed_meanwhile(&before.lines, &lines, before.unknown);
        if !changes.is_empty() {
            return Err(UnstableInputs::Changed(changes));
        }
        let written = stamps
            .iter()
            .rev()
            .find(|(path, now)| before.stamps.get(*path).is_some_and(|then| then != *now));
        if let Some((path, _)) = written {
            let path = path.strip_prefix(&self.project.directory).unwrap_or(path);
            return Err(UnstableInputs::Written(path.to_owned()));
        }
        if gathered.unknown.includes {
            return Err(UnstableInputs::IncludesUnknown);
        }
        let dump = dump.map_err(UnstableInputs::NoDump)?;
        agreement::check(&gathered.chain, &dump)?;
        for (_, tree) in &gathered.trees {
            // Without a listing, `explain` names the layer and not the file.
            if let Err(error) = self.listings.keep(tree) {
                tracing::warn!("{error}");
            }
        }
        Ok(StableInputs {
            key: key::digest(&gathered.inputs),
            lines,
            unpinned: gathered.unpinned,
            started: before.started,
        })
    }

    /// Asks the engine for the image's digest if it is still unknown: the build may have pulled the image. Returns
    /// the answer and its subject.
    fn learn_image(&self, now: Timestamp) -> Option<(String, ToolsRecord)> {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if tools.digest.is_some() {
            return None;
        }
        let project = &self.project;
        *tools = ToolIdentity::ask(&project.runner, &project.settings, &project.environment);
        tools.digest.as_ref()?;
        let mut cache = HashCache::in_memory(cache::now);
        // An answer that is not recorded is fetched again by the next run.
        let subject = self.gatherer(&mut cache).subject().ok()?;
        Some((subject, tools.record(now)))
    }

    /// Removes the listings of trees that are in none of the recorded `key_lines`.
    pub fn tidy(&self, key_lines: Vec<KeyLine>) {
        let hashes = key_lines.into_iter().map(|KeyLine(_, _, value)| value);
        self.listings.keep_only(&hashes.collect());
    }
}

impl ToolIdentity {
    /// Asks the engine for the image's digest; a `runner` has its version already.
    #[must_use]
    pub fn ask(runner: &Runner, settings: &Settings, environment: &Environment) -> ToolIdentity {
        match runner {
            Runner::Kas(kas) => ToolIdentity {
                version: Some(kas.version.to_string()),
                digest: None,
            },
            Runner::Container {
                kas_container,
                engine,
            } => {
                let version = kas_container.version.to_string();
                let image = image_name(settings, environment, Some(&version));
                ToolIdentity {
                    digest: engine.image_id(environment, &image),
                    version: Some(version),
                }
            }
        }
    }

    /// The record of a report at `asked`.
    #[must_use]
    pub fn record(&self, asked: Timestamp) -> ToolsRecord {
        ToolsRecord {
            version: self.version.clone(),
            digest: self.digest.clone(),
            asked,
        }
    }
}
