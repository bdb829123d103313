//! Missing mounts: drives that another tool unmounted and did not mount again.
//!
//! WSL never removes the mount point of a drive, so an empty directory whose name is a letter,
//! below the automount root, is a missing drive. Root and options come from `/etc/wsl.conf` and its
//! defaults. Directories are inspected by children with a time limit: one of them may be a drive
//! after all.

use std::io;
use std::path::PathBuf;

use crate::wsl::call::Called;
use crate::wsl::host::WslHost;
use crate::wsl::remount::{RemountResult, SHUTDOWN};

/// A drive that WSL would mount and that is not mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingMount {
    /// Mount point.
    pub point: PathBuf,
    /// Source for drvfs, such as `C:`.
    pub source: String,
    /// Options for drvfs.
    pub options: Vec<String>,
}

/// The missing mounts; none where this is not WSL, or WSL does not mount drives.
///
/// # Errors
/// When mountinfo or the automount root cannot be read.
pub fn missing_mounts(host: &WslHost) -> io::Result<Vec<MissingMount>> {
    let automount = host.automount();
    if host.wsl.is_none() || !automount.enabled {
        return Ok(Vec::new());
    }
    let mounts = host.mounts()?;
    let names = match host.list(&automount.root) {
        Called::Ended { stdout, .. } => stdout,
        called => {
            let message = format!("{}: {}", automount.root.display(), called.why());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    };
    // Mounted drives are left alone: even asking whether one is a directory can hang.
    let candidates: Vec<(&str, PathBuf)> = names
        .lines()
        .filter(|name| is_letter(name))
        .map(|letter| (letter, automount.root.join(letter)))
        .filter(|(_, point)| !mounts.iter().any(|mount| mount.point == *point))
        .collect();
    // At the same time: one that does not answer costs its time limit once.
    let empty: Vec<bool> = std::thread::scope(|scope| {
        let asked: Vec<_> = candidates
            .iter()
            .map(|(_, point)| scope.spawn(move || host.is_empty_dir(point)))
            .collect();
        let answers = asked.into_iter();
        answers
            .map(|answer| answer.join().unwrap_or(false))
            .collect()
    });
    let mut found = Vec::new();
    for ((letter, point), _) in candidates
        .into_iter()
        .zip(empty)
        .filter(|(_, empty)| *empty)
    {
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        let mut options = vec![
            "noatime".to_owned(),
            format!("uid={}", uid.as_raw()),
            format!("gid={}", gid.as_raw()),
        ];
        options.extend(automount.options.iter().cloned());
        found.push(MissingMount {
            source: format!("{}:", letter.to_ascii_uppercase()),
            point,
            options,
        });
    }
    found.sort_by(|one, other| one.point.cmp(&other.point));
    Ok(found)
}

fn is_letter(name: &str) -> bool {
    name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Mounts missing drives as WSL does.
#[must_use]
pub fn mount_missing(host: &WslHost, missing: &[MissingMount]) -> RemountResult {
    let mut result = RemountResult::default();
    for drive in missing {
        let point = drive.point.display();
        let words = [
            "-t".to_owned(),
            "drvfs".to_owned(),
            "-o".to_owned(),
            drive.options.join(","),
            drive.source.clone(),
            point.to_string(),
        ];
        let called = host.mount(&words);
        if !called.is_ok() {
            let hint = match &called {
                Called::Hangs => format!("Windows does not answer; {SHUTDOWN}"),
                _ => format!(
                    "if {} is a drive of this computer, {SHUTDOWN}",
                    drive.source
                ),
            };
            let message = format!("{point} could not be mounted: {}", called.why());
            result.problems.push((message, Some(hint)));
            continue;
        }
        let listed = host.list(&drive.point);
        if listed.is_ok() {
            result.mounted.push(drive.point.clone());
        } else {
            let message = format!("{point} is mounted and cannot be listed: {}", listed.why());
            result.problems.push((message, Some(SHUTDOWN.to_owned())));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::identity::Host;

    #[test]
    fn an_empty_directory_with_a_letter_for_a_name_is_a_missing_mount() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("win");
        for name in ["c", "d", "e", "wsl", "F", "f/in use"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let mounted = format!("75 24 0:44 / {}/d rw - 9p D: rw\n", root.display());
        std::fs::write(dir.path().join("proc/self/mountinfo"), mounted).unwrap();
        let conf = |enabled: bool| {
            format!(
                "[automount]\nroot = {}/\nenabled = {enabled}\noptions = \"metadata,umask=22\"\n",
                root.display()
            )
        };
        let host = WslHost {
            wsl: Some(String::new()),
            proc: dir.path().join("proc"),
            conf: dir.path().join("wsl.conf"),
            ..WslHost::capture(&Host::capture(&crate::settings::Environment::default()))
        };
        std::fs::write(&host.conf, conf(true)).unwrap();
        let found = missing_mounts(&host).unwrap();
        let words: Vec<String> = found
            .iter()
            .map(|drive| format!("{} {}", drive.source, drive.point.display()))
            .collect();
        let shown = root.display();
        assert_eq!(words, [format!("C: {shown}/c"), format!("E: {shown}/e")]);
        assert!(found[0].options.join(",").ends_with(",metadata,umask=22"));
        // The root may be a link; mountinfo has the resolved path.
        std::os::unix::fs::symlink("win", dir.path().join("link")).unwrap();
        let linked = conf(true).replace("/win/", "/link/");
        std::fs::write(&host.conf, linked).unwrap();
        assert_eq!(missing_mounts(&host).unwrap(), found);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(missing_mounts(&host).unwrap(), []);
        std::fs::create_dir_all(root.join("c")).unwrap();
        std::fs::write(&host.conf, conf(false)).unwrap();
        assert_eq!(missing_mounts(&host).unwrap(), []);
        std::fs::write(&host.conf, conf(true)).unwrap();
        let no_wsl = WslHost { wsl: None, ..host };
        assert_eq!(missing_mounts(&no_wsl).unwrap(), []);
    }
}
