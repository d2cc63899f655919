//! Moments one after the other, for what would stop everybody else if thousands did it at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far they are apart. A client that is refused may have megabytes under way, which are read
/// away.
const APART: Duration = Duration::from_millis(1);
/// How far ahead they are at most: beyond that, several share one.
const LONGEST: Duration = Duration::from_secs(4);

/// Gives out moments.
#[derive(Debug, Default)]
pub(crate) struct Spaced(Mutex<Option<Instant>>);

impl Spaced {
    /// Now, or as soon as nobody else has the moment.
    pub(crate) fn next(&self) -> Instant {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = last.map_or(now, |last| now.max(last + APART));
        *last.insert(next.min(now + LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_at_once_is_spread_and_what_comes_alone_is_not_late() {
        let (spaced, began) = (Spaced::default(), Instant::now());
        let after = || spaced.next() - began;
        for at in 0..100 {
            assert_eq!(after(), APART * at);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(after(), Duration::from_secs(1));
        for _ in 0..10_000 {
            assert!(after() <= Duration::from_secs(1) + LONGEST);
        }
        tokio::time::advance(LONGEST + APART).await;
        assert_eq!(spaced.next(), Instant::now());
    }
}
