//! Output entries without a target, and hashes without a store path.

use std::path::Path;

use crate::hashes_file::file::read_text;
use crate::hashes_file::parse;
use crate::recovery::RecoveryPlace;
use crate::recovery::leftovers::{children, directories};
use crate::recovery::report::{REMOVE, RecoveryReport};
use crate::store::Store;
use crate::store::entries::Before;

/// Names that a line lists before it counts the rest.
const LISTED: usize = 5;

/// Removes output entries without a target, and reports hashes without a store path.
pub(in crate::recovery) fn dangling(
    place: &RecoveryPlace<'_>,
    store: Option<&Store>,
    report: &mut RecoveryReport,
) {
    let path = &place.settings.hashes_file.value;
    let text = match read_text(path) {
        Ok(text) if text.trim().is_empty() => return,
        Ok(text) => text,
        Err(error) => return report.failed(&error, error.hint()),
    };
    let file = match parse(&text) {
        Ok(file) => file,
        Err(error) => {
            let message = format!("{} cannot be checked: {error}", path.display());
            return report.failed(message, error.hint());
        }
    };
    for machine in directories(&place.settings.output_dir.value) {
        for entry in children(&machine) {
            let Ok(Before::Link { target }) = Before::of(&entry) else {
                continue;
            };
            let is_named = entry
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| file.get(name).is_some());
            // A store that is not there at all, as a drive that is not mounted, has lost nothing.
            let has_store = target.parent().is_some_and(Path::exists);
            if is_named && has_store && !entry.exists() {
                let what = format!(
                    "{}: it points to {}, which is gone",
                    entry.display(),
                    target.display()
                );
                report.attempt(REMOVE, what, || crate::fs::remove(&entry));
            }
        }
    }
    let Some(store) = store else {
        report.known("the hashes were not checked: the store cannot be used");
        return;
    };
    let missing: Vec<&str> = file
        .entries()
        .filter(|(name, sha256)| {
            !store
                .path_of(sha256, name)
                .is_ok_and(|store_path| store_path.exists())
        })
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        let more = match missing.len().checked_sub(LISTED) {
            Some(more @ 1..) => format!(" and {more} more"),
            _ => String::new(),
        };
        let listed = missing[..missing.len().min(LISTED)].join(", ");
        report.known(format!(
            "{} names files that are not in this store: {listed}{more}; they were registered \
             elsewhere or are lost, and a build brings them",
            path.display()
        ));
    }
}
