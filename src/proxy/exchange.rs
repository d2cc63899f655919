//! One request and its response, as far as we got with it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::hold::Holding;
use super::times::Times;
use crate::http::request_id::{RequestId, TraceParent};
use crate::http::respond::Failure;
use crate::member::generation::Generation;
use crate::member::transfers::Transfer;
use crate::member::writes::WriteGuard;
use crate::observe::metrics::Held;
use crate::observe::traces::Sampled;
use crate::shard::{Arrival, MemberIndex, Operation, Plan};
use crate::upstream::{Pass, Permit};

/// The framework's per-request context.
pub(crate) struct Exchange {
    /// The configuration that it began under, and keeps to its end.
    pub generation: Arc<Generation>,
    /// Which listener it came in by.
    pub arrival: Arrival,
    /// When the head was whole.
    pub started: Instant,
    /// Kept from the client or made; the same in answer, log and error detail.
    pub request_id: RequestId,
    /// The trace it belongs to, kept or made; none before the head was looked at.
    pub trace: Option<TraceParent>,
    /// Whether it is to have a span, which `trace` then names.
    pub sampled: Option<Sampled>,
    /// What is asked for.
    pub operation: Operation,
    /// In which repository.
    pub repository: Option<Arc<str>>,
    /// Its owner.
    pub owner: Option<MemberIndex>,
    /// What is done with it.
    pub plan: Option<Plan>,
    /// Whether the operation reads; a write is sent once.
    pub reads: bool,
    /// Why it went wrong, where that is known better than from the framework's error.
    pub failure: Option<Failure>,
    /// Its place at its upstream, until that has answered.
    pub permit: Option<(Permit, Option<Held>)>,
    /// Counts its body as on its way; for a client's, its share of all of them.
    pub transfer: Option<(Held, Option<Transfer>)>,
    /// Leave to call its upstream, until it is known how that went.
    pub pass: Option<Pass>,
    /// Counts it as a write of ours.
    pub write: Option<WriteGuard>,
    /// Holds up a drain.
    pub work: Option<TaskTrackerToken>,
    /// Counts it as in flight.
    pub in_flight: Option<Held>,
    /// What it waits for.
    pub times: Times,
    /// Second attempts.
    pub retries: u8,
    /// Set on an error that means: ask the upstream of the changed plan instead.
    pub elsewhere: bool,
    /// Whether it goes to a second upstream; there is no third.
    pub has_second: bool,
    /// Whether it goes by the other name of the upstream's certificate.
    pub tried_other_name: bool,
    /// Whether it was sent again to the same one, on a new connection.
    pub resent: bool,
    /// Whether the answer hands out a sticky cookie.
    pub hand_out_cookie: bool,
    /// Whether this was a small question of a peer, which nobody logs.
    pub is_question: bool,
    /// Whether its end was logged and counted.
    pub recorded: bool,
    /// Its wait for its owner, while that lasts.
    pub holding: Option<Holding>,
    /// When its time to wait is over, from its first wait on.
    pub held_until: Option<tokio::time::Instant>,
    /// Generations that have ended under it.
    pub superseded: u8,
    /// Why it could not be sent, though nothing is lost yet.
    pub unsent: Option<Failure>,
}

impl Exchange {
    pub(super) fn new(generation: Arc<Generation>, arrival: Arrival) -> Self {
        Self {
            generation,
            arrival,
            started: Instant::now(),
            request_id: RequestId::make(),
            trace: None,
            sampled: None,
            operation: Operation::Other,
            repository: None,
            owner: None,
            plan: None,
            reads: false,
            failure: None,
            permit: None,
            transfer: None,
            pass: None,
            write: None,
            work: None,
            in_flight: None,
            times: Times::default(),
            retries: 0,
            elsewhere: false,
            has_second: false,
            tried_other_name: false,
            resent: false,
            hand_out_cookie: false,
            is_question: false,
            recorded: false,
            holding: None,
            held_until: None,
            superseded: 0,
            unsent: None,
        }
    }

    /// Belongs to another generation from now on, and is to be planned again.
    pub(super) fn begin_anew(&mut self, generation: Arc<Generation>) {
        self.generation = generation;
        self.plan = None;
        self.owner = None;
        self.repository = None;
        self.permit = None;
        self.pass = None;
        self.write = None;
        self.has_second = false;
        self.tried_other_name = false;
    }

    /// Changes the plan once, for another attempt.
    pub(super) fn try_elsewhere(&mut self, plan: Plan) {
        self.plan = Some(plan);
        self.elsewhere = true;
        self.failure = None;
        self.permit = None;
        self.pass = None;
    }
}
