//! What a variant is built from, looked at before its build and after it: only where both are the same is
//! the key worth recording. Knows nothing of who skips for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::unchanged::moment;
use crate::files::PathError;
use crate::inputs::listing::Listings;
use crate::inputs::{Gathered, Gatherer, HashCache, Seen, Tools, image_name};
use crate::kas;
use crate::model::key::{self, Unknown};
use crate::model::matrix::Variant;
use crate::report::Clock;
use crate::settings::{Environment, Settings};
use crate::state::StateDir;
use crate::state::records::Records;
use crate::state::records::keys::ToolsRecord;
use crate::steps::MadeOf;
use crate::tools::Runner;

/// Looks at inputs during a run.
pub struct Keys {
    project_dir: PathBuf,
    settings: Arc<Settings>,
    environment: Environment,
    runner: Runner,
    records: Arc<Records>,
    clock: Clock,
    listings: Listings,
    cache: Mutex<HashCache>,
    tools: Mutex<Tools>,
}

/// What was seen before a build.
pub struct Before {
    lines: Vec<key::Line>,
    /// What could not be known yet.
    unknown: Unknown,
    seen: Seen,
    started: Timestamp,
}

impl Keys {
    /// For the variants of a project, whose programs have said `tools` of themselves.
    pub(super) fn new(
        project_dir: PathBuf,
        settings: Arc<Settings>,
        environment: Environment,
        runner: Runner,
        records: Arc<Records>,
        clock: Clock,
        tools: Tools,
    ) -> Keys {
        let state = StateDir::at(settings.state_dir.value.clone());
        Keys {
            listings: Listings::at(state.trees()),
            cache: Mutex::new(HashCache::open(&state.hashes(), moment)),
            tools: Mutex::new(tools),
            project_dir,
            settings,
            environment,
            runner,
            records,
            clock,
        }
    }

    /// Looks at everything anew: another variant's build may have taken hours since the last look.
    fn gather(&self, variant: &Variant) -> Result<(Gathered, Seen), PathError> {
        let files = variant.kas.iter().map(String::as_str);
        let kas = kas::read(&self.project_dir, &self.project_dir, files);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = self.tools();
        cache.watch();
        let mut gatherer = Gatherer::new(
            &self.project_dir,
            &self.settings,
            &self.environment,
            &mut cache,
        );
        let gathered = gatherer.gather(variant, &kas, &tools);
        if let Err(error) = gatherer.save() {
            tracing::warn!("{error}");
        }
        let seen = cache.seen();
        Ok((gathered?, seen))
    }

    fn tools(&self) -> Tools {
        let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.clone()
    }

    /// What a build is about to be made of. Blocking.
    ///
    /// # Errors
    /// What cannot be read; the build may still read it, and is then not recorded as unchanged.
    pub fn before(&self, variant: &Variant) -> Result<Before, PathError> {
        let started = (self.clock)();
        let (gathered, seen) = self.gather(variant)?;
        let lines = key::lines(&gathered.inputs);
        Ok(Before {
            lines,
            unknown: gathered.unknown,
            seen,
            started,
        })
    }

    /// What it was made of, or why nobody can say: something changed meanwhile, or cannot be read. Blocking.
    ///
    /// # Errors
    /// What cannot be read any more.
    pub fn after(
        &self,
        variant: &Variant,
        before: &Before,
    ) -> Result<Result<MadeOf, String>, PathError> {
        self.look_at_image();
        let (gathered, seen) = self.gather(variant)?;
        let lines = key::lines(&gathered.inputs);
        let changes = key::changed_meanwhile(&before.lines, &lines, before.unknown);
        if !changes.is_empty() {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            return Ok(Err(format!("during the build, {}", changes.join("; "))));
        }
        // A branch that was checked out and left again: the build may have read what was there in between.
        let touched = seen
            .iter()
            .rev()
            .find(|(path, now)| before.seen.get(*path).is_some_and(|then| then != *now));
        if let Some((path, _)) = touched {
            let path = path.strip_prefix(&self.project_dir).unwrap_or(path);
            let path = path.display();
            return Ok(Err(format!(
                "during the build, {path} was written, though it is again what it was"
            )));
        }
        if gathered.unknown.includes {
            let why = "what kas files include from a cloned repository is not there at its pin";
            return Ok(Err(why.to_owned()));
        }
        for (_, tree) in &gathered.trees {
            // Without it, `explain` names the layer and not the file.
            if let Err(error) = self.listings.keep(tree) {
                tracing::warn!("{error}");
            }
        }
        Ok(Ok(MadeOf {
            key: key::digest(&gathered.inputs),
            lines,
            unpinned: gathered.unpinned,
            started: before.started,
        }))
    }

    /// The image may have come with the build.
    fn look_at_image(&self) {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if tools.digest.is_none() {
            *tools = ask(&self.runner, &self.settings, &self.environment);
            if tools.digest.is_some() {
                let mut cache = HashCache::in_memory(moment);
                let mut gatherer = Gatherer::new(
                    &self.project_dir,
                    &self.settings,
                    &self.environment,
                    &mut cache,
                );
                let now = (self.clock)();
                // Not recorded, it is asked for once more by the next run.
                if let Ok(subject) = gatherer.subject() {
                    let _ = self.records.record_tools(&subject, &told(&tools, now));
                }
            }
        }
    }

    /// Forgets the listings that no recorded key names.
    pub(super) fn tidy(&self) {
        if let Ok(lines) = self.records.all_key_lines() {
            let hashes = lines.into_iter().map(|key::Line(_, _, value)| value);
            self.listings.keep_only(&hashes.collect());
        }
    }
}

/// What the programs say of themselves.
pub(super) fn ask(runner: &Runner, settings: &Settings, environment: &Environment) -> Tools {
    match runner {
        Runner::Kas(kas) => Tools {
            version: Some(kas.version.to_string()),
            digest: None,
        },
        Runner::Container {
            kas_container,
            engine,
        } => {
            let version = kas_container.version.to_string();
            let image = image_name(settings, environment, Some(&version));
            Tools {
                digest: engine.image_id(environment, &image),
                version: Some(version),
            }
        }
    }
}

/// For the records.
pub(super) fn told(tools: &Tools, asked: Timestamp) -> ToolsRecord {
    ToolsRecord {
        version: tools.version.clone(),
        digest: tools.digest.clone(),
        asked,
    }
}
