//! Store paths that were being added.

use std::path::PathBuf;

use crate::model::matrix::VariantKey;
use crate::recovery::report::Report;
use crate::store::Store;

/// Says which store paths a death left half added. A file at a store path of Nix is no proof that it is
/// complete; to add it again repairs it. In a store of ours a path appears complete or not at all.
pub(in crate::recovery) fn half_added(
    variant: &VariantKey,
    store: &Store,
    store_paths: &[PathBuf],
    report: &mut Report,
) {
    let Store::Nix(_) = store else { return };
    for path in store_paths.iter().filter(|path| path.exists()) {
        let valid = store
            .hold()
            .and_then(|hold| store.is_valid(&hold, path))
            .unwrap_or(false);
        if !valid {
            report.known(format!(
                "{} is half added to the store; the next registration of {variant} repairs it",
                path.display()
            ));
        }
    }
}
