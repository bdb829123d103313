//! A project whose steps are run one by one, on each store.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::Clock;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{EventKind, GateVerdict};
use isar_build_all::exec::StopLevel;
use isar_build_all::hashes_file::parse;
use isar_build_all::inspect::format::Format;
use isar_build_all::matrix::{Artifact, Variant, VariantKey};
use isar_build_all::settings::{Settings, StoreWrite};
use isar_build_all::state::StateDir;
use isar_build_all::state::records::Records;
use isar_build_all::steps::capture::from_output::CaptureOutput;
use isar_build_all::steps::capture::{CaptureDeployed, CapturePolicy, Provenance};
use isar_build_all::steps::compress::Compress;
use isar_build_all::steps::context::StepContext;
use isar_build_all::steps::register::{Register, Registry};
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::services::StepServices;
use isar_build_all::steps::step::Step;
use isar_build_all::steps::variant_state::VariantState;
use isar_build_all::store::product::{DeclaredProduct, Method};
use isar_build_all::store::{LocalStore, NixStore, Store};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use support::PrivateNix;
use support::names_in;
use support::steps::{Stage, settings_in};

/// A project in a directory of its own.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) nix: Option<PrivateNix>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: Registry,
    pub(crate) level: watch::Sender<StopLevel>,
}

pub(crate) struct Ended {
    pub(crate) result: StepResult,
    pub(crate) events: Vec<EventKind>,
}

pub(crate) fn nix_store(nix: &PrivateNix, write: StoreWrite) -> NixStore {
    NixStore {
        store_dir: nix.store_dir(),
        state_dir: nix.state_dir(),
        env: nix.env(),
        instantiate: (write != StoreWrite::AddFixed).then(|| "nix-instantiate".into()),
        direct: write == StoreWrite::Direct,
        ..NixStore::new("nix-store".into())
    }
}

impl World {
    pub(crate) fn new(nix: Option<(PrivateNix, StoreWrite)>) -> World {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings_in(dir.path());
        let state = StateDir::at(settings.state_dir.value.clone());
        state.create().unwrap();
        let store = match &nix {
            Some((nix, write)) => Store::from(nix_store(nix, *write)),
            None => Store::from(LocalStore::new(state.store())),
        };
        let clock: Clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        World {
            registry: Registry::new(
                store,
                Arc::new(Records::open(&state.records()).unwrap()),
                clock,
                "isar-build-all".to_owned(),
            ),
            settings: Arc::new(settings),
            nix: nix.map(|(nix, _)| nix),
            dir,
            level: watch::Sender::new(StopLevel::Run),
        }
    }

    pub(crate) fn local() -> World {
        World::new(None)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn build_dir(&self) -> PathBuf {
        self.path("build")
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn deploy(&self, name: &str, content: &[u8]) -> PathBuf {
        self.write(
            &format!("build/tmp/deploy/images/qemuamd64/{name}"),
            content,
        )
    }

    pub(crate) fn hashes(&self) -> String {
        fs::read_to_string(self.path("artifact-hashes.nix")).unwrap_or_default()
    }

    /// Does something with a context for a variant.
    pub(crate) fn step<F: Future<Output = StepResult>>(
        &self,
        id: &str,
        capture: CapturePolicy,
        work: impl FnOnce(StepContext) -> F,
    ) -> Ended {
        let services = StepServices {
            registry: self.registry.clone(),
            capture,
            build: None,
            products: isar_build_all::store::products::PRODUCTS.to_vec(),
            threads: 2,
        };
        let stage = Stage {
            node: format!("step:qemuamd64/{id}"),
            variant: variant(id),
            settings: Arc::clone(&self.settings),
            services: Arc::new(services),
            dir: self.dir.path(),
            clock: Arc::clone(&self.registry.clock),
            stop: self.level.subscribe(),
        };
        let (result, events) = stage.run(work);
        Ended { result, events }
    }

    fn run(
        &self,
        id: &str,
        step: &dyn Step,
        state: &mut VariantState,
        capture: CapturePolicy,
    ) -> Ended {
        self.step(id, capture, |cx| async move { step.run(&cx, state).await })
    }

    pub(crate) fn built(&self) -> Provenance {
        Provenance::Built(Arc::clone(&self.registry.records))
    }

    pub(crate) fn policy(&self, provenance: &Provenance) -> CapturePolicy {
        CapturePolicy {
            build_dir: Some(self.build_dir()),
            ..CapturePolicy::new(provenance.clone())
        }
    }

    /// Captures; where the test says nothing else, the deploy directory was empty before the build.
    pub(crate) fn capture(
        &self,
        id: &str,
        state: &mut VariantState,
        provenance: &Provenance,
    ) -> Ended {
        self.capture_by(id, state, self.policy(provenance))
    }

    pub(crate) fn capture_by(
        &self,
        id: &str,
        state: &mut VariantState,
        policy: CapturePolicy,
    ) -> Ended {
        state.deploy_snapshot.get_or_insert_default();
        self.run(id, &CaptureDeployed, state, policy)
    }

    pub(crate) fn register(&self, id: &str, state: &mut VariantState) -> Ended {
        self.run(id, &Register, state, self.policy(&Provenance::Adopted))
    }

    pub(crate) fn take_output(&self, id: &str, state: &mut VariantState) -> Ended {
        self.run(id, &CaptureOutput, state, self.policy(&Provenance::Adopted))
    }

    pub(crate) fn compress(&self, id: &str, state: &mut VariantState) -> Ended {
        self.run(id, &Compress, state, self.policy(&Provenance::Adopted))
    }

    /// Captures and registers; the last result.
    pub(crate) fn both(&self, id: &str) -> Ended {
        let mut state = VariantState::default();
        let ended = self.capture(id, &mut state, &self.built());
        if ended.result.outcome != Outcome::Succeeded {
            return ended;
        }
        self.register(id, &mut state)
    }

    /// The same, with what is made in between.
    pub(crate) fn all(&self, id: &str) -> Ended {
        let mut state = VariantState::default();
        for ended in [
            self.capture(id, &mut state, &self.built()),
            self.compress(id, &mut state),
        ] {
            if ended.result.outcome != Outcome::Succeeded {
                return ended;
            }
        }
        self.register(id, &mut state)
    }

    /// The text with what differs from run to run replaced.
    pub(crate) fn shown(&self, text: &str) -> String {
        let mut text = text
            .replace(self.dir.path().to_str().unwrap(), "DIR")
            // Which of the two it is depends on the file system of the test.
            .replace("\"how\":\"reflinked\"", "\"how\":\"copied\"");
        if let Some(nix) = &self.nix {
            text = text.replace(nix.dir().to_str().unwrap(), "NIX");
        }
        text
    }

    pub(crate) fn why(&self, ended: &Ended) -> String {
        let StepResult { outcome, why, hint } = &ended.result;
        self.shown(&format!(
            "{}: {}\nhint: {}\n",
            outcome.as_str(),
            why.as_deref().unwrap_or("-"),
            hint.as_deref().unwrap_or("-")
        ))
    }

    pub(crate) fn left(&self, path: &str) -> Vec<String> {
        names_in(&self.path(path))
    }

    pub(crate) fn assert_registered(&self, id: &str, name: &str, content: &[u8]) {
        let unique = format!("isar-{id}-qemuamd64{name}");
        let entry = self.path("artifacts/qemuamd64").join(&unique);
        let sha256: [u8; 32] = Sha256::digest(content).into();
        let target = fs::read_link(&entry).unwrap();
        assert_eq!(
            target,
            self.registry.store.path_of(&sha256, &unique).unwrap()
        );
        assert_eq!(fs::read(&entry).unwrap(), content);
        let text = self.hashes();
        assert_eq!(parse(&text).unwrap().get(&unique), Some(sha256));
        let record = self
            .registry
            .records
            .last_registered(&unique)
            .unwrap()
            .unwrap();
        assert_eq!(record.store_path, target);
    }
}

pub(crate) fn variant(id: &str) -> Variant {
    let artifact = |kind: &str, suffix: &str, optional| Artifact {
        kind: kind.to_owned(),
        unique_name: format!("isar-{id}-qemuamd64{suffix}"),
        deploy_name: format!("image-debian-qemuamd64{suffix}"),
        attr: kind.to_owned(),
        optional,
        unique: false,
        // A variant of which something is made says so by its id.
        products: match kind {
            "wic" if id.starts_with("packed") => [Method::zst(3), Method::bmap()]
                .map(|method| DeclaredProduct::of(&format!("isar-{id}-qemuamd64{suffix}"), method))
                .to_vec(),
            _ => Vec::new(),
        },
        format: Format::Any,
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
            artifact("wic", ".wic", false),
            artifact("vmlinuz", "-vmlinuz", false),
            artifact("bmap", ".wic.bmap", true),
        ],
    }
}

pub(crate) fn worlds() -> Vec<World> {
    let ways = [StoreWrite::Auto, StoreWrite::Direct, StoreWrite::AddFixed];
    let of_nix = |write| World::new(Some((PrivateNix::new(), write)));
    let mut worlds = vec![World::local()];
    worlds.extend(ways.map(of_nix));
    worlds
}

pub(crate) fn gate(ended: &Ended) -> Option<(&str, GateVerdict)> {
    ended.events.iter().rev().find_map(|event| match event {
        EventKind::Gate { name, verdict, .. } => Some((name.as_str(), *verdict)),
        _ => None,
    })
}
