//! Opens the store in which a run registers.

use crate::exec::Undo;
use crate::settings::StoreWrite;
use crate::state::StateDir;
use crate::store::{LocalStore, NixStore, Store, WRITER_MARK, writer_mark};
use crate::tools;
use crate::tools::{NixAccess, ToolNote};

/// An opened store.
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// A note on the way in which it is written, if the user should know.
    pub(crate) note: Option<ToolNote>,
    /// Ends the programs that write into it; `None` where none is started.
    pub(crate) undo: Option<Undo>,
}

/// Opens the store for the run `run`.
pub(crate) fn open(
    store: tools::FoundStore,
    state: &StateDir,
    write: StoreWrite,
    run: &str,
) -> Opened {
    let nix = match store {
        tools::FoundStore::Nix(nix) => nix,
        tools::FoundStore::Local { .. } => {
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
        note = refusal.map(|why| ToolNote {
            message: format!("the store is not written directly (store-write): {why}"),
            hint: "this is only slower; to silence it, set store-write = \"auto\"".to_owned(),
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
