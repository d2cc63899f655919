//! From the head of a request to its plan.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use http::header::{EXPECT, HOST, RANGE};
use http::uri::Authority;
use pingora::proxy::Session;

use super::hold::{Awaited, Denied};
use super::{Exchange, headers, verdict};
use crate::config::Timeouts;
use crate::http::head;
use crate::http::proxy_protocol;
use crate::http::request_id::{RequestId, TraceParent};
use crate::http::respond::{Failure, Malformed, REQUEST_ID_HEADER};
use crate::member::generation::Generation;
use crate::member::state::{Phase, State};
use crate::observe::metrics::Upstream;
use crate::peers::{answer, wire};
use crate::shard::{self, Access, Arrival, Plan, Reject, Request, Route};

/// W3C Trace Context, level 1.
pub(crate) const TRACE_HEADER: &str = "traceparent";

/// How long a client that is turned away may go on sending its body, which is read and thrown
/// away: closing at once could take the answer away from it.
pub(super) const DRAIN_REJECTED: Duration = Duration::from_secs(2);

/// Idle limits for both directions. The gate has waited for the head; keep-alive is its affair.
pub(crate) fn set_limits(
    session: &mut Session,
    timeouts: &Timeouts,
    arrival: Arrival,
    phase: Phase,
) {
    session.set_read_timeout(Some(timeouts.idle));
    session.set_write_timeout(Some(timeouts.idle));
    session.set_total_drain_timeout(Some(DRAIN_REJECTED));
    session.set_close_on_response_before_downstream_finish(false);
    // Clients are sent to other members, one answer after the other. Peers come to the owner to the
    // end.
    let last = match arrival {
        Arrival::Client => phase > Phase::Serving,
        Arrival::Peer => phase == Phase::Closing,
    };
    if last {
        session.set_keepalive(None);
    }
}

/// For an answer before the body was read: keeps the connection, within [`DRAIN_REJECTED`], for a
/// client that is still sending, and closes it at once for one that waits for `100 Continue`, which
/// may or may not send its body now (RFC 9110 §10.1.1).
pub(crate) fn leave_time_to_read(session: &mut Session) {
    let waits = session.req_header().headers.contains_key(EXPECT);
    session.set_close_on_response_before_downstream_finish(waits);
}

/// Who is at the other end of a client connection.
pub(crate) fn downstream<'g>(
    generation: &'g Generation,
    session: &Session,
) -> headers::Downstream<'g> {
    let socket = session
        .digest()
        .and_then(|digest| digest.socket_digest.as_ref());
    // Its address is the proxy's, what it says its own.
    let is_unknown = socket.is_some_and(|socket| proxy_protocol::is_unknown(socket));
    headers::Downstream {
        address: client_ip(session),
        tls: is_tls(session),
        trusted_proxies: if is_unknown {
            &[]
        } else {
            &generation.trusted_proxies
        },
    }
}

/// Whether the client speaks TLS to us.
pub(crate) fn is_tls(session: &Session) -> bool {
    let digest = session.digest();
    digest.is_some_and(|digest| digest.ssl_digest.is_some())
}

/// The address at the other end, as IPv4 where it is one.
pub(crate) fn client_ip(session: &Session) -> Option<IpAddr> {
    Some(session.client_addr()?.as_inet()?.ip().to_canonical())
}

/// Whether its sender's word on sampling counts.
fn is_trusted(session: &Session, ctx: &Exchange) -> bool {
    match ctx.arrival {
        Arrival::Client => downstream(&ctx.generation, session).is_trusted(),
        Arrival::Peer => true,
    }
}

/// The trace as it is sent on. A peer believes us, and without a tracer nothing has decided: what a
/// client says that is not trusted ends here.
pub(crate) fn trace_for_upstream<'e>(
    state: &State,
    session: &Session,
    ctx: &'e Exchange,
) -> Option<Cow<'e, TraceParent>> {
    let trace = ctx.trace.as_ref()?;
    let is_told_on = state.tracer.is_some()
        || verdict::upstream_of(ctx) != Upstream::Peer
        || !trace.is_sampled()
        || is_trusted(session, ctx);
    Some(if is_told_on {
        Cow::Borrowed(trace)
    } else {
        Cow::Owned(trace.unsampled())
    })
}

/// What a request turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// One for an upstream, with a plan.
    Planned,
    /// A peer's question after our state.
    State,
}

/// Routes and plans a request.
///
/// # Errors
/// Whatever is to be answered instead of forwarding.
pub(crate) fn take_in(
    state: &State,
    session: &Session,
    ctx: &mut Exchange,
) -> Result<Taken, Denied> {
    let request = session.req_header();
    let sent = |name| request.headers.get(name).map(http::HeaderValue::as_bytes);
    // Kept when it is planned anew.
    if ctx.trace.is_none() {
        ctx.request_id = RequestId::keep_or_make(sent(REQUEST_ID_HEADER));
        let parent = sent(TRACE_HEADER).and_then(TraceParent::keep);
        let trace = match &state.tracer {
            Some(tracer) => {
                let is_trusted = parent.is_some() && is_trusted(session, ctx);
                let (trace, sampled) = tracer.begin(parent, is_trusted);
                ctx.sampled = sampled;
                trace
            }
            None => parent.unwrap_or_else(TraceParent::make),
        };
        ctx.trace = Some(trace);
    }
    // The gate has done this for HTTP/1; HTTP/2 comes here directly.
    head::check_method(request.method.as_str())?;
    let authority = request.uri.authority().map(Authority::as_str);
    let host = request.headers.get(HOST).map(http::HeaderValue::as_bytes);
    let host = host.map(|host| str::from_utf8(host).unwrap_or_default());
    if [authority, host]
        .into_iter()
        .flatten()
        .any(|host| !head::is_host(host))
    {
        return Err(Failure::BadRequest(Malformed::HostInvalid).into());
    }
    let target = request.raw_path();
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    if ctx.arrival == Arrival::Peer {
        if request.method == Method::GET && path == wire::STATE_PATH.as_bytes() {
            ctx.is_question = true;
            return Ok(Taken::State);
        }
        // Only members send it, and they always do.
        if !request.headers.contains_key(wire::VIEW) {
            return Err(Failure::BadRequest(Malformed::PeerFields).into());
        }
        let text = |name| {
            request
                .headers
                .get(name)
                .and_then(|sent| sent.to_str().ok())
        };
        let view = text(wire::VIEW).and_then(|view| view.parse().ok());
        answer::note_sender(state, text(wire::MEMBER), view.as_ref());
        // What is here already, and waits, is finished.
        if state.phase() == Phase::Closed && ctx.work.is_none() {
            return Err(Failure::Draining.into());
        }
    }
    // Peers send nothing on, so what went in a circle comes back as a client's.
    if ctx.arrival == Arrival::Client && state.via.is_in(&request.headers) {
        return Err(Failure::LoopDetected.into());
    }
    ctx.work = Some(state.work.token());
    let route = shard::parse(path).map_err(Failure::Route)?;
    plan(session, &route, ctx)?;
    Ok(Taken::Planned)
}

fn plan(session: &Session, route: &Route<'_>, ctx: &mut Exchange) -> Result<(), Denied> {
    let request = session.req_header();
    let (generation, arrival) = (ctx.generation.clone(), ctx.arrival);
    let view = &generation.view;
    let method = request.method.as_str();
    let access = generation.access_of(method, route);
    ctx.operation = route.operation(method);
    ctx.reads = access == Access::Read;
    if let Route::Repository { repository, .. } = route {
        ctx.repository = Some(repository.as_str().into());
        ctx.owner = Some(view.owner(repository));
    }
    let sticky = match route {
        Route::Session | Route::Registry(_) if arrival == Arrival::Client => {
            headers::sticky_member(request, &generation.sticky.cookie, view)
        }
        Route::Session | Route::Registry(_) | Route::Repository { .. } | Route::Private => None,
    };
    let plan = shard::plan(
        &Request {
            arrival,
            route,
            access,
            ranged: request.headers.contains_key(RANGE),
            method_is_get: request.method == Method::GET,
            sticky,
            fallback: request.headers.contains_key(wire::FALLBACK),
        },
        view,
        &generation.policy,
        |member| generation.health_of(member),
    );
    ctx.plan = Some(plan);
    let handed_over = matches!(plan, Plan::Forward(_)) && sticky.is_some();
    let ours = sticky == Some(view.members().local());
    // Not for `/v2/`, though browsers log in there too: a session of the registry's own has to be good
    // at the owners of repositories anyway, and no other client knows what to do with a cookie.
    ctx.hand_out_cookie =
        matches!(route, Route::Session) && arrival == Arrival::Client && !handed_over && !ours;
    match plan {
        Plan::Local
        | Plan::Forward(_)
        | Plan::Fallback { .. }
        | Plan::PeerFallback { .. }
        | Plan::Spread { .. } => Ok(()),
        Plan::Reject(reject) => Err(denied(reject, &generation, ctx)),
    }
}

fn denied(reject: Reject, generation: &Generation, ctx: &Exchange) -> Denied {
    let members = generation.view.members();
    match reject {
        Reject::OwnerDown { owner } => {
            let id = members.get(owner).id.clone();
            let failure = Failure::OwnerDown { owner: id };
            Denied::Wait(failure, Awaited::member(ctx, owner))
        }
        Reject::ReplicaDown => {
            let awaited = Awaited::member(ctx, members.local());
            Denied::Wait(Failure::ReplicaDown, awaited)
        }
        Reject::Misdirected { owner } => Denied::Now(Failure::Misdirected {
            owner: members.get(owner).id.clone(),
            view: *generation.view.fingerprint(),
        }),
        Reject::Private => Denied::Now(Failure::Private),
    }
}
