//! What a silent build is doing, from two looks at its processes: it works, it waits, or it hangs in the
//! kernel for good.
//!
//! Pure; the looks are [`crate::model::processes`]. What counts as work is generous, for a busy compiler
//! must never be called anything else. What counts as hanging is narrow: a thread that sleeps without
//! being wakeable, in one place, and that was not put on a processor once between the looks.

mod calls;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use super::processes::{Look, Process, Thread};
use calls::{Call, call};

/// Ticks a second, as /proc counts them (USER_HZ on every architecture that ISAR builds on).
const HZ: f64 = 100.0;

/// The share of a processor that is work.
const WORK: f64 = 0.01;

/// The share of a processor that is work in those who only wait for others: BitBake's server and its
/// likes look about several times a second.
const WORK_OF_WAITERS: f64 = 0.2;

/// How many are told of.
const TOLD: usize = 3;

/// What two looks show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Something works.
    Busy,
    /// Something hangs in the kernel.
    Stuck(Vec<Stuck>),
    /// Everybody waits for something.
    Waiting(Vec<Waiting>),
    /// There are no processes.
    Nobody,
}

/// A thread that hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The process.
    pub pid: i32,
    /// The thread, the same where a process has one alone.
    pub tid: i32,
    /// When the thread began, in ticks; with its number that makes it this one.
    pub began: u64,
    /// The name of the process.
    pub name: String,
    /// Where it hangs.
    pub place: Place,
    /// Files that it has open.
    pub files: Vec<String>,
}

/// Where a thread hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a 9p file system, itself or through the thread of the kernel that writes for it: a Windows
    /// drive. With the function.
    NineP(String),
    /// In sync(2) or a relative, and nothing shows for which file system.
    Sync,
    /// Elsewhere, in this function.
    Elsewhere(String),
    /// Only root could say.
    Unknown,
}

impl Place {
    /// Whether it is that of FM-6: sync(2), or a file system that is Windows'.
    #[must_use]
    pub fn is_fm6(&self) -> bool {
        matches!(self, Place::NineP(_) | Place::Sync)
    }
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}) hangs ", self.name, self.pid)?;
        match &self.place {
            Place::NineP(function) => write!(
                f,
                "in {function}: a 9p file system, as a Windows drive is one, does not answer (FM-6)"
            ),
            Place::Sync => f.write_str("in sync(2): some file system does not answer (FM-6)"),
            Place::Elsewhere(function) => write!(f, "in the kernel, in {function}"),
            Place::Unknown => f.write_str("in the kernel; only root can see where"),
        }?;
        if !self.files.is_empty() {
            write!(f, ", with {} open", self.files.join(", "))?;
        }
        Ok(())
    }
}

/// A process that waits, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The process.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// As `waits for a lock on /a/file`.
    pub what: String,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}) {}", self.name, self.pid, self.what)
    }
}

/// Compares two looks that lie `gap` apart.
#[must_use]
pub fn compare(before: &Look, after: &Look, gap: Duration) -> Finding {
    if after.processes.is_empty() {
        return Finding::Nobody;
    }
    let stuck = stuck(before, after);
    if !stuck.is_empty() {
        return Finding::Stuck(stuck);
    }
    if works(before, after, gap) {
        return Finding::Busy;
    }
    Finding::Waiting(waiting(after))
}

fn works(before: &Look, after: &Look, gap: Duration) -> bool {
    let waiters = waiters(after);
    let known: HashMap<(i32, u64), &Process> = before
        .processes
        .iter()
        .map(|process| ((process.pid, process.began), process))
        .collect();
    let (mut own, mut of_waiters) = (0, 0);
    for process in &after.processes {
        let earlier = known.get(&(process.pid, process.began));
        let ticks = process.ticks - earlier.map_or(0, |earlier| earlier.ticks.min(process.ticks));
        if waiters.contains(&process.pid) {
            of_waiters += ticks;
            continue;
        }
        own += ticks;
        let moved = earlier.is_some_and(|earlier| {
            earlier.bytes.is_some() && process.bytes.is_some() && earlier.bytes != process.bytes
        });
        // One that waits for a processor, on a machine with more work than processors, works.
        if moved || process.threads.iter().any(|thread| thread.state == 'R') {
            return true;
        }
    }
    let share = |ticks: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a share needs none")]
        let ticks = ticks as f64;
        ticks / HZ / gap.as_secs_f64().max(0.1)
    };
    share(own) >= WORK || share(of_waiters) >= WORK_OF_WAITERS
}

/// Those whose own work is to wait for others: kas, BitBake's three processes, what runs a container. A
/// task that BitBake runs in Python is a child of its worker with the same words.
fn waiters(look: &Look) -> HashSet<i32> {
    let workers: HashSet<i32> = look
        .processes
        .iter()
        .filter(|process| process.command.contains("bitbake-worker"))
        .map(|process| process.pid)
        .collect();
    let is_waiter = |process: &Process| {
        if workers.contains(&process.pid) {
            return !workers.contains(&process.parent);
        }
        process.command.contains("bitbake-server")
            || process.command.split(' ').take(2).any(|word| {
                ["bitbake", "kas", "kas-container"]
                    .contains(&word.rsplit('/').next().unwrap_or_default())
            })
            || ["catatonit", "conmon", "docker-init", "tini"].contains(&process.name.as_str())
    };
    let waiters = look.processes.iter().filter(|process| is_waiter(process));
    waiters.map(|process| process.pid).collect()
}

fn stuck(before: &Look, after: &Look) -> Vec<Stuck> {
    let asleep: HashMap<(i32, u64), u64> = before
        .processes
        .iter()
        .flat_map(|process| &process.threads)
        .filter(|thread| thread.state == 'D')
        .filter_map(|thread| Some(((thread.tid, thread.began), thread.switches?)))
        .collect();
    let mut stuck = Vec::new();
    for process in &after.processes {
        for thread in &process.threads {
            let same = asleep.get(&(thread.tid, thread.began)).copied();
            if thread.state == 'D'
                && thread.switches.is_some()
                && thread.switches == same
                && !waits_by_intent(thread)
            {
                stuck.push(Stuck {
                    pid: process.pid,
                    tid: thread.tid,
                    began: thread.began,
                    name: process.name.clone(),
                    place: place(thread, before, after),
                    files: open_files(process),
                });
            }
        }
    }
    // What explains the others comes first.
    stuck.sort_by_key(|stuck| match stuck.place {
        Place::NineP(_) => 0,
        Place::Sync => 1,
        Place::Elsewhere(_) => 2,
        Place::Unknown => 3,
    });
    stuck.truncate(TOLD);
    stuck
}

/// The functions of the kernel that a thread is in, the innermost first.
fn functions(thread: &Thread) -> impl Iterator<Item = &str> {
    let wchan = thread.wchan.iter();
    wchan.chain(&thread.stack).map(String::as_str)
}

/// Whether it sleeps like this because somebody meant it to: its container is paused, or it waits for a
/// child that borrows its memory to start a program.
fn waits_by_intent(thread: &Thread) -> bool {
    is_frozen(thread)
        || functions(thread).any(|name| name.contains("vfork") || name == "kernel_clone")
}

fn is_frozen(thread: &Thread) -> bool {
    // Where the kernel's compiler has put the trap into its only caller, what is stopped is told by its state.
    functions(thread).any(is_pause)
        || (thread.state == 'S' && thread.wchan.as_deref() == Some("get_signal"))
}

/// Whether a function of the kernel is one in which those sleep whose container is paused.
#[must_use]
pub fn is_pause(function: &str) -> bool {
    function.contains("refrigerator") || function.contains("freezer_trap")
}

fn is_9p(function: &str) -> bool {
    ["p9_", "v9fs_", "9p_"]
        .iter()
        .any(|start| function.starts_with(start))
}

fn is_sync(function: &str) -> bool {
    // The ways into sync(2) and syncfs(2), and those of their parts that only they call.
    [
        "iterate_supers",
        "ksys_sync",
        "sync_filesystem",
        "sync_inodes_one_sb",
        "sync_inodes_sb",
        "wait_sb_inodes",
    ]
    .iter()
    .any(|name| function.starts_with(name))
}

fn place(thread: &Thread, before: &Look, look: &Look) -> Place {
    let own = functions(thread).find(|name| is_9p(name));
    if let Some(function) = own {
        return Place::NineP(function.to_owned());
    }
    let syncs = functions(thread).any(is_sync)
        || thread
            .syscall
            .and_then(|(number, _)| call(&look.machine, number))
            == Some(Call::Sync);
    if syncs {
        // It waits for a thread of the kernel that writes; where that one hangs in 9p, so does this. One that
        // only was there in both looks, and worked in between, does not hang.
        let hangs = |thread: &&Thread| {
            thread.state == 'D'
                && thread.switches.is_some()
                && before.kernel.iter().any(|earlier| {
                    (earlier.tid, earlier.began) == (thread.tid, thread.began)
                        && (earlier.state, earlier.switches) == (thread.state, thread.switches)
                })
        };
        let writer = look
            .kernel
            .iter()
            .filter(hangs)
            .flat_map(functions)
            .find(|name| is_9p(name));
        return writer.map_or(Place::Sync, |function| Place::NineP(function.to_owned()));
    }
    match functions(thread).next() {
        Some(function) => Place::Elsewhere(function.to_owned()),
        None => Place::Unknown,
    }
}

fn open_files(process: &Process) -> Vec<String> {
    let files = process.files.iter().map(|(_, file)| file.as_str());
    files
        .filter(|file| file.starts_with('/') && !file.starts_with("/dev/"))
        .take(TOLD)
        .map(str::to_owned)
        .collect()
}

/// The processes that wait for none of the others, and for what instead.
fn waiting(look: &Look) -> Vec<Waiting> {
    let waiters = waiters(look);
    let parents: HashSet<i32> = look
        .processes
        .iter()
        .map(|process| process.parent)
        .collect();
    let is_last = |process: &&Process| {
        !parents.contains(&process.pid) && process.threads.iter().any(|thread| thread.state != 'Z')
    };
    let mut last: Vec<&Process> = look.processes.iter().filter(is_last).collect();
    // BitBake's own processes are worth a word only where there is nobody else.
    if last.iter().any(|process| !waiters.contains(&process.pid)) {
        last.retain(|process| !waiters.contains(&process.pid));
    }
    last.into_iter()
        .take(TOLD)
        .map(|process| Waiting {
            pid: process.pid,
            name: process.name.clone(),
            what: what(process, &look.machine),
        })
        .collect()
}

fn what(process: &Process, machine: &str) -> String {
    let what = |thread: &Thread| what_of(thread, process, machine);
    // A first thread that waits for the others says less than they do.
    let (locked, others): (Vec<_>, Vec<_>) = process
        .threads
        .iter()
        .map(what)
        .partition(|what| what == LOCK);
    let mut all = others.into_iter().chain(locked);
    all.next().unwrap_or_else(|| "waits".to_owned())
}

const LOCK: &str = "waits for a lock that another thread or process holds";

fn what_of(thread: &Thread, process: &Process, machine: &str) -> String {
    match thread.state {
        _ if is_frozen(thread) => return "is paused with its container".to_owned(),
        'T' => return "was stopped by a signal".to_owned(),
        't' => return "is held by a debugger".to_owned(),
        'D' => return "waits for a disk or file system".to_owned(),
        _ => {}
    }
    let file = |arguments: [u64; 6]| {
        let files = process.files.iter();
        let mut of = files.filter(|(number, _)| *number == arguments[0]);
        of.next().map(|(_, file)| file.as_str())
    };
    let called = thread
        .syscall
        .and_then(|(number, arguments)| Some((call(machine, number)?, arguments)));
    match called {
        Some((Call::Read, arguments)) => reads(file(arguments)),
        Some((Call::FileLock, arguments)) => match file(arguments) {
            Some(file) => format!("waits for a lock on {file}"),
            None => "waits for a lock on a file".to_owned(),
        },
        Some((Call::Lock, _)) => LOCK.to_owned(),
        Some((Call::Children, _)) => "waits for its children".to_owned(),
        Some((Call::Network, _)) => NETWORK.to_owned(),
        Some((Call::Poll, _)) => polls(process),
        Some((Call::Sleep, _)) => "sleeps".to_owned(),
        Some((Call::Sync, _)) => "waits for a disk or file system".to_owned(),
        None => match thread.wchan.as_deref() {
            Some(function) => by_function(function, process),
            None => "waits; only root can see for what".to_owned(),
        },
    }
}

const NETWORK: &str = "waits for the network, or for another process behind a socket";

fn reads(file: Option<&str>) -> String {
    match file {
        Some(file) if file.starts_with("pipe:") => "waits for input from a pipe".to_owned(),
        Some(file) if file.starts_with("socket:") => NETWORK.to_owned(),
        Some(file) if file.starts_with("/dev/pts/") || file.starts_with("/dev/tty") => {
            "waits for input from a terminal".to_owned()
        }
        Some(file) => format!("waits for {file}"),
        None => "waits for input".to_owned(),
    }
}

fn polls(process: &Process) -> String {
    let has_socket = process
        .files
        .iter()
        .any(|(_, file)| file.starts_with("socket:"));
    if has_socket {
        NETWORK.to_owned()
    } else {
        "waits for input from others".to_owned()
    }
}

/// What the name of the kernel's function alone tells.
fn by_function(function: &str, process: &Process) -> String {
    let is = |parts: &[&str]| parts.iter().any(|part| function.contains(part));
    if is(&["futex"]) {
        LOCK.to_owned()
    } else if is(&["lock_inode_wait", "locks_"]) {
        "waits for a lock on a file".to_owned()
    } else if is(&["do_wait"]) {
        "waits for its children".to_owned()
    } else if is(&["pipe_read"]) {
        "waits for input from a pipe".to_owned()
    } else if is(&["n_tty_read"]) {
        "waits for input from a terminal".to_owned()
    } else if is(&[
        "sk_wait",
        "skb_wait",
        "unix_stream",
        "inet_csk",
        "wait_woken",
    ]) {
        NETWORK.to_owned()
    } else if is(&["poll"]) {
        polls(process)
    } else if is(&["nanosleep"]) {
        "sleeps".to_owned()
    } else {
        format!("waits in {function}")
    }
}
