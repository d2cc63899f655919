//! At most so many requests at a time for the local replica; the rest wait in a bounded queue, as
//! HAProxy's `maxconn` has it. A replica that is flooded answers nobody; one that is fed steadily
//! answers everybody a little later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::respond::Failure;

/// The door to the local replica.
#[derive(Debug)]
pub struct Admission {
    slots: Arc<Semaphore>,
    capacity: usize,
    waiting: AtomicUsize,
    queue_limit: usize,
    queue_timeout: Duration,
}

/// One request's place at the replica; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: OwnedSemaphorePermit,
}

impl Admission {
    /// `capacity` requests at a time; beyond it up to `queue_limit` wait for at most
    /// `queue_timeout`.
    pub fn new(capacity: usize, queue_limit: usize, queue_timeout: Duration) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(capacity)),
            capacity,
            waiting: AtomicUsize::new(0),
            queue_limit,
            queue_timeout,
        }
    }

    /// A place, if there is one at once.
    pub fn try_enter(&self) -> Option<Permit> {
        let slot = self.slots.clone().try_acquire_owned().ok()?;
        Some(Permit { _slot: slot })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Failure::QueueFull`] at once when too many wait already, [`Failure::QueueTimeout`] when
    /// the wait was in vain.
    pub async fn wait(&self) -> Result<Permit, Failure> {
        let Some(_waiting) = Waiting::join(self) else {
            return Err(Failure::QueueFull);
        };
        match tokio::time::timeout(self.queue_timeout, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(Permit { _slot: slot }),
            // Never closed.
            Ok(Err(_)) => Err(Failure::Internal),
            Err(_) => Err(Failure::QueueTimeout),
        }
    }

    /// Requests at the replica now.
    pub fn in_flight(&self) -> usize {
        self.capacity - self.slots.available_permits()
    }

    /// Requests that may be at the replica.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Requests that may wait.
    pub fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back even when the request is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(admission: &'a Admission) -> Option<Self> {
        let joined =
            admission
                .waiting
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                    (waiting < admission.queue_limit).then_some(waiting + 1)
                });
        // Made only when it is taken: dropping it gives a place back.
        joined.is_ok().then(|| Self(&admission.waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_capacity_requests_wait_and_beyond_the_queue_they_are_refused() {
        let admission = Arc::new(Admission::new(1, 1, Duration::from_secs(5)));
        let first = admission.try_enter().unwrap();
        assert_eq!((admission.in_flight(), admission.waiting()), (1, 0));

        let second = tokio::spawn({
            let admission = admission.clone();
            async move { admission.wait().await }
        });
        while admission.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.wait().await.unwrap_err(), Failure::QueueFull);

        drop(first);
        let second = second.await.unwrap().unwrap();
        assert_eq!((admission.in_flight(), admission.waiting()), (1, 0));

        assert_eq!(admission.wait().await.unwrap_err(), Failure::QueueTimeout);
        drop(second);
        assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_the_queue_gives_its_place_back() {
        let admission = Arc::new(Admission::new(1, 1, Duration::from_secs(5)));
        let _first = admission.try_enter().unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(1), admission.wait()).await;
        assert!(waiting.is_err());
        assert_eq!(admission.waiting(), 0);
    }
}
