//! The schema of the kas that builds: read once from the image or the installed kas, and kept in the state directory.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::base::hex;
use crate::fs::replace;
use crate::host::identity::Host;
use crate::inputs::{ToolIdentity, image_name};
use crate::kas::schema::KasSchema;
use crate::project::Project;
use crate::project::chains::KnownSchema;
use crate::settings::{Environment, Settings};
use crate::state::StateDir;
use crate::tools::{FoundKasSchema, KasOfSchema, Runner};

/// A schema for checks before a build.
pub(crate) struct LoadedSchema {
    pub(crate) schema: KasSchema,
    /// Whether it is that of the kas that builds.
    pub(crate) is_exact: bool,
}

impl LoadedSchema {
    /// The schema for [`Project::check_chains`].
    pub(crate) fn known(&self) -> KnownSchema<'_> {
        KnownSchema {
            schema: &self.schema,
            is_exact: self.is_exact,
        }
    }
}

/// The schema of the kas that a runner starts; `identity` has the image's id. Asks kas at most once for each image
/// or installed version.
///
/// # Errors
/// Why there is none, as the end of a sentence.
pub(crate) fn of_runner(
    runner: &Runner,
    identity: &ToolIdentity,
    state: &StateDir,
    environment: &Environment,
) -> Result<LoadedSchema, String> {
    let exact = |schema| LoadedSchema {
        schema,
        is_exact: true,
    };
    match runner {
        Runner::Kas(kas) => {
            let key = format!("kas {} {}", kas.version, kas.program.display());
            let kas = KasOfSchema::Installed(&kas.program);
            cached(state, &key, kas, environment).map(exact)
        }
        Runner::Container {
            kas_container,
            engine,
        } => {
            if let Some(id) = &identity.digest {
                let label = state.root().to_string_lossy();
                let image = KasOfSchema::Image {
                    engine,
                    id,
                    label: &label,
                };
                return cached(state, id, image, environment).map(exact);
            }
            // kas-container is installed with a kas, mostly of the version of the image that it pulls.
            let beside = kas_container.program.with_file_name("kas");
            if !beside.is_file() {
                return Err("the container image is not here yet".to_owned());
            }
            let key = format!("kas {} {}", kas_container.version, beside.display());
            let schema = cached(state, &key, KasOfSchema::Installed(&beside), environment)?;
            Ok(LoadedSchema {
                schema,
                is_exact: false,
            })
        }
    }
}

/// As [`of_runner`], where no tool has been probed yet.
///
/// # Errors
/// As [`of_runner`], and where no kas can be used.
pub(crate) fn probe(
    project: &Project,
    state: &StateDir,
    environment: &Environment,
) -> Result<LoadedSchema, String> {
    let settings: &Settings = &project.settings;
    let runner = Runner::probe(settings, environment, &Host::capture(environment))
        .map_err(|error| error.to_string())?;
    let identity = ToolIdentity::ask(&runner, settings, environment);
    if identity.digest.is_none()
        && let Runner::Container { kas_container, .. } = &runner
    {
        let version = kas_container.version.to_string();
        let image = image_name(settings, environment, Some(&version));
        return of_runner(&runner, &identity, state, environment)
            .map_err(|why| format!("{why}: {image}"));
    }
    of_runner(&runner, &identity, state, environment)
}

fn cached(
    state: &StateDir,
    key: &str,
    kas: KasOfSchema<'_>,
    environment: &Environment,
) -> Result<KasSchema, String> {
    let file = cache_file(state, key);
    let kept = fs::read_to_string(&file).ok();
    let kept = kept.and_then(|text| serde_json::from_str::<FoundKasSchema>(&text).ok());
    if let Some(found) = kept
        && let Ok(schema) = KasSchema::parse(&found.kas_version, &found.schema)
    {
        return Ok(schema);
    }
    let found = FoundKasSchema::ask(kas, environment).map_err(|error| error.to_string())?;
    let schema =
        KasSchema::parse(&found.kas_version, &found.schema).map_err(|error| error.to_string())?;
    // Without the file, the next run asks again. A check alone makes no state directory.
    if state.root().is_dir()
        && let Ok(text) = serde_json::to_vec(&found)
    {
        let kept = crate::fs::create_dir(crate::fs::parent(&file))
            .and_then(|()| replace(&file, &text, None));
        if let Err(error) = kept {
            tracing::debug!("{error}");
        }
    }
    Ok(schema)
}

fn cache_file(state: &StateDir, key: &str) -> PathBuf {
    let name = hex::encode(&Sha256::digest(key.as_bytes()));
    state.schemas().join(format!("{name}.json"))
}
