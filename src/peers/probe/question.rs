//! The questions that the checks ask, and what may come of them.

use std::io;
use std::time::Instant;

use http::StatusCode;
use rustls::AlertDescription;
use tokio::task::JoinSet;

use super::{Checks, LOOKUPS, STOPPED};
use crate::config::ProbePath;
use crate::member::generation::PeerRef;
use crate::peers::wire::{self, MemberState};
use crate::shard::Health;
use crate::shard::ownership::PartyId;
use crate::shard::text;
use crate::upstream::{ConnectError, NoAnswer, Question, Route};

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

/// Why a party has not told its state.
enum Untold {
    NoAnswer(NoAnswer),
    Refused(StatusCode),
    /// Its answer tells nothing.
    Unreadable,
}

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
        for route in upstream.routes() {
            let at = route.address();
            let result = self.ask_replica_at(&route, path, host).await;
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
        route: &Route,
        path: &mut ReplicaPath,
        host: &str,
    ) -> Result<(), String> {
        let mut status = self.status_of_replica(route, path, host).await;
        if let ReplicaPath::Auto { has_readiness } = path {
            let denied = matches!(status, Ok(status) if status.is_client_error());
            if *has_readiness && denied {
                *has_readiness = false;
                status = self.status_of_replica(route, path, host).await;
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
        route: &Route,
        path: &ReplicaPath,
        host: &str,
    ) -> Result<StatusCode, String> {
        let question = Question::get(path.as_str(), host);
        let answer = route.ask(&question, self.probes.timeout).await;
        answer
            .map(|answer| answer.status)
            .map_err(|error| error.to_string())
    }

    /// Asks a party for its state: at the address in use, then at all others of its name. Where it
    /// answers, it is called from now on.
    pub(super) async fn ask_party(&self, party: PeerRef, id: &PartyId) -> Heard {
        let upstream = self.generation.upstream_of(party);
        let mut routes = upstream.routes().into_iter();
        let Some(first) = routes.next() else {
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
            for route in routes {
                let (checks, id) = (self.clone(), id.clone());
                others.spawn(async move { checks.ask_at(party, &id, &route, changed).await });
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
    async fn ask_at(&self, party: PeerRef, id: &PartyId, route: &Route, changed: bool) -> Heard {
        let asked = Instant::now();
        let heard = match self.state_at(party, id, route, changed).await {
            Ok(told) if told.member == id.member.as_str() => {
                let at = route.address();
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
            Err(untold) => heard_of(&untold),
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
        route: &Route,
        changed: bool,
    ) -> Result<MemberState, Untold> {
        match self.exchange(party, id, route, changed).await {
            Err(Untold::NoAnswer(error))
                if matches!(error, NoAnswer::Connect(ConnectError::Tls(_)))
                    && !turns_us_away(&error) =>
            {
                // Perhaps its certificate carries the other of the member's two names.
                let upstream = self.generation.upstream_of(party);
                if let Err(error) = upstream.expect_other_name(route) {
                    tracing::error!(%error, "a peer cannot be called");
                }
                let again = upstream.route_at(route.address());
                let again = again.ok_or(Untold::NoAnswer(error))?;
                self.exchange(party, id, &again, changed).await
            }
            told => told,
        }
    }

    async fn exchange(
        &self,
        party: PeerRef,
        id: &PartyId,
        route: &Route,
        changed: bool,
    ) -> Result<MemberState, Untold> {
        let view = &self.generation.view;
        let address = self.generation.member_of(party).address.to_string();
        let members = view.members();
        let replica = self.state.writes.snapshot().replica().clone();
        let mut question = Question::get(wire::STATE_PATH, &address)
            .field(wire::MEMBER, members.get(members.local()).id.as_str())
            .field(wire::VIEW, &view.fingerprint().to_string())
            .field(wire::START, self.state.process.as_str())
            .field(wire::REPLICA, replica.as_str());
        let (knows, wants_witness) = {
            let rules = self.state.writes.rules();
            (rules.known_views(id), rules.wants_witness())
        };
        if !knows.is_empty() {
            let knows: Vec<String> = knows.iter().map(ToString::to_string).collect();
            question = question.field(wire::KNOWS, &knows.join(","));
        }
        if wants_witness {
            question = question.field(wire::WITNESS, "1");
        }
        if changed {
            question = question.field(wire::CHANGED, "1");
        }
        let answer = route.ask(&question, self.probes.timeout).await;
        let answer = answer.map_err(Untold::NoAnswer)?;
        if answer.status != StatusCode::OK {
            return Err(Untold::Refused(answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|_| Untold::Unreadable)
    }
}

/// What that says of the other side.
fn heard_of(untold: &Untold) -> Heard {
    let error = match untold {
        Untold::Refused(status) => return Heard::Closed(format!("it answered {status}")),
        Untold::Unreadable => {
            return Heard::Unreadable("its answer is no member state".to_owned());
        }
        Untold::NoAnswer(error) => error,
    };
    if turns_us_away(error) {
        return Heard::WithoutUs;
    }
    let reason = error.to_string();
    match error {
        NoAnswer::TooLarge => Heard::Unreadable(reason),
        NoAnswer::Connect(ConnectError::Tls(_)) => Heard::Closed(reason),
        NoAnswer::Connect(ConnectError::Refused(_)) => Heard::Refused(reason),
        NoAnswer::NotAsked => Heard::NotAsked(reason),
        NoAnswer::Connect(ConnectError::Failed(error)) | NoAnswer::Broken(error)
            if is_ours(error) =>
        {
            Heard::NotAsked(reason)
        }
        NoAnswer::Connect(ConnectError::Failed(_) | ConnectError::TimedOut)
        | NoAnswer::TimedOut
        | NoAnswer::Broken(_)
        | NoAnswer::Unreadable(_) => Heard::Silent(reason),
    }
}

/// Whether it is this machine that failed: no descriptor, no memory, no port, a rule of its own.
/// Nobody was asked then, so nobody was silent. A network that is out is out for others too.
fn is_ours(error: &io::Error) -> bool {
    // errno(3): EPERM, ENOMEM, EACCES, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS.
    const OURS: [i32; 7] = [1, 12, 13, 23, 24, 99, 105];
    error
        .raw_os_error()
        .is_some_and(|code| OURS.contains(&code))
}

/// Whether the other end says, by the alert that [`crate::tls::MemberVerifier`] causes, that our
/// certificate is valid and none of a member's.
fn turns_us_away(error: &NoAnswer) -> bool {
    let within = error.cause().and_then(io::Error::get_ref);
    let tls = within.and_then(|within| within.downcast_ref());
    matches!(
        tls,
        Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_error_of_our_own_is_no_silence() {
        for (code, is_silence) in [
            (1, false),
            (24, false),
            (99, false),
            (101, true),
            (104, true),
            (113, true),
        ] {
            let error = || io::Error::from_raw_os_error(code);
            for untold in [
                NoAnswer::Connect(ConnectError::Failed(error())),
                NoAnswer::Broken(error()),
            ] {
                let heard = heard_of(&Untold::NoAnswer(untold));
                assert_eq!(matches!(heard, Heard::Silent(_)), is_silence, "{code}");
                assert_eq!(matches!(heard, Heard::NotAsked(_)), !is_silence, "{code}");
            }
        }
    }

    #[test]
    fn who_turns_us_away_is_there_and_so_is_who_breaks_a_handshake() {
        let alert = |alert| {
            let alert = rustls::Error::AlertReceived(alert);
            io::Error::new(io::ErrorKind::InvalidData, alert)
        };
        let heard = |error| heard_of(&Untold::NoAnswer(error));
        // By TLS 1.2 in the handshake, by TLS 1.3 behind it.
        let away = || alert(AlertDescription::AccessDenied);
        let other = || alert(AlertDescription::UnknownCA);
        let in_handshake = |error| NoAnswer::Connect(ConnectError::Tls(error));
        for error in [in_handshake(away()), NoAnswer::Broken(away())] {
            assert!(matches!(heard(error), Heard::WithoutUs));
        }
        assert!(matches!(heard(in_handshake(other())), Heard::Closed(_)));
        assert!(matches!(heard(NoAnswer::Broken(other())), Heard::Silent(_)));
        let refused = ConnectError::Refused(io::Error::from_raw_os_error(111));
        let refused = heard(NoAnswer::Connect(refused));
        assert!(matches!(refused, Heard::Refused(_)));
        for error in [
            NoAnswer::TimedOut,
            NoAnswer::Connect(ConnectError::TimedOut),
        ] {
            assert!(matches!(heard(error), Heard::Silent(_)));
        }
        assert!(matches!(heard(NoAnswer::NotAsked), Heard::NotAsked(_)));
    }
}
