//! What we and the watcher say to each other: one JSON object a line, each way.

use serde::{Deserialize, Serialize};

use crate::exec::Undo;

/// From us to the watcher. Exactly one of the words is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatcherRequest {
    /// Undo what stands next to this word when we are gone. A second time with the same id adds to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guard: Option<String>,
    /// What to undo.
    #[serde(flatten)]
    pub(super) undo: Undo,
    /// It ended well; forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    /// Undo it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<String>,
    /// We end and nothing is left to undo.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) bye: bool,
}

/// From the watcher to us.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatcherAnswer {
    /// It is in a session of its own and listens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) ready: bool,
    /// This guard is taken over.
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
