//! Node ids as events carry them: `step:machine/id`.

/// The two parts of a node id. This is the one place that takes an id apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRef<'a> {
    /// The step's kind: `build`.
    pub step: &'a str,
    /// The variant: `machine/id`.
    pub variant: &'a str,
}

impl<'a> NodeRef<'a> {
    /// Splits an id at its colon. An id without one, as a damaged record may hold, is both parts.
    #[must_use]
    pub fn of(id: &'a str) -> NodeRef<'a> {
        let (step, variant) = id.split_once(':').unwrap_or((id, id));
        NodeRef { step, variant }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ref_splits_at_the_first_colon() {
        let split = |id| {
            let node = NodeRef::of(id);
            (node.step, node.variant)
        };

        assert_eq!(split("build:qemuamd64/base"), ("build", "qemuamd64/base"));
        assert_eq!(split("build:m/a:b"), ("build", "m/a:b"));
        assert_eq!(split("odd"), ("odd", "odd"));
    }
}
