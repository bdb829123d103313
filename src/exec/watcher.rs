//! The watcher: a process in a session of its own that undoes what we left when we are gone, whatever
//! killed us. This is our side of it; [`main`] is the other.
//!
//! It is our own binary, started with a hidden subcommand. It holds the reading end of a pipe: as long
//! as we live the pipe is open. When it ends without a goodbye, everything that is still guarded is
//! killed and removed within 10 s. Knows nothing of engines: the commands are in the [`Undo`].

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

/// The hidden subcommand that the binary must hand to [`main`] before it does anything else.
pub const SUBCOMMAND: &str = "internal-watcher";

/// How long the watcher may take to start, and to take over a guard.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why something is not guarded.
#[derive(Debug, thiserror::Error)]
pub enum WatcherError {
    /// It could not be started.
    #[error("cannot start the watcher `{program} {SUBCOMMAND}`: {source}")]
    Start {
        /// Our own binary.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It started and did not say that it is ready.
    #[error("the watcher `{program} {SUBCOMMAND}` did not become ready")]
    NotReady {
        /// Our own binary.
        program: String,
    },
    /// It has ended, or does not answer.
    #[error("the watcher is gone")]
    Gone,
}

/// Our side of a running watcher; cheap to clone. The last one that is dropped says goodbye, unless
/// something is still guarded: then the watcher undoes it.
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
    /// Starts `program` (our own binary) as a watcher that says in `log` what it did, and waits until it
    /// is in a session of its own. `log` is appended to; both paths are absolute.
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
            // A working directory would keep its file system busy, and drives are to be unmounted.
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
                        // Nobody waits any more when it took too long.
                        let _ = say_ready.send(());
                    }
                    if let (Some(id), Some(inner)) = (answer.ack, listener.upgrade()) {
                        acknowledge(&inner, &id);
                    }
                };
                read_answers(answers, answer);
                let _ = say_dead.send(true);
                if let Some(inner) = listener.upgrade() {
                    // Those who wait for an answer learn that none comes.
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

    /// Has `undo` done when we are gone. Returns when the watcher has taken it over; only then start
    /// what it is to undo.
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

    /// Turns true when the watcher has ended, which it must not as long as we live.
    #[must_use]
    pub fn dead(&self) -> watch::Receiver<bool> {
        self.inner.dead.clone()
    }
}

fn acknowledge(inner: &WatcherLink, id: &str) {
    for waiting in lock(&inner.state).waiting.remove(id).into_iter().flatten() {
        // It may have given up waiting.
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
    // Its stdout is closed, so it has ended or is about to; the status tells nothing that its log does
    // not.
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
            // A watcher that is gone needs no goodbye.
            let _ = send(&mut state, &bye);
        }
    }
}

/// Something that the watcher undoes when we are gone. Dropping it without [`UndoGuard::release`] means
/// that nobody saw the end of what it guards (a panic, a future that was thrown away): then the watcher
/// undoes it at once.
pub struct UndoGuard {
    id: String,
    inner: Option<Arc<WatcherLink>>,
}

impl UndoGuard {
    /// Adds to what is undone, such as the process group once it is known.
    ///
    /// # Errors
    /// When the watcher is gone or does not answer.
    pub async fn add(&self, undo: Undo) -> Result<(), WatcherError> {
        match &self.inner {
            Some(inner) => inner.send_and_wait(&self.id, undo).await,
            None => Err(WatcherError::Gone),
        }
    }

    /// It has ended and nothing of it is left.
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
            // A watcher that is gone undoes nothing, which its end was reported as.
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
