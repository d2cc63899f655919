//! Active checks of the local replica and of every peer, one task each. A verdict changes after
//! several results in a row; requests read the verdicts and never wait for a check.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{HOST, USER_AGENT};
use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::config::{ProbePath, Probes};
use crate::shard::{Description, Fingerprint, Health, MemberIndex, OtherView, Tracker};
use crate::state::State;
use crate::upstream::Asker;
use crate::wire::{self, MemberState};

/// How far an interval may be off, as a part of it: members that start together must not probe
/// in step for ever.
const JITTER: f64 = 0.1;

/// Checks the local replica for ever: 200 and 401 mean alive (a registry with authentication
/// answers 401 to `/v2/`), anything else and silence mean dead.
pub async fn watch_replica(state: Arc<State>, asker: Arc<Asker>, probes: Probes, host: String) {
    let local = state.view.members().local();
    let mut tracker = Tracker::new(probes.thresholds);
    loop {
        let result = check_replica(&state, &asker, &probes, &host).await;
        if let Some(verdict) = tracker.record(result.is_ok()) {
            let up = verdict == Health::Up;
            state.health.set(local, verdict);
            state.metrics.replica_up(up);
            match result {
                Ok(()) => tracing::info!("the local replica is up"),
                Err(reason) => tracing::warn!(%reason, "the local replica is down"),
            }
        }
        pause(probes.interval).await;
    }
}

/// Checks one peer for ever, through the same listener and certificates as its requests.
pub async fn watch_peer(state: Arc<State>, asker: Arc<Asker>, probes: Probes, peer: MemberIndex) {
    let member = state.view.members().get(peer).id.clone();
    let mut tracker = Tracker::new(probes.thresholds);
    loop {
        let result = check_peer(&state, &asker, &probes, peer).await;
        state.health.set_asked(peer);
        if let Some(verdict) = tracker.record(result.is_ok()) {
            let up = verdict == Health::Up;
            state.health.set(peer, verdict);
            state.members.peer_up(peer, up);
            match result {
                Ok(()) => tracing::info!(%member, "peer is up"),
                Err(reason) => tracing::warn!(%member, %reason, "peer is down"),
            }
        }
        pause(probes.interval).await;
    }
}

async fn check_replica(
    state: &State,
    asker: &Asker,
    probes: &Probes,
    host: &str,
) -> Result<(), String> {
    let Some(target) = state.upstreams.replica() else {
        return Err("its name does not resolve".into());
    };
    let path = match &probes.path {
        ProbePath::Auto => "/v2/",
        ProbePath::Fixed(path) => path,
    };
    let request = question(path, host).map_err(|error| error.to_string())?;
    let answer = asker.get(&target, request, probes.timeout).await;
    match answer.map_err(|error| brief(&error))? {
        (StatusCode::OK | StatusCode::UNAUTHORIZED, _) => Ok(()),
        (status, _) => Err(format!("it answered {status}")),
    }
}

async fn check_peer(
    state: &State,
    asker: &Asker,
    probes: &Probes,
    peer: MemberIndex,
) -> Result<(), String> {
    let Some(target) = state.upstreams.member(peer) else {
        return Err("its name does not resolve".into());
    };
    let told = match ask_peer(state, asker, probes, peer, &target).await {
        Err(error) if *error.etype() == ErrorType::TLSHandshakeFailure => {
            // Perhaps its certificate carries the other of the member's two names.
            state
                .upstreams
                .expect_other_name(peer, &target)
                .map_err(|error| error.to_string())?;
            let target = state
                .upstreams
                .member(peer)
                .ok_or("its name does not resolve")?;
            ask_peer(state, asker, probes, peer, &target).await
        }
        told => told,
    };
    let told = told.map_err(|error| brief(&error))?;
    let expected = &state.view.members().get(peer).id;
    if told.member != expected.to_string() {
        return Err(format!("{} answers at its address", told.member));
    }
    if let Ok(view) = told.view.parse() {
        take_view(state, peer, view, told.description.as_ref());
    }
    if told.replica_up {
        Ok(())
    } else {
        Err("its replica is down".into())
    }
}

/// Notes a peer's view, and where it differs from ours.
fn take_view(
    state: &State,
    peer: MemberIndex,
    view: Fingerprint,
    description: Option<&Description>,
) {
    let same = view == *state.view.fingerprint();
    if same {
        state.health.set_other(peer, None);
    } else {
        let other = description.map_or_else(OtherView::unknown, |told| state.view.compare(told));
        if state.health.view_of(peer) != Some(view) {
            let member = &state.view.members().get(peer).id;
            tracing::error!(%member, difference = %other,
                "a peer has another view: writes to the repositories on which they disagree are refused");
        }
        state.health.set_other(peer, Some(other));
    }
    state.members.peer_view_same(peer, same);
    state.health.set_view(peer, view);
}

async fn ask_peer(
    state: &State,
    asker: &Asker,
    probes: &Probes,
    peer: MemberIndex,
    target: &HttpPeer,
) -> pingora::Result<MemberState> {
    let members = state.view.members();
    let mut request = question(wire::STATE_PATH, &members.get(peer).address.to_string())?;
    request.insert_header(wire::MEMBER, members.get(members.local()).id.to_string())?;
    request.insert_header(wire::VIEW, state.view.fingerprint().to_string())?;
    let (status, body) = asker.get(target, request, probes.timeout).await?;
    if status != StatusCode::OK {
        return Error::e_explain(
            ErrorType::InvalidHTTPHeader,
            format!("it answered {status}"),
        );
    }
    serde_json::from_slice(&body).map_err(|error| {
        Error::because(
            ErrorType::InvalidHTTPHeader,
            "its answer is no member state",
            error,
        )
    })
}

fn question(path: &str, host: &str) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build("GET", path.as_bytes(), Some(4))?;
    request.insert_header(HOST, host)?;
    request.insert_header(USER_AGENT, concat!("shardlet/", env!("CARGO_PKG_VERSION")))?;
    Ok(request)
}

/// An error in a few words: why, and where known what lies behind it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the framework has thirty kinds of error"
)]
fn brief(error: &Error) -> String {
    match error.etype() {
        ErrorType::ConnectRefused => "it refuses connections".into(),
        ErrorType::ConnectTimedout => "connecting takes too long".into(),
        ErrorType::ReadTimedout => "it does not answer in time".into(),
        ErrorType::TLSHandshakeFailure => {
            format!("the TLS handshake failed: {}", error.root_cause())
        }
        other => match &error.context {
            Some(context) => context.as_str().to_owned(),
            None => other.as_str().to_owned(),
        },
    }
}

async fn pause(interval: Duration) {
    let mut random = [0; 1];
    // Without randomness the pauses are merely in step.
    let _ = getrandom::fill(&mut random);
    let swing = f64::from(random[0]) / f64::from(u8::MAX) * 2.0 - 1.0;
    tokio::time::sleep(interval.mul_f64(1.0 + swing * JITTER)).await;
}
