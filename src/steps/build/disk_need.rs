//! The disk need of a build, estimated from the last build of the variant.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::fs::{create_dir, parent, replace};
use crate::matrix::VariantKey;
use crate::settings::{Settings, VariantDirs};
use crate::state::StateDir;
use crate::steps::build::disk_reservation::{
    DiskNeed, DiskReservation, DiskShortage, NotReserved, occupied,
};
use crate::steps::build::services::BuildServices;
use crate::steps::context::StepContext;
use crate::steps::result::StepResult;

const MIB: u64 = 1 << 20;

/// The least need in bytes of a build that changes little: an image is written beside the former one. Estimated for a
/// minimal image.
const LEAST_NEED: u64 = 512 * MIB;

/// Reserves the space that the variant's build needs. Waits while running builds may free some.
///
/// # Errors
/// The step's result where there is too little, or the run was stopped.
pub(super) async fn reserve(
    cx: &StepContext,
    services: &BuildServices,
    dirs: &VariantDirs,
) -> Result<DiskReservation, StepResult> {
    let needs = {
        let (cx, dirs) = (cx.clone(), dirs.clone());
        cx.clone().preparing(move || needs(&cx, &dirs)).await?
    };
    let margin = cx.settings.min_free.value.saturating_mul(MIB);
    let on_wait = |shortage: &DiskShortage| {
        cx.warn(format!("waits for a build to end: {shortage}"), None);
    };
    let reserved = services.disk.reserve(&needs, margin, &cx.stop, on_wait);
    reserved.await.map_err(|error| match error {
        NotReserved::Stopped => StepResult::cancelled(),
        NotReserved::Shortage(shortage) => {
            StepResult::failed(format!("not enough disk space: {shortage}")).hint(
                "free some, for example with isar-build-all cache prune; the settings `build-space` and `min-free` \
                 say how much is needed",
            )
        }
    })
}

/// The needs: in the build root, what the last good build occupied less what is there already; in the output
/// directory and the store, the size of the artifacts that are there now. Blocking.
fn needs(cx: &StepContext, dirs: &VariantDirs) -> Vec<DiskNeed> {
    let settings = &cx.settings;
    let need = |path: &Path, bytes| DiskNeed {
        path: path.to_owned(),
        bytes,
    };
    let own = parent(&dirs.build);
    let whole = recorded_size(settings, &cx.variant.key)
        .unwrap_or_else(|| settings.build_space.value.saturating_mul(MIB));
    let growth = whole
        .saturating_sub(occupied(own))
        .max(LEAST_NEED.min(whole));
    let artifacts: u64 = cx
        .variant
        .artifacts
        .iter()
        .filter_map(|artifact| fs::metadata(dirs.output.join(&artifact.unique_name)).ok())
        .map(|metadata| metadata.blocks().saturating_mul(512))
        .sum();
    let mut needs = vec![need(own, growth), need(&dirs.dl, 0), need(&dirs.sstate, 0)];
    if artifacts > 0 {
        needs.push(need(&dirs.output, artifacts));
        needs.push(need(cx.services.registry.store.dir(), artifacts));
    }
    needs
}

fn size_file(settings: &Settings, key: &VariantKey) -> PathBuf {
    let sizes = StateDir::at(settings.state_dir.value.clone()).sizes();
    sizes.join(&key.machine).join(&key.id)
}

/// The bytes that the variant's directories occupied after its last good build.
fn recorded_size(settings: &Settings, key: &VariantKey) -> Option<u64> {
    let text = fs::read_to_string(size_file(settings, key)).ok()?;
    text.trim().parse().ok()
}

/// Records the size of the variant's directories for its next build. Blocking. Without the record, that build's need
/// is the setting `build-space`.
pub(super) fn record_size(settings: &Settings, key: &VariantKey, dirs: &VariantDirs) {
    let path = size_file(settings, key);
    let text = format!("{}\n", occupied(parent(&dirs.build)));
    let written = create_dir(parent(&path)).and_then(|()| replace(&path, text.as_bytes(), None));
    if let Err(error) = written {
        tracing::warn!("{error}");
    }
}
