//! Moments one after the other, for what would stop everybody else if thousands did it at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far they are apart.
const APART: Duration = Duration::from_millis(1);

/// Gives out moments.
#[derive(Debug, Default)]
pub(crate) struct Spaced(Mutex<Option<Instant>>);

impl Spaced {
    /// Now, or as soon as nobody else has the moment. None if that is after `until`.
    pub(crate) fn next(&self, until: Instant) -> Option<Instant> {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = last.map_or(now, |last| now.max(last + APART));
        (next <= until).then(|| *last.insert(next))
    }
}

/// Says seldom what thousands could make it say.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it was not said for this long, and so may be said now.
    pub(crate) fn may_say(&self, pause: Duration) -> bool {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.duration_since(last) >= pause);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_said_is_not_said_again_soon() {
        let (seldom, pause) = (Seldom::default(), Duration::from_secs(60));
        assert!(seldom.may_say(pause));
        tokio::time::advance(pause - Duration::from_secs(1)).await;
        assert!(!seldom.may_say(pause));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seldom.may_say(pause));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_at_once_is_spread_and_what_comes_alone_is_not_late() {
        let (spaced, began) = (Spaced::default(), Instant::now());
        for at in 0..100 {
            assert_eq!(spaced.next(began + APART * 99), Some(began + APART * at));
        }
        // Who gets none takes none.
        assert_eq!(spaced.next(began + APART * 99), None);
        assert_eq!(spaced.next(began + APART * 100), Some(began + APART * 100));
        tokio::time::advance(Duration::from_secs(1)).await;
        let now = Instant::now();
        assert_eq!(spaced.next(now), Some(now));
    }
}
