//! Directories that must not be on a Windows drive: builds there lack the file semantics of Linux,
//! and a drive in use cannot be unmounted.

use crate::base::failure::Failure;
use crate::settings::Settings;
use crate::wsl::drive::WindowsDrive;
use crate::wsl::host::WslHost;
use crate::wsl::path_on_drive::drive_of;

/// The hint for misplaced directories.
pub(crate) const MOVE: &str = "set it to a Linux directory, such as one below ~, in [settings] of \
                               variants.toml or by its variable (docs/settings.md)";

/// The directories of the settings that are on a Windows drive, as messages.
///
/// # Errors
/// When mounts or ledger cannot be read.
pub(crate) fn misplaced(settings: &Settings, host: &WslHost) -> Result<Vec<String>, Failure> {
    let drives = all_drives(host)?;
    Ok(settings
        .directories()
        .into_iter()
        .filter_map(|(name, path)| {
            let drive = drive_of(path, &drives)?;
            Some(format!(
                "{name} {} is on the Windows drive {} ({})",
                path.display(),
                drive.point.display(),
                drive.source
            ))
        })
        .collect())
}

/// The Windows drives, including those that are unmounted now.
pub(super) fn all_drives(host: &WslHost) -> Result<Vec<WindowsDrive>, Failure> {
    let mounted = host.drives().map_err(Failure::environment)?.drives;
    let unmounted = host
        .unmounted()
        .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
    Ok(mounted.into_iter().chain(unmounted).collect())
}
