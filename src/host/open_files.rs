//! The limit on files that this process may have open. A process can raise its soft limit up to the
//! hard limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to `needed` files where it is lower, as far as the hard limit allows.
/// Returns the limit that holds afterwards; none where there is no limit.
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
        // A seccomp filter can forbid the call; the limit is then unchanged.
        Err(_) => Some(allowed),
    }
}
