//! The questions that the checks ask, and what may come of them.

use std::io;

use http::StatusCode;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use rustls::AlertDescription;

use super::{Checks, LOOKUPS};
use crate::config::ProbePath;
use crate::member::generation::PeerRef;
use crate::peers::wire::{self, MemberState};
use crate::shard::ownership::PartyId;
use crate::shard::text;
use crate::upstream::{Asker, Load, cause, os_error, question};

/// What came of asking a party for its state.
pub(super) enum Heard {
    /// It said so.
    State(Box<MemberState>),
    /// It is there and takes us for no member: its view is another.
    WithoutUs,
    /// It is there, and its view may be any.
    Unreadable(String),
    /// Somebody is there, and tells nothing of its view, and why.
    Closed(String),
    /// Another member is there.
    Replaced(String),
    /// Nobody seems to be there, and why.
    Silent(String),
    /// Nobody listens there, and why.
    Refused(String),
    /// The question never went out, for a reason of our own.
    NotAsked(String),
}

/// Where zot says whether it is ready; it answers `/v2/` before that.
const READY_PATH: &str = "/readyz";
/// Where every registry says that it is one (OCI distribution specification, end-1).
const BASE_PATH: &str = "/v2/";

/// A member that does not say.
const REFUSED: ErrorType = ErrorType::Custom("refused");
/// A member's answer that tells nothing.
const UNREADABLE: ErrorType = ErrorType::Custom("unreadable");

/// Which path of the replica is asked.
pub(super) enum ReplicaPath {
    Fixed(String),
    /// `/readyz` until the replica turns out not to have it.
    Auto {
        has_readiness: bool,
    },
}

impl ReplicaPath {
    pub(super) fn new(configured: &ProbePath) -> Self {
        match configured {
            ProbePath::Fixed(path) => Self::Fixed(path.clone()),
            ProbePath::Auto => Self::Auto {
                has_readiness: true,
            },
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Fixed(path) => path,
            Self::Auto {
                has_readiness: true,
            } => READY_PATH,
            Self::Auto {
                has_readiness: false,
            } => BASE_PATH,
        }
    }
}

impl Checks {
    /// Asks the replica whether it is alive.
    pub(super) async fn ask_replica(
        &self,
        path: &mut ReplicaPath,
        host: &str,
    ) -> Result<(), String> {
        let mut status = self.status_of_replica(path, host).await;
        if let ReplicaPath::Auto { has_readiness } = path {
            let denied = matches!(status, Ok(status) if status.is_client_error());
            if *has_readiness && denied {
                *has_readiness = false;
                status = self.status_of_replica(path, host).await;
            } else if status.is_err() {
                // Another registry may be there when it comes back.
                *has_readiness = true;
            }
        }
        match status? {
            StatusCode::OK | StatusCode::UNAUTHORIZED => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }

    async fn status_of_replica(
        &self,
        path: &ReplicaPath,
        host: &str,
    ) -> Result<StatusCode, String> {
        let target = self.generation.upstreams.replica().ready(Load::Small);
        let target = target.ok_or("its name does not resolve")?;
        let request = question(path.as_str(), host).map_err(|error| error.to_string())?;
        let answer = self
            .state
            .asker
            .get(&target, request, self.probes.timeout)
            .await;
        answer
            .map(|(status, _)| status)
            .map_err(|error| brief(&error))
    }

    /// Asks a party for its state.
    pub(super) async fn ask_party(&self, party: PeerRef, id: &PartyId) -> Heard {
        match self.state_of(party, id).await {
            Ok(told) if told.member == id.member.as_str() => Heard::State(Box::new(told)),
            Ok(told) => {
                let who = text::foreign_name(&told.member);
                let reason = format!("{who} answers at its address");
                let other = told.member.parse().ok();
                let is_listed = |id| self.generation.view.members().find(&id).is_some();
                if other.is_some_and(is_listed) {
                    Heard::Replaced(reason)
                } else {
                    Heard::Closed(reason)
                }
            }
            Err(Some(error)) => heard_of(&error),
            Err(None) if self.generation.upstream_of(party).failed_lookups() >= LOOKUPS => {
                Heard::Silent("its name does not resolve".to_owned())
            }
            Err(None) => Heard::NotAsked("its name has no address yet".to_owned()),
        }
    }

    async fn state_of(
        &self,
        party: PeerRef,
        id: &PartyId,
    ) -> Result<MemberState, Option<Box<Error>>> {
        let upstream = self.generation.upstream_of(party);
        let target = upstream.ready(Load::Small).ok_or(None)?;
        let peer = self.generation.peer_state_of(party);
        let changed = peer.take_change();
        let told = match self.exchange(party, id, &target, changed).await {
            Err(error)
                if *error.etype() == ErrorType::TLSHandshakeFailure && !turns_us_away(&error) =>
            {
                // Perhaps its certificate carries the other of the member's two names.
                if let Err(error) = upstream.expect_other_name(&target) {
                    tracing::error!(%error, "a peer cannot be called");
                }
                let target = upstream.ready(Load::Small).ok_or(None)?;
                self.exchange(party, id, &target, changed).await
            }
            told => told,
        };
        if changed && told.is_err() {
            peer.keep_change();
        }
        told.map_err(Some)
    }

    async fn exchange(
        &self,
        party: PeerRef,
        id: &PartyId,
        target: &HttpPeer,
        changed: bool,
    ) -> pingora::Result<MemberState> {
        let view = &self.generation.view;
        let address = self.generation.member_of(party).address.to_string();
        let mut request = question(wire::STATE_PATH, &address)?;
        let members = view.members();
        request.insert_header(wire::MEMBER, members.get(members.local()).id.to_string())?;
        request.insert_header(wire::VIEW, view.fingerprint().to_string())?;
        request.insert_header(wire::START, self.state.process.as_str())?;
        let replica = self.state.writes.snapshot().replica().clone();
        request.insert_header(wire::REPLICA, replica.as_str())?;
        let (knows, wants_witness) = {
            let rules = self.state.writes.rules();
            (rules.known_views(id), rules.wants_witness())
        };
        if !knows.is_empty() {
            let knows: Vec<String> = knows.iter().map(ToString::to_string).collect();
            request.insert_header(wire::KNOWS, knows.join(","))?;
        }
        if wants_witness {
            request.insert_header(wire::WITNESS, "1")?;
        }
        if changed {
            request.insert_header(wire::CHANGED, "1")?;
        }
        let (status, body) = self
            .state
            .asker
            .get(target, request, self.probes.timeout)
            .await?;
        if status != StatusCode::OK {
            return Error::e_explain(REFUSED, format!("it answered {status}"));
        }
        let told = serde_json::from_slice(&body);
        told.map_err(|error| {
            let said = "its answer is no member state";
            Error::because(UNREADABLE, said, error)
        })
    }
}

/// What an error says of the other side.
fn heard_of(error: &Error) -> Heard {
    if turns_us_away(error) {
        return Heard::WithoutUs;
    }
    let reason = brief(error);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the framework has thirty kinds of error"
    )]
    match error.etype() {
        kind if *kind == UNREADABLE || *kind == Asker::TOO_LARGE => Heard::Unreadable(reason),
        kind if *kind == REFUSED => Heard::Closed(reason),
        ErrorType::TLSHandshakeFailure => Heard::Closed(reason),
        ErrorType::ConnectRefused => Heard::Refused(reason),
        ErrorType::SocketError | ErrorType::BindError => Heard::NotAsked(reason),
        _ if is_ours(error) => Heard::NotAsked(reason),
        _ => Heard::Silent(reason),
    }
}

/// Whether it is this machine that failed: no descriptor, no memory, no port, a rule of its own.
/// Nobody was asked then, so nobody was silent. A network that is out is out for others too.
fn is_ours(error: &Error) -> bool {
    // errno(3): EPERM, ENOMEM, EACCES, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS.
    const OURS: [i32; 7] = [1, 12, 13, 23, 24, 99, 105];
    os_error(error).is_some_and(|code| OURS.contains(&code))
}

/// Whether the other end says, by the alert that [`crate::tls::MemberVerifier`] causes, that our
/// certificate is valid and none of a member's.
fn turns_us_away(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(error) = cause {
        let within = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let tls = within.map_or(error.downcast_ref(), |within| within.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return *alert == AlertDescription::AccessDenied;
        }
        cause = error.source();
    }
    false
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
        // Our own words. The framework's may quote what was received.
        ErrorType::Custom(_) | ErrorType::CustomCode(..) => match &error.context {
            Some(context) => context.as_str().to_owned(),
            None => error.etype().as_str().to_owned(),
        },
        _ => cause(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapped(io::Error);

    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_of_our_own_is_no_silence_however_it_is_wrapped() {
        for (code, is_silence) in [
            (1, false),
            (24, false),
            (99, false),
            (101, true),
            (113, true),
        ] {
            let cause = io::Error::from_raw_os_error(code);
            for kind in [ErrorType::InternalError, ErrorType::ConnectError] {
                let wrapped = Wrapped(io::Error::from_raw_os_error(code));
                let heard = heard_of(&Error::because(kind, "connecting", wrapped));
                assert_eq!(matches!(heard, Heard::Silent(_)), is_silence, "{cause}");
                assert_eq!(matches!(heard, Heard::NotAsked(_)), !is_silence, "{cause}");
            }
        }
    }
}
