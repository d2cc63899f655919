//! A [`Circuit`] that many requests use at once.
//!
//! While nothing goes wrong, a request only loads one number when it enters and when it succeeds.
//! The lock is for parties that have failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::shard::circuit;
use crate::shard::{Circuit, CircuitLimits, CircuitState, Outcome};

/// The circuit breaker before one party.
#[derive(Debug)]
pub(crate) struct Breaker {
    started: Instant,
    circuit: Mutex<Circuit>,
    /// One more than the circuit's generation, or [`TROUBLED`]. It tells all that a request needs
    /// to know, so its loads need no order: who reads an old number came before the failure.
    calm: AtomicU64,
}

/// The circuit is not closed, or has a failure to remember.
const TROUBLED: u64 = 0;

/// Leave for one request. Dropped without a verdict, it says nothing of the party.
#[derive(Debug)]
#[must_use = "dropped at once it lets the next request have the trial"]
pub(crate) struct Pass {
    breaker: Arc<Breaker>,
    pass: Option<circuit::Pass>,
}

impl Breaker {
    /// Starts closed.
    pub(crate) fn new(limits: CircuitLimits) -> Self {
        let circuit = Circuit::new(limits);
        Self {
            started: Instant::now(),
            calm: AtomicU64::new(calm_of(&circuit)),
            circuit: Mutex::new(circuit),
        }
    }

    /// Lets a request through, if it may pass.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Pass> {
        let pass = match self.calm.load(Ordering::Relaxed) {
            TROUBLED => self.change(Circuit::enter)?,
            calm => circuit::Pass::while_closed(calm - 1),
        };
        Some(Pass {
            breaker: self.clone(),
            pass: Some(pass),
        })
    }

    /// Whether [`Breaker::enter`] would let a request through. Claims nothing.
    pub(crate) fn admits(&self) -> bool {
        self.calm.load(Ordering::Relaxed) != TROUBLED || self.circuit().admits(self.now())
    }

    /// What happens to a request that comes now.
    pub(crate) fn state(&self) -> CircuitState {
        match self.calm.load(Ordering::Relaxed) {
            TROUBLED => self.circuit().state(self.now()),
            _ => CircuitState::Closed,
        }
    }

    /// An active probe has seen the party come back: see [`Circuit::retry_soon`].
    pub(crate) fn retry_soon(&self) {
        self.change(Circuit::retry_soon);
    }

    /// Takes other limits.
    pub(crate) fn set_limits(&self, limits: CircuitLimits) {
        self.change(|circuit, _| circuit.set_limits(limits));
    }

    fn record(&self, pass: circuit::Pass, outcome: Outcome) -> Option<CircuitState> {
        let no_news = match outcome {
            Outcome::Success => pass.is_of(self.calm.load(Ordering::Relaxed).wrapping_sub(1)),
            Outcome::Neither => !pass.is_trial(),
            Outcome::Failure => false,
        };
        if no_news {
            return None;
        }
        self.change(|circuit, now| circuit.record(now, pass, outcome))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Circuit, Duration) -> T) -> T {
        let mut circuit = self.circuit();
        // Under the lock, so that time does not run backwards from one change to the next.
        let changed = change(&mut circuit, self.now());
        self.calm.store(calm_of(&circuit), Ordering::Relaxed);
        changed
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

fn calm_of(circuit: &Circuit) -> u64 {
    if circuit.is_open() || circuit.failures() > 0 {
        TROUBLED
    } else {
        circuit.generation().wrapping_add(1)
    }
}

impl Pass {
    #[cfg(test)]
    fn is_trial(&self) -> bool {
        self.pass.as_ref().is_some_and(circuit::Pass::is_trial)
    }

    /// Says what became of the request. Gives the new state if that opened or closed the circuit.
    pub(crate) fn record(mut self, outcome: Outcome) -> Option<CircuitState> {
        let pass = self.pass.take()?;
        self.breaker.record(pass, outcome)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.record(pass, Outcome::Neither);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn breaker(failures: u32, open: Duration) -> Arc<Breaker> {
        Arc::new(Breaker::new(CircuitLimits {
            failures: NonZeroU32::new(failures).unwrap(),
            open,
            open_limit: open * 4,
        }))
    }

    fn fail(breaker: &Arc<Breaker>) -> Option<CircuitState> {
        breaker.enter().unwrap().record(Outcome::Failure)
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_that_fails_is_left_alone_and_tried_again() {
        let breaker = breaker(2, Duration::from_secs(2));
        let early = breaker.enter().unwrap();
        assert_eq!(fail(&breaker), None);
        assert_eq!(breaker.enter().unwrap().record(Outcome::Success), None);
        assert_eq!(fail(&breaker), None);
        assert_eq!(fail(&breaker), Some(CircuitState::Open));
        assert!(breaker.enter().is_none() && !breaker.admits());
        assert_eq!(early.record(Outcome::Success), None);
        assert_eq!(breaker.state(), CircuitState::Open);

        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        let trial = breaker.enter().unwrap();
        assert!(trial.is_trial() && breaker.enter().is_none());
        assert_eq!(trial.record(Outcome::Success), Some(CircuitState::Closed));
        assert!(breaker.admits() && !breaker.enter().unwrap().is_trial());
        assert_eq!(fail(&breaker), None);
        assert_eq!(fail(&breaker), Some(CircuitState::Open));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_between_failures_is_heard() {
        let breaker = breaker(2, Duration::from_secs(2));
        let early = breaker.enter().unwrap();
        assert_eq!(fail(&breaker), None);
        assert_eq!(early.record(Outcome::Success), None);
        assert_eq!(fail(&breaker), None);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_dropped_is_for_the_next() {
        let breaker = breaker(1, Duration::from_secs(2));
        assert_eq!(fail(&breaker), Some(CircuitState::Open));
        breaker.retry_soon();
        drop(breaker.enter().unwrap());
        assert!(breaker.enter().unwrap().is_trial());
    }

    /// Threads that fail and succeed at random while the circuit opens all the time.
    #[test]
    fn there_is_one_trial_at_a_time_among_threads() {
        let breaker = breaker(1, Duration::ZERO);
        let (trials, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (breaker, trials, seen) = (&breaker, &trials, &seen);
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let Some(pass) = breaker.enter() else {
                            continue;
                        };
                        if pass.is_trial() {
                            assert_eq!(trials.fetch_add(1, Ordering::SeqCst), 0);
                            seen.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            trials.fetch_sub(1, Ordering::SeqCst);
                        }
                        let outcome = match (round + thread) % 4 {
                            0 => Outcome::Success,
                            1 => Outcome::Neither,
                            _ => Outcome::Failure,
                        };
                        let _ = pass.record(outcome);
                    }
                });
            }
        });
        assert!(seen.load(Ordering::Relaxed) > 0);
        // Whatever happened, nothing is stuck, and calm comes back.
        while breaker.state() != CircuitState::Closed {
            let _ = breaker.enter().unwrap().record(Outcome::Success);
        }
        assert_eq!(breaker.enter().unwrap().record(Outcome::Success), None);
        assert_ne!(breaker.calm.load(Ordering::Relaxed), TROUBLED);
    }
}
