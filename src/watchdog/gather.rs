//! The child that reads /proc: a family of processes, and the threads of the kernel that are in
//! uninterruptible sleep. It writes what it read as JSON and changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::exec::marked;
use crate::model::processes::{LookTexts, ProcessTexts, ThreadTexts};

/// When it gives up: whoever started it may not be able to kill it, and does not wait longer.
const LIMIT: Duration = Duration::from_secs(12);

/// The process whose children are the threads of the kernel.
const KTHREADD: i32 = 2;

/// Open files of a process that are told of.
const FILES: usize = 200;

/// The hidden subcommand's whole life. `arguments`: the number of the first process, then marks.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    // A file of a process that hangs can hang whoever reads it.
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
    let text = serde_json::to_vec(&gather(first, marks));
    let written = text.is_ok_and(|text| std::io::stdout().write_all(&text).is_ok());
    if written && limit.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn gather(first: i32, marks: &[String]) -> LookTexts {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (number, path) in numbered(Path::new("/proc")) {
        if let Some(parent) = parent(&text(&path, "stat")) {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut open = marked(marks);
    open.push(first);
    let mut family = BTreeSet::new();
    while let Some(number) = open.pop() {
        if family.insert(number) {
            open.extend(children.get(&number).into_iter().flatten());
        }
    }
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    family.remove(&own);
    let kernel = children.get(&KTHREADD).into_iter().flatten();
    LookTexts {
        machine: rustix::system::uname()
            .machine()
            .to_string_lossy()
            .into_owned(),
        processes: family.iter().map(|number| process(*number)).collect(),
        kernel: kernel
            .map(|number| thread(&directory(*number)))
            .filter(|thread| thread.stat.contains(") D "))
            .collect(),
    }
}

fn directory(number: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{number}"))
}

/// The directories below `place` whose names are numbers.
fn numbered(place: &Path) -> impl Iterator<Item = (i32, PathBuf)> + use<> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path()))
    })
}

fn text(directory: &Path, name: &str) -> String {
    let bytes = fs::read(directory.join(name)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The second field behind the name, which may hold anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What its memory must be asked for comes last: there it can hang.
fn process(number: i32) -> ProcessTexts {
    let place = directory(number);
    let files = numbered(&place.join("fd")).filter_map(|(number, link)| {
        let file = fs::read_link(link).ok()?;
        Some((u64::try_from(number).ok()?, file.display().to_string()))
    });
    ProcessTexts {
        stat: text(&place, "stat"),
        io: text(&place, "io"),
        files: files.take(FILES).collect(),
        threads: numbered(&place.join("task"))
            .map(|(_, place)| thread(&place))
            .collect(),
        cmdline: text(&place, "cmdline").replace('\0', " "),
    }
}

fn thread(place: &Path) -> ThreadTexts {
    ThreadTexts {
        stat: text(place, "stat"),
        status: text(place, "status"),
        wchan: text(place, "wchan"),
        syscall: text(place, "syscall"),
        stack: text(place, "stack"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;
    use crate::model::processes::Look;

    #[test]
    fn a_family_is_found_by_its_first_process_and_by_its_marks() {
        let mut first = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .process_group(0)
            .spawn()
            .unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .env("ISAR_BUILD_ALL_BUILD", "gather-test")
            .spawn()
            .unwrap();
        let number = i32::try_from(first.id()).unwrap();
        let marks = ["ISAR_BUILD_ALL_BUILD=gather-test".to_owned()];
        let sleepers = |look: &Look| {
            let sleeping = look
                .processes
                .iter()
                .filter(|process| process.name == "sleep");
            sleeping.count()
        };
        // The programs need a moment to become what they are.
        let started = std::time::Instant::now();
        let mut look = Look::default();
        while sleepers(&look) < 2 && started.elapsed() < Duration::from_secs(20) {
            look = Look::read(&gather(number, &marks));
        }
        assert_eq!(sleepers(&look), 2);
        assert!(look.processes.iter().any(|process| process.pid == number));
        let sleeper = look
            .processes
            .iter()
            .find(|process| process.name == "sleep" && process.parent == number)
            .unwrap();
        assert_eq!(sleeper.command, "sleep 60");
        assert!(sleeper.threads[0].switches.is_some());
        let group = rustix::process::Pid::from_raw(number).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        other.kill().unwrap();
        first.wait().unwrap();
        other.wait().unwrap();
    }
}
