//! The build step: runs kas for a variant, tells how far it is, and why it failed where it did. Also
//! runs kas to clean a build directory.
//!
//! It needs directories that nobody else builds in, and leaves a deploy directory and a log; a container
//! it never leaves. Knows nothing of what is captured afterwards.

mod command;
mod ending;
pub mod first;
mod guard;
mod inspect;
mod listen;
mod measure;
mod silence;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::watcher::{Guard, Watcher};
use crate::exec::{
    ASK_LIMIT, Control, Ended, Finish, Limits, Process, StopLevel, Undo, Undone, quiet,
};
use crate::model::console::Mounts;
use crate::model::matrix::VariantKey;
use crate::settings::{Settings, VariantDirs, variant_dirs};
use crate::state::StateDir;
use crate::state::journal::Entry;
use crate::steps::capture::blocking;
use crate::steps::git_locks;
use crate::steps::{StepContext, StepResult};
use crate::tools::Runner;

use command::Kas;
pub use command::OVERRIDES;
pub(crate) use command::{STATE_LABEL, engine_words};
pub use command::{UnfitWord, check_words};
use ending::Evidence;
pub use guard::{Ask, Guarding};
use guard::{Ear, MaybeWatch, SyncWatch};
use listen::Listener;
use measure::Measuring;
use silence::Watch;

/// What a build needs besides its context.
#[derive(Clone)]
pub struct BuildTools {
    /// What runs kas.
    pub runner: Runner,
    /// Who undoes it when we are killed; without one a build runs unguarded.
    pub watcher: Option<Watcher>,
    /// What keeps builds from hanging on a Windows drive; none where there is none.
    pub guarding: Option<Guarding>,
    /// The directory of variants.toml, from which the kas files are named.
    pub project_dir: PathBuf,
    /// Where `proc` and `sys` lie.
    pub system_root: PathBuf,
}

/// The file with the whole output of a variant's build in a run.
#[must_use]
pub fn log_path(settings: &Settings, run: &str, key: &VariantKey) -> PathBuf {
    StateDir::at(settings.state_dir.value.clone())
        .run(run)
        .log(key)
}

/// What kas is to do in the directories of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Build,
    /// Remove `tmp*` from the build directory. Root file systems in it are root's, which is why this is
    /// left to kas: in the container it may.
    Clean,
}

/// A build that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// How.
    pub result: StepResult,
    /// Whether a root directory was restored from shared state instead of being made.
    pub restored_root: bool,
}

/// Builds the variant. When it returns, no container and no process of the build is left.
pub async fn build(ctx: &StepContext, tools: &BuildTools) -> Built {
    run(ctx, tools, Task::Build).await
}

/// Removes what builds left in the variant's build directory; shared state and downloads stay. When it
/// returns, no container and no process of it is left.
pub async fn clean(ctx: &StepContext, tools: &BuildTools) -> StepResult {
    run(ctx, tools, Task::Clean).await.result
}

async fn run(ctx: &StepContext, tools: &BuildTools, task: Task) -> Built {
    let mut restored_root = false;
    let result = run_kas(ctx, tools, task, &mut restored_root).await;
    Built {
        result,
        restored_root,
    }
}

async fn run_kas(
    ctx: &StepContext,
    tools: &BuildTools,
    task: Task,
    restored_root: &mut bool,
) -> StepResult {
    let variant = &ctx.variant;
    let dirs = variant_dirs(
        &ctx.settings,
        &variant.key.machine,
        &variant.key.id,
        variant.arch,
    );
    if *ctx.stop.borrow() > StopLevel::Run {
        return StepResult::cancelled();
    }
    if let Err(result) = prepare(&dirs) {
        return result;
    }
    if task == Task::Build
        && let Err(result) = unlock_clones(ctx, &dirs).await
    {
        return result;
    }
    let log = log_path(&ctx.settings, &ctx.run, &variant.key);
    let log = match task {
        Task::Build => log,
        Task::Clean => log.with_extension("clean.log"),
    };
    let kas = match Kas::new(ctx, tools, &dirs, task) {
        Ok(kas) => kas,
        Err(word) => {
            let hint = word.hint();
            return StepResult::failed(word.to_string()).hint(hint);
        }
    };
    let first = ctx.handover.first().enter(&ctx.stop).await;
    if *ctx.stop.borrow() > StopLevel::Run {
        return StepResult::cancelled();
    }
    let mut undo = undo_of(&kas, &tools.runner, &dirs.build);
    let mut sync = MaybeWatch(sync_watch(ctx, tools, task, &kas.name, &undo));
    undo.after = sync.after();
    if let Err(result) = journal_start(ctx, &kas, &undo).await {
        return result;
    }
    let guard = guard(ctx, tools, &kas.name, &undo).await;
    if guard.is_some() {
        sync.watched();
    }
    if let Err(result) = sync.before().await {
        if let Some(guard) = guard {
            guard.release();
        }
        journal_end(ctx, &kas.name);
        return result;
    }
    let memory = ending::kernel_kills();
    let process = match Process::spawn(kas.spec(&tools.project_dir, &log, &ctx.settings)) {
        Ok(process) => process,
        Err(error) => {
            sync.end().await;
            if let Some(guard) = guard {
                guard.release();
            }
            journal_end(ctx, &kas.name);
            let failed = StepResult::failed(error.to_string());
            return match error.hint() {
                Some(hint) => failed.hint(hint),
                None => failed,
            };
        }
    };
    undo.pgid = Some(process.pgid());
    ctx.note(&Entry::BuildGroup {
        run: ctx.run.clone(),
        name: kas.name.clone(),
        pgid: process.pgid(),
    });
    if let Some(guard) = &guard {
        let group = Undo {
            pgid: undo.pgid,
            ..Undo::default()
        };
        // A watcher that died meanwhile is told of by whoever listens for its death.
        let _ = guard.add(group).await;
    }
    let measuring = Measuring::begin(ctx, tools, &kas.name);
    let mut listener = Listener::new(ctx, restored_root, first, measuring);
    let stop_timeout = Duration::from_secs(ctx.settings.stop_timeout.value);
    let stop_command = kas.graceful_stop(&tools.runner, stop_timeout);
    let watch = Watch::start(ctx, &tools.runner, &kas, &undo);
    let control = Control::new(watch.stop()).with_action(Box::new(|level| {
        Box::pin(stop(level, &stop_command, &undo, stop_timeout))
    }));
    let (mut ear, heard) = Ear::new();
    let work = async {
        let finish = process
            .run(|output| listener.hear(output, &watch, &mut ear), control)
            .await;
        // Whoever follows the output learns that there is no more.
        drop(ear);
        (finish, listener.seconds())
    };
    let ((finish, seconds), ()) = tokio::join!(work, sync.follow(heard));
    let (collector, measured) = listener.end(seconds).await;
    if task == Task::Build {
        ctx.handover.put_measured(variant.key.clone(), measured);
    }

    let evidence = Evidence {
        finish,
        program: kas.program_name(),
        kernel_kills: ending::kernel_kills().saturating_sub(memory),
        log: &log,
        mounts: mounts(&dirs, kas.is_container()),
    };
    let result = watch
        .gave_up()
        .unwrap_or_else(|| sync.verdict(evidence.result(&collector)));
    if task == Task::Build && result.outcome.lets_descendants_run() {
        let key = variant.key.clone();
        ctx.handover.put_silences(key, watch.longest());
    }
    watch.end().await;
    if result.outcome.lets_descendants_run() {
        sync.end().await;
        if let Some(guard) = guard {
            guard.release();
        }
        journal_end(ctx, &kas.name);
    } else {
        let undone = undo.run(limits_after(finish)).await;
        // Only now, when nothing of the build can reach a drive any more.
        sync.end().await;
        if undone.gone {
            journal_end(ctx, &kas.name);
        }
        let_go(ctx, guard, &undo, &undone);
    }
    result
}

/// The guard against a sync that hangs; cleaning makes no image and needs none.
fn sync_watch(
    ctx: &StepContext,
    tools: &BuildTools,
    task: Task,
    name: &str,
    undo: &Undo,
) -> Option<SyncWatch> {
    let guarding = tools.guarding.as_ref().filter(|_| task == Task::Build)?;
    Some(SyncWatch::new(
        ctx,
        guarding,
        tools.runner.engine(),
        name,
        &undo.stop,
        &tools.system_root,
    ))
}

/// Makes the directories that kas-container expects, and removes a configuration that `kas menu` left:
/// it would silently replace the repository of the kas files.
fn prepare(dirs: &VariantDirs) -> Result<(), StepResult> {
    for dir in [
        &dirs.work,
        &dirs.build,
        &dirs.dl,
        &dirs.sstate,
        &dirs.repo_ref,
    ] {
        std::fs::create_dir_all(dir).map_err(|error| cannot("make", dir, &error))?;
    }
    let stale = dirs.work.join(".config.yaml");
    match std::fs::remove_file(&stale) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("remove", &stale, &error))
        }
        _ => Ok(()),
    }
}

/// Removes the locks of clones that killed builds left, and says so.
async fn unlock_clones(ctx: &StepContext, dirs: &VariantDirs) -> Result<(), StepResult> {
    let dirs = dirs.clone();
    let removed = blocking(move || {
        let stale = git_locks::stale(&dirs.work, &dirs.repo_ref);
        stale
            .into_iter()
            .filter(|lock| std::fs::remove_file(lock).is_ok())
    });
    for lock in removed.await? {
        let message = format!(
            "removed {}: a git that was killed had left it",
            lock.display()
        );
        ctx.events.warn(Some(&ctx.node), message, None);
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> StepResult {
    let failed = StepResult::failed(format!("cannot {what} {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failed.hint(format!(
            "see who owns it: ls -ld {}",
            path.parent().unwrap_or(path).display()
        )),
        io::ErrorKind::StorageFull => failed.hint("free some space on that file system: df -h"),
        _ => failed,
    }
}

fn undo_of(kas: &Kas, runner: &Runner, build_dir: &Path) -> Undo {
    match runner {
        Runner::Container { engine, .. } => {
            let [stop, exists, elevate] = command::engine_words(engine, &kas.name);
            Undo {
                stop,
                exists,
                elevate,
                names: vec![kas.name.clone()],
                ..Undo::default()
            }
        }
        // kas gives BitBake a process group of its own, and BitBake's server a session; the server names
        // the lock of its build directory in its command line.
        Runner::Kas(_) => Undo {
            marks: vec![
                kas.mark(),
                build_dir
                    .canonicalize()
                    .unwrap_or_else(|_| build_dir.to_owned())
                    .join("bitbake.lock")
                    .display()
                    .to_string(),
            ],
            ..Undo::default()
        },
    }
}

/// Says in the journal what ends this build, before it begins. Its process group is left out: once we
/// are dead nobody keeps its number from becoming another's. What belongs to the build is told by the
/// mark in its environment and by the container's name.
async fn journal_start(ctx: &StepContext, kas: &Kas, undo: &Undo) -> Result<(), StepResult> {
    let mut undo = Undo {
        pgid: None,
        // Drives have an entry of their own.
        after: Vec::new(),
        ..undo.clone()
    };
    let mark = kas.mark();
    if !undo.marks.contains(&mark) {
        undo.marks.push(mark);
    }
    let entry = Entry::BuildStarted {
        run: ctx.run.clone(),
        variant: ctx.variant.key.clone(),
        name: kas.name.clone(),
        undo,
    };
    let ctx = ctx.clone();
    blocking(move || ctx.intend(&entry)).await?
}

fn journal_end(ctx: &StepContext, name: &str) {
    ctx.note(&Entry::BuildEnded {
        run: ctx.run.clone(),
        name: name.to_owned(),
    });
}

async fn guard(ctx: &StepContext, tools: &BuildTools, name: &str, undo: &Undo) -> Option<Guard> {
    match tools.watcher.as_ref()?.guard(name, undo.clone()).await {
        Ok(guard) => Some(guard),
        Err(error) => {
            ctx.events.warn(
                Some(&ctx.node),
                format!("{error}: if we are killed, this build goes on"),
                Some("`isar-build-all recover` stops what was left".to_owned()),
            );
            None
        }
    }
}

async fn stop(level: StopLevel, graceful: &[String], undo: &Undo, patience: Duration) {
    match level {
        StopLevel::Run => {}
        StopLevel::Graceful if !graceful.is_empty() => {
            stop_container(graceful, undo, patience).await;
        }
        StopLevel::Graceful => {}
        StopLevel::Kill => {
            undo.run(Limits {
                settle: Duration::ZERO,
                ask: ASK_LIMIT,
                total: Duration::from_secs(8),
            })
            .await;
        }
    }
}

/// Stops the container, and waits for it where the engine is only about to create it: the signal to the
/// group does not reach an engine that runs behind sudo.
async fn stop_container(command: &[String], undo: &Undo, patience: Duration) {
    loop {
        let (code, _) = quiet(command, patience).await;
        if code == Some(0) || !undo.anyone_left() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where the paths that BitBake names are on the host.
fn mounts(dirs: &VariantDirs, is_container: bool) -> Option<Mounts> {
    is_container.then(|| {
        let pairs = [
            ("/work", &dirs.work),
            ("/build", &dirs.build),
            ("/downloads", &dirs.dl),
            ("/sstate", &dirs.sstate),
        ];
        Mounts::new(
            pairs.map(|(inside, outside)| (inside.to_owned(), outside.display().to_string())),
        )
    })
}

/// How long to look for what may be left. Where kas-container ended by itself nobody can create a
/// container any more; where it was killed, the engine may have been asked to.
fn limits_after(finish: Finish) -> Limits {
    let by_itself = matches!(finish.ended, Ended::Exited(_)) && finish.stopped.is_none();
    Limits {
        settle: Duration::from_millis(if by_itself { 0 } else { 1500 }),
        // Nobody is in a hurry here, and a busy machine is slow.
        ask: Duration::from_secs(10),
        total: Duration::from_secs(60),
    }
}

fn let_go(ctx: &StepContext, guard: Option<Guard>, undo: &Undo, undone: &Undone) {
    if undone.gone {
        if let Some(guard) = guard {
            guard.release();
        }
        return;
    }
    // A guard that is not released is undone once more by the watcher, now.
    drop(guard);
    ctx.events.warn(
        Some(&ctx.node),
        format!(
            "something of this build may still run: {}",
            undone.notes.join("; ")
        ),
        (!undo.stop.is_empty()).then(|| format!("`{}`", undo.stop.join(" "))),
    );
}
