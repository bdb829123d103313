//! Mounts unmounted drives again and compares them with what they were.
//!
//! Everything that can touch a drive is done by a child with a time limit.

use std::path::{Path, PathBuf};

use crate::wsl::call::Called;
use crate::wsl::drive::{WindowsDrive, has_drive_type};
use crate::wsl::host::WslHost;

/// The result of mounting drives again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemountResult {
    /// Mount points of the drives that were mounted.
    pub mounted: Vec<PathBuf>,
    /// The drives that could not be mounted.
    pub missing: Vec<WindowsDrive>,
    /// Messages with hints: drives that could not be mounted, or differ from what they were.
    pub problems: Vec<(String, Option<String>)>,
}

impl WslHost {
    /// Mounts drives in their order, each where it was, and then lists all of them: a drive that
    /// does not answer must not delay the others. Drives that are mounted already are skipped.
    pub(super) fn remount(&self, drives: &[WindowsDrive]) -> RemountResult {
        let mut result = RemountResult::default();
        for drive in drives {
            let point = drive.point.display();
            if self.mounted(drive).is_some() {
                continue;
            }
            let Some(words) = self.mount_words(drive) else {
                result.missing.push(drive.clone());
                let why = format!("{point} is part of a drive that is not mounted");
                result.problems.push((why, None));
                continue;
            };
            let called = self.mount(&words);
            let Some(now) = self.mounted(drive) else {
                result.missing.push(drive.clone());
                let why = match &called {
                    Called::Ended { code: 0, .. } => {
                        "mount succeeds, and the drive is not mounted".to_owned()
                    }
                    called => called.why(),
                };
                let hint = match called {
                    Called::Hangs => SHUTDOWN.to_owned(),
                    _ => format!(
                        "isar-build-all wsl remount; by hand: sudo mount {}; if that fails: {SHUTDOWN}",
                        quoted(&words)
                    ),
                };
                result.problems.push((
                    format!("{point} could not be mounted again: {why}"),
                    Some(hint),
                ));
                continue;
            };
            result.mounted.push(drive.point.clone());
            if drive.root != Path::new("/") && !drive.has_options_of(&now) {
                // A bind mount inherits the options of its source. If this fails, the comparison
                // below reports it.
                let options = format!("remount,bind,{}", drive.options.join(","));
                self.mount(&["-o".to_owned(), options, point.to_string()]);
            }
            self.set_propagation(drive, &now);
            let now = self.mounted(drive).unwrap_or(now);
            let differences = drive.differences(&now);
            if !differences.is_empty() {
                result.problems.push((
                    format!(
                        "{point} is mounted again, but not as it was: {}",
                        differences.join("; ")
                    ),
                    Some(format!("to let WSL mount it: {SHUTDOWN}")),
                ));
            }
        }
        self.list_all(&mut result);
        result
    }

    /// Lists all mounted drives at the same time, so that ones that do not answer cost their time
    /// limit once.
    fn list_all(&self, result: &mut RemountResult) {
        let listed: Vec<Called> = std::thread::scope(|scope| {
            let lists: Vec<_> = result
                .mounted
                .iter()
                .map(|point| scope.spawn(move || self.list(point)))
                .collect();
            let broke = |_| Called::NotRun("internal fault".to_owned());
            lists
                .into_iter()
                .map(|list| list.join().unwrap_or_else(broke))
                .collect()
        });
        for (point, listed) in result.mounted.iter().zip(listed) {
            if !listed.is_ok() {
                result.problems.push((
                    format!(
                        "{} is mounted again and cannot be listed: {}",
                        point.display(),
                        listed.why()
                    ),
                    Some(SHUTDOWN.to_owned()),
                ));
            }
        }
    }

    /// The drive that is mounted at the mount point of `drive`.
    fn mounted(&self, drive: &WindowsDrive) -> Option<WindowsDrive> {
        let mounts = self.mounts().ok()?;
        let last = mounts
            .iter()
            .rfind(|mount| has_drive_type(mount) && mount.point == drive.point);
        last.map(WindowsDrive::of)
    }

    fn set_propagation(&self, drive: &WindowsDrive, now: &WindowsDrive) {
        let word = match (drive.shared, now.shared) {
            (true, false) => "--make-shared",
            (false, true) => "--make-private",
            _ => return,
        };
        // If this fails, the comparison that follows reports it.
        self.mount(&[word.to_owned(), drive.point.display().to_string()]);
    }

    /// The arguments of `mount` for a drive; none for a bind mount of a drive that is not mounted.
    fn mount_words(&self, drive: &WindowsDrive) -> Option<Vec<String>> {
        let point = drive.point.display().to_string();
        let words = |kind: &str, source: String, options: Vec<String>| {
            let mut words = vec!["-t".to_owned(), kind.to_owned()];
            if !options.is_empty() {
                words.extend(["-o".to_owned(), options.join(",")]);
            }
            words.extend([source, point.clone()]);
            Some(words)
        };
        if drive.root != Path::new("/") {
            let below = drive.root.strip_prefix("/").unwrap_or(&drive.root);
            let source = self.whole(drive)?.join(below).display().to_string();
            return Some(vec!["--bind".to_owned(), source, point]);
        }
        if drive.needs_drvfs() {
            let (source, options) = drive.for_drvfs();
            return words("drvfs", source, options);
        }
        // WSL records the Windows directory of each tag. The options of such a drive are those of
        // the automount.
        if drive.fs_type == "virtiofs"
            && let Ok(source) = std::fs::read_link(self.tags.join(&drive.source))
        {
            let mut options = drive.options.clone();
            options.extend(self.automount().options);
            return words("drvfs", source.display().to_string(), options);
        }
        words(&drive.fs_type, drive.source.clone(), drive.for_mount())
    }

    /// The mount point of the whole drive of which `part` is a bind mount.
    fn whole(&self, part: &WindowsDrive) -> Option<PathBuf> {
        let mounts = self.mounts().ok()?;
        let mut wholes: Vec<WindowsDrive> = mounts
            .iter()
            .filter(|mount| has_drive_type(mount))
            .map(WindowsDrive::of)
            .filter(|drive| drive.can_contain(part))
            .collect();
        // A single candidate is the right one even if its options changed, which is reported
        // elsewhere.
        if wholes.len() > 1 {
            wholes.retain(|drive| drive.has_super_options_of(part));
        }
        wholes.into_iter().next().map(|drive| drive.point)
    }
}

/// The hint for a Windows that does not answer any more.
pub(super) const SHUTDOWN: &str = "end WSL in Windows: wsl.exe --shutdown";

fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}
