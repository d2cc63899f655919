//! The slowest rate at which a body may move, while the client is the one who has to act.
//!
//! Only the time in which we wait for the client counts: an upload may stand still as long as the
//! upstream takes nothing, and a download as long as the upstream gives nothing.

use std::fmt;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::num::NonZeroU32;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// How long we must have waited for a client before its rate is judged; not longer than a client may
/// be silent.
const WINDOW: Duration = Duration::from_secs(30);

/// Inside an [`Error`]: the client moves a body more slowly than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooSlow {
    /// It sends too slowly.
    Sending,
    /// It reads too slowly.
    Reading,
}

/// Watches the bytes that go one way.
#[derive(Debug)]
pub(crate) struct Pace {
    /// In bytes per second.
    slowest: Option<NonZeroU32>,
    window: Duration,
    fault: TooSlow,
    /// Before the first byte a client may have to wait for us, as one that wants `100 Continue`.
    begun: bool,
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(slowest: Option<NonZeroU32>, silence: Duration, fault: TooSlow) -> Self {
        Self {
            slowest,
            window: WINDOW.min(silence),
            fault,
            begun: false,
            bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        }
    }

    /// Any rate will do.
    pub(crate) fn off() -> Self {
        Self::new(None, WINDOW, TooSlow::Reading)
    }

    /// Whether there is a rate to hold.
    pub(super) fn is_watching(&self) -> bool {
        self.slowest.is_some()
    }

    /// So many bytes have moved, after so long a wait for the client.
    ///
    /// # Errors
    /// Once the client has had its time and made too little of it.
    pub(super) fn moved(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        let Some(slowest) = self.slowest else {
            return Ok(());
        };
        if std::mem::replace(&mut self.begun, true) {
            self.waited += waited;
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.window {
            return Ok(());
        }
        let expected = self.waited.as_secs_f64() * f64::from(slowest.get());
        if (self.bytes as f64) < expected {
            return Err(self.fault);
        }
        self.waited = Duration::ZERO;
        self.bytes = 0;
        Ok(())
    }

    /// The same for a write that is polled: passes its result on, or an error in its place.
    pub(super) fn watch<T>(
        &mut self,
        polled: Poll<IoResult<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<IoResult<T>> {
        if !self.is_watching() {
            return polled;
        }
        let Poll::Ready(Ok(moved)) = &polled else {
            if polled.is_pending() && self.begun {
                self.waiting_since.get_or_insert_with(Instant::now);
            }
            return polled;
        };
        let waited = self.waiting_since.take().map(|since| since.elapsed());
        match self.moved(bytes(moved), waited.unwrap_or_default()) {
            Ok(()) => polled,
            Err(fault) => Poll::Ready(Err(fault.into())),
        }
    }
}

impl From<TooSlow> for Error {
    fn from(fault: TooSlow) -> Self {
        Self::new(ErrorKind::TimedOut, fault)
    }
}

impl TooSlow {
    /// What this error says of the client's pace, if it does.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sending => "the client sends too slowly",
            Self::Reading => "the client reads too slowly",
        })
    }
}

impl std::error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<NonZeroU32> = NonZeroU32::new(100);

    /// Waits, then moves so many bytes.
    async fn moves(pace: &mut Pace, wait: Duration, bytes: usize) -> IoResult<usize> {
        assert!(
            pace.watch(Poll::Pending, |bytes: &usize| *bytes)
                .is_pending()
        );
        tokio::time::sleep(wait).await;
        match pace.watch(Poll::Ready(Ok(bytes)), |bytes| *bytes) {
            Poll::Ready(moved) => moved,
            Poll::Pending => unreachable!(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_drips_is_given_up_and_who_walks_is_not() {
        for (bytes, within) in [(90, Some(31)), (100, None), (5000, None)] {
            let mut pace = Pace::new(RATE, WINDOW, TooSlow::Sending);
            let began = Instant::now();
            let mut ended = None;
            for _ in 0..300 {
                if let Err(error) = moves(&mut pace, Duration::from_secs(1), bytes).await {
                    assert_eq!(TooSlow::of(&error), Some(TooSlow::Sending));
                    ended = Some(began.elapsed().as_secs());
                    break;
                }
            }
            assert_eq!(ended, within, "{bytes} bytes a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_beginning_does_not_pay_for_ever() {
        let mut pace = Pace::new(RATE, WINDOW, TooSlow::Reading);
        moves(&mut pace, WINDOW, 1).await.unwrap();
        moves(&mut pace, WINDOW, 1 << 40).await.unwrap();
        let error = moves(&mut pace, WINDOW, 1000).await.unwrap_err();
        assert_eq!(TooSlow::of(&error), Some(TooSlow::Reading));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_is_not_its_own() {
        let mut pace = Pace::new(RATE, WINDOW, TooSlow::Sending);
        for _ in 0..100 {
            moves(&mut pace, Duration::from_millis(10), 1)
                .await
                .unwrap();
            // The upstream takes its time.
            tokio::time::sleep(Duration::from_secs(50)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_first_byte_a_client_may_wait_for_us() {
        let mut pace = Pace::new(RATE, WINDOW, TooSlow::Sending);
        moves(&mut pace, 10 * WINDOW, 1).await.unwrap();
        moves(&mut pace, WINDOW, 1).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_anything_goes() {
        let mut pace = Pace::new(None, WINDOW, TooSlow::Sending);
        for _ in 0..3 {
            moves(&mut pace, 100 * WINDOW, 1).await.unwrap();
        }
    }
}
