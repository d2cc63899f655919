//! One request and its response, as far as we got with it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::hold::Holding;
use super::times::Times;
use crate::http::client::End;
use crate::http::field::Name;
use crate::http::request::RequestHead;
use crate::http::request_id::{RequestId, TraceParent};
use crate::http::respond::Failure;
use crate::http::transfers::Transfer;
use crate::member::generation::Generation;
use crate::member::writes::WriteGuard;
use crate::observe::metrics::Held;
use crate::observe::traces::Sampled;
use crate::shard::{Arrival, MemberIndex, Operation, Plan, Repository};
use crate::upstream::{Pass, Permit};

/// One request under way.
pub(crate) struct Exchange<'r> {
    /// What was asked for.
    pub request: &'r RequestHead<'r>,
    /// By whom.
    pub end: &'r End,
    /// Whether it shares its connection with others.
    pub is_http2: bool,
    /// The configuration that it is planned by.
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
    pub repository: Option<Repository<'r>>,
    /// Its owner.
    pub owner: Option<MemberIndex>,
    /// What is done with it.
    pub plan: Option<Plan>,
    /// Whether the operation reads; a write is sent once.
    pub reads: bool,
    /// Whether its upstream was sent nothing of a body yet, so that it may be sent elsewhere.
    pub is_untouched: bool,
    /// Whether all of its body is still here, so that it may be sent to another owner where its upstream
    /// says that it has not served it.
    pub is_whole: bool,
    /// Whether a peer that has kept its body back was told to send it.
    pub is_invited: bool,
    /// Why it went wrong.
    pub failure: Option<Failure>,
    /// More of it than the client is told, for the operator.
    pub cause: Option<String>,
    /// Its place at its upstream, until that has answered.
    pub permit: Option<(Permit, Option<Held>)>,
    /// Counts its body as on its way; for a client's, its share of all of them.
    pub transfer: Option<(Held, Option<Transfer<'r>>)>,
    /// Leave to call its upstream, until it is known how that went.
    pub pass: Option<Pass>,
    /// Counts it as a write of ours.
    pub write: Option<WriteGuard>,
    /// Holds up a drain.
    pub work: Option<TaskTrackerToken>,
    /// What it waits for.
    pub times: Times,
    /// Bytes of bodies that went to upstreams and came from them.
    pub upstream_bytes: (u64, u64),
    /// Second attempts.
    pub retries: u8,
    /// Whether it goes to a second upstream; there is no third.
    pub has_second: bool,
    /// Whether it goes by the other name of the upstream's certificate.
    pub tried_other_name: bool,
    /// Whether the answer hands out a sticky cookie.
    pub hand_out_cookie: bool,
    /// Its wait for its owner, while that lasts.
    pub holding: Option<Holding>,
    /// When its time to wait is over, from its first wait on.
    pub held_until: Option<tokio::time::Instant>,
    /// Generations that have ended under it.
    pub superseded: u8,
}

impl<'r> Exchange<'r> {
    pub(super) fn new(
        request: &'r RequestHead<'r>,
        end: &'r End,
        generation: Arc<Generation>,
        arrival: Arrival,
    ) -> Self {
        Self {
            request,
            end,
            is_http2: false,
            generation,
            arrival,
            started: Instant::now(),
            request_id: RequestId::keep_or_make(request.first(Name::RequestId)),
            trace: None,
            sampled: None,
            operation: Operation::Other,
            repository: None,
            owner: None,
            plan: None,
            reads: false,
            is_untouched: true,
            is_whole: true,
            is_invited: false,
            failure: None,
            cause: None,
            permit: None,
            transfer: None,
            pass: None,
            write: None,
            work: None,
            times: Times::default(),
            upstream_bytes: (0, 0),
            retries: 0,
            has_second: false,
            tried_other_name: false,
            hand_out_cookie: false,
            holding: None,
            held_until: None,
            superseded: 0,
        }
    }

    /// Belongs to another generation from now on, and is to be planned again.
    pub(super) fn begin_anew(&mut self, generation: Arc<Generation>) {
        self.generation = generation;
        self.plan = None;
        self.owner = None;
        self.repository = None;
        self.step_back();
        self.has_second = false;
        self.tried_other_name = false;
    }

    /// What waits takes no place at its upstream, and is not under way.
    pub(super) fn step_back(&mut self) {
        self.permit = None;
        self.pass = None;
        self.write = None;
    }

    /// Changes the plan, for another attempt.
    pub(super) fn go_by(&mut self, plan: Plan) {
        self.plan = Some(plan);
        self.permit = None;
        self.pass = None;
    }

    /// What it needed to be served is given back: what comes after that does not count.
    pub(super) fn give_back(&mut self) {
        self.transfer = None;
        self.step_back();
    }

    /// Whether it can be sent again: it reads, and nothing of a body was consumed.
    pub(super) fn is_untouched_read(&self) -> bool {
        self.reads && self.is_untouched
    }
}
