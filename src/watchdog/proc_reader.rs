//! The child that reads `/proc` for a snapshot: the processes of a build, and the kernel threads in
//! uninterruptible sleep. It prints what it read as JSON and changes nothing.
//!
//! It is a process of its own because reading the files of a process that hangs can hang too.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::exec::{marked, proc_stat};
use crate::watchdog::snapshot::{ProcessTexts, SnapshotTexts, ThreadTexts};

/// After this time the child exits by itself. Its parent may be unable to kill it, and stops
/// waiting a little later.
const LIMIT: Duration = Duration::from_secs(12);

/// Process id of `kthreadd`, the parent of all kernel threads.
const KTHREADD: i32 = 2;

/// At most this many open files of a process are listed.
const MAX_FILES: usize = 200;

/// Runs the hidden subcommand. `arguments`: the id of the first process, then the build's marks.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let limit = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(LIMIT);
        std::process::exit(1);
    });
    let Some((Ok(first), marks)) = arguments
        .split_first()
        .map(|(first, marks)| (first.parse(), marks))
    else {
        return ExitCode::from(2);
    };
    let text = serde_json::to_vec(&read(first, marks));
    let written = text.is_ok_and(|text| std::io::stdout().write_all(&text).is_ok());
    if written && limit.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read(first: i32, marks: &[String]) -> SnapshotTexts {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, path) in numbered(Path::new("/proc")) {
        if let Some(stat) = proc_stat(&path) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut open = marked(marks);
    open.push(first);
    let mut family = BTreeSet::new();
    while let Some(pid) = open.pop() {
        if family.insert(pid) {
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    family.remove(&own);
    let kernel = children.get(&KTHREADD).into_iter().flatten();
    SnapshotTexts {
        machine: rustix::system::uname()
            .machine()
            .to_string_lossy()
            .into_owned(),
        processes: family.iter().map(|pid| process(*pid)).collect(),
        kernel: kernel
            .map(|pid| thread(&directory(*pid)))
            .filter(|thread| thread.stat.contains(") D "))
            .collect(),
    }
}

fn directory(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// The entries of a directory whose names are numbers.
fn numbered(directory: &Path) -> impl Iterator<Item = (i32, PathBuf)> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path()))
    })
}

fn text(directory: &Path, name: &str) -> String {
    let bytes = fs::read(directory.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads `cmdline` last: the kernel takes it from the memory of the process, and can hang there.
fn process(pid: i32) -> ProcessTexts {
    let directory = directory(pid);
    let files = numbered(&directory.join("fd")).filter_map(|(number, link)| {
        let file = fs::read_link(link).ok()?;
        Some((u64::try_from(number).ok()?, file.display().to_string()))
    });
    ProcessTexts {
        stat: text(&directory, "stat"),
        io: text(&directory, "io"),
        files: files.take(MAX_FILES).collect(),
        threads: numbered(&directory.join("task"))
            .map(|(_, directory)| thread(&directory))
            .collect(),
        cmdline: text(&directory, "cmdline").replace('\0', " "),
    }
}

fn thread(directory: &Path) -> ThreadTexts {
    ThreadTexts {
        stat: text(directory, "stat"),
        status: text(directory, "status"),
        wchan: text(directory, "wchan"),
        syscall: text(directory, "syscall"),
        stack: text(directory, "stack"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;
    use crate::watchdog::snapshot::{ProcessSnapshot, SeenProcess};

    #[test]
    fn a_build_is_found_by_its_first_process_and_by_its_marks() {
        let mut first = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .env("ISAR_BUILD_ALL_BUILD", "proc-reader-test")
            .spawn()
            .unwrap();
        let pid = i32::try_from(first.id()).unwrap();
        let marks = ["ISAR_BUILD_ALL_BUILD=proc-reader-test".to_owned()];
        let is_sleep = |process: &&SeenProcess| process.name == "sleep";

        // A forked child bears the name of its parent until it has started its program.
        let started = std::time::Instant::now();
        let mut snapshot = ProcessSnapshot::default();
        while snapshot.processes.iter().filter(is_sleep).count() < 2
            && started.elapsed() < Duration::from_secs(20)
        {
            snapshot = ProcessSnapshot::parse(&read(pid, &marks));
        }

        assert_eq!(snapshot.processes.iter().filter(is_sleep).count(), 2);
        assert!(snapshot.processes.iter().any(|process| process.pid == pid));
        let sleeper = snapshot
            .processes
            .iter()
            .filter(is_sleep)
            .find(|process| process.parent == pid)
            .unwrap();
        assert_eq!(sleeper.command, "sleep 60");
        assert!(sleeper.threads[0].switches.is_some());
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        other.kill().unwrap();
        first.wait().unwrap();
        other.wait().unwrap();
    }
}
