//! Takes drives away and brings them back: unmount, proof, mount, comparison.
//!
//! Everything that can touch a drive is done by a child with a time limit. The caller has locked the ledger,
//! and has written there, and in the journal, what is about to happen. Knows nothing of builds.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::call::Called;
use super::drive::{Drive, is_of_kind};
use super::holders::Scan;
use super::machine::Machine;
use super::proof::{self, Alive};
use crate::settings::{Holders, Unmount};

/// Between two tries while somebody uses a drive.
const PAUSE: Duration = Duration::from_millis(300);

/// For how long it is tried again also where nobody is to be waited for: some use a drive for a moment only, and a
/// sync that is under way mostly ends.
const MOMENT: Duration = Duration::from_secs(2);

/// How long the kernel may take to put a superblock away whose last mount is gone.
const SETTLE: Duration = Duration::from_secs(5);

/// What the user wants done.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How a drive is unmounted.
    pub unmount: Unmount,
    /// What is done about who uses it.
    pub holders: Holders,
    /// How long they are waited for.
    pub patience: Duration,
}

/// Asks the user whether to try again, and gives up asking where the run is to stop.
pub type Ask = dyn Fn(&str, &dyn Fn() -> bool) -> bool + Send + Sync;

/// How the user is told and asked while this goes on.
pub struct Talk<'a> {
    /// Says something, with a hint.
    pub say: &'a dyn Fn(String, Option<String>),
    /// Asks whether to try again; none where there is nobody to ask.
    pub ask: Option<&'a Ask>,
    /// Whether the run is to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

/// Why drives are not away.
#[derive(Debug, thiserror::Error)]
pub enum AwayError {
    /// Somebody uses them, or their superblocks live on.
    #[error("the drives of Windows cannot be unmounted: {}", .0.join("; "))]
    Held(Vec<String>),
    /// The run was stopped meanwhile.
    #[error("the run was stopped")]
    Stopped,
    /// What is known of mounts cannot be read, or a program does not work.
    #[error("the drives of Windows cannot be unmounted: {0}")]
    System(String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] super::ledger::LedgerError),
    /// What is about to be done cannot be written down.
    #[error("the drives of Windows are not unmounted: {0}")]
    Journal(String),
}

impl AwayError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            AwayError::Held(_) => Some(
                "end what was named, leave the drive's directories in every shell, and close other WSL \
                 distributions (in Windows: wsl.exe --list --running, wsl.exe --terminate NAME); or set \
                 `wsl.sync-guard = \"seccomp\"`"
                    .to_owned(),
            ),
            AwayError::System(_) => {
                Some("isar-build-all doctor; or set `wsl.sync-guard = \"seccomp\"`".to_owned())
            }
            AwayError::Ledger(error) => error.hint(),
            AwayError::Stopped | AwayError::Journal(_) => None,
        }
    }
}

impl Machine {
    /// Unmounts `drives` and proves that their superblocks are gone.
    ///
    /// # Errors
    /// When they are not; some may be unmounted then, and are to be brought back.
    pub(super) fn take_away(
        &self,
        drives: &[Drive],
        policy: Policy,
        talk: &Talk<'_>,
    ) -> Result<(), AwayError> {
        let begin = Instant::now();
        let mut said = Vec::new();
        loop {
            let in_the_way = self.try_once(drives, policy.unmount, talk)?;
            if in_the_way.is_empty() {
                return Ok(());
            }
            if (talk.stopped)() {
                return Err(AwayError::Stopped);
            }
            match (policy.holders, talk.ask) {
                (Holders::Fail | Holders::Ask, _) if begin.elapsed() < MOMENT => {
                    std::thread::sleep(PAUSE);
                }
                (Holders::Fail, _) | (Holders::Ask, None) => {
                    return Err(AwayError::Held(in_the_way));
                }
                (Holders::Ask, Some(ask)) => {
                    if !ask(&in_the_way.join("; "), talk.stopped) {
                        return Err(AwayError::Held(in_the_way));
                    }
                }
                (Holders::Wait, _) => {
                    if begin.elapsed() >= policy.patience {
                        return Err(AwayError::Held(in_the_way));
                    }
                    if said != in_the_way {
                        let seconds = policy.patience.as_secs();
                        (talk.say)(
                            format!(
                                "waits up to {seconds} s for the drives of Windows: {}",
                                in_the_way.join("; ")
                            ),
                            Some("end them, or leave the drive's directories".to_owned()),
                        );
                        said = in_the_way;
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// One try; what is in the way. A drive that is gone already is passed over.
    fn try_once(
        &self,
        drives: &[Drive],
        how: Unmount,
        talk: &Talk<'_>,
    ) -> Result<Vec<String>, AwayError> {
        let there = self.drives().map_err(cannot_read)?;
        let mut in_the_way: Vec<String> = there
            .inside
            .iter()
            .map(|(point, kind)| format!("{kind} is mounted in a drive, at {}", point.display()))
            .collect();
        // An unmount would wait for a sync that is under way, and that one perhaps for ever.
        let scan = self.scan(&there.drives)?;
        in_the_way.extend(
            scan.syncing
                .iter()
                .map(|holder| format!("{holder}: sync(2) is under way already")),
        );
        if !in_the_way.is_empty() {
            return Ok(in_the_way);
        }
        if how == Unmount::Lazy {
            // Afterwards nobody can tell any more who holds them.
            let mut holders = scan.holders.iter().map(ToString::to_string).peekable();
            if holders.peek().is_some() {
                let holders: Vec<String> = holders.collect();
                let message = format!("unmounts drives that are in use: {}", holders.join("; "));
                (talk.say)(message, None);
            }
        }
        let mut refused = false;
        // What lies in another is mounted after it.
        for drive in there.drives.iter().rev() {
            if !drives.iter().any(|wanted| wanted.point == drive.point) {
                in_the_way.push(format!("{} was mounted meanwhile", drive.point.display()));
                continue;
            }
            match self.umount(&drive.point, how == Unmount::Lazy) {
                called if called.is_ok() => {}
                Called::Hangs => in_the_way.push(format!(
                    "umount {} hangs: Windows does not answer (FM-6); only `wsl.exe --shutdown` in Windows helps",
                    drive.point.display()
                )),
                called => {
                    refused = true;
                    in_the_way.push(format!("{}: {}", drive.point.display(), called.why()));
                }
            }
        }
        if refused {
            let scan = self.scan(&there.drives)?;
            in_the_way.extend(scan.holders.iter().map(ToString::to_string));
        }
        if !in_the_way.is_empty() {
            return Ok(in_the_way);
        }
        self.prove(drives)
    }

    /// Whether the superblocks are gone: what lives still, and who holds it as far as can be told.
    pub(super) fn prove(&self, drives: &[Drive]) -> Result<Vec<String>, AwayError> {
        let begin = Instant::now();
        loop {
            let scan = self.scan(drives)?;
            let alive = proof::alive(&self.bdi, &scan, drives).map_err(|error| {
                AwayError::System(format!("{} cannot be read: {error}", self.bdi.display()))
            })?;
            if alive.is_empty() {
                return Ok(Vec::new());
            }
            if begin.elapsed() >= SETTLE {
                let mut said: Vec<String> = alive.iter().map(Alive::to_string).collect();
                said.extend(scan.holders.iter().map(ToString::to_string));
                let unseen = alive.iter().any(|alive| matches!(alive, Alive::Unseen(_)));
                if unseen && scan.holders.is_empty() {
                    said.push(
                        "what holds it may be in another WSL distribution, or went on using a drive that \
                         was unmounted lazily"
                            .to_owned(),
                    );
                }
                return Ok(said);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Looks through all processes for who holds these drives.
    pub(super) fn scan(&self, drives: &[Drive]) -> Result<Scan, AwayError> {
        let mut devices: Vec<String> = drives.iter().map(|drive| drive.device.clone()).collect();
        devices.dedup();
        let called = self.look(&devices);
        let cannot =
            |why: String| AwayError::System(format!("processes cannot be looked at: {why}"));
        match &called {
            Called::Ended {
                code: 0, stdout, ..
            } => serde_json::from_str(stdout).map_err(|error| cannot(error.to_string())),
            other => Err(cannot(other.why())),
        }
    }
}

fn cannot_read(error: std::io::Error) -> AwayError {
    AwayError::System(format!("the mounts cannot be read: {error}"))
}

/// What came of bringing drives back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Back {
    /// Those that are there again.
    pub mounted: Vec<PathBuf>,
    /// Those that are not.
    pub lost: Vec<Drive>,
    /// What is to be told, with hints: what failed, what came back otherwise than it was.
    pub problems: Vec<(String, Option<String>)>,
}

impl Machine {
    /// Mounts drives in their order, each where it was, and lists them once all are there: one that does not
    /// answer must not keep the others away. One that is there is passed over.
    pub(super) fn bring_back(&self, drives: &[Drive]) -> Back {
        let mut back = Back::default();
        for drive in drives {
            let point = drive.point.display();
            if self.there(drive).is_some() {
                continue;
            }
            let Some(words) = self.mount_words(drive) else {
                back.lost.push(drive.clone());
                let why = format!("{point} is a part of a drive that is not mounted");
                back.problems.push((why, None));
                continue;
            };
            let called = self.mount(&words);
            let Some(now) = self.there(drive) else {
                back.lost.push(drive.clone());
                let why = match &called {
                    Called::Ended { code: 0, .. } => "it is not mounted all the same".to_owned(),
                    called => called.why(),
                };
                let hint = match called {
                    Called::Hangs => SHUTDOWN.to_owned(),
                    _ => format!(
                        "isar-build-all wsl remount; by hand: sudo mount {}; if that fails: {SHUTDOWN}",
                        quoted(&words)
                    ),
                };
                back.problems.push((
                    format!("{point} could not be mounted again: {why}"),
                    Some(hint),
                ));
                continue;
            };
            back.mounted.push(drive.point.clone());
            if drive.root != Path::new("/") && !drive.is_mounted_like(&now) {
                // A bind takes them over from where it is bound; where this fails, the comparison says so.
                let options = format!("remount,bind,{}", drive.options.join(","));
                self.mount(&["-o".to_owned(), options, point.to_string()]);
            }
            self.set_propagation(drive, &now);
            let now = self.there(drive).unwrap_or(now);
            let differences = drive.differences(&now);
            if !differences.is_empty() {
                back.problems.push((
                    format!(
                        "{point} is mounted again, but not as it was: {}",
                        differences.join("; ")
                    ),
                    Some(format!("to have it as WSL mounts it: {SHUTDOWN}")),
                ));
            }
        }
        self.list_all(&mut back);
        back
    }

    /// Lists what was mounted, all at the same time, so that it takes as long as the slowest.
    fn list_all(&self, back: &mut Back) {
        let listed: Vec<Called> = std::thread::scope(|scope| {
            let lists: Vec<_> = back
                .mounted
                .iter()
                .map(|point| scope.spawn(move || self.list(point)))
                .collect();
            let broke = |_| Called::NotRun("it could not be tried".to_owned());
            lists
                .into_iter()
                .map(|list| list.join().unwrap_or_else(broke))
                .collect()
        });
        for (point, listed) in back.mounted.iter().zip(listed) {
            if !listed.is_ok() {
                back.problems.push((
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

    /// The drive that is mounted where this one was.
    fn there(&self, drive: &Drive) -> Option<Drive> {
        let mounts = self.mounts().ok()?;
        let last = mounts
            .iter()
            .rfind(|mount| is_of_kind(mount) && mount.point == drive.point);
        last.map(Drive::of)
    }

    fn set_propagation(&self, drive: &Drive, now: &Drive) {
        let word = match (drive.shared, now.shared) {
            (true, false) => "--make-shared",
            (false, true) => "--make-private",
            _ => return,
        };
        // Where it fails, the comparison that follows says so.
        self.mount(&[word.to_owned(), drive.point.display().to_string()]);
    }

    /// The words after `mount` that bring a drive back; none for a part of one that is not there.
    fn mount_words(&self, drive: &Drive) -> Option<Vec<String>> {
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
        // WSL says which directory of Windows a tag stands for; its options are those of the automount.
        if drive.fs_type == "virtiofs"
            && let Ok(source) = std::fs::read_link(self.tags.join(&drive.source))
        {
            let mut options = drive.options.clone();
            options.extend(self.automount().options);
            return words("drvfs", source.display().to_string(), options);
        }
        words(&drive.fs_type, drive.source.clone(), drive.for_mount())
    }

    /// Where the whole of a drive is mounted of which this is a part.
    fn whole(&self, part: &Drive) -> Option<PathBuf> {
        let mounts = self.mounts().ok()?;
        let mut wholes: Vec<Drive> = mounts
            .iter()
            .filter(|mount| is_of_kind(mount))
            .map(Drive::of)
            .filter(|drive| drive.may_hold(part))
            .collect();
        // The only one will be it also where it did not come back as it was, which is said then.
        if wholes.len() > 1 {
            wholes.retain(|drive| drive.is_alike(part));
        }
        wholes.into_iter().next().map(|drive| drive.point)
    }
}

/// What helps where Windows itself does not answer any more.
pub(super) const SHUTDOWN: &str = "end WSL in Windows: wsl.exe --shutdown";

fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}
