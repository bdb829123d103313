//! Process groups and families of processes: whether they live, and how they are killed.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

/// What a signal met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Nobody is there any more.
    Nobody,
    /// At least one process took it; others of another user may not have.
    Ours,
    /// Only processes of another user are there (behind sudo).
    Others,
}

fn met(result: Result<(), Errno>) -> Met {
    match result {
        Ok(()) => Met::Ours,
        Err(Errno::PERM) => Met::Others,
        Err(_) => Met::Nobody,
    }
}

fn pid(number: i32) -> Option<Pid> {
    // 0 and 1 would mean our own group and every process there is.
    (number > 1).then(|| Pid::from_raw(number)).flatten()
}

/// Signals a group.
pub(super) fn signal_group(pgid: i32, signal: Signal) -> Met {
    pid(pgid).map_or(Met::Nobody, |pgid| met(kill_process_group(pgid, signal)))
}

/// Who is in a group.
pub(super) fn look_at_group(pgid: i32) -> Met {
    pid(pgid).map_or(Met::Nobody, |pgid| met(test_kill_process_group(pgid)))
}

/// Kills one process.
pub(super) fn kill_one(number: i32) -> Met {
    pid(number).map_or(Met::Nobody, |pid| met(kill_process(pid, Signal::KILL)))
}

/// Whether one process is there and no zombie.
pub(super) fn lives(number: i32) -> bool {
    parent_of(Path::new(&format!("/proc/{number}"))).is_some()
}

/// Every process that was started with one of `marks` as an argument or (`NAME=value`) in its
/// environment, and all its descendants, ourselves excepted. kas and BitBake put what they start into
/// groups and sessions of its own, where no signal to a group finds it. The environment of another
/// user's process cannot be read; such a process is found where it descends from one of ours.
pub(super) fn marked(marks: &[String]) -> Vec<i32> {
    if marks.is_empty() {
        return Vec::new();
    }
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
        if is_marked(&entry.path(), marks) {
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

/// The parent's id from `stat`: the second field after the name, which is in parentheses and may hold
/// anything (proc_pid_stat(5)). None for a zombie too, which nobody needs to kill.
fn parent_of(process: &Path) -> Option<i32> {
    let stat = fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    (fields.next()? != "Z").then_some(())?;
    fields.next()?.parse().ok()
}
