//! The variables that set a build's number of threads.

use crate::steps::build_share::BuildShare;

/// BitBake's own variable, and that of compilations. Neither changes what is built, and BitBake leaves both out of
/// its signatures.
pub const THREAD_VARIABLES: [&str; 2] = ["BB_NUMBER_THREADS", "PARALLEL_MAKE"];

/// The thread variables that builds get from this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadVariables {
    user_set: [bool; 2],
}

impl ThreadVariables {
    /// Leaves out the variables for which `is_user_set` is true: a user's value wins.
    #[must_use]
    pub fn without(is_user_set: impl Fn(&str) -> bool) -> ThreadVariables {
        ThreadVariables {
            user_set: THREAD_VARIABLES.map(is_user_set),
        }
    }

    /// The variables of a build with this share, and their values.
    #[must_use]
    pub fn of(self, share: &BuildShare) -> Vec<(&'static str, String)> {
        let Some(threads) = share.threads else {
            return Vec::new();
        };
        let values = [threads.to_string(), format!("-j {threads}")];
        THREAD_VARIABLES
            .into_iter()
            .zip(values)
            .zip(self.user_set)
            .filter(|(_, user_set)| !user_set)
            .map(|(variable, _)| variable)
            .collect()
    }
}
