//! A bound on the TLS handshakes that are under way at the same time: each costs a signature and
//! some memory before anybody has said who he is.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

/// A handshake that has its place for longer than this loses it as soon as another one waits:
/// clients that stop in the middle must not keep all others out until their deadline.
const TURN: Duration = Duration::from_secs(2);

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Handshakes {
    places: ArcSwap<Semaphore>,
    /// How many wait for a place.
    waiting: watch::Sender<usize>,
}

/// One that waits.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Handshakes {
    /// This many at once.
    pub(crate) fn new(places: NonZeroUsize) -> Self {
        Self {
            places: ArcSwap::from_pointee(Semaphore::new(places.get())),
            waiting: watch::Sender::new(0),
        }
    }

    /// From now on this many at once, those that are under way not counted.
    pub(crate) fn set(&self, places: NonZeroUsize) {
        self.places.store(Arc::new(Semaphore::new(places.get())));
    }

    /// Goes through with a handshake once there is a place for it; none if it had to make room.
    pub(crate) async fn shake<T>(&self, handshake: impl Future<Output = T>) -> Option<T> {
        let places = self.places.load_full();
        let _place = match places.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                // Never closed, so there is one in the end.
                places.acquire().await.ok()?
            }
        };
        tokio::select! {
            biased;
            shaken = handshake => Some(shaken),
            () = self.overdue() => None,
        }
    }

    async fn overdue(&self) {
        tokio::time::sleep(TURN).await;
        // The sender is in our own hands.
        let _ = self
            .waiting
            .subscribe()
            .wait_for(|waiting| *waiting > 0)
            .await;
    }
}

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn who_stops_in_the_middle_makes_room_for_who_waits() {
        let handshakes = Arc::new(Handshakes::new(NonZeroUsize::MIN));
        let stuck = tokio::spawn({
            let handshakes = handshakes.clone();
            async move { handshakes.shake(pending::<()>()).await }
        });
        tokio::time::sleep(3 * TURN).await;
        assert!(!stuck.is_finished(), "nobody waits");
        let began = Instant::now();
        assert_eq!(handshakes.shake(async { 1 }).await, Some(1));
        assert!(began.elapsed() < TURN, "overdue already");
        assert_eq!(stuck.await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_its_turn_however_many_wait() {
        let handshakes = Handshakes::new(NonZeroUsize::MIN);
        let slow = async {
            tokio::time::sleep(TURN / 2).await;
            1
        };
        let began = Instant::now();
        let both = tokio::join!(handshakes.shake(slow), handshakes.shake(async { 2 }));
        assert_eq!(both, (Some(1), Some(2)));
        assert_eq!(began.elapsed(), TURN / 2, "the second waited for the first");
    }

    #[tokio::test(start_paused = true)]
    async fn more_places_are_there_at_once() {
        let handshakes = Handshakes::new(NonZeroUsize::MIN);
        let stuck = handshakes.shake(pending::<()>());
        let later = async {
            handshakes.set(NonZeroUsize::MIN.saturating_add(1));
            let began = Instant::now();
            let shaken = handshakes.shake(async { 2 }).await;
            (shaken, began.elapsed())
        };
        tokio::select! {
            biased;
            _ = stuck => unreachable!(),
            shaken = later => assert_eq!(shaken, (Some(2), Duration::ZERO)),
        }
    }
}
