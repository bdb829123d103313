//! The clock that gives events their time.

use std::sync::Arc;

use jiff::Timestamp;

/// A source of time, passed in so that tests have stable output.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system() -> Clock {
    Arc::new(Timestamp::now)
}
