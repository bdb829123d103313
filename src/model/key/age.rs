//! What nothing pins: it can change without a change of ours, so a build on it counts as current for a
//! while only. Knows nothing of clocks.

use serde::{Deserialize, Serialize};

/// Something that is not pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Unpinned {
    /// A repository that follows a branch or a tag.
    Repository {
        /// Its name in the kas files.
        name: String,
        /// Where it is and what it follows.
        follows: String,
    },
    /// The Debian archive, without a snapshot.
    Apt,
    /// A container image that is not named by its digest.
    Image {
        /// Its name.
        name: String,
    },
    /// The tools of the image or host that we run in ourselves.
    Host,
}

impl Unpinned {
    /// The word with which the setting `pinned` vouches for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Unpinned::Repository { name, .. } => name,
            Unpinned::Apt => "apt",
            Unpinned::Image { .. } => "image",
            Unpinned::Host => "host",
        }
    }

    /// Whether the engine can say that it is still the same.
    #[must_use]
    pub fn is_image(&self) -> bool {
        matches!(self, Unpinned::Image { .. })
    }
}

impl std::fmt::Display for Unpinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unpinned::Repository { name, follows } => {
                write!(f, "repository {name} follows {follows}")
            }
            Unpinned::Apt => write!(f, "the Debian archive is used without a snapshot"),
            Unpinned::Image { name } => write!(f, "image {name} is not named by its digest"),
            Unpinned::Host => write!(f, "kas runs without a container of its own"),
        }
    }
}
