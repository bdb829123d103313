//! Decides from two snapshots of a silent build whether it works, waits, or hangs in the kernel.
//! Pure.
//!
//! Work is judged generously, because a busy compiler must never be reported. A hang is judged
//! narrowly: a thread in uninterruptible sleep that has not run once between the snapshots.

pub mod calls;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use crate::watchdog::hang::calls::{WaitingCall, waiting_call};
use crate::watchdog::snapshot::{ProcessSnapshot, SeenProcess, SeenThread};

/// Clock ticks per second in /proc (USER_HZ, on every architecture that ISAR builds on).
const HZ: f64 = 100.0;

/// A process that uses this share of a core works.
const WORKS: f64 = 0.01;

/// The same for processes that only wait for others: BitBake's server polls several times a second.
const WAITER_WORKS: f64 = 0.2;

/// At most this many threads, processes or files are reported.
const MAX_REPORTED: usize = 3;

/// The activity of a build between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildActivity {
    /// Some process works.
    Working,
    /// Threads hang in the kernel, the one that explains the others first.
    Hanging(Vec<HungThread>),
    /// Every process waits for something.
    Waiting(Vec<WaitingProcess>),
    /// The build has no processes.
    NoProcesses,
}

/// A thread that hangs in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HungThread {
    /// Process id.
    pub pid: i32,
    /// Thread id.
    pub tid: i32,
    /// Start time of the thread in ticks since boot. With the id it identifies the thread.
    pub started: u64,
    /// Name of the process.
    pub name: String,
    /// Where in the kernel it hangs.
    pub location: HangLocation,
    /// Open files of the process.
    pub files: Vec<String>,
}

/// Where in the kernel a thread hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HangLocation {
    /// In this function of a 9p file system (on WSL a Windows drive): in the thread itself, or in
    /// the kernel thread that writes back its data.
    NineP(String),
    /// In sync(2) or syncfs(2), of an unknown file system.
    Sync,
    /// In this other function.
    Other(String),
    /// Unknown: only root can read it.
    Unknown,
}

impl HangLocation {
    /// Whether it is failure mode FM-6: sync(2), or a file system of Windows.
    #[must_use]
    pub fn is_fm6(&self) -> bool {
        matches!(self, HangLocation::NineP(_) | HangLocation::Sync)
    }
}

impl std::fmt::Display for HungThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}) hangs ", self.name, self.pid)?;
        match &self.location {
            HangLocation::NineP(function) => write!(
                f,
                "in {function}: a 9p file system, such as a Windows drive, does not answer (FM-6)"
            ),
            HangLocation::Sync => f.write_str("in sync(2): a file system does not answer (FM-6)"),
            HangLocation::Other(function) => write!(f, "in the kernel, in {function}"),
            HangLocation::Unknown => f.write_str("in the kernel; only root can see where"),
        }?;
        if !self.files.is_empty() {
            write!(f, ", with {} open", self.files.join(", "))?;
        }
        Ok(())
    }
}

/// A process that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingProcess {
    /// Process id.
    pub pid: i32,
    /// Name.
    pub name: String,
    /// Its wait, such as `waits for a lock on /a/file`.
    pub what: String,
}

impl std::fmt::Display for WaitingProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}) {}", self.name, self.pid, self.what)
    }
}

/// Compares two snapshots that were taken `gap` apart.
#[must_use]
pub fn compare(before: &ProcessSnapshot, after: &ProcessSnapshot, gap: Duration) -> BuildActivity {
    if after.processes.is_empty() {
        return BuildActivity::NoProcesses;
    }
    let hung = hung_threads(before, after);
    if !hung.is_empty() {
        return BuildActivity::Hanging(hung);
    }
    if works(before, after, gap) {
        return BuildActivity::Working;
    }
    BuildActivity::Waiting(waiting_processes(after))
}

fn works(before: &ProcessSnapshot, after: &ProcessSnapshot, gap: Duration) -> bool {
    let waiters = waiters(after);
    let known: HashMap<(i32, u64), &SeenProcess> = before
        .processes
        .iter()
        .map(|process| ((process.pid, process.started), process))
        .collect();
    let (mut own, mut of_waiters) = (0, 0);
    for process in &after.processes {
        let earlier = known.get(&(process.pid, process.started));
        let ticks = process.ticks - earlier.map_or(0, |earlier| earlier.ticks.min(process.ticks));
        if waiters.contains(&process.pid) {
            of_waiters += ticks;
            continue;
        }
        own += ticks;
        let moved = earlier.is_some_and(|earlier| {
            earlier.bytes.is_some() && process.bytes.is_some() && earlier.bytes != process.bytes
        });
        // A runnable process works, even if a busy machine has not given it a core yet.
        if moved || process.threads.iter().any(|thread| thread.state == 'R') {
            return true;
        }
    }
    let share = |ticks: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a share needs no precision")]
        let ticks = ticks as f64;
        ticks / HZ / gap.as_secs_f64().max(0.1)
    };
    share(own) >= WORKS || share(of_waiters) >= WAITER_WORKS
}

/// The processes that only wait for others: kas, BitBake's client, server and worker, and what runs
/// a container. A Python task of BitBake is a child of its worker with the worker's command line;
/// it counts as work.
fn waiters(snapshot: &ProcessSnapshot) -> HashSet<i32> {
    let workers: HashSet<i32> = snapshot
        .processes
        .iter()
        .filter(|process| process.command.contains("bitbake-worker"))
        .map(|process| process.pid)
        .collect();
    let is_waiter = |process: &SeenProcess| {
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
    let waiters = snapshot
        .processes
        .iter()
        .filter(|process| is_waiter(process));
    waiters.map(|process| process.pid).collect()
}

fn hung_threads(before: &ProcessSnapshot, after: &ProcessSnapshot) -> Vec<HungThread> {
    let asleep: HashMap<(i32, u64), u64> = before
        .processes
        .iter()
        .flat_map(|process| &process.threads)
        .filter(|thread| thread.state == 'D')
        .filter_map(|thread| Some(((thread.tid, thread.started), thread.switches?)))
        .collect();
    let mut hung = Vec::new();
    for process in &after.processes {
        for thread in &process.threads {
            let same = asleep.get(&(thread.tid, thread.started)).copied();
            if thread.state == 'D'
                && thread.switches.is_some()
                && thread.switches == same
                && !sleeps_on_purpose(thread)
            {
                hung.push(HungThread {
                    pid: process.pid,
                    tid: thread.tid,
                    started: thread.started,
                    name: process.name.clone(),
                    location: location(thread, before, after),
                    files: open_files(process),
                });
            }
        }
    }
    // The thread that explains the others comes first.
    hung.sort_by_key(|thread| match thread.location {
        HangLocation::NineP(_) => 0,
        HangLocation::Sync => 1,
        HangLocation::Other(_) => 2,
        HangLocation::Unknown => 3,
    });
    hung.truncate(MAX_REPORTED);
    hung
}

/// The kernel functions that a thread is in, innermost first.
fn functions(thread: &SeenThread) -> impl Iterator<Item = &str> {
    let wchan = thread.wchan.iter();
    wchan.chain(&thread.stack).map(String::as_str)
}

/// Whether its uninterruptible sleep is intended: its container is paused, or it waits in vfork(2)
/// for a child that borrows its memory.
fn sleeps_on_purpose(thread: &SeenThread) -> bool {
    is_frozen(thread)
        || functions(thread).any(|name| name.contains("vfork") || name == "kernel_clone")
}

fn is_frozen(thread: &SeenThread) -> bool {
    // In some kernels the freezer's trap is inlined into get_signal.
    functions(thread).any(is_freezer_function)
        || (thread.state == 'S' && thread.wchan.as_deref() == Some("get_signal"))
}

/// Whether threads of a paused container sleep in this kernel function.
#[must_use]
pub fn is_freezer_function(function: &str) -> bool {
    function.contains("refrigerator") || function.contains("freezer_trap")
}

fn is_9p(function: &str) -> bool {
    ["p9_", "v9fs_", "9p_"]
        .iter()
        .any(|start| function.starts_with(start))
}

fn is_sync(function: &str) -> bool {
    // The entry points of sync(2) and syncfs(2), and functions that only they call.
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

fn location(
    thread: &SeenThread,
    before: &ProcessSnapshot,
    after: &ProcessSnapshot,
) -> HangLocation {
    let own = functions(thread).find(|name| is_9p(name));
    if let Some(function) = own {
        return HangLocation::NineP(function.to_owned());
    }
    let syncs = functions(thread).any(is_sync)
        || thread
            .syscall
            .and_then(|(number, _)| waiting_call(&after.machine, number))
            == Some(WaitingCall::Sync);
    if syncs {
        // sync(2) waits for kernel threads that write back data. A kernel thread that ran between
        // the snapshots does not hang.
        let hangs = |thread: &&SeenThread| {
            thread.state == 'D'
                && thread.switches.is_some()
                && before.kernel.iter().any(|earlier| {
                    (earlier.tid, earlier.started) == (thread.tid, thread.started)
                        && (earlier.state, earlier.switches) == (thread.state, thread.switches)
                })
        };
        let writer = after
            .kernel
            .iter()
            .filter(hangs)
            .flat_map(functions)
            .find(|name| is_9p(name));
        return writer.map_or(HangLocation::Sync, |function| {
            HangLocation::NineP(function.to_owned())
        });
    }
    match functions(thread).next() {
        Some(function) => HangLocation::Other(function.to_owned()),
        None => HangLocation::Unknown,
    }
}

fn open_files(process: &SeenProcess) -> Vec<String> {
    let files = process.files.iter().map(|(_, file)| file.as_str());
    files
        .filter(|file| file.starts_with('/') && !file.starts_with("/dev/"))
        .take(MAX_REPORTED)
        .map(str::to_owned)
        .collect()
}

/// The processes that do not wait for another process of the build.
fn waiting_processes(snapshot: &ProcessSnapshot) -> Vec<WaitingProcess> {
    let waiters = waiters(snapshot);
    let parents: HashSet<i32> = snapshot
        .processes
        .iter()
        .map(|process| process.parent)
        .collect();
    let is_last = |process: &&SeenProcess| {
        !parents.contains(&process.pid) && process.threads.iter().any(|thread| thread.state != 'Z')
    };
    let mut last: Vec<&SeenProcess> = snapshot.processes.iter().filter(is_last).collect();
    // BitBake's own processes are reported only if there are no others.
    if last.iter().any(|process| !waiters.contains(&process.pid)) {
        last.retain(|process| !waiters.contains(&process.pid));
    }
    last.into_iter()
        .take(MAX_REPORTED)
        .map(|process| WaitingProcess {
            pid: process.pid,
            name: process.name.clone(),
            what: what_process(process, &snapshot.machine),
        })
        .collect()
}

fn what_process(process: &SeenProcess, machine: &str) -> String {
    let what = |thread: &SeenThread| what_thread(thread, process, machine);
    // A main thread often just waits for the other threads; what those wait for says more.
    let (locked, others): (Vec<_>, Vec<_>) = process
        .threads
        .iter()
        .map(what)
        .partition(|what| what == LOCK);
    let mut all = others.into_iter().chain(locked);
    all.next().unwrap_or_else(|| "waits".to_owned())
}

const LOCK: &str = "waits for a lock that another thread or process holds";

fn what_thread(thread: &SeenThread, process: &SeenProcess, machine: &str) -> String {
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
        .and_then(|(number, arguments)| Some((waiting_call(machine, number)?, arguments)));
    match called {
        Some((WaitingCall::Read, arguments)) => reads(file(arguments)),
        Some((WaitingCall::FileLock, arguments)) => match file(arguments) {
            Some(file) => format!("waits for a lock on {file}"),
            None => "waits for a lock on a file".to_owned(),
        },
        Some((WaitingCall::Lock, _)) => LOCK.to_owned(),
        Some((WaitingCall::Children, _)) => "waits for its children".to_owned(),
        Some((WaitingCall::Network, _)) => NETWORK.to_owned(),
        Some((WaitingCall::Poll, _)) => polls(process),
        Some((WaitingCall::Sleep, _)) => "sleeps".to_owned(),
        Some((WaitingCall::Sync, _)) => "waits for a disk or file system".to_owned(),
        None => match thread.wchan.as_deref() {
            Some(function) => by_function(function, process),
            None => "waits for something that only root can see".to_owned(),
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

fn polls(process: &SeenProcess) -> String {
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

/// The wait of a thread, from the name of the kernel function alone.
fn by_function(function: &str, process: &SeenProcess) -> String {
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
