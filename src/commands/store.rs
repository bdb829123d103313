//! The store that a run registers in, and how it is written to.

use crate::settings::StoreWrite;
use crate::state::StateDir;
use crate::store::{LocalStore, NixStore, Store};
use crate::tools::{self, NixAccess, Note};

/// The store, and what there is to say about how it is written to.
pub(super) fn open(
    store: tools::Store,
    state: &StateDir,
    write: StoreWrite,
) -> (Store, Option<Note>) {
    let nix = match store {
        tools::Store::Nix(nix) => nix,
        tools::Store::Local { .. } => {
            return (Store::Local(LocalStore::new(state.store())), None);
        }
    };
    let access = nix.access;
    let mut store = NixStore {
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
    (Store::Nix(store), note)
}
