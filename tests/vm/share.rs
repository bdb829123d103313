//! A directory on a file system of its own, which can be frozen: reads go on, a write waits until it is
//! thawed. To the machine that mounts it over 9p that is a Windows drive that does not answer.
//!
//! sync(2) of others on this host does not wait for a frozen file system, only who writes there does
//! (ext4, Linux 6). All the same it is thawed on every way out: root's side (`freezer`) reads our words
//! from a pipe, and when that closes, or the limit passes, it thaws and unmounts.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use support::{output, root};

pub(crate) struct Share {
    dir: PathBuf,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    freezer: Child,
}

impl Share {
    /// Makes the file system in `scratch` and mounts it.
    pub(crate) fn new(scratch: &Path) -> Share {
        let image = scratch.join("share.ext4");
        let dir = scratch.join("share");
        std::fs::create_dir(&dir).unwrap();
        output(Command::new("truncate").args(["-s", "16M"]).arg(&image));
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        output(
            Command::new("/usr/sbin/mkfs.ext4")
                .args(["-q", "-E", &format!("root_owner={uid}:{gid}")])
                .arg(&image),
        );
        // A session of its own: what is sent to our group must not end it.
        let mut freezer = Command::new("setsid")
            .args(["sudo", "-n"])
            .arg(root().join("tests/vm/freezer"))
            .arg(&image)
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut share = Share {
            dir,
            words: freezer.stdin.take(),
            answers: BufReader::new(freezer.stdout.take().unwrap()),
            freezer,
        };
        assert_eq!(share.answer(), "mounted");
        share
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// `freeze` or `thaw`.
    pub(crate) fn ask(&mut self, word: &str) -> String {
        writeln!(self.words.as_mut().unwrap(), "{word}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.words = None;
        let _ = self.freezer.wait();
    }
}
