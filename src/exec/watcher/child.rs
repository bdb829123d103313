//! The watcher's own side: a process that outlives a killed run by a few seconds, to undo what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exec::watcher::protocol::{WatcherAnswer, WatcherRequest};
use crate::exec::{ASK_LIMIT, Undo, UndoLimits, quiet};

/// Everything is undone within 10 s of the run's death; half a second of that is for noticing it.
const LIMITS: UndoLimits = UndoLimits {
    settle: Duration::from_secs(4),
    ask: ASK_LIMIT,
    total: Duration::from_millis(9_000),
};

/// Time that the restoring commands wait for the undo that they follow.
const BEFORE_AFTERWARDS: Duration = Duration::from_secs(7);

/// Time limit of the restoring commands: half a minute for each possible drive letter, as a drive without an
/// answer needs, and two minutes for the rest.
const AFTERWARDS: Duration = Duration::from_secs(26 * 30 + 120);

/// The watcher's main function, for the hidden subcommand [`crate::exec::watcher::SUBCOMMAND`]. `args` is the
/// rest of the command line, the path of its log. Requests come on stdin, answers go to stdout.
///
/// Call it before anything else in `main`: it closes every descriptor that is not its own, because it must not
/// keep pipes of others open.
#[must_use]
pub fn main(args: &[String]) -> ExitCode {
    close_inherited();
    // This fails only if the process already leads a session, which is as good.
    let _ = rustix::process::setsid();
    let log = WatcherLog::open(args.first().map(Path::new));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(watch(log));
            // A thread of the runtime may still block in a read of stdin.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            log.say(&format!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn close_inherited() {
    let descriptors: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&descriptor| descriptor > 2)
        .collect();
    for descriptor in descriptors {
        // The descriptor that listed the directory is in the list and already closed.
        let _ = nix::unistd::close(descriptor);
    }
}

async fn watch(log: WatcherLog) -> ExitCode {
    let handlers = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ]
    .map(signal);
    if let Some(error) = handlers.iter().find_map(|handler| handler.as_ref().err()) {
        log.say(&format!("cannot ignore a signal: {error}"));
        return ExitCode::FAILURE;
    }
    answer(&WatcherAnswer {
        ready: true,
        ack: None,
    });
    let mut undoing = JoinSet::new();
    let left = listen(tokio::io::stdin(), &mut undoing, &log).await;
    if !left.is_empty() {
        log.say(&format!("the run is gone; undoing {}", names(&left)));
    }
    let afterwards: BTreeSet<Vec<String>> = left
        .values()
        .map(|undo| undo.after.clone())
        .filter(|after| !after.is_empty())
        .collect();
    for (id, undo) in left {
        undoing.spawn(undo_one(id, undo, log.clone()));
    }
    let mut all_gone = true;
    if !afterwards.is_empty() {
        // A longer undo does not delay the restoring commands: users want their machine back.
        let soon = timeout(BEFORE_AFTERWARDS, drain(&mut undoing, &mut all_gone));
        let _ = soon.await;
        for after in &afterwards {
            all_gone &= put_in_order(after, &log).await;
        }
    }
    // Each undo has its own limit; this one makes sure that nothing keeps the watcher for ever.
    let limit = LIMITS.total + AFTERWARDS + Duration::from_secs(1);
    let ended = timeout(limit, drain(&mut undoing, &mut all_gone)).await;
    if ended.is_ok() && all_gone {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn drain(undoing: &mut JoinSet<bool>, all_gone: &mut bool) {
    while let Some(result) = undoing.join_next().await {
        *all_gone &= result.unwrap_or(false);
    }
}

/// Runs the restoring commands. A slow drive must get its time, and a hung one must not keep the watcher for
/// ever.
async fn put_in_order(after: &[String], log: &WatcherLog) -> bool {
    let (code, said) = quiet(after, AFTERWARDS).await;
    let how = match code {
        Some(0) => "done".to_owned(),
        Some(code) => format!("exit {code}: {}", said.trim()),
        None => said,
    };
    log.say(&format!("`{}`: {how}", after.join(" ")));
    code == Some(0)
}

/// Keeps the list of guards until the run says goodbye or the pipe breaks. Returns the guards that are left.
async fn listen(
    input: impl AsyncRead + Unpin,
    undoing: &mut JoinSet<bool>,
    log: &WatcherLog,
) -> BTreeMap<String, Undo> {
    let mut guarded: BTreeMap<String, Undo> = BTreeMap::new();
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request: WatcherRequest = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                log.say(&format!("not understood: {error}: {line}"));
                continue;
            }
        };
        if let Some(id) = request.guard {
            guarded.entry(id.clone()).or_default().merge(request.undo);
            answer(&WatcherAnswer {
                ready: false,
                ack: Some(id),
            });
        }
        if let Some(id) = request.release {
            guarded.remove(&id);
        }
        if let Some(id) = request.now
            && let Some(undo) = guarded.remove(&id)
        {
            undoing.spawn(undo_now(id, undo, log.clone()));
        }
        if request.bye {
            guarded.clear();
            break;
        }
    }
    guarded
}

/// The run lives and did not see the end: undoes a guard, then runs its restoring commands once nothing is
/// left.
async fn undo_now(id: String, undo: Undo, log: WatcherLog) -> bool {
    let after = undo.after.clone();
    let gone = undo_one(id, undo, log.clone()).await;
    gone & (after.is_empty() || put_in_order(&after, &log).await)
}

async fn undo_one(id: String, undo: Undo, log: WatcherLog) -> bool {
    let undone = undo.run(LIMITS).await;
    for note in &undone.notes {
        log.say(&format!("{id}: {note}"));
    }
    log.say(&format!(
        "{id}: {}{}",
        if undone.gone { "gone" } else { "NOT gone" },
        if undone.removed {
            ", its container was removed"
        } else {
            ""
        },
    ));
    undone.gone
}

fn names(left: &BTreeMap<String, Undo>) -> String {
    left.keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn answer(answer: &WatcherAnswer) {
    // After the death of the run, answers have no reader, and the end of stdin reports it.
    if let Ok(mut line) = serde_json::to_string(answer) {
        line.push('\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(line.as_bytes());
        let _ = stdout.flush();
    }
}

/// The watcher's log; without a file if it cannot be opened.
#[derive(Clone)]
struct WatcherLog(Option<std::sync::Arc<File>>);

impl WatcherLog {
    fn open(path: Option<&Path>) -> WatcherLog {
        WatcherLog(
            path.and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok())
                .map(std::sync::Arc::new),
        )
    }

    fn say(&self, message: &str) {
        if let Some(file) = &self.0 {
            let now = jiff::Timestamp::now();
            // A full disk must not stop the watcher.
            let _ = (&**file).write_all(format!("{now:.0} {message}\n").as_bytes());
        }
    }
}
