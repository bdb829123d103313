//! The protocol between a run and its watcher: one JSON object a line, each way.

use serde::{Deserialize, Serialize};

use crate::exec::Undo;

/// From the run to the watcher. Exactly one of `guard`, `release`, `now` and `bye` is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatcherRequest {
    /// Undo the rest of this object if the run dies. A second one with the same id adds to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guard: Option<String>,
    /// The undo of `guard`.
    #[serde(flatten)]
    pub(super) undo: Undo,
    /// The guard's program ended well; forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    /// Undo this guard now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<String>,
    /// The run ends, and nothing is left to undo.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) bye: bool,
}

/// From the watcher to the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatcherAnswer {
    /// It is in a session of its own and listens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) ready: bool,
    /// The watcher has stored this guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ack: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_as_documented() {
        let request = WatcherRequest {
            guard: Some("a".to_owned()),
            undo: Undo {
                pgid: Some(42),
                stop: vec!["podman".to_owned(), "rm".to_owned()],
                ..Undo::default()
            },
            ..WatcherRequest::default()
        };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, r#"{"guard":"a","pgid":42,"stop":["podman","rm"]}"#);
        assert_eq!(
            serde_json::from_str::<WatcherRequest>(&line).unwrap(),
            request
        );
        let bye = WatcherRequest {
            bye: true,
            ..WatcherRequest::default()
        };
        assert_eq!(serde_json::to_string(&bye).unwrap(), r#"{"bye":true}"#);
    }
}
