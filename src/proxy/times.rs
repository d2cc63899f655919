//! What one request waits for, while it is under way.
//!
//! The replica's time is what is left from the first byte sent to it to the head of its answer, once
//! the time is taken out in which there was nothing more to send, since the client had not sent it. A
//! slow upload says nothing of the replica, and a replica that takes nothing says nothing of the client.

use std::time::{Duration, Instant};

use super::relay::Upload;
use crate::observe::waits::Waits;

/// The stops of one request.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Those of attempts that are over.
    past: Waits,
    attempt: Option<Attempt>,
}

/// One upstream asked.
#[derive(Debug)]
struct Attempt {
    began: Instant,
    has_body: bool,
    connected: Option<Instant>,
    /// `100 Continue` came: before that the client was to send nothing.
    invited: Option<Instant>,
    /// The client's body was whole.
    body_ended: Option<Instant>,
    /// How long the upstream took to take in what there was of it.
    write_pending: Duration,
    /// The head of the answer came, or it is known that none does.
    answered: Option<Instant>,
}

impl Times {
    /// Waited for a place.
    pub(super) fn queued(&mut self, time: Duration) {
        self.past.queue += time;
    }

    /// Waited for its owner, but for the time that attempts in between took. `tried` is
    /// [`Times::tried`] as the wait began.
    pub(super) fn held(&mut self, time: Duration, tried: Duration) {
        let attempts = self.tried().saturating_sub(tried);
        self.past.hold += time.saturating_sub(attempts);
    }

    /// What attempts have taken so far.
    pub(super) fn tried(&self) -> Duration {
        let waits = self.waits(Instant::now());
        waits.queue + waits.connect + waits.replica
    }

    /// An upstream is asked, once more perhaps. Says when.
    pub(super) fn asks(&mut self, has_body: bool) -> Instant {
        let now = Instant::now();
        self.past = self.waits(now);
        self.attempt = Some(Attempt {
            began: now,
            has_body,
            connected: None,
            invited: None,
            body_ended: None,
            write_pending: Duration::ZERO,
            answered: None,
        });
        now
    }

    /// Whether an upstream was ever asked.
    pub(super) fn has_asked(&self) -> bool {
        self.attempt.is_some()
    }

    /// The upstream has a connection for it; a pooled one costs no time.
    pub(super) fn connected(&mut self, reused: bool) {
        if let Some(attempt) = &mut self.attempt {
            let mut now = attempt.began;
            if !reused {
                now = Instant::now();
                self.past.connect += now - attempt.began;
            }
            attempt.connected = Some(now);
        }
    }

    /// The upstream wants the body.
    pub(super) fn invited(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.invited.get_or_insert_with(Instant::now);
        }
    }

    /// So far the body has been sent.
    pub(super) fn sent(&mut self, upload: &Upload<'_>) {
        if let Some(attempt) = &mut self.attempt {
            attempt.body_ended = upload.ended();
            attempt.write_pending = upload.progress().pending();
        }
    }

    /// The answer began, or the attempt has failed.
    pub(super) fn answered(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.answered.get_or_insert_with(Instant::now);
        }
    }

    /// The sum, as it is now.
    pub(super) fn waits(&self, now: Instant) -> Waits {
        let mut waits = self.past;
        let Some(attempt) = &self.attempt else {
            return waits;
        };
        let end = attempt.answered.unwrap_or(now);
        let Some(connected) = attempt.connected else {
            waits.connect += end.saturating_duration_since(attempt.began);
            return waits;
        };
        let whole = end.saturating_duration_since(connected);
        let client = if attempt.has_body {
            let from = attempt.invited.map_or(connected, |at| at.max(connected));
            let to = attempt.body_ended.map_or(end, |at| at.min(end));
            let open = to.saturating_duration_since(from);
            open.saturating_sub(attempt.write_pending)
        } else {
            Duration::ZERO
        };
        waits.client += client;
        waits.replica += whole.saturating_sub(client);
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// An attempt whose stops lie so many seconds after the start.
    fn attempt(
        began: Instant,
        has_body: bool,
        [connected, invited, body_ended, answered]: [Option<u32>; 4],
        pending: u32,
    ) -> Times {
        let at = |seconds: Option<u32>| Some(began + seconds? * SECOND);
        Times {
            past: Waits::default(),
            attempt: Some(Attempt {
                began,
                has_body,
                connected: at(connected),
                invited: at(invited),
                body_ended: at(body_ended),
                write_pending: pending * SECOND,
                answered: at(answered),
            }),
        }
    }

    /// What happened, whether there is a body; when it was connected, invited, had the body, was answered;
    /// how long writes were pending. Then what is booked: to connect, the client, the replica.
    type Case = (&'static str, bool, [Option<u32>; 4], u32, [u32; 3]);

    #[rustfmt::skip]
    const CASES: [Case; 11] = [
        ("a read", false, [Some(0), None, Some(0), Some(3)], 0, [0, 0, 3]),
        ("a push", true, [Some(0), None, Some(5), Some(6)], 0, [0, 5, 1]),
        ("its replica takes little", true, [Some(0), None, Some(5), Some(6)], 4, [0, 1, 5]),
        ("much of it after the body", true, [Some(0), None, Some(2), Some(9)], 7, [0, 0, 9]),
        ("invited late", true, [Some(0), Some(4), Some(6), Some(7)], 0, [0, 2, 5]),
        ("answered early", true, [Some(0), None, None, Some(2)], 0, [0, 2, 0]),
        ("answered before the end", true, [Some(0), None, Some(8), Some(2)], 0, [0, 2, 0]),
        ("the body never came", true, [Some(0), None, None, None], 0, [0, 9, 0]),
        ("no answer", false, [Some(0), None, Some(0), None], 0, [0, 0, 9]),
        ("no connection", true, [None, None, None, Some(4)], 0, [4, 0, 0]),
        ("still connecting", true, [None, None, None, None], 0, [9, 0, 0]),
    ];

    #[test]
    fn each_second_is_booked_to_whom_it_was_waited_for() {
        let began = Instant::now();
        for (name, has_body, stops, pending, expected) in CASES {
            let times = attempt(began, has_body, stops, pending);
            let waits = times.waits(began + 9 * SECOND);
            let told = [waits.connect, waits.client, waits.replica];
            assert_eq!(told, expected.map(|seconds| seconds * SECOND), "{name}");
        }
    }

    #[test]
    fn attempts_add_up() {
        let began = Instant::now();
        let mut times = attempt(began, false, [Some(0), None, Some(0), Some(3)], 0);
        times.queued(SECOND);
        times.held(3 * SECOND, times.tried() - SECOND);
        times.asks(false);
        times.connected(true);
        times.answered();
        let waits = times.waits(Instant::now());
        assert_eq!((waits.queue, waits.hold), (SECOND, 2 * SECOND));
        assert_eq!(waits.connect, Duration::ZERO, "a pooled connection");
        assert!(waits.replica >= 3 * SECOND && waits.replica < 4 * SECOND);
    }
}
