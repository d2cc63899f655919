//! A circuit breaker: a party that fails again and again is left alone for a while, then tried by one request.
//!
//! ```text
//!            failures in a row              the period is over
//!  closed ────────────────────────► open ────────────────────────► half-open
//!    ▲                               ▲ ▲                              │ one request takes the trial
//!    │                               │ └── failure: twice as long ── trial
//!    └───────────────────────────────┼───────────────── success ──────┘
//!                                    └ neither: half-open again
//! ```
//!
//! Time comes in as what has passed since some start, so nothing here reads a clock.

#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CircuitLimits {
    /// Failures in a row that open it.
    pub failures: NonZeroU32,
    /// How long it is open at first. Every failed trial doubles this.
    pub open: Duration,
    /// The longest that it is open without a trial, whatever the doublings.
    pub open_limit: Duration,
}

/// What a circuit does with a request that comes now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CircuitState {
    /// Lets it through.
    Closed,
    /// Turns it away: the period is not over, or the one trial is under way.
    Open,
    /// Lets it through as the trial.
    HalfOpen,
}

/// What became of a request that was let through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The party did its work, whether or not its answer was welcome.
    Success,
    /// The party did not.
    Failure,
    /// Nothing is known of the party: the client left, or we gave the request up ourselves.
    Neither,
}

/// One request that was let through. Belongs to the circuit that gave it, and goes back to it.
#[must_use = "a trial that is never given back keeps the circuit open"]
#[derive(PartialEq, Eq, Debug)]
pub struct Pass {
    generation: u64,
    trial: bool,
}

impl Pass {
    /// The pass of a request that came while the circuit was closed in this generation, for callers that know so
    /// without asking it.
    pub(crate) fn while_closed(generation: u64) -> Self {
        Self {
            generation,
            trial: false,
        }
    }

    /// Whether the request was let through in this generation.
    pub(crate) fn is_of(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// Whether this request is the trial of an open circuit.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.trial
    }
}

/// The circuit of one party.
#[derive(Clone, Debug)]
pub struct Circuit {
    limits: CircuitLimits,
    phase: Phase,
    /// Grows with every change of phase. A result of a request that began before the last change tells of the past.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed {
        /// In a row.
        failures: u32,
    },
    Open {
        since: Duration,
        /// Held against the limit when it is read, so that a lower limit counts at once.
        period: Duration,
    },
    Trial {
        /// The period that it ended.
        since: Duration,
        period: Duration,
    },
}

impl Circuit {
    /// Starts closed.
    #[must_use]
    pub fn new(limits: CircuitLimits) -> Self {
        Self {
            limits,
            phase: Phase::Closed { failures: 0 },
            generation: 0,
        }
    }

    /// Takes other limits. An open circuit keeps its period as far as the new limit allows.
    pub fn set_limits(&mut self, limits: CircuitLimits) {
        self.limits = limits;
    }

    /// What happens to a request that comes now.
    #[must_use]
    pub fn state(&self, now: Duration) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { since, period } if self.is_over(now, since, period) => {
                CircuitState::HalfOpen
            }
            Phase::Open { .. } | Phase::Trial { .. } => CircuitState::Open,
        }
    }

    /// Whether [`Circuit::enter`] would let a request through. Claims nothing.
    #[must_use]
    pub fn admits(&self, now: Duration) -> bool {
        match self.state(now) {
            CircuitState::Closed | CircuitState::HalfOpen => true,
            CircuitState::Open => false,
        }
    }

    /// Lets a request through, if it may pass: as the trial if the circuit is half-open.
    pub fn enter(&mut self, now: Duration) -> Option<Pass> {
        let trial = match self.phase {
            Phase::Closed { .. } => false,
            Phase::Open { since, period } if self.is_over(now, since, period) => {
                // As it was held against the limit: it stays over, whatever the limit becomes.
                let period = period.min(self.limits.open_limit);
                self.change(Phase::Trial { since, period });
                true
            }
            Phase::Open { .. } | Phase::Trial { .. } => return None,
        };
        Some(Pass {
            generation: self.generation,
            trial,
        })
    }

    /// Takes a result. Gives the state after it if it opened or closed the circuit; a failed trial opens it again.
    pub fn record(&mut self, now: Duration, pass: Pass, outcome: Outcome) -> Option<CircuitState> {
        if pass.generation != self.generation {
            return None;
        }
        match (self.phase, outcome) {
            (Phase::Closed { .. }, Outcome::Success) => {
                // No new phase: what is under way now still counts.
                self.phase = Phase::Closed { failures: 0 };
                None
            }
            (Phase::Closed { failures }, Outcome::Failure) => {
                let failures = failures.saturating_add(1);
                if failures < self.limits.failures.get() {
                    self.phase = Phase::Closed { failures };
                    return None;
                }
                Some(self.open(now, self.limits.open))
            }
            (Phase::Trial { .. }, Outcome::Success) => {
                self.change(Phase::Closed { failures: 0 });
                Some(CircuitState::Closed)
            }
            (Phase::Trial { period, .. }, Outcome::Failure) => {
                Some(self.open(now, period.saturating_mul(2).max(self.limits.open)))
            }
            (Phase::Trial { since, period }, Outcome::Neither) => {
                // The period is over, so the next request takes the trial.
                self.change(Phase::Open { since, period });
                None
            }
            // No request enters an open circuit and leaves it open: taking the trial is a new generation.
            (Phase::Closed { .. }, Outcome::Neither) | (Phase::Open { .. }, _) => None,
        }
    }

    /// An active probe has seen the party come back: the next request is the trial, and if that fails, the first period
    /// follows. A trial that is under way began before the news, so its result does not count any more.
    ///
    /// For the first good probe after bad ones only. Called for every good probe it would undo the doubling for a party
    /// that answers probes and nothing else.
    pub fn retry_soon(&mut self, now: Duration) {
        if self.is_open() {
            self.change(Phase::Open {
                since: now,
                period: Duration::ZERO,
            });
        }
    }

    /// Whether the circuit is anything but closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.phase {
            Phase::Closed { .. } => false,
            Phase::Open { .. } | Phase::Trial { .. } => true,
        }
    }

    /// Failures in a row while it is closed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        match self.phase {
            Phase::Closed { failures } => failures,
            Phase::Open { .. } | Phase::Trial { .. } => 0,
        }
    }

    /// Changes whenever the circuit opens, closes, or gives its trial away.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn is_over(&self, now: Duration, since: Duration, period: Duration) -> bool {
        now.saturating_sub(since) >= period.min(self.limits.open_limit)
    }

    fn open(&mut self, now: Duration, period: Duration) -> CircuitState {
        self.change(Phase::Open { since: now, period });
        CircuitState::Open
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        // A change per nanosecond would take five hundred years to come round.
        self.generation = self.generation.wrapping_add(1);
    }
}
