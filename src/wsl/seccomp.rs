//! The profile with which `sync(2)` does nothing inside a container and says that it went well.
//!
//! Everything else is allowed: the builds' containers are privileged and have no profile otherwise. fsync,
//! fdatasync and syncfs stay what they are. A 32-bit process dies of a profile that does not list its
//! architecture, so the one of each 64-bit machine is there. The form is that of the engines' `seccomp=FILE`.

use std::path::{Path, PathBuf};

use crate::files::{PathError, create_dir, replace};

/// The text of the profile.
const PROFILE: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "architectures": [ARCHITECTURES],
  "syscalls": [{ "names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0 }]
}
"#;

/// Writes the profile below a state directory; where it is.
///
/// # Errors
/// What the system answers.
pub fn write_profile(state: &Path) -> Result<PathBuf, PathError> {
    let dir = state.join("wsl");
    create_dir(&dir)?;
    let path = dir.join("seccomp.json");
    let text = profile();
    // A container that is being started may read it.
    if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        replace(&path, text.as_bytes(), None)?;
    }
    Ok(path)
}

fn profile() -> String {
    let architectures = if cfg!(target_arch = "aarch64") {
        r#""SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM""#
    } else {
        r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32""#
    };
    PROFILE.replace("ARCHITECTURES", architectures)
}

/// How many filters a process is under, by the text of its `status`: mode 2 is at least one, and since Linux 5.9
/// they are counted (`proc_pid_status(5)`).
#[must_use]
pub fn filters(status: &str) -> u32 {
    let field = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().parse::<u32>().ok()
    };
    match field("Seccomp") {
        Some(2) => field("Seccomp_filters").unwrap_or(1).max(1),
        _ => 0,
    }
}

/// Whether the first process of a container, by the text of its `status`, is under a filter of its own. It has
/// `outer` from us, where it is our child; without ours a privileged container has none besides.
#[must_use]
pub fn is_filtered(status: &str, outer: u32) -> bool {
    filters(status) > outer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_changes_sync_alone_and_lists_32_bit_processes() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_profile(dir.path()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ALLOW");
        let syscalls = profile["syscalls"].as_array().unwrap();
        assert_eq!(syscalls.len(), 1);
        assert_eq!(syscalls[0]["names"], serde_json::json!(["sync"]));
        assert_eq!(syscalls[0]["errnoRet"], 0);
        let architectures = profile["architectures"].as_array().unwrap();
        assert!(architectures.len() >= 2);
        let before = path.metadata().unwrap().modified().unwrap();
        write_profile(dir.path()).unwrap();
        assert_eq!(path.metadata().unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_filter_is_told_from_none_and_from_strict_mode() {
        let counted = |count: u32| format!("Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t{count}\n");
        assert!(is_filtered(&counted(1), 0));
        for mode in ["0", "1", "22", ""] {
            assert!(!is_filtered(&format!("Seccomp:\t{mode}\n"), 0), "{mode}");
        }
        assert!(!is_filtered("Seccomp_filters:\t2\n", 0));
        // One that was there before the container is none of ours.
        assert!(!is_filtered(&counted(1), 1));
        assert!(is_filtered(&counted(2), 1));
        // Where they are not counted, only the first can be seen.
        assert!(is_filtered("Seccomp:\t2\n", 0));
        assert!(!is_filtered("Seccomp:\t2\n", filters("Seccomp:\t2\n")));
    }
}
