//! The watcher: a process in a session of its own that stops everything a run has started if the run is killed.
//! This file is the run's side; [`main`] is the watcher's.
//!
//! The watcher is the same binary, started with a hidden subcommand. It has the reading end of a pipe that
//! stays open while the run lives. If the pipe closes without a goodbye, the watcher kills and removes
//! everything that is still guarded, within 10 s. The commands for that are in the [`Undo`].

mod child;
mod protocol;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::exec::Undo;
use crate::exec::watcher::protocol::{WatcherAnswer, WatcherRequest};

pub use crate::exec::watcher::child::main;

/// The hidden subcommand. The binary must call [`main`] for it before anything else.
pub const SUBCOMMAND: &str = "internal-watcher";

/// Time limit for the watcher's start, and for its acknowledgement of a guard.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reasons why something is not guarded.
#[derive(Debug, thiserror::Error)]
pub enum WatcherError {
    /// It could not be started.
    #[error("cannot start the watcher `{program} {SUBCOMMAND}`: {source}")]
    Start {
        /// The binary.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It started and did not become ready.
    #[error("the watcher `{program} {SUBCOMMAND}` did not become ready")]
    NotReady {
        /// The binary.
        program: String,
    },
    /// It has ended, or does not answer.
    #[error("the watcher is gone")]
    Gone,
}

/// The run's side of a running watcher; cheap to clone. The last clone says goodbye when it is dropped, unless
/// something is still guarded: then the watcher undoes that.
#[derive(Clone)]
pub struct Watcher {
    inner: Arc<WatcherLink>,
}

struct WatcherLink {
    state: Mutex<WatcherState>,
    dead: watch::Receiver<bool>,
}

struct WatcherState {
    pipe: Option<ChildStdin>,
    waiting: HashMap<String, Vec<oneshot::Sender<()>>>,
    guarded: usize,
}

fn lock(state: &Mutex<WatcherState>) -> MutexGuard<'_, WatcherState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// Starts `program` (this binary) as a watcher that appends its actions to `log`, and waits until it is in
    /// a session of its own. Both paths are absolute.
    ///
    /// # Errors
    /// When it cannot be started or does not become ready.
    pub fn start(program: &Path, log: &Path) -> Result<Watcher, WatcherError> {
        let name = program.display().to_string();
        let failed = |source| WatcherError::Start {
            program: name.clone(),
            source,
        };
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .arg(log)
            // A working directory would keep its file system busy, and drives must be unmountable.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let pipe = child.stdin.take();
        let answers = child.stdout.take();
        let (say_dead, dead) = watch::channel(false);
        let inner = Arc::new(WatcherLink {
            state: Mutex::new(WatcherState {
                pipe,
                waiting: HashMap::new(),
                guarded: 0,
            }),
            dead,
        });
        let (say_ready, ready) = mpsc::channel();
        let listener = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || {
                let answer = |answer: WatcherAnswer| {
                    if answer.ready {
                        // The receiver is gone if the start took too long.
                        let _ = say_ready.send(());
                    }
                    if let (Some(id), Some(inner)) = (answer.ack, listener.upgrade()) {
                        acknowledge(&inner, &id);
                    }
                };
                read_answers(answers, answer);
                let _ = say_dead.send(true);
                if let Some(inner) = listener.upgrade() {
                    // Waiters for an answer see that none comes.
                    lock(&inner.state).waiting.clear();
                }
                reap(child);
            })
            .map_err(failed)?;
        match ready.recv_timeout(PATIENCE) {
            Ok(()) => Ok(Watcher { inner }),
            Err(_) => Err(WatcherError::NotReady { program: name }),
        }
    }

    /// Makes the watcher undo `undo` if this process dies. Returns when the watcher has acknowledged it; start
    /// the guarded program only then.
    ///
    /// # Errors
    /// When the watcher is gone or does not answer.
    pub async fn guard(&self, id: &str, undo: Undo) -> Result<UndoGuard, WatcherError> {
        self.inner.send_and_wait(id, undo).await?;
        lock(&self.inner.state).guarded += 1;
        Ok(UndoGuard {
            id: id.to_owned(),
            inner: Some(Arc::clone(&self.inner)),
        })
    }

    /// Becomes true when the watcher has ended, which must not happen while the run lives.
    #[must_use]
    pub fn dead(&self) -> watch::Receiver<bool> {
        self.inner.dead.clone()
    }
}

fn acknowledge(inner: &WatcherLink, id: &str) {
    for waiting in lock(&inner.state).waiting.remove(id).into_iter().flatten() {
        // The waiter may have given up.
        let _ = waiting.send(());
    }
}

fn read_answers(answers: Option<ChildStdout>, mut each: impl FnMut(WatcherAnswer)) {
    let Some(answers) = answers else { return };
    for line in BufReader::new(answers).lines() {
        let Ok(line) = line else { return };
        if let Ok(answer) = serde_json::from_str(&line) {
            each(answer);
        }
    }
}

fn reap(mut child: Child) {
    // Its stdout is closed, so it has ended or is about to. The status adds nothing to its log.
    let _ = child.wait();
}

impl WatcherLink {
    async fn send_and_wait(&self, id: &str, undo: Undo) -> Result<(), WatcherError> {
        let (say, answered) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            state.waiting.entry(id.to_owned()).or_default().push(say);
            let request = WatcherRequest {
                guard: Some(id.to_owned()),
                undo,
                ..WatcherRequest::default()
            };
            send(&mut state, &request).map_err(|_| WatcherError::Gone)?;
        }
        if *self.dead.borrow() {
            return Err(WatcherError::Gone);
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(WatcherError::Gone),
        }
    }
}

/// Writes a request in one piece. The messages are far smaller than a pipe's buffer and the watcher
/// always reads, so this does not block.
fn send(state: &mut WatcherState, request: &WatcherRequest) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    match &mut state.pipe {
        Some(pipe) => pipe.write_all(&line),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

impl Drop for WatcherLink {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.guarded == 0 {
            let bye = WatcherRequest {
                bye: true,
                ..WatcherRequest::default()
            };
            // A dead watcher needs no goodbye.
            let _ = send(&mut state, &bye);
        }
    }
}

/// Something that the watcher undoes if this process dies. Dropping it without [`UndoGuard::release`] means
/// that its end was not seen (a panic, a dropped future): then the watcher undoes it at once.
pub struct UndoGuard {
    id: String,
    inner: Option<Arc<WatcherLink>>,
}

impl UndoGuard {
    /// Adds to the undo, such as the process group once it is known.
    ///
    /// # Errors
    /// When the watcher is gone or does not answer.
    pub async fn add(&self, undo: Undo) -> Result<(), WatcherError> {
        match &self.inner {
            Some(inner) => inner.send_and_wait(&self.id, undo).await,
            None => Err(WatcherError::Gone),
        }
    }

    /// The guarded program has ended and nothing of it is left.
    pub fn release(mut self) {
        let release = WatcherRequest {
            release: Some(self.id.clone()),
            ..WatcherRequest::default()
        };
        self.end(&release);
    }

    fn end(&mut self, request: &WatcherRequest) {
        if let Some(inner) = self.inner.take() {
            let mut state = lock(&inner.state);
            state.guarded = state.guarded.saturating_sub(1);
            // The end of the watcher was reported before.
            let _ = send(&mut state, request);
        }
    }
}

impl Drop for UndoGuard {
    fn drop(&mut self) {
        let now = WatcherRequest {
            now: Some(self.id.clone()),
            ..WatcherRequest::default()
        };
        self.end(&now);
    }
}
