//! Words that kas-container passes on unchanged.
//!
//! kas-container is a shell script that expands most of its arguments and variables without quotes. A word that the
//! shell would split or expand is refused before anything is started.

use std::path::Path;

use crate::base::kas_word::{UnfitCharacter, check_argument, check_path};

/// A word that kas-container would split or expand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{word}` has {unfit}, which kas-container does not pass on")]
pub struct UnfitWord {
    what: String,
    word: String,
    unfit: UnfitCharacter,
}

impl UnfitWord {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.what.starts_with("the ") {
            "choose a path without white space, `:` and the shell's wildcards".to_owned()
        } else {
            "set it where the build reads it, as in local_conf_header of a kas file".to_owned()
        }
    }
}

/// Checks an argument or a value of a variable; `what` says which, for the error.
pub(super) fn argument(what: &str, word: &str) -> Result<(), UnfitWord> {
    check_argument(word).map_err(|unfit| UnfitWord {
        what: what.to_owned(),
        word: word.to_owned(),
        unfit,
    })
}

/// Checks a path of a mount or of a kas file.
pub(super) fn path(what: &str, path: &Path) -> Result<(), UnfitWord> {
    let word = path.to_string_lossy();
    check_path(&word).map_err(|unfit| UnfitWord {
        what: what.to_owned(),
        word: word.into_owned(),
        unfit,
    })
}
