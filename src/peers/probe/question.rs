//! The questions that the checks ask, and what may come of them.

use std::io;
use std::time::Instant;

use http::StatusCode;
use pingora::upstreams::peer::{HttpPeer, Peer};
use pingora::{Error, ErrorType};
use rustls::AlertDescription;
use tokio::task::JoinSet;

use super::{Checks, LOOKUPS, STOPPED};
use crate::config::ProbePath;
use crate::member::generation::PeerRef;
use crate::peers::wire::{self, MemberState};
use crate::shard::Health;
use crate::shard::ownership::PartyId;
use crate::shard::text;
use crate::upstream::{Asker, brief, os_error, question};

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

impl Heard {
    /// What two addresses of one name come to: an answer, else whatever says less of its being gone.
    /// So it refuses only where all of them do.
    fn or(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Refused(_) => 0,
            Self::Replaced(_) => 1,
            Self::Silent(_) => 2,
            Self::Closed(_) => 3,
            Self::NotAsked(_) => 4,
            Self::Unreadable(_) => 5,
            Self::WithoutUs => 6,
            Self::State(_) => 7,
        }
    }
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
    /// Asks the replica whether it is alive. One that is down, and answers at another of its name's
    /// addresses, is called there from now on.
    pub(super) async fn ask_replica(
        &self,
        path: &mut ReplicaPath,
        host: &str,
    ) -> Result<(), String> {
        let upstream = self.generation.upstreams.replica();
        let in_use = upstream.address();
        let is_down = self.generation.replica().verdict() == Health::Down;
        let mut first = None;
        for target in upstream.targets() {
            let at = Peer::address(&*target).as_inet().copied();
            let result = self.ask_replica_at(&target, path, host).await;
            if result.is_ok() {
                if let Some(at) = at.filter(|at| in_use != Some(*at)) {
                    self.state.move_replica(&self.generation, at);
                }
                return Ok(());
            }
            // At another address it is another replica, for which writes wait: one slow answer is
            // no reason to move.
            if at == in_use && !is_down {
                return result;
            }
            first.get_or_insert(result);
        }
        first.unwrap_or_else(|| Err("its name does not resolve".to_owned()))
    }

    async fn ask_replica_at(
        &self,
        target: &HttpPeer,
        path: &mut ReplicaPath,
        host: &str,
    ) -> Result<(), String> {
        let mut status = self.status_of_replica(target, path, host).await;
        if let ReplicaPath::Auto { has_readiness } = path {
            let denied = matches!(status, Ok(status) if status.is_client_error());
            if *has_readiness && denied {
                *has_readiness = false;
                status = self.status_of_replica(target, path, host).await;
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
        target: &HttpPeer,
        path: &ReplicaPath,
        host: &str,
    ) -> Result<StatusCode, String> {
        let request = question(path.as_str(), host).map_err(|error| error.to_string())?;
        let answer = self
            .state
            .asker
            .get(target, request, self.probes.timeout)
            .await;
        answer
            .map(|(status, _)| status)
            .map_err(|error| brief(&error))
    }

    /// Asks a party for its state: at the address in use, then at all others of its name. Where it
    /// answers, it is called from now on.
    pub(super) async fn ask_party(&self, party: PeerRef, id: &PartyId) -> Heard {
        let upstream = self.generation.upstream_of(party);
        let mut targets = upstream.targets().into_iter();
        let Some(first) = targets.next() else {
            return if upstream.failed_lookups() >= LOOKUPS {
                Heard::Silent("its name does not resolve".to_owned())
            } else {
                Heard::NotAsked("its name has no address yet".to_owned())
            };
        };
        let peer = self.generation.peer_state_of(party);
        let changed = peer.take_change();
        let mut heard = self.ask_at(party, id, &first, changed).await;
        let mut others = JoinSet::new();
        if !matches!(heard, Heard::State(_)) {
            for target in targets {
                let (checks, id) = (self.clone(), id.clone());
                others.spawn(async move { checks.ask_at(party, &id, &target, changed).await });
            }
        }
        // The first to answer: the others of them lead to the same process, or nowhere.
        while let Some(other) = others.join_next().await {
            heard = heard.or(other.unwrap_or(Heard::NotAsked("its check broke off".to_owned())));
            if matches!(heard, Heard::State(_)) {
                break;
            }
        }
        if changed && !matches!(heard, Heard::State(_)) {
            peer.keep_change();
        }
        heard
    }

    /// Asks a party at one of its addresses.
    async fn ask_at(
        &self,
        party: PeerRef,
        id: &PartyId,
        target: &HttpPeer,
        changed: bool,
    ) -> Heard {
        let asked = Instant::now();
        let heard = match self.state_at(party, id, target, changed).await {
            Ok(told) if told.member == id.member.as_str() => {
                let at = Peer::address(target).as_inet().copied();
                let in_use = self.generation.upstream_of(party).address();
                if let Some(at) = at.filter(|at| in_use != Some(*at)) {
                    self.generation.use_address(party, at);
                }
                Heard::State(Box::new(told))
            }
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
            Err(error) => heard_of(&error),
        };
        let stopped = asked.elapsed() > self.probes.timeout.saturating_mul(2) + STOPPED;
        if stopped && matches!(heard, Heard::Silent(_) | Heard::Refused(_)) {
            return Heard::NotAsked("this member was stopped meanwhile".to_owned());
        }
        heard
    }

    async fn state_at(
        &self,
        party: PeerRef,
        id: &PartyId,
        target: &HttpPeer,
        changed: bool,
    ) -> pingora::Result<MemberState> {
        match self.exchange(party, id, target, changed).await {
            Err(error)
                if *error.etype() == ErrorType::TLSHandshakeFailure && !turns_us_away(&error) =>
            {
                // Perhaps its certificate carries the other of the member's two names.
                let upstream = self.generation.upstream_of(party);
                if let Err(error) = upstream.expect_other_name(target) {
                    tracing::error!(%error, "a peer cannot be called");
                }
                let again = upstream.target_again(target).ok_or(error)?;
                self.exchange(party, id, &again, changed).await
            }
            told => told,
        }
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
    fn of_several_addresses_the_one_that_says_least_of_an_end_counts() {
        let said = |heard: Heard| heard.rank();
        let refused = || Heard::Refused(String::new());
        let silent = || Heard::Silent(String::new());
        let replaced = || Heard::Replaced(String::new());
        let closed = || Heard::Closed(String::new());
        let not_asked = || Heard::NotAsked(String::new());
        assert_eq!(said(refused().or(refused())), said(refused()));
        for [less, more] in [
            [refused(), silent()],
            [refused(), replaced()],
            [replaced(), silent()],
            [silent(), closed()],
            [closed(), not_asked()],
            [not_asked(), Heard::WithoutUs],
        ] {
            let rank = more.rank();
            assert!(less.rank() < rank);
            assert_eq!(said(less.or(more)), rank);
        }
        assert_eq!(said(silent().or(refused())), said(silent()));
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
