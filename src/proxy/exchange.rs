//! One request and its response, as far as we got with it.

use std::time::{Duration, Instant};

use crate::metrics::Held;
use crate::request_id::{RequestId, TraceParent};
use crate::respond::Failure;
use crate::shard::{MemberIndex, Operation, Plan};
use crate::upstream::Permit;

/// The framework's per-request context.
pub struct Exchange {
    /// When the head was whole.
    pub started: Instant,
    /// Kept from the client or made; the same in answer, log and error detail.
    pub request_id: RequestId,
    /// The trace it belongs to, kept or made; none before the head was looked at.
    pub trace: Option<TraceParent>,
    /// What is asked for.
    pub operation: Operation,
    /// In which repository.
    pub repository: Option<Box<str>>,
    /// Its owner.
    pub owner: Option<MemberIndex>,
    /// What is done with it.
    pub plan: Option<Plan>,
    /// Whether the operation reads; a write is sent once.
    pub reads: bool,
    /// Why it went wrong, where that is known better than from the framework's error.
    pub failure: Option<Failure>,
    /// Its place at the local replica.
    pub permit: Option<(Permit, Held)>,
    /// Counts it as in flight.
    pub in_flight: Option<Held>,
    /// When the upstream was first asked.
    pub upstream_asked: Option<Instant>,
    /// How long the head of the response took from then.
    pub first_byte: Option<Duration>,
    /// Second attempts.
    pub retries: u8,
    /// Set on an error that means: ask the upstream of the changed plan instead.
    pub elsewhere: bool,
    /// Whether the answer hands out a sticky cookie.
    pub hand_out_cookie: bool,
    /// Whether this was a peer's question after our state, which nobody logs.
    pub is_state_probe: bool,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            request_id: RequestId::make(),
            trace: None,
            operation: Operation::Other,
            repository: None,
            owner: None,
            plan: None,
            reads: false,
            failure: None,
            permit: None,
            in_flight: None,
            upstream_asked: None,
            first_byte: None,
            retries: 0,
            elsewhere: false,
            hand_out_cookie: false,
            is_state_probe: false,
        }
    }

    /// Changes the plan once, for another attempt.
    pub(super) fn try_elsewhere(&mut self, plan: Plan) {
        self.plan = Some(plan);
        self.elsewhere = true;
        self.failure = None;
    }
}
