//! What a build is given of the machine when it starts, and how it says that others may follow. Knows
//! nothing of who gives it.

use tokio::sync::mpsc::UnboundedSender;

use crate::model::plan::NodeIx;

/// What a build is given.
#[derive(Debug, Clone, Default)]
pub struct Share {
    /// Its threads; none where they are not divided.
    pub threads: Option<u32>,
    go: Option<(UnboundedSender<NodeIx>, NodeIx)>,
}

impl Share {
    /// Of a node whose followers are let go through `go`.
    #[must_use]
    pub fn new(node: NodeIx, threads: Option<u32>, go: UnboundedSender<NodeIx>) -> Share {
        Share {
            threads,
            go: Some((go, node)),
        }
    }

    /// What this build shares with others is there. Saying it more than once changes nothing.
    pub fn let_go(&self) {
        if let Some((go, node)) = &self.go {
            // Nobody listens any more when the run is over.
            let _ = go.send(*node);
        }
    }
}
