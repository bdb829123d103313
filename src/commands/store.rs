//! The store that a run registers in, and how it is written to.

use crate::exec::Undo;
use crate::settings::StoreWrite;
use crate::state::StateDir;
use crate::store::{LocalStore, NixStore, Store, WRITER_MARK, writer_mark};
use crate::tools::{self, NixAccess, Note};

/// A store that a run registers in.
pub(super) struct Opened {
    pub(super) store: Store,
    /// What there is to say about how it is written to.
    pub(super) note: Option<Note>,
    /// What ends the programs that write into it; none where none is started.
    pub(super) undo: Option<Undo>,
}

/// Opens the store for the run `run`.
pub(super) fn open(store: tools::Store, state: &StateDir, write: StoreWrite, run: &str) -> Opened {
    let nix = match store {
        tools::Store::Nix(nix) => nix,
        tools::Store::Local { .. } => {
            return Opened {
                store: Store::Local(LocalStore::new(state.store())),
                note: None,
                undo: None,
            };
        }
    };
    let access = nix.access;
    let mark = writer_mark(run, state.root());
    let mut store = NixStore {
        env: vec![(WRITER_MARK.into(), mark.clone().into())],
        store_dir: nix.store_dir,
        state_dir: nix.state_dir,
        ..NixStore::new(nix.program)
    };
    if write != StoreWrite::AddFixed {
        store.instantiate = nix.instantiate;
    }
    let mut note = None;
    if write == StoreWrite::Direct {
        let refusal = match access {
            NixAccess::Daemon => Some("it is the Nix daemon's".to_owned()),
            NixAccess::SingleUser => store.not_direct(),
        };
        store.direct = refusal.is_none();
        note = refusal.map(|why| Note {
            message: format!("the store is not written directly (store-write): {why}"),
            hint: "nothing is lost but time; where that is meant, set store-write = \"auto\""
                .to_owned(),
        });
    }
    Opened {
        store: Store::Nix(store),
        note,
        undo: Some(Undo {
            marks: vec![format!("{WRITER_MARK}={mark}")],
            ..Undo::default()
        }),
    }
}
