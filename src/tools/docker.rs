//! Probes Docker: whether `docker` is Docker, and whether its daemon answers this user.

use std::path::Path;

use crate::settings::IsarMode;
use crate::tools::engine::{Engine, EngineKind, EngineQuery};
use crate::tools::probe::{Answer, ProbeError};
use crate::tools::refusal::EngineRefusal;
use crate::tools::sudo::Elevation;
use crate::tools::version::Version;

pub(crate) fn probe(question: &EngineQuery<'_>, program: &Path) -> Result<Engine, EngineRefusal> {
    let ask = |arguments: &[&str]| -> Result<Answer, EngineRefusal> {
        question.prober.ask(program, arguments).map_err(no_answer)
    };
    let said = ask(&["-v"])?;
    let version = identify(program, &said)?;
    let server = ask(&["info", "--format", "{{.ServerVersion}}"])?;
    // Old clients exit with 0 without a daemon, and print nothing.
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

/// In a rootless context kas-container starts privileged containers through the system's daemon,
/// behind sudo.
fn system_daemon(
    question: &EngineQuery<'_>,
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
