//! Build services: what the builds of a run share.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::exec::watcher::Watcher;
use crate::inputs::observer::InputObserver;
use crate::matrix::VariantKey;
use crate::plan::affinity::SharedState;
use crate::steps::build::disk_reservation::DiskReservations;
use crate::steps::build::threads::ThreadVariables;
use crate::steps::build::warm_up::WarmUp;
use crate::tools::Runner;
use crate::wsl::guard_setup::GuardSetup;

/// The programs and directories of builds.
#[derive(Clone)]
pub struct BuildTools {
    /// The program that runs kas.
    pub runner: Runner,
    /// The watcher that ends a build when this process is killed; absent: nothing ends it then.
    pub watcher: Option<Watcher>,
    /// The guard against builds that hang on a Windows drive; absent where there is no such drive.
    pub guarding: Option<GuardSetup>,
    /// The directory of variants.toml, to which the paths of kas files are relative.
    pub project_dir: PathBuf,
    /// The directory that holds `proc` and `sys`: `/`, except in tests.
    pub system_root: PathBuf,
}

/// The services that the builds of a run share.
pub struct BuildServices {
    /// The programs and directories.
    pub tools: BuildTools,
    /// The warm-up that one build does before the others start.
    pub warm_up: WarmUp,
    /// The disk space that running builds have reserved.
    pub disk: Arc<DiskReservations>,
    /// The observer of inputs; absent: the builds leave no input key.
    pub inputs: Option<Arc<InputObserver>>,
    /// The variants that are built in a clean directory (`--rebuild`).
    pub rebuild: HashSet<VariantKey>,
    /// The state that variants share through the shared-state cache.
    pub shared: HashMap<VariantKey, Arc<SharedState>>,
    /// The variables that set a build's number of threads.
    pub thread_variables: ThreadVariables,
}

impl BuildServices {
    /// The services of builds that share nothing and do not wait for each other.
    #[must_use]
    pub fn new(tools: BuildTools) -> BuildServices {
        BuildServices {
            tools,
            warm_up: WarmUp::default(),
            disk: Arc::default(),
            inputs: None,
            rebuild: HashSet::new(),
            shared: HashMap::new(),
            thread_variables: ThreadVariables::default(),
        }
    }
}
