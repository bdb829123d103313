//! Process groups and families of processes: whether they live, and how they are killed.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::base::proc_stat::ProcStat;

/// The processes that a signal reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalReach {
    /// None: the process is gone.
    Nothing,
    /// At least one process of this user. Others in the group may belong to another user.
    Own,
    /// Only processes of another user (behind sudo), which cannot be signalled.
    Foreign,
}

fn met(result: Result<(), Errno>) -> SignalReach {
    match result {
        Ok(()) => SignalReach::Own,
        Err(Errno::PERM) => SignalReach::Foreign,
        Err(_) => SignalReach::Nothing,
    }
}

fn pid(number: i32) -> Option<Pid> {
    // 0 would mean this process's own group, and 1 every process.
    (number > 1).then(|| Pid::from_raw(number)).flatten()
}

/// Sends a signal to a group.
pub(super) fn signal_group(pgid: i32, signal: Signal) -> SignalReach {
    pid(pgid).map_or(SignalReach::Nothing, |pgid| {
        met(kill_process_group(pgid, signal))
    })
}

/// Checks which processes are in a group, without a signal.
pub(super) fn look_at_group(pgid: i32) -> SignalReach {
    pid(pgid).map_or(SignalReach::Nothing, |pgid| {
        met(test_kill_process_group(pgid))
    })
}

/// Kills one process.
pub(super) fn kill_one(number: i32) -> SignalReach {
    pid(number).map_or(SignalReach::Nothing, |pid| {
        met(kill_process(pid, Signal::KILL))
    })
}

/// Whether a process exists and is not a zombie.
pub(crate) fn lives(number: i32) -> bool {
    parent_of(Path::new(&format!("/proc/{number}"))).is_some()
}

/// Every process that was started with one of `marks` as an argument or (as `NAME=value`) in its environment,
/// and all its descendants, except this process. kas and BitBake put children into groups and sessions of their
/// own, which no signal to a group reaches. The environment of another user's process cannot be read; such a
/// process is found as a descendant.
pub(crate) fn marked(marks: &[String]) -> Vec<i32> {
    if marks.is_empty() {
        return Vec::new();
    }
    family(|process| is_marked(process, marks))
}

/// Kills every process that was started with this mark, and waits up to `limit` until none lives. Blocking.
pub(crate) fn end_marked(mark: &str, limit: Duration) {
    let marks = [mark.to_owned()];
    let until = Instant::now() + limit;
    loop {
        let mut left = marked(&marks);
        left.retain(|&number| lives(number));
        if left.is_empty() || Instant::now() > until {
            return;
        }
        for number in left {
            kill_one(number);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every process whose command line shows that it runs a container of this name (`--name NAME` of the engine's
/// client, `-n NAME` of podman's conmon), and all its descendants, which are the container's. The engine may no
/// longer know a container whose processes live on.
pub(super) fn of_container(names: &[String]) -> Vec<i32> {
    if names.is_empty() {
        return Vec::new();
    }
    family(|process| names_container(process, names))
}

/// The processes for which `belongs` is true, and all their descendants, except this process.
fn family(belongs: impl Fn(&Path) -> bool) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(&entry.path()) {
            children.entry(parent).or_default().push(number);
        }
        if belongs(&entry.path()) {
            found.push(number);
        }
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut all = BTreeSet::new();
    while let Some(number) = found.pop() {
        if number != own && all.insert(number) {
            found.extend(children.get(&number).into_iter().flatten());
        }
    }
    all.into_iter().collect()
}

fn is_marked(process: &Path, marks: &[String]) -> bool {
    ["environ", "cmdline"].iter().any(|file| {
        fs::read(process.join(file)).is_ok_and(|words| {
            words
                .split(|byte| *byte == 0)
                .any(|word| marks.iter().any(|mark| mark.as_bytes() == word))
        })
    })
}

fn names_container(process: &Path, names: &[String]) -> bool {
    let Ok(line) = fs::read(process.join("cmdline")) else {
        return false;
    };
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words.windows(2).any(|pair| {
        matches!(pair[0], b"--name" | b"-n") && names.iter().any(|name| name.as_bytes() == pair[1])
    })
}

/// Reads the `stat` file of a process or thread, by its directory in `/proc`; `None` if it is gone.
pub(crate) fn proc_stat(process: &Path) -> Option<ProcStat> {
    // The name can contain any byte.
    let text = fs::read(process.join("stat")).ok()?;
    ProcStat::parse(&String::from_utf8_lossy(&text))
}

/// The parent of a live process. `None` for a zombie, which needs no kill.
fn parent_of(process: &Path) -> Option<i32> {
    let stat = proc_stat(process)?;
    stat.is_alive().then_some(stat.parent)
}
