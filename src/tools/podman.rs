//! Probes podman in the way in which kas-container will run it.

use std::path::{Path, PathBuf};

use crate::settings::IsarMode;
use crate::tools::ToolNote;
use crate::tools::engine::{Engine, EngineKind, EngineQuery};
use crate::tools::probe::{Answer, Prober};
use crate::tools::refusal::EngineRefusal;
use crate::tools::sudo::Elevation;
use crate::tools::version::Version;

pub(crate) fn probe(question: &EngineQuery<'_>, program: &Path) -> Result<Engine, EngineRefusal> {
    let (said, info, elevation) = match question.mode {
        IsarMode::Rootless => {
            let said = question.prober.ask(program, &["--version"])?;
            let info = question
                .prober
                .ask(program, &["info", "--format", "json"])?;
            if !info.ok {
                return Err(broken(info.complaint()));
            }
            (said, info, None)
        }
        IsarMode::Privileged => {
            let (said, info, elevation) = as_root(question, program)?;
            (said, info, Some(elevation))
        }
    };
    let version = Version::find(said.first_line())
        .ok_or_else(|| broken(format!("its version is unknown: `{}`", said.first_line())))?;
    let behind_sudo = elevation.is_some();
    let mut engine = question.engine(EngineKind::Podman, program, version, elevation);
    if behind_sudo {
        engine.environment.push(sbin_path(question.prober));
        if in_nix_store(question, program) {
            engine.notes.push(nix_note(program));
        }
    }
    engine.notes.extend(runtime_note(&info));
    if !has_init(question.prober, HELPER_DIRS) {
        engine.notes.push(init_note());
    }
    Ok(engine)
}

/// Runs podman as kas-container runs it for a privileged container.
fn as_root(
    question: &EngineQuery<'_>,
    program: &Path,
) -> Result<(Answer, Answer, Elevation), EngineRefusal> {
    let elevation = Elevation::probe(question.prober)?;
    let ask = |arguments: &[&str]| -> Result<Answer, EngineRefusal> {
        let mut words: Vec<&str> = elevation.prefix.iter().map(String::as_str).collect();
        let sudo = words.remove(0);
        words.push(EngineKind::Podman.as_str());
        words.extend_from_slice(arguments);
        Ok(question.prober.ask(Path::new(sudo), &words)?)
    };
    let said = ask(&["--version"])?;
    if !said.ok {
        let program = program.to_path_buf();
        return Err(if !said.complaint().contains("not found") {
            EngineRefusal::PodmanBrokenAsRoot {
                why: said.complaint(),
            }
        } else if in_nix_store(question, &program) {
            EngineRefusal::PodmanInNixStore { program }
        } else {
            EngineRefusal::PodmanOutsideSudosPath { program }
        });
    }
    let info = ask(&["info", "--format", "json"])?;
    if !info.ok {
        return Err(EngineRefusal::PodmanBrokenAsRoot {
            why: info.complaint(),
        });
    }
    Ok((said, info, elevation))
}

fn broken(why: String) -> EngineRefusal {
    if why.contains("annot connect to Podman") || why.contains("podman machine") {
        EngineRefusal::PodmanMachineStopped { why }
    } else {
        EngineRefusal::PodmanBroken { why }
    }
}

/// Whether the program comes from the Nix store and sudo cannot find it: except on NixOS, sudo
/// resets PATH to the system's directories.
fn in_nix_store(question: &EngineQuery<'_>, program: &Path) -> bool {
    let real = program.canonicalize();
    let store = question
        .prober
        .environment
        .get("NIX_STORE_DIR")
        .unwrap_or("/nix/store".as_ref());
    !question.host.nixos && real.as_deref().unwrap_or(program).starts_with(store)
}

/// PATH with `/usr/sbin`, as kas-container sets it: root's podman needs programs from there.
fn sbin_path(prober: Prober<'_>) -> (String, String) {
    let path = prober.environment.path().unwrap_or_default();
    (
        "PATH".to_owned(),
        format!("{}:/usr/sbin", path.to_string_lossy()),
    )
}

fn nix_note(program: &Path) -> ToolNote {
    ToolNote {
        message: format!(
            "podman in PATH comes from the Nix store ({}), and sudo may run another one",
            program.display()
        ),
        hint: "`sudo apt install podman`, and remove the other one from PATH".to_owned(),
    }
}

/// crun does not start containers where cgroups v1 and v2 are mixed.
fn runtime_note(info: &Answer) -> Option<ToolNote> {
    let info: serde_json::Value = serde_json::from_str(&info.stdout).ok()?;
    let runtime = info["host"]["ociRuntime"]["name"].as_str()?;
    let cgroups = info["host"]["cgroupVersion"].as_str()?;
    (runtime == "crun" && cgroups == "v1").then(|| ToolNote {
        message: "podman uses crun, which fails with cgroups v1".to_owned(),
        hint: "`sudo apt install runc`, and `runtime = \"runc\"` under `[engine]` in /etc/containers/containers.conf"
            .to_owned(),
    })
}

/// Directories in which podman looks for its helpers, besides PATH.
const HELPER_DIRS: &[&str] = &[
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    "/usr/libexec/podman",
    "/usr/lib/podman",
];

fn has_init(prober: Prober<'_>, dirs: &[&str]) -> bool {
    prober.find("catatonit").is_some()
        || dirs
            .iter()
            .any(|dir| PathBuf::from(dir).join("catatonit").exists())
}

fn init_note() -> ToolNote {
    ToolNote {
        message: "catatonit was not found: podman needs it for `--init`, which kas-container uses"
            .to_owned(),
        hint: "`sudo apt install catatonit`".to_owned(),
    }
}
