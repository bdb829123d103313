//! Is `docker` Docker, and does its daemon answer us?
//!
//! Knows nothing of podman, and of which of the two is preferred.

use std::path::Path;

use super::engine::{Engine, EngineKind, Question};
use super::probe::{Answer, ProbeError};
use super::refusal::EngineRefusal;
use super::sudo::Elevation;
use super::version::Version;
use crate::settings::IsarMode;

pub(crate) fn probe(question: &Question<'_>, program: &Path) -> Result<Engine, EngineRefusal> {
    let ask = |arguments: &[&str]| -> Result<Answer, EngineRefusal> {
        question.prober.ask(program, arguments).map_err(no_answer)
    };
    let said = ask(&["-v"])?;
    let version = identify(program, &said)?;
    let server = ask(&["info", "--format", "{{.ServerVersion}}"])?;
    // Old clients end well without a daemon, and say nothing.
    if !server.ok || server.first_line().is_empty() {
        let why = server.complaint();
        return Err(if why.contains("permission denied") {
            EngineRefusal::DockerDenied { why }
        } else {
            EngineRefusal::DockerStopped {
                why,
                wsl: question.host.wsl.is_some(),
            }
        });
    }
    if question.mode == IsarMode::Privileged
        && ask(&["context", "show"])?.first_line() == "rootless"
    {
        return system_daemon(question, program, version, &ask);
    }
    Ok(question.engine(EngineKind::Docker, program, version, None))
}

fn no_answer(error: ProbeError) -> EngineRefusal {
    EngineRefusal::NoAnswer {
        kind: EngineKind::Docker,
        error,
    }
}

fn identify(program: &Path, said: &Answer) -> Result<Version, EngineRefusal> {
    let line = said.first_line();
    let program = program.to_path_buf();
    let lower = line.to_lowercase();
    if lower.contains("nerdctl") {
        return Err(EngineRefusal::DockerIsNerdctl { program });
    }
    if lower.starts_with("podman") {
        return Err(EngineRefusal::DockerIsPodman { program });
    }
    match Version::find(line) {
        Some(version) if line.starts_with("Docker") => Ok(version),
        _ => Err(EngineRefusal::NotDocker {
            program,
            said: if line.is_empty() {
                said.complaint()
            } else {
                line.to_owned()
            },
        }),
    }
}

/// From a rootless context, kas-container runs privileged containers by the system's daemon behind sudo.
fn system_daemon(
    question: &Question<'_>,
    program: &Path,
    version: Version,
    ask: &impl Fn(&[&str]) -> Result<Answer, EngineRefusal>,
) -> Result<Engine, EngineRefusal> {
    let elevation = Elevation::probe(question.prober)?;
    let host = match question.prober.environment.text("DOCKER_HOST") {
        Some(host) => host.to_owned(),
        None => ask(&[
            "context",
            "inspect",
            "default",
            "--format",
            "{{.Endpoints.docker.Host}}",
        ])?
        .first_line()
        .to_owned(),
    };
    let mut engine = question.engine(EngineKind::Docker, program, version, Some(elevation));
    engine.prefix.extend(["--host".to_owned(), host]);
    Ok(engine)
}
