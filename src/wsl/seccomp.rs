//! The seccomp profile that makes `sync(2)` a successful no-op in a container.
//!
//! It allows everything else: the containers of builds are privileged, and have no profile
//! otherwise. fsync, fdatasync and syncfs keep working. A profile kills processes of architectures
//! that it does not list, so the machine's 32-bit architecture is listed too. The format is that of
//! the engines' `seccomp=FILE` option.

use std::path::{Path, PathBuf};

use crate::fs::{PathError, create_dir, replace};

/// The text of the profile.
const PROFILE: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "architectures": [ARCHITECTURES],
  "syscalls": [{ "names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0 }]
}
"#;

/// Writes the profile below a state directory and returns its path.
///
/// # Errors
/// When the file cannot be written.
pub fn write_profile(state: &Path) -> Result<PathBuf, PathError> {
    let dir = state.join("wsl");
    create_dir(&dir)?;
    let path = dir.join("seccomp.json");
    let text = profile();
    // An equal file is left alone: a container that starts now may be reading it.
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

/// The number of seccomp filters of a process, from its `status` file (`proc_pid_status(5)`). Mode
/// 2 means at least one; Linux 5.9 and later report the number.
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

/// Whether a process has more filters than the `outer` ones that it inherits from this process,
/// judged from its `status` file. A privileged container has none of its own unless this profile is
/// applied.
#[must_use]
pub fn is_filtered(status: &str, outer: u32) -> bool {
    filters(status) > outer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_changes_only_sync_and_lists_the_32_bit_architecture() {
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
    fn only_filters_beyond_the_inherited_ones_count() {
        let counted = |count: u32| format!("Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t{count}\n");
        assert!(is_filtered(&counted(1), 0));
        for mode in ["0", "1", "22", ""] {
            assert!(!is_filtered(&format!("Seccomp:\t{mode}\n"), 0), "{mode}");
        }
        assert!(!is_filtered("Seccomp_filters:\t2\n", 0));
        // A filter that the container inherits does not count.
        assert!(!is_filtered(&counted(1), 1));
        assert!(is_filtered(&counted(2), 1));
        // Before Linux 5.9 only the first filter is visible.
        assert!(is_filtered("Seccomp:\t2\n", 0));
        assert!(!is_filtered("Seccomp:\t2\n", filters("Seccomp:\t2\n")));
    }
}
