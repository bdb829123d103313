//! A project in a directory of its own, and the steps from deploy directory to registration.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::Clock;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{EventKind, GateVerdict};
use isar_build_all::exec::StopLevel;
use isar_build_all::inspect::format::Format;
use isar_build_all::matrix::{Artifact, Variant, VariantKey};
use isar_build_all::settings::{GateChoice, Settings};
use isar_build_all::state::StateDir;
use isar_build_all::state::records::Records;
use isar_build_all::steps::capture::from_output::CaptureOutput;
use isar_build_all::steps::capture::{CaptureDeployed, CapturePolicy, Provenance};
use isar_build_all::steps::register::{Register, Registry};
use isar_build_all::steps::services::StepServices;
use isar_build_all::steps::step::Step;
use isar_build_all::steps::variant_state::VariantState;
use isar_build_all::store::{LocalStore, Store};
use tokio::sync::watch;

use support::steps::{Stage, settings_in};

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) settings: Settings,
    registry: Registry,
    level: watch::Sender<StopLevel>,
    /// What a `.wic` has to be.
    pub(crate) format: Format,
}

/// How a variant ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) why: String,
    pub(crate) hint: String,
    pub(crate) gates: Vec<(String, GateVerdict, String)>,
    pub(crate) warnings: Vec<String>,
}

impl World {
    pub(crate) fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings_in(dir.path());
        let state = StateDir::at(settings.state_dir.value.clone());
        state.create().unwrap();
        let clock: Clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        World {
            registry: Registry {
                store: Arc::new(Store::from(LocalStore::new(state.store()))),
                records: Arc::new(Records::open(&state.records()).unwrap()),
                clock,
                command: "isar-build-all".to_owned(),
                transactions: Arc::default(),
                batch: None,
            },
            settings,
            dir,
            level: watch::Sender::new(StopLevel::Run),
            format: Format::Any,
        }
    }

    pub(crate) fn skip(&mut self, gate: GateChoice) {
        self.settings.skip_gates.value.push(gate);
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Puts a file where ISAR deploys it.
    pub(crate) fn deploy(&self, suffix: &str, file: &Path) {
        let dir = self.path("build/tmp/deploy/images/qemuamd64");
        fs::create_dir_all(&dir).unwrap();
        fs::copy(file, dir.join(format!("image-qemuamd64{suffix}"))).unwrap();
    }

    pub(crate) fn deploy_bytes(&self, suffix: &str, content: &[u8]) {
        let file = self.path("content");
        fs::write(&file, content).unwrap();
        self.deploy(suffix, &file);
    }

    pub(crate) fn hashes(&self) -> String {
        fs::read_to_string(self.path("artifact-hashes.nix")).unwrap_or_default()
    }

    pub(crate) fn stage_is_empty(&self) -> bool {
        !self.path("artifacts/qemuamd64/.captured").exists()
    }

    /// Captures what is deployed, and registers it.
    pub(crate) fn variant(&self, id: &str) -> Ended {
        self.take_and_register(id, &CaptureDeployed)
    }

    /// Registers what lies in the output directory.
    pub(crate) fn hash_only(&self, id: &str) -> Ended {
        self.take_and_register(id, &CaptureOutput)
    }

    fn take_and_register(&self, id: &str, take: &dyn Step) -> Ended {
        let services = StepServices {
            registry: self.registry.clone(),
            capture: CapturePolicy {
                build_dir: Some(self.path("build")),
                ..CapturePolicy::new(Provenance::Adopted)
            },
            build: None,
            products: isar_build_all::store::products::PRODUCTS.to_vec(),
            threads: 2,
        };
        let stage = Stage {
            node: format!("capture:qemuamd64/{id}"),
            variant: variant(id, self.format),
            settings: Arc::new(self.settings.clone()),
            services: Arc::new(services),
            dir: self.dir.path(),
            clock: Arc::clone(&self.registry.clock),
            stop: self.level.subscribe(),
        };
        let (result, events) = stage.run(|cx| async move {
            let mut state = VariantState::default();
            let taken = take.run(&cx, &mut state).await;
            match taken.outcome {
                Outcome::Succeeded => Register.run(&cx, &mut state).await,
                _ => taken,
            }
        });
        let mut ended = Ended {
            outcome: result.outcome,
            why: result.why.unwrap_or_default(),
            hint: result.hint.unwrap_or_default(),
            gates: Vec::new(),
            warnings: Vec::new(),
        };
        for event in events {
            match event {
                EventKind::Gate {
                    name, verdict, why, ..
                } => ended.gates.push((name, verdict, why)),
                EventKind::Warning { message, .. } => ended.warnings.push(message),
                _ => {}
            }
        }
        ended
    }
}

fn variant(id: &str, format: Format) -> Variant {
    let artifact = |suffix: &str, optional| Artifact {
        kind: suffix.trim_start_matches(['.', '-']).to_owned(),
        unique_name: format!("isar-{id}-qemuamd64{suffix}"),
        deploy_name: format!("image-qemuamd64{suffix}"),
        attr: suffix.trim_start_matches(['.', '-']).to_owned(),
        optional,
        unique: suffix == ".wic",
        format: if suffix == ".wic" {
            format
        } else {
            Format::Any
        },
        products: Vec::new(),
    };
    Variant {
        key: VariantKey {
            machine: "qemuamd64".to_owned(),
            id: id.to_owned(),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: vec!["a.yml".to_owned()],
        attr_path: Vec::new(),
        artifacts: vec![
            artifact(".wic", false),
            artifact("-vmlinuz", true),
            artifact(".wic.bmap", true),
        ],
    }
}
