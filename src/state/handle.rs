//! Handles on the records and the journal for async code.
//!
//! Both block: SQLite waits up to 30 s for another writer, and the journal waits for the disk. A handle gives
//! access only inside of a call on the blocking pool, so that no async task can block its thread by mistake.

use std::sync::Arc;

use crate::exec::{BlockingError, StopLevel, StopSignal, blocking};
use crate::state::journal::Journal;
use crate::state::records::Records;

/// A shared blocking resource that async code reaches through [`BlockingHandle::call`] alone.
#[derive(Debug)]
pub struct BlockingHandle<R>(Arc<R>);

/// The records, for async code.
pub type RecordsHandle = BlockingHandle<Records>;

/// The journal, for async code.
pub type JournalHandle = BlockingHandle<Journal>;

impl<R> Clone for BlockingHandle<R> {
    fn clone(&self) -> BlockingHandle<R> {
        BlockingHandle(Arc::clone(&self.0))
    }
}

impl<R: Send + Sync + 'static> BlockingHandle<R> {
    /// A handle on a resource.
    #[must_use]
    pub fn new(resource: Arc<R>) -> BlockingHandle<R> {
        BlockingHandle(resource)
    }

    /// Runs `work` on the blocking pool and waits for its result, or until the run is stopped at `give_up` or
    /// above. A write that is left then may still take effect.
    ///
    /// # Errors
    /// Those of `work`, and [`BlockingError`].
    pub async fn call<T, E>(
        &self,
        stop: &StopSignal,
        give_up: StopLevel,
        work: impl FnOnce(&R) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<BlockingError> + Send + 'static,
    {
        let resource = Arc::clone(&self.0);
        blocking(stop, give_up, move || work(&resource)).await?
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::state::records::RecordsError;

    #[tokio::test]
    async fn a_kill_ends_the_wait_for_records_that_another_writer_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.sqlite");
        let records = RecordsHandle::new(Arc::new(Records::open(&path).unwrap()));
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let (sender, stop) = watch::channel(StopLevel::Run);
        let call = tokio::spawn(async move {
            records
                .call(&stop, StopLevel::Kill, Records::last_durations)
                .await
        });

        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!call.is_finished());
        sender.send_replace(StopLevel::Kill);

        let result = call.await.unwrap();
        assert!(matches!(
            result,
            Err(RecordsError::Blocking(BlockingError::Stopped))
        ));
        // The runtime of this test waits for the call that was left.
        other.execute_batch("ROLLBACK").unwrap();
    }
}
