//! Drives that somebody else unmounted and did not bring back: which they are, and how WSL would mount them.
//!
//! WSL leaves the directory of a drive where it is, so an empty one with a letter for a name is one that is
//! lost. Letter, root and options are those of /etc/wsl.conf and its defaults. What is asked of a directory a child
//! with a time limit asks: it may be a drive all the same.

use std::io;
use std::path::PathBuf;

use super::away::{Back, SHUTDOWN};
use super::call::Called;
use super::machine::Machine;

/// A drive that is not mounted, as WSL would mount it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its directory.
    pub point: PathBuf,
    /// `C:`.
    pub source: String,
    /// Options for drvfs.
    pub options: Vec<String>,
}

/// The drives that are lost; none where this is not WSL, or where it mounts none.
///
/// # Errors
/// When mounts cannot be read.
pub fn lost(machine: &Machine) -> io::Result<Vec<Lost>> {
    let automount = machine.automount();
    if machine.wsl.is_none() || !automount.enabled {
        return Ok(Vec::new());
    }
    let mounts = machine.mounts()?;
    let names = match machine.list(&automount.root) {
        Called::Ended { stdout, .. } => stdout,
        called => {
            let message = format!("{}: {}", automount.root.display(), called.why());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    };
    // What is mounted is asked for nothing, not even whether it is a directory.
    let candidates: Vec<(&str, PathBuf)> = names
        .lines()
        .filter(|name| is_letter(name))
        .map(|letter| (letter, automount.root.join(letter)))
        .filter(|(_, point)| !mounts.iter().any(|mount| mount.point == *point))
        .collect();
    // All at the same time, so that it takes as long as the slowest.
    let empty: Vec<bool> = std::thread::scope(|scope| {
        let asked: Vec<_> = candidates
            .iter()
            .map(|(_, point)| scope.spawn(move || machine.is_empty_dir(point)))
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
        found.push(Lost {
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

/// Mounts them as WSL does.
pub fn mount_lost(machine: &Machine, lost: &[Lost]) -> Back {
    let mut back = Back::default();
    for drive in lost {
        let point = drive.point.display();
        let words = [
            "-t".to_owned(),
            "drvfs".to_owned(),
            "-o".to_owned(),
            drive.options.join(","),
            drive.source.clone(),
            point.to_string(),
        ];
        let called = machine.mount(&words);
        if !called.is_ok() {
            let hint = match &called {
                Called::Hangs => format!("Windows does not answer; {SHUTDOWN}"),
                _ => format!(
                    "where {} is a drive of this computer, {SHUTDOWN}",
                    drive.source
                ),
            };
            let message = format!("{point} could not be mounted: {}", called.why());
            back.problems.push((message, Some(hint)));
            continue;
        }
        let listed = machine.list(&drive.point);
        if listed.is_ok() {
            back.mounted.push(drive.point.clone());
        } else {
            let message = format!("{point} is mounted and cannot be listed: {}", listed.why());
            back.problems.push((message, Some(SHUTDOWN.to_owned())));
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Host;

    #[test]
    fn an_empty_directory_with_a_letter_is_a_lost_drive() {
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
        let machine = Machine {
            wsl: Some(String::new()),
            proc: dir.path().join("proc"),
            conf: dir.path().join("wsl.conf"),
            ..Machine::capture(&Host::capture(&crate::settings::Environment::default()))
        };
        std::fs::write(&machine.conf, conf(true)).unwrap();
        let found = lost(&machine).unwrap();
        let words: Vec<String> = found
            .iter()
            .map(|drive| format!("{} {}", drive.source, drive.point.display()))
            .collect();
        let shown = root.display();
        assert_eq!(words, [format!("C: {shown}/c"), format!("E: {shown}/e")]);
        assert!(found[0].options.join(",").ends_with(",metadata,umask=22"));
        // The root may be a link, while the kernel tells where the mount is.
        std::os::unix::fs::symlink("win", dir.path().join("link")).unwrap();
        let linked = conf(true).replace("/win/", "/link/");
        std::fs::write(&machine.conf, linked).unwrap();
        assert_eq!(lost(&machine).unwrap(), found);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(lost(&machine).unwrap(), []);
        std::fs::create_dir_all(root.join("c")).unwrap();
        std::fs::write(&machine.conf, conf(false)).unwrap();
        assert_eq!(lost(&machine).unwrap(), []);
        std::fs::write(&machine.conf, conf(true)).unwrap();
        let no_wsl = Machine {
            wsl: None,
            ..machine
        };
        assert_eq!(lost(&no_wsl).unwrap(), []);
    }
}
