//! How many files this process may have open: a soft limit that it may raise itself up to a hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to `needed` files where it is lower, as far as the hard limit allows. Returns how
/// many may be open then; none where there is no limit.
#[must_use]
pub fn allow(needed: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = current?;
    let raised = maximum.map_or(needed, |most| most.min(needed));
    if raised <= allowed {
        return Some(allowed);
    }
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => Some(raised),
        // A filter may forbid it; then it is as it was.
        Err(_) => Some(allowed),
    }
}
