//! How much room a build will take, from what the last one of the variant took. Knows nothing of how
//! room is given.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files::{create_dir, parent, replace};
use crate::model::matrix::{Variant, VariantKey};
use crate::settings::{Settings, VariantDirs};
use crate::state::StateDir;
use crate::steps::room::{Need, occupied};

const MIB: u64 = 1 << 20;

/// What even a build that changes little takes: an image is written beside the former one. An estimate
/// for a minimal image.
const REBUILD: u64 = 512 * MIB;

/// What is to stay free on each file system, in bytes.
pub(super) fn margin(settings: &Settings) -> u64 {
    settings.min_free.value.saturating_mul(MIB)
}

/// What a build will take: where it builds, as much as the last one took that ended well, less what is
/// there already; in the output directory and the store as much as the artifacts that are there now.
/// Blocking.
pub(super) fn needs(
    settings: &Settings,
    variant: &Variant,
    dirs: &VariantDirs,
    store: &Path,
) -> Vec<Need> {
    let need = |path: &Path, bytes| Need {
        path: path.to_owned(),
        bytes,
    };
    let own = parent(&dirs.build);
    let whole = last(settings, &variant.key)
        .unwrap_or_else(|| settings.build_space.value.saturating_mul(MIB));
    let growth = whole.saturating_sub(occupied(own)).max(REBUILD.min(whole));
    let artifacts: u64 = variant
        .artifacts
        .iter()
        .filter_map(|artifact| fs::metadata(dirs.output.join(&artifact.unique_name)).ok())
        .map(|metadata| metadata.blocks().saturating_mul(512))
        .sum();
    let mut needs = vec![need(own, growth), need(&dirs.dl, 0), need(&dirs.sstate, 0)];
    if artifacts > 0 {
        needs.push(need(&dirs.output, artifacts));
        needs.push(need(store, artifacts));
    }
    needs
}

fn place(settings: &Settings, key: &VariantKey) -> PathBuf {
    let sizes = StateDir::at(settings.state_dir.value.clone()).sizes();
    sizes.join(&key.machine).join(&key.id)
}

/// What the directories of the variant occupied after its last build that ended well.
fn last(settings: &Settings, key: &VariantKey) -> Option<u64> {
    let text = fs::read_to_string(place(settings, key)).ok()?;
    text.trim().parse().ok()
}

/// Measures what they occupy now, for the next time. Blocking. That it cannot be written is no failure
/// of the build: the next one is estimated.
pub(super) fn remember(settings: &Settings, key: &VariantKey, dirs: &VariantDirs) {
    let path = place(settings, key);
    let text = format!("{}\n", occupied(parent(&dirs.build)));
    let written = create_dir(parent(&path)).and_then(|()| replace(&path, text.as_bytes(), None));
    if let Err(error) = written {
        tracing::warn!("{error}");
    }
}
