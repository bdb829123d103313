//! The build step for a variant of a test's own: with a kas-container and a podman that are scripts, and with
//! every event kept.

use std::path::Path;
use std::sync::Arc;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::{Clock, EventKind};
use isar_build_all::exec::StopSignal;
use isar_build_all::matrix::{Variant, VariantKey};
use isar_build_all::settings::{CommandLine, Environment, LayerInput, Settings};
use isar_build_all::state::records::Records;
use isar_build_all::steps::build::{BuildServices, BuildTools, kas_run};
use isar_build_all::steps::capture::{CapturePolicy, Provenance};
use isar_build_all::steps::register::Registry;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::services::StepServices;
use isar_build_all::store::{LocalStore, Store};
use isar_build_all::tools::{Engine, EngineKind, Kas, KasContainer, Runner, Version};

use super::steps::Stage;

/// kas, or kas-container with podman, by scripts of these names: the latter in `engine`, the others in `dir`.
pub fn runner(dir: &Path, engine: &Path, kas: bool) -> Runner {
    let version = Version::new(5, 5);
    if kas {
        return Runner::Kas(Kas {
            program: dir.join("kas"),
            version,
        });
    }
    let podman = engine.join("podman");
    Runner::Container {
        kas_container: KasContainer {
            program: dir.join("kas-container"),
            version,
            mode_flag: "--isar-privileged",
        },
        engine: Box::new(Engine {
            kind: EngineKind::Podman,
            prefix: vec![podman.display().to_string()],
            program: podman,
            version,
            environment: vec![("KAS_CONTAINER_ENGINE".to_owned(), "podman".to_owned())],
            passed_over: Vec::new(),
            notes: Vec::new(),
        }),
    }
}

/// Builds the variant `id` of the project in `dir`, whose journal is there too, and waits until every event has
/// been told.
pub async fn build_one(
    dir: &Path,
    id: &str,
    command_line: CommandLine,
    stop: StopSignal,
    tools: &BuildTools,
) -> (StepResult, Vec<EventKind>) {
    let settings = Settings::resolve(&LayerInput {
        environment: Environment::new(&dir.join("home"), Vec::<(String, String)>::new()),
        command_line,
        ..LayerInput::of(&dir.join("project"))
    })
    .unwrap();
    let variant = Variant {
        key: VariantKey {
            machine: "qemuamd64".to_owned(),
            id: id.to_owned(),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: vec!["kas/base.yml".to_owned(), "kas/opt/x.yml".to_owned()],
        attr_path: Vec::new(),
        artifacts: Vec::new(),
    };
    let clock: Clock = Arc::new(jiff::Timestamp::now);
    let services = StepServices {
        registry: Registry::new(
            Store::from(LocalStore::new(dir.join("store"))),
            Arc::new(Records::in_memory().unwrap()),
            Arc::clone(&clock),
            "isar-build-all".to_owned(),
        ),
        capture: CapturePolicy::new(Provenance::Adopted),
        build: Some(BuildServices::new(tools.clone())),
        products: isar_build_all::store::products::PRODUCTS.to_vec(),
        threads: 2,
    };
    let stage = Stage {
        node: format!("build:qemuamd64/{id}"),
        variant,
        settings: Arc::new(settings),
        services: Arc::new(services),
        dir,
        clock,
        stop,
    };
    let (ctx, heard) = stage.begin();
    let services = ctx.services.build.as_ref().unwrap();
    let result = kas_run::build(&ctx, services, Default::default())
        .await
        .result;
    drop(ctx);
    (result, heard.end())
}
