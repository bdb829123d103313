//! A log file that is written by a thread of its own, so that a slow disk never holds up the one who
//! listens to the process, and a full one is told and not fatal.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Batches that may wait for the disk.
const QUEUE: usize = 16;

/// Bytes that may wait before they become a batch; more makes the reader of the pipes wait.
pub(super) const PENDING_LIMIT: usize = 1024 * 1024;

/// How long the last bytes may take at the end.
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
                // Nobody listens any more when the process was dropped; the bytes are written all the same.
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

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a line.
    pub(super) fn line(&mut self, line: &[u8]) {
        if !self.failed {
            self.pending.extend_from_slice(line);
            self.pending.push(b'\n');
        }
    }

    /// Whether no more may be taken for now.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() >= PENDING_LIMIT
    }

    /// Hands on what is pending, as soon as there is room; for ever where nothing is. Returns the error
    /// once when the disk does not take any more.
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

    /// Writes the rest; returns the error unless it was told before.
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
            // A closed channel means that the thread has an error to tell, which `done` gives.
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
