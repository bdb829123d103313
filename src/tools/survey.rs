//! Everything that can be told of the host's tools, needed or not, for `doctor`.
//!
//! Nothing here stops at the first fault. Knows nothing of how it is shown.

use std::path::PathBuf;

use super::engine::{Candidate, Engine, EngineKind, Question};
use super::error::ToolError;
use super::host::Host;
use super::kas::Kas;
use super::kas_container::KasContainer;
use super::nix::{Nix, NoNix};
use super::probe::Prober;
use super::version::Version;
use crate::settings::{Environment, Settings};

/// A program of which only path and version are of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its path and, where it says one, version; none where it is not in PATH.
    pub found: Option<(PathBuf, Option<Version>)>,
}

/// An engine: where it is, and what came of asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub kind: EngineKind,
    /// Its path in PATH.
    pub path: Option<PathBuf>,
    /// What it answered.
    pub candidate: Candidate,
}

/// The tools of a host.
#[derive(Debug)]
pub struct Survey {
    /// kas-container.
    pub kas_container: Result<KasContainer, ToolError>,
    /// kas.
    pub kas: Result<Kas, ToolError>,
    /// docker and podman, in this order.
    pub engines: [Found; 2],
    /// The engine that a build would use.
    pub engine: Result<Engine, ToolError>,
    /// The Nix store.
    pub nix: Result<Nix, NoNix>,
    /// Programs that kas-container uses, or that help to look into images.
    pub programs: Vec<Program>,
}

impl Survey {
    /// Asks all of them, at the same time: as long as a hanging one may take, it takes once.
    #[must_use]
    pub fn take(settings: &Settings, environment: &Environment, host: &Host) -> Self {
        let prober = Prober::new(environment);
        let mode = settings.isar_mode.value;
        let question = Question { prober, host, mode };
        let (kas_container, kas, engines, nix, programs) = std::thread::scope(|scope| {
            let docker = scope.spawn(move || found(question, EngineKind::Docker));
            let nix = scope.spawn(move || Nix::probe(prober));
            let kas_container = scope.spawn(move || KasContainer::probe(settings, prober));
            let kas = scope.spawn(move || Kas::probe(settings, prober));
            let programs = scope.spawn(move || ["git", "sgdisk"].map(|name| program(prober, name)));
            let podman = found(question, EngineKind::Podman);
            (
                joined(kas_container),
                joined(kas),
                [joined(docker), podman],
                joined(nix),
                joined(programs),
            )
        });
        let engine = Engine::choose(settings.engine.value, mode, |kind| {
            engines
                .iter()
                .find(|found| found.kind == kind)
                .map_or(Candidate::Absent, |found| found.candidate.clone())
        });
        Self {
            kas_container,
            kas,
            engines,
            engine,
            nix,
            programs: programs.into(),
        }
    }
}

/// The thread's result; its panic goes on here.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn found(question: Question<'_>, kind: EngineKind) -> Found {
    Found {
        kind,
        path: question.prober.find(kind.as_str()),
        candidate: question.candidate(kind),
    }
}

/// System administration programs are not in every user's PATH, and found nevertheless.
fn program(prober: Prober<'_>, name: &'static str) -> Program {
    let path = prober
        .find(name)
        .or_else(|| prober.find(PathBuf::from("/usr/sbin").join(name)));
    Program {
        name,
        found: path.map(|path| {
            let version = prober
                .ask(&path, &["--version"])
                .ok()
                .and_then(|answer| Version::find(answer.first_line()));
            (path, version)
        }),
    }
}
