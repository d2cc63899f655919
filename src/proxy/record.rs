//! The end of every request, for the access log and the metrics.

use std::time::{Duration, Instant, SystemTime};

use super::{Exchange, verdict};
use crate::http::Refused;
use crate::http::client::Client;
use crate::http::field::Name;
use crate::http::request::Version;
use crate::http::request_id::{SpanId, TraceParent};
use crate::http::respond::{Failure, Malformed};
use crate::member::state::State;
use crate::observe::access_log::AccessRecord;
use crate::observe::metrics::{Direction, PlanKind, RequestEnd};
use crate::observe::recent::{ErrorLine, Sample};
use crate::observe::traces::Span;
use crate::observe::waits::Waits;
use crate::shard::{Arrival, MemberId, MemberIndex, Operation, Plan};

/// How often a mistake is named at most: anybody can repeat it.
const HINT_PAUSE: Duration = Duration::from_secs(60);

/// A request has ended, well or not.
pub(crate) fn ended(state: &State, client: &Client<'_>, ctx: &Exchange<'_>) {
    let now = Instant::now();
    let end = RequestEnd {
        arrival: ctx.arrival,
        operation: ctx.operation,
        plan: if answered_here(ctx) {
            PlanKind::Reject
        } else {
            plan_kind(ctx)
        },
        status: status(client.sink.status, ctx),
        total: now.saturating_duration_since(ctx.started),
        received: client.source.received,
        sent: client.sink.sent,
    };
    let waits = ctx.times.waits(now);
    if let (Some(tracer), Some(sampled)) = (&state.tracer, ctx.sampled) {
        tracer.record(sampled, |parent| span(ctx, &end, waits, parent));
    }
    count(state, ctx, &end, &waits, now);
    write(state, ctx, &end, &waits);
}

/// What the client saw; 499 if it was gone, or saw not all of it.
fn status(answered: Option<u16>, ctx: &Exchange<'_>) -> u16 {
    match &ctx.failure {
        Some(failure) if failure.is_of_a_lost_client() => failure.status(),
        failure => answered
            .or(failure.as_ref().map(Failure::status))
            .unwrap_or(Failure::ClientGone.status()),
    }
}

fn count(state: &State, ctx: &Exchange<'_>, end: &RequestEnd, waits: &Waits, now: Instant) {
    let metrics = &state.metrics;
    metrics.request_ends(end);
    let members = &ctx.generation.metrics;
    members.waited(waited_for(ctx), ctx.operation, waits);
    if ctx.times.has_asked() {
        let upstream = verdict::upstream_of(ctx);
        let (written, read) = ctx.upstream_bytes;
        metrics.upstream_bytes(upstream, Direction::Sent, written);
        metrics.upstream_bytes(upstream, Direction::Received, read);
    }
    if let Some(failure) = &ctx.failure {
        metrics.reject(failure);
    }
    show(state, ctx, end, waits, now);
}

/// For people: which member did what.
fn show(state: &State, ctx: &Exchange<'_>, end: &RequestEnd, waits: &Waits, now: Instant) {
    let members = ctx.generation.view.members();
    let member = waited_for(ctx);
    let recent = &state.metrics.recent;
    let failed = end.status >= 500;
    let sample = Sample {
        failed,
        bytes: end.received + end.sent,
        // Its own time, not the client's.
        latency: Some(waits.replica).filter(|time| !time.is_zero()),
    };
    let traffic = ctx.generation.metrics.traffic(member);
    recent.request_ended(
        now,
        traffic,
        ctx.repository.map(|name| name.as_str()),
        &sample,
    );
    if failed || matches!(end.status, 421 | 429) {
        recent.errors.keep(ErrorLine {
            at: SystemTime::now(),
            request_id: ctx.request_id.as_str().into(),
            operation: end.operation.as_str(),
            repository: ctx.repository.map(|name| name.as_str().into()),
            member: members.get(member).id.as_str().into(),
            status: end.status,
            reason: ctx.failure.as_ref().map_or("upstream", Failure::reason),
        });
    }
}

fn write(state: &State, ctx: &Exchange<'_>, end: &RequestEnd, waits: &Waits) {
    let request = ctx.request;
    let target = request.target();
    let name = |member| &ctx.generation.view.members().get(member).id;
    state.access_log.write(&AccessRecord {
        time: SystemTime::now() - end.total,
        request_id: &ctx.request_id,
        trace: ctx.trace.as_ref(),
        arrival: end.arrival,
        client: ctx.end.shown(),
        method: request.method().as_str(),
        target: target.as_bytes(),
        repository: ctx.repository,
        operation: ctx.operation,
        owner: ctx.owner.map(|owner| name(owner).as_str()),
        plan: end.plan,
        upstream: upstream_name(ctx, name),
        status: end.status,
        received_bytes: end.received,
        sent_bytes: end.sent,
        total: end.total,
        waits: *waits,
        retries: ctx.retries.into(),
        failure: ctx.failure.as_ref(),
        http: version(request.version()),
        tls: ctx.end.tls,
        user_agent: request.first(Name::UserAgent),
    });
}

fn span(ctx: &Exchange<'_>, end: &RequestEnd, waits: Waits, parent: Option<SpanId>) -> Span {
    let name = |member| &ctx.generation.view.members().get(member).id;
    Span {
        // There is one, since it was sampled.
        trace: ctx.trace.clone().unwrap_or_else(TraceParent::make),
        parent,
        start: SystemTime::now() - end.total,
        total: end.total,
        arrival: end.arrival,
        operation: end.operation,
        method: ctx.request.method().as_str(),
        repository: ctx.repository.map(|name| name.as_str().into()),
        owner: ctx.owner.map(|owner| name(owner).as_str().into()),
        plan: end.plan,
        upstream: upstream_name(ctx, name).map(Into::into),
        status: end.status,
        failure: ctx.failure.as_ref().map(Failure::reason),
        request_id: ctx.request_id.as_str().into(),
        waits,
        retries: ctx.retries,
        received: end.received,
        sent: end.sent,
    }
}

/// A request was refused before the framework saw it: little is known of it.
pub(crate) fn refused(arrival: Arrival, state: &State, refused: &Refused<'_>) {
    let status = refused.failure.status();
    state.metrics.reject(refused.failure);
    say_what_to_do(arrival, state, refused);
    state.metrics.request_ends(&RequestEnd {
        arrival,
        operation: Operation::Other,
        plan: PlanKind::Reject,
        status,
        total: refused.elapsed,
        received: 0,
        sent: refused.bytes_sent,
    });
    let client = refused.client.map(|client| client.to_string());
    state.access_log.write(&AccessRecord {
        time: SystemTime::now() - refused.elapsed,
        request_id: refused.request_id,
        trace: None,
        arrival,
        client: client.as_deref(),
        method: "-",
        target: b"-",
        repository: None,
        operation: Operation::Other,
        owner: None,
        plan: PlanKind::Reject,
        upstream: None,
        status,
        received_bytes: 0,
        sent_bytes: refused.bytes_sent,
        total: refused.elapsed,
        waits: Waits::default(),
        retries: 0,
        failure: Some(refused.failure),
        http: "-",
        tls: refused.tls.then_some("TLS"),
        user_agent: None,
    });
}

/// Whoever set this member up, or its clients, has made a mistake that no client may be able to name.
fn say_what_to_do(arrival: Arrival, state: &State, refused: &Refused<'_>) {
    let is_hello = *refused.failure == Failure::BadRequest(Malformed::TlsHello);
    if !is_hello || !state.tls_hello.may_say(HINT_PAUSE) {
        return;
    }
    let client = refused.client.map(tracing::field::display);
    match arrival {
        Arrival::Client => tracing::warn!(
            client,
            "a TLS client spoke to the plain listener: set listen.clients.tls or use http://"
        ),
        Arrival::Peer => tracing::warn!(
            client,
            "a peer speaks TLS, and this member does not (cluster.insecure): give all members the same cluster.tls"
        ),
    }
}

/// Whether no upstream was ever asked.
fn answered_here(ctx: &Exchange<'_>) -> bool {
    ctx.failure.is_some() && !ctx.times.has_asked()
}

fn plan_kind(ctx: &Exchange<'_>) -> PlanKind {
    ctx.plan.as_ref().map_or(PlanKind::Reject, PlanKind::from)
}

fn upstream_name<'a>(
    ctx: &Exchange<'_>,
    name: impl Fn(MemberIndex) -> &'a MemberId,
) -> Option<&'a str> {
    if !ctx.times.has_asked() {
        return None;
    }
    match ctx.plan? {
        Plan::Forward(member) | Plan::PeerFallback { peer: member } => Some(name(member).as_str()),
        Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. } => Some("replica"),
        Plan::Reject(_) => None,
    }
}

/// The member whose replica was, or would have been, asked.
fn waited_for(ctx: &Exchange<'_>) -> MemberIndex {
    let local = ctx.generation.view.members().local();
    match ctx.plan {
        Some(Plan::Forward(member) | Plan::PeerFallback { peer: member }) => member,
        Some(Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. }) => local,
        Some(Plan::Reject(_)) | None => ctx.owner.unwrap_or(local),
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2.0",
    }
}
