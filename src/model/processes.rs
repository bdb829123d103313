//! Processes as /proc shows them at one moment: what they are, what their threads are doing, how much
//! they have done so far. The formats: `proc_pid_stat(5)`, `proc_pid_syscall(5)`, `proc_pid_io(5)`.
//!
//! Texts in, values out; knows nothing of who reads them and what they mean. A text that could not be
//! read is empty, and its value then missing.

use procfs_core::FromRead;
use procfs_core::process::{Stat, Syscall};
use serde::{Deserialize, Serialize};

/// What was read of one process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessTexts {
    /// `stat`.
    pub stat: String,
    /// `cmdline`, with blanks between the words.
    pub cmdline: String,
    /// `io`.
    pub io: String,
    /// Descriptors and what they are of: `3 /a/file`, `4 socket:[123]`.
    pub files: Vec<(u64, String)>,
    /// Its threads.
    pub threads: Vec<ThreadTexts>,
}

/// What was read of one thread, from `task/<tid>/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadTexts {
    /// `stat`.
    pub stat: String,
    /// `status`.
    pub status: String,
    /// `wchan`.
    pub wchan: String,
    /// `syscall`, which is root's to read.
    pub syscall: String,
    /// `stack`, which is root's to read.
    pub stack: String,
}

/// Everything that was read at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LookTexts {
    /// `uname -m`, which says what the numbers of system calls mean.
    pub machine: String,
    /// The processes of the build.
    pub processes: Vec<ProcessTexts>,
    /// Threads of the kernel that are in uninterruptible sleep: they write for those who wait.
    pub kernel: Vec<ThreadTexts>,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// `uname -m`.
    pub machine: String,
    /// The processes of the build, in the order in which they were found.
    pub processes: Vec<Process>,
    /// Threads of the kernel that are in uninterruptible sleep.
    pub kernel: Vec<Thread>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its name, at most 15 bytes of it.
    pub name: String,
    /// Its words.
    pub command: String,
    /// When it began, in ticks since the machine did; with the number that makes it this one.
    pub began: u64,
    /// Processor time of its own and of its children that have ended, in ticks.
    pub ticks: u64,
    /// Bytes that it has read and written, where we may know.
    pub bytes: Option<u64>,
    /// Its open files.
    pub files: Vec<(u64, String)>,
    /// Its threads.
    pub threads: Vec<Thread>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// `R` runs, `S` sleeps, `D` sleeps and cannot be woken, `T` and `t` are stopped, `Z` has ended.
    pub state: char,
    /// When it began, in ticks.
    pub began: u64,
    /// How often it was put aside for another. One that has not moved since has done nothing at all.
    pub switches: Option<u64>,
    /// The function of the kernel in which it sleeps, where we may know.
    pub wchan: Option<String>,
    /// The system call that it is in, and its arguments, where we may know.
    pub syscall: Option<(i64, [u64; 6])>,
    /// The functions of the kernel that it is in, the innermost first, where we may know.
    pub stack: Vec<String>,
}

impl Look {
    /// What the texts say. What ended while it was read is left out.
    #[must_use]
    pub fn read(texts: &LookTexts) -> Look {
        Look {
            machine: texts.machine.clone(),
            processes: texts.processes.iter().filter_map(process).collect(),
            kernel: texts.kernel.iter().filter_map(thread).collect(),
        }
    }
}

fn stat(text: &str) -> Option<Stat> {
    // Before the name stands the number: without one the reader would look in front of the text.
    if !text.starts_with(|first: char| first.is_ascii_digit()) || !text.contains(" (") {
        return None;
    }
    Stat::from_read(text.as_bytes()).ok()
}

fn process(texts: &ProcessTexts) -> Option<Process> {
    let stat = stat(&texts.stat)?;
    let of_children = |ticks: i64| u64::try_from(ticks).unwrap_or(0);
    Some(Process {
        pid: stat.pid,
        parent: stat.ppid,
        name: stat.comm,
        command: texts.cmdline.trim().to_owned(),
        began: stat.starttime,
        ticks: stat
            .utime
            .saturating_add(stat.stime)
            .saturating_add(of_children(stat.cutime))
            .saturating_add(of_children(stat.cstime)),
        bytes: bytes(&texts.io),
        files: texts.files.clone(),
        threads: texts.threads.iter().filter_map(thread).collect(),
    })
}

fn thread(texts: &ThreadTexts) -> Option<Thread> {
    let stat = stat(&texts.stat)?;
    let wchan = texts.wchan.trim();
    Some(Thread {
        tid: stat.pid,
        name: stat.comm,
        state: stat.state,
        began: stat.starttime,
        switches: switches(&texts.status),
        wchan: (!wchan.is_empty() && wchan != "0").then(|| wchan.to_owned()),
        syscall: match Syscall::from_read(texts.syscall.as_bytes()) {
            Ok(Syscall::Blocked {
                syscall_number,
                argument_registers,
                ..
            }) => Some((syscall_number, argument_registers)),
            _ => None,
        },
        stack: texts.stack.lines().filter_map(function).collect(),
    })
}

/// The number after `name: ` on a line of its own.
fn counter(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.trim().parse().ok())
}

fn switches(status: &str) -> Option<u64> {
    let count = |name| counter(status, name);
    count("voluntary_ctxt_switches")?.checked_add(count("nonvoluntary_ctxt_switches")?)
}

fn bytes(io: &str) -> Option<u64> {
    counter(io, "rchar")?.checked_add(counter(io, "wchar")?)
}

/// `[<0>] sync_inodes_sb+0x8f/0x2a0 [module]`.
fn function(line: &str) -> Option<String> {
    let name = line.split_once("] ")?.1.split(['+', ' ']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
