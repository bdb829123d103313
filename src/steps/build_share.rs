//! The build share: a build's share of the processor, and its way to release the builds that wait for it.

use tokio::sync::mpsc::UnboundedSender;

use crate::plan::NodeIx;

/// A node's share of the run's processor cores.
#[derive(Debug, Clone, Default)]
pub struct BuildShare {
    /// The number of threads; absent where they are not divided.
    pub threads: Option<u32>,
    followers: Option<(UnboundedSender<NodeIx>, NodeIx)>,
}

impl BuildShare {
    /// The share of a node whose followers are released through `release`.
    #[must_use]
    pub fn new(node: NodeIx, threads: Option<u32>, release: UnboundedSender<NodeIx>) -> BuildShare {
        BuildShare {
            threads,
            followers: Some((release, node)),
        }
    }

    /// Reports that the node's shared state is in the cache, so that its followers may start. Idempotent.
    pub fn release_followers(&self) {
        if let Some((release, node)) = &self.followers {
            // The receiver is gone only when the run is over.
            let _ = release.send(*node);
        }
    }
}
