//! A snapshot of a build's processes: what each thread does and how much it has done so far.
//! Formats: `proc_pid_stat(5)`, `proc_pid_syscall(5)`, `proc_pid_io(5)`.
//!
//! Pure: parses the texts that `proc_reader` read. A text that could not be read is empty, and its
//! value is then missing.

use procfs_core::FromRead;
use procfs_core::process::Syscall;
use serde::{Deserialize, Serialize};

use crate::base::proc_stat::ProcStat;

/// The files of one process, from `/proc/<pid>/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessTexts {
    /// `stat`.
    pub stat: String,
    /// `cmdline`, with a blank after each argument.
    pub cmdline: String,
    /// `io`.
    pub io: String,
    /// File descriptors and their targets: `3 /a/file`, `4 socket:[123]`.
    pub files: Vec<(u64, String)>,
    /// The threads.
    pub threads: Vec<ThreadTexts>,
}

/// The files of one thread, from `/proc/<pid>/task/<tid>/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadTexts {
    /// `stat`.
    pub stat: String,
    /// `status`.
    pub status: String,
    /// `wchan`.
    pub wchan: String,
    /// `syscall`, readable by root only.
    pub syscall: String,
    /// `stack`, readable by root only.
    pub stack: String,
}

/// All texts of one snapshot, as `proc_reader` prints them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotTexts {
    /// `uname -m`, which determines what system call numbers mean.
    pub machine: String,
    /// The processes of the build.
    pub processes: Vec<ProcessTexts>,
    /// Kernel threads in uninterruptible sleep: a build can wait for one that writes back its data.
    pub kernel: Vec<ThreadTexts>,
}

/// The processes of a build at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessSnapshot {
    /// `uname -m`.
    pub machine: String,
    /// The processes of the build, in the order of their ids.
    pub processes: Vec<SeenProcess>,
    /// Kernel threads in uninterruptible sleep.
    pub kernel: Vec<SeenThread>,
}

/// A process in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenProcess {
    /// Process id.
    pub pid: i32,
    /// Process id of the parent.
    pub parent: i32,
    /// Name, at most 15 bytes of it.
    pub name: String,
    /// Command line.
    pub command: String,
    /// Start time in ticks since boot. With the id it identifies the process: the kernel reuses
    /// ids.
    pub started: u64,
    /// Processor time of the process and of its children that have ended, in ticks.
    pub ticks: u64,
    /// Bytes read and written; none where this user may not read it.
    pub bytes: Option<u64>,
    /// File descriptors and their targets.
    pub files: Vec<(u64, String)>,
    /// The threads.
    pub threads: Vec<SeenThread>,
}

/// A thread in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenThread {
    /// Thread id.
    pub tid: i32,
    /// Name.
    pub name: String,
    /// State as in [`crate::base::proc_stat::ProcStat::state`]; `D` is uninterruptible sleep.
    pub state: char,
    /// Start time in ticks since boot.
    pub started: u64,
    /// Number of context switches. A thread whose count stands still has not run at all.
    pub switches: Option<u64>,
    /// The kernel function in which it sleeps; none where this user may not read it.
    pub wchan: Option<String>,
    /// The system call that it is in, with its arguments; none where this user may not read it.
    pub syscall: Option<(i64, [u64; 6])>,
    /// The kernel functions that it is in, innermost first; empty where this user may not read
    /// them.
    pub stack: Vec<String>,
}

impl ProcessSnapshot {
    /// Parses the texts. A process that ended while it was read is left out.
    #[must_use]
    pub fn parse(texts: &SnapshotTexts) -> ProcessSnapshot {
        ProcessSnapshot {
            machine: texts.machine.clone(),
            processes: texts.processes.iter().filter_map(process).collect(),
            kernel: texts.kernel.iter().filter_map(thread).collect(),
        }
    }
}

fn process(texts: &ProcessTexts) -> Option<SeenProcess> {
    let stat = ProcStat::parse(&texts.stat)?;
    Some(SeenProcess {
        pid: stat.pid,
        parent: stat.parent,
        name: stat.name,
        command: texts.cmdline.trim().to_owned(),
        started: stat.started?,
        ticks: stat.ticks?,
        bytes: bytes(&texts.io),
        files: texts.files.clone(),
        threads: texts.threads.iter().filter_map(thread).collect(),
    })
}

fn thread(texts: &ThreadTexts) -> Option<SeenThread> {
    let stat = ProcStat::parse(&texts.stat)?;
    let wchan = texts.wchan.trim();
    Some(SeenThread {
        tid: stat.pid,
        name: stat.name,
        state: stat.state,
        started: stat.started?,
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

/// The number on the line `name: number`.
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

/// The function in a line of `stack`, such as `[<0>] sync_inodes_sb+0x8f/0x2a0 [module]`.
fn function(line: &str) -> Option<String> {
    let name = line.split_once("] ")?.1.split(['+', ' ']).next()?;
    (!name.is_empty()).then(|| name.to_owned())
}
