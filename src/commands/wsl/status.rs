//! The status that `wsl status` shows.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::failure::Failure;
use crate::host::identity::Host;
use crate::settings::{Settings, SyncGuard};
use crate::wsl::WslHost;
use crate::wsl::drive::DriveMounts;
use crate::wsl::ledger::{UnmountedDrives, peek};

/// As JSON `{"schema":1,…}`.
#[derive(Debug, Serialize)]
pub(super) struct WslStatus {
    schema: u32,
    /// The distribution, empty if it has no name; left out outside of WSL.
    #[serde(skip_serializing_if = "Option::is_none")]
    wsl: Option<String>,
    kernel: String,
    sync_guard: SyncGuard,
    automount: AutomountStatus,
    #[serde(flatten)]
    drives: DriveMounts,
    /// The drives that are unmounted now, and the builds that need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<UnmountedDrives>,
    /// The number of 9p superblocks in the kernel, over all mount namespaces.
    superblocks: usize,
}

#[derive(Debug, Serialize)]
struct AutomountStatus {
    enabled: bool,
    root: std::path::PathBuf,
    options: Vec<String>,
}

impl WslStatus {
    pub(super) fn take(host: &Host, settings: &Settings) -> Result<WslStatus, Failure> {
        let machine = WslHost::capture(host);
        let automount = machine.automount();
        let away = peek(&machine.ledger)
            .map_err(|error| Failure::environment(&error).hint(error.hint()))?;
        Ok(WslStatus {
            schema: 1,
            wsl: host.wsl.clone(),
            kernel: host.kernel.clone(),
            sync_guard: settings.wsl_sync_guard.value,
            automount: AutomountStatus {
                enabled: automount.enabled,
                root: automount.root,
                options: automount.options,
            },
            drives: machine.drives().map_err(Failure::environment)?,
            away,
            superblocks: machine.superblocks(),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = match self.wsl.as_deref() {
            None => writeln!(text, "This is not WSL (Linux {}).", self.kernel),
            Some("") => writeln!(text, "WSL, Linux {}", self.kernel),
            Some(distro) => writeln!(text, "WSL distribution {distro}, Linux {}", self.kernel),
        };
        let guard = serde_json::to_value(self.sync_guard).unwrap_or_default();
        let _ = writeln!(text, "sync guard: {}", guard.as_str().unwrap_or_default());
        for drive in &self.drives.drives {
            let propagation = match (drive.shared, drive.slave) {
                (true, _) => "shared",
                (false, true) => "slave",
                (false, false) => "private",
            };
            let _ = writeln!(
                text,
                "{}  {}  {}  device {}  {propagation}\n    {}\n    {}",
                drive.point.display(),
                drive.source,
                drive.fs_type,
                drive.device,
                drive.options.join(","),
                drive.super_options.join(","),
            );
        }
        for (point, kind) in &self.drives.inside {
            let _ = writeln!(text, "in a drive: {} ({kind})", point.display());
        }
        for (point, kind) in &self.drives.others {
            let _ = writeln!(text, "not a Windows drive: {} ({kind})", point.display());
        }
        if let Some(away) = &self.away {
            for drive in &away.drives {
                let _ = writeln!(text, "unmounted: {}", drive.point.display());
            }
            for user in &away.users {
                let _ = writeln!(text, "    for process {} ({})", user.pid, user.build);
            }
            let _ = writeln!(text, "hint: isar-build-all wsl remount");
        }
        text
    }
}
