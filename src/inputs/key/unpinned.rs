//! Inputs that can change without a change in the project, because nothing pins them. A build that used one counts
//! as current for a limited time only (`max-age`); the skip decision applies that limit.

use serde::{Deserialize, Serialize};

/// An input that is not pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Unpinned {
    /// A repository that follows a branch or a tag.
    Repository {
        /// Its name in the kas files.
        name: String,
        /// Its URL and the branch or tag.
        follows: String,
    },
    /// The Debian archive, without a snapshot.
    Apt,
    /// A container image that is not named by its digest.
    Image {
        /// Its name.
        name: String,
    },
    /// The tools of the host (or container) that kas runs in, when kas has no container of its own.
    Host,
}

impl Unpinned {
    /// The word for it in the setting `pinned`.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Unpinned::Repository { name, .. } => name,
            Unpinned::Apt => "apt",
            Unpinned::Image { .. } => "image",
            Unpinned::Host => "host",
        }
    }

    /// Whether it is the container image, whose digest the engine reports.
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
