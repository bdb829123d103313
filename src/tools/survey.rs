//! A survey of all tools on the host, needed or not, for `doctor`.
//!
//! It does not stop at the first fault.

use std::path::PathBuf;

use crate::host::identity::Host;
use crate::settings::{Environment, Settings};
use crate::tools::engine::{Engine, EngineCandidate, EngineKind, EngineQuery};
use crate::tools::error::ToolError;
use crate::tools::kas::Kas;
use crate::tools::kas_container::KasContainer;
use crate::tools::probe::Prober;
use crate::tools::version::Version;

/// A program that is not probed beyond its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProgram {
    /// Its name.
    pub name: &'static str,
    /// Its path, and its version if it prints one; none where it is not in PATH.
    pub found: Option<(PathBuf, Option<Version>)>,
}

/// An engine and the result of probing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEngine {
    /// Docker or podman.
    pub kind: EngineKind,
    /// Its path in PATH.
    pub path: Option<PathBuf>,
    /// The result.
    pub candidate: EngineCandidate,
}

/// The tools of a host.
#[derive(Debug)]
pub struct Survey {
    /// kas-container.
    pub kas_container: Result<KasContainer, ToolError>,
    /// kas.
    pub kas: Result<Kas, ToolError>,
    /// docker and podman, in this order.
    pub engines: [FoundEngine; 2],
    /// The engine that a build would use.
    pub engine: Result<Engine, ToolError>,
    /// Programs that kas-container uses, or that help to look into images.
    pub programs: Vec<FoundProgram>,
}

impl Survey {
    /// Probes all tools at the same time, so that ones that hang cost their time limit once.
    #[must_use]
    pub fn take(settings: &Settings, environment: &Environment, host: &Host) -> Self {
        let prober = Prober::new(environment);
        let mode = settings.isar_mode.value;
        let question = EngineQuery { prober, host, mode };
        let (kas_container, kas, engines, programs) = std::thread::scope(|scope| {
            let docker = scope.spawn(move || found(question, EngineKind::Docker));
            let kas_container = scope.spawn(move || KasContainer::probe(settings, prober));
            let kas = scope.spawn(move || Kas::probe(settings, prober));
            let programs = scope.spawn(move || ["git", "sgdisk"].map(|name| program(prober, name)));
            let podman = found(question, EngineKind::Podman);
            (
                joined(kas_container),
                joined(kas),
                [joined(docker), podman],
                joined(programs),
            )
        });
        let engine = Engine::choose(settings.engine.value, mode, |kind| {
            engines
                .iter()
                .find(|found| found.kind == kind)
                .map_or(EngineCandidate::Absent, |found| found.candidate.clone())
        });
        Self {
            kas_container,
            kas,
            engines,
            engine,
            programs: programs.into(),
        }
    }
}

/// The thread's result. A panic in the thread continues in this one.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn found(question: EngineQuery<'_>, kind: EngineKind) -> FoundEngine {
    FoundEngine {
        kind,
        path: question.prober.find(kind.as_str()),
        candidate: question.candidate(kind),
    }
}

/// Finds and asks a program. `/usr/sbin` is searched too, which is not in every user's PATH.
fn program(prober: Prober<'_>, name: &'static str) -> FoundProgram {
    let path = prober
        .find(name)
        .or_else(|| prober.find(PathBuf::from("/usr/sbin").join(name)));
    FoundProgram {
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
