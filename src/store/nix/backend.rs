//! The Nix store as a backend: finds it, chooses how it is written, opens it for a run or from a journal.

use std::fs;
use std::path::{Path, PathBuf};

use crate::event::ArtifactOrigin;
use crate::exec::Undo;
use crate::settings::{Environment, StoreChoice, StoreWord, StoreWrite};
use crate::store::backend::{
    Backend, FoundStore, GcRoots, NoStore, OpenStore, OpenedStore, StoreFinding, StoreRun,
    StoreVerdict,
};
use crate::store::copy::Hashed;
use crate::store::error::StoreError;
use crate::store::hashing::Want;
use crate::store::in_place::{FileInPlace, Go};
use crate::store::nix::{NixStore, WRITER_MARK, delete_command, text, writer_mark};
use crate::store::path as store_path;
use crate::store::place::StorePlace;
use crate::store::{Added, CaptureWay, Captured, Hold, Store};
use crate::tools::{Nix, NixAccess, NoNix, ToolNote};

/// The name of the backend.
const NAME: &str = "nix";

/// The Nix store.
#[derive(Debug)]
pub struct NixBackend;

impl Backend for NixBackend {
    fn word(&self) -> StoreWord {
        StoreWord {
            name: NAME,
            help: "The Nix store",
        }
    }

    fn title(&self) -> &'static str {
        "the Nix store"
    }

    fn is_automatic(&self) -> bool {
        true
    }

    fn find(&self, environment: &Environment) -> Result<Box<dyn FoundStore>, NoStore> {
        Nix::find(environment)
            .map(|nix| -> Box<dyn FoundStore> { Box::new(nix) })
            .map_err(|why| no_store(&why))
    }

    fn reopen(&self, place: &StorePlace) -> Result<Store, StoreError> {
        let path = |name| {
            let missing = || StoreError::Place(place.kind.clone());
            place.path(name).ok_or_else(missing)
        };
        Ok(Store::from(NixStore {
            store_dir: path("store_dir")?,
            state_dir: path("state_dir")?,
            ..NixStore::new(path("program")?)
        }))
    }

    /// For an output entry, which is outside of the store's own directory, Nix makes an *indirect* root: a link in
    /// `gcroots/auto` whose text is the entry's path (nix-store(1), `--indirect`). When the project is moved, that link
    /// dangles, and the collector may remove the store path although the entry points to it.
    fn roots(&self, record: &str) -> Option<GcRoots> {
        let state_dir = record.strip_prefix(NAME)?.strip_prefix(' ')?;
        let links = fs::read_dir(Path::new(state_dir).join("gcroots/auto"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .collect();
        Some(GcRoots {
            links,
            collector: "Nix's garbage collector",
        })
    }

    fn examine(&self, choice: &StoreChoice, environment: &Environment) -> Option<StoreFinding> {
        Some(finding(choice, Nix::find(environment)))
    }
}

fn no_store(why: &NoNix) -> NoStore {
    let hint = why.hint();
    let remedy = hint
        .clone()
        .unwrap_or_else(|| "`sudo apt install nix-bin`, or https://nixos.org/download".to_owned());
    NoStore {
        why: why.to_string(),
        hint,
        remedy: format!("{remedy}; or set `store = \"local\"`"),
    }
}

fn finding(choice: &StoreChoice, nix: Result<Nix, NoNix>) -> StoreFinding {
    let other = match choice {
        StoreChoice::Named(name) if name != NAME => Some(name.as_str()),
        StoreChoice::Auto | StoreChoice::Named(_) => None,
    };
    let is_named = *choice == StoreChoice::Named(NAME.to_owned());
    let instead = format!("artifacts go to the {} store", other.unwrap_or("local"));
    let (verdict, message, hint) = match &nix {
        Ok(nix) => {
            let access = match nix.access {
                NixAccess::SingleUser => "of one user, without a daemon",
                NixAccess::Daemon => "through its daemon",
            };
            let store = nix.store_dir.display();
            let message = match other {
                Some(_) => format!("{store} is not used: {instead}"),
                None => format!("{store}, {access}"),
            };
            (StoreVerdict::Good, message, None)
        }
        Err(why) if is_named => {
            let no = no_store(why);
            let message = format!(
                "the settings ask for {}, and {}",
                NixBackend.title(),
                no.why
            );
            (StoreVerdict::Unusable, message, Some(no.remedy))
        }
        Err(NoNix::Absent) => {
            let message = format!("not installed: {instead}");
            (StoreVerdict::Good, message, None)
        }
        Err(why) if other.is_some() => (StoreVerdict::Good, format!("not needed ({why})"), None),
        // An installed Nix is most likely meant to be used.
        Err(why) => (
            StoreVerdict::Doubtful,
            format!("{why}; {instead}"),
            why.hint(),
        ),
    };
    StoreFinding {
        name: "nix-store",
        verdict,
        program: nix.ok().map(|nix| (nix.program, nix.version)),
        message,
        hint,
    }
}

impl FoundStore for Nix {
    fn open(&self, run: &StoreRun<'_>) -> OpenedStore {
        let mark = writer_mark(run.id, run.state_dir);
        let mut store = NixStore {
            env: vec![(WRITER_MARK.into(), mark.clone().into())],
            store_dir: self.store_dir.clone(),
            state_dir: self.state_dir.clone(),
            ..NixStore::new(self.program.clone())
        };
        if run.write != StoreWrite::AddFixed {
            store.instantiate.clone_from(&self.instantiate);
        }
        let mut note = None;
        if run.write == StoreWrite::Direct {
            let refusal = match self.access {
                NixAccess::Daemon => Some("it is the Nix daemon's".to_owned()),
                NixAccess::SingleUser => store.not_direct(),
            };
            store.direct = refusal.is_none();
            note = refusal.map(|why| ToolNote {
                message: format!("the store is not written directly (store-write): {why}"),
                hint: "nothing is lost but time; where that is meant, set store-write = \"auto\""
                    .to_owned(),
            });
        }
        OpenedStore {
            store: Store::from(store),
            note,
            undo: Some(Undo {
                marks: vec![format!("{WRITER_MARK}={mark}")],
                ..Undo::default()
            }),
        }
    }
}

impl OpenStore for NixStore {
    fn kind(&self) -> &'static str {
        NAME
    }

    fn dir(&self) -> &Path {
        &self.store_dir
    }

    fn place(&self) -> StorePlace {
        let fields = [
            ("program", self.program.as_path()),
            ("store_dir", &self.store_dir),
            ("state_dir", &self.state_dir),
        ];
        StorePlace::new(NAME, &fields)
    }

    fn record(&self) -> String {
        format!("{NAME} {}", self.state_dir.display())
    }

    fn want(&self) -> Want {
        Want::FlatAndNar
    }

    fn capture_way(&self, run: &str) -> CaptureWay {
        if self.direct {
            CaptureWay::Staged(Some(self.staging(run)))
        } else if self.instantiate.is_some() {
            CaptureWay::InPlace
        } else {
            CaptureWay::Staged(None)
        }
    }

    fn path_of(&self, sha256: &[u8; 32], name: &str) -> Result<PathBuf, StoreError> {
        let store_dir = text(&self.store_dir)?;
        Ok(store_path::flat_path(store_dir, sha256, name)?.into())
    }

    fn lock(&self, stop: &(dyn Fn() -> bool + Sync)) -> Result<Option<fs::File>, StoreError> {
        self.lock_collector(stop)
    }

    fn has(&self, hold: &Hold, sha256: &[u8; 32], name: &str) -> Result<bool, StoreError> {
        self.is_valid(hold, &self.path_of(sha256, name)?)
    }

    fn is_valid(&self, hold: &Hold, path: &Path) -> Result<bool, StoreError> {
        self.check_validity(hold, path)
    }

    fn may_collect(&self, hold: &Hold) -> bool {
        !hold.is_locked()
    }

    fn insert(&self, hold: &Hold, captured: &Captured) -> Result<Added, StoreError> {
        let name = &captured.unique_name;
        let store_path = self.path_of(&captured.sha256, name)?;
        let how = if self.is_valid(hold, &store_path)? {
            self.check_file(&store_path, captured)?;
            captured.added.unwrap_or(ArtifactOrigin::AlreadyValid)
        } else {
            self.put(hold, captured, &store_path)?
        };
        self.check_recorded_hash(hold, &store_path, captured)?;
        Ok(Added { store_path, how })
    }

    fn add_in_place(
        &self,
        hold: &Hold,
        file: &FileInPlace<'_>,
        go: &Go,
    ) -> Result<(Hashed, ArtifactOrigin), StoreError> {
        match &self.instantiate {
            Some(program) => self.hash_and_add(program, hold, file, go),
            None => Err(StoreError::NotInPlace(file.source.to_owned())),
        }
    }

    fn link(&self, hold: &Hold, added: &Added, link: &Path) -> Result<(), StoreError> {
        self.root_entry(hold, &added.store_path, link)
    }

    fn turn_back(&self, hold: &Hold, before: &Path, link: &Path) -> Result<(), StoreError> {
        self.root_again(hold, before, link)
    }

    fn half_written(&self) -> Vec<PathBuf> {
        self.unfinished_of_the_dead()
    }

    fn remove_command(&self, path: &Path) -> String {
        delete_command(path)
    }
}
