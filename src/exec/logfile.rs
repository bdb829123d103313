//! The log file of a process, written by a thread of its own: a slow disk does not delay the reader of the
//! process's output, and a full disk is reported and not fatal.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// The number of batches that wait for the disk.
const QUEUE: usize = 16;

/// Bytes that are collected before they become a batch; beyond it, the reader of the pipes waits.
pub(super) const PENDING_LIMIT: usize = 1024 * 1024;

/// Time limit for writing the last bytes at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The sending side of a log.
pub(super) struct LogFile {
    path: PathBuf,
    sender: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
    pending: Vec<u8>,
    failed: bool,
}

impl LogFile {
    /// Creates the file, with its directory, and starts its thread.
    pub(super) fn create(path: &Path) -> io::Result<LogFile> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::create(path)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (say_done, done) = oneshot::channel();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                // There is no receiver if the process was dropped; the bytes are written all the same.
                let _ = say_done.send(write_all(file, receiver));
            })?;
        Ok(LogFile {
            path: path.to_owned(),
            sender,
            done,
            pending: Vec::new(),
            failed: false,
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &[u8]) {
        if !self.failed {
            self.pending.extend_from_slice(line);
            self.pending.push(b'\n');
        }
    }

    /// Whether it accepts no more lines for now.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_LIMIT
    }

    /// Passes pending lines to the thread as soon as there is room; waits for ever without any. Returns an
    /// error once, when the disk accepts no more.
    pub(super) async fn work(&mut self) -> Option<io::Error> {
        if self.failed {
            return std::future::pending().await;
        }
        tokio::select! {
            biased;
            result = &mut self.done => {
                self.failed = true;
                self.pending = Vec::new();
                Some(match result {
                    Ok(Err(error)) => error,
                    _ => io::Error::other("the thread that writes it ended"),
                })
            }
            permit = self.sender.reserve(), if !self.pending.is_empty() => {
                if let Ok(permit) = permit {
                    permit.send(std::mem::take(&mut self.pending));
                }
                None
            }
            else => std::future::pending().await,
        }
    }

    /// Writes the rest. Returns the error unless [`LogFile::work`] has returned it.
    pub(super) async fn close(self) -> Option<io::Error> {
        if self.failed {
            return None;
        }
        let LogFile {
            sender,
            done,
            pending,
            ..
        } = self;
        let rest = async move {
            // A closed channel means that the thread has failed; `done` has its error.
            let _ = sender.send(pending).await;
            drop(sender);
            done.await
        };
        match tokio::time::timeout(CLOSE_LIMIT, rest).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error),
            Ok(Err(_)) => Some(io::Error::other("the thread that writes it ended")),
            Err(_) => Some(io::Error::new(
                io::ErrorKind::TimedOut,
                "the disk does not take the last lines",
            )),
        }
    }
}

fn write_all(mut file: File, mut receiver: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(batch) = receiver.blocking_recv() {
        file.write_all(&batch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/log");
        let mut log = LogFile::create(&path).unwrap();
        for n in 0..1000 {
            log.line(format!("line {n}").as_bytes());
            if n % 100 == 0 {
                assert!(log.work().await.is_none());
            }
        }
        assert!(log.close().await.is_none());
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.ends_with("line 999\n"));
    }

    #[tokio::test]
    async fn a_full_disk_is_told_once() {
        let mut log = LogFile::create(Path::new("/dev/full")).unwrap();
        log.line(b"lost");
        assert!(log.work().await.is_none());
        let error = log.work().await.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        log.line(b"ignored");
        assert!(log.close().await.is_none());
    }

    #[tokio::test]
    async fn a_full_disk_at_the_end_is_told_too() {
        let mut log = LogFile::create(Path::new("/dev/full")).unwrap();
        log.line(b"lost");
        assert_eq!(
            log.close().await.unwrap().kind(),
            io::ErrorKind::StorageFull
        );
    }
}
