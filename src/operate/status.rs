//! The document under `/api/v1/status`: the one description of a running member, for the status
//! page, `shardlet status` and other people's tools.
//!
//! Fields are only ever added. Readers ignore what they do not know, so that a member of one
//! version can be asked by the command line of another.

mod leases;
mod owner;

pub(crate) use leases::{
    EarlierViewStatus, LeaseStatus, LeasesStatus, ViewChangeStatus, WishStatus,
};
pub(crate) use owner::{Asker, OwnerAnswer};

use crate::observe::human;
use crate::shard::{CircuitState, Health, Member, MemberIndex, View};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// Everything about one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub member: String,
    /// Version of shardlet.
    pub version: String,
    /// Its clock, in seconds since 1970.
    #[serde(default)]
    pub now_unix: i64,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether all readiness checks hold.
    pub ready: bool,
    /// Whether it takes no new work.
    pub draining: bool,
    /// Its sockets.
    pub listeners: Vec<ListenerStatus>,
    /// Where commands are taken.
    #[serde(default)]
    pub commands: CommandStatus,
    /// Who the members are.
    pub view: ViewStatus,
    /// The local replica.
    pub replica: ReplicaStatus,
    /// Who may write, as far as this member knows.
    #[serde(default)]
    pub writes: WritesStatus,
    /// Where members hold leases: how that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<LeasesStatus>,
    /// What it did since it started.
    pub requests: RequestTotals,
    /// `reads.owner_down`: `fallback` or `reject`.
    #[serde(default)]
    pub owner_down: String,
    /// The configuration in force.
    #[serde(default)]
    pub configuration: ConfigurationStatus,
    /// The certificates in use.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
    /// What an operator should look at, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Whether writes are taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WritesStatus {
    /// Whether this member knows what others may be writing. If not, writes to its repositories
    /// wait.
    pub ready: bool,
    /// Requests that wait for their owner.
    pub held: u64,
    /// How many may.
    pub held_limit: u64,
    /// How long each may, in seconds.
    pub hold_seconds: f64,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// `clients`, `peers` or `admin`.
    pub name: String,
    /// Where it is bound.
    pub address: String,
    /// `none`, `tls` or `mtls`.
    pub security: String,
    /// Connections that are open.
    pub connections: u64,
}

/// Where `reload` and `drain` are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStatus {
    /// The Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The view in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewStatus {
    /// 32 hexadecimal digits, the same on all members.
    pub fingerprint: String,
    /// `rendezvous` or `zot`.
    pub placement: String,
    /// The members, in the configured order.
    pub members: Vec<MemberStatus>,
    /// Repositories with a fixed owner.
    pub pins: Vec<PinStatus>,
}

/// One member as this one sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: String,
    /// Host and port of its peer listener, as configured.
    pub address: String,
    /// Its weight.
    pub weight: u16,
    /// Part of all repositories that it is expected to own, 0 to 1.
    pub share: f64,
    /// Whether it is the one that answers.
    pub local: bool,
    /// For the local member the verdict on its replica.
    pub health: HealthStatus,
    /// For the local member the circuit to its replica.
    #[serde(default)]
    pub circuit: CircuitStatus,
    /// Whether it last told that it takes no new work.
    #[serde(default)]
    pub draining: bool,
    /// Whether its last answer carried our fingerprint; absent if it never told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_view: Option<bool>,
    /// Addresses that its name resolves to.
    #[serde(default)]
    pub resolved: Vec<String>,
    /// Since when its health is what it is, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// For so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// Seconds since it last answered a check, where the last one was bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<u64>,
    /// What was wrong with the last check, where it was bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Requests of ours that it works on.
    #[serde(default)]
    pub in_flight: u64,
    /// Requests that wait here for a place at it.
    #[serde(default)]
    pub queued: u64,
    /// Its lease, where members hold leases and it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseStatus>,
    /// What it did for us in the last minute.
    #[serde(default)]
    pub traffic: TrafficStatus,
}

/// Requests that went to a member from here, or were to go there, in the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrafficStatus {
    /// All of them.
    pub requests_per_second: f64,
    /// Those that were answered with 5xx.
    pub errors_per_second: f64,
    /// Body bytes, both ways.
    pub bytes_per_second: f64,
    /// Half of the answers began within so many milliseconds.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// 99 of 100 did.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Not checked yet; counts as up.
    Unknown,
    /// It answers.
    Up,
    /// It answers, and is about to go.
    Draining,
    /// It does not.
    Down,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitStatus {
    /// Requests are sent.
    #[default]
    Closed,
    /// It failed again and again: requests are answered at once, without it.
    Open,
    /// The next request is a trial.
    HalfOpen,
}

/// Where the configuration in force came from, and what became of the last attempt to change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationStatus {
    /// The file, as the operator named it.
    pub source: String,
    /// Since when it is in force, in RFC 3339.
    pub loaded_at: String,
    /// The last reload, if there was one.
    #[serde(default)]
    pub last_reload: Option<ReloadStatus>,
    /// Dotted keys that have changed since the start and wait for a restart.
    #[serde(default)]
    pub needs_restart: Vec<String>,
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When, in RFC 3339.
    pub at: String,
    /// Whether it was taken; if not, nothing has changed.
    pub taken: bool,
    /// Why not: each with file, line and column where it has them; may be several lines.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A prefix with a fixed owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinStatus {
    /// Whole path components.
    pub prefix: String,
    /// Id of the owner.
    pub member: String,
}

/// The local replica and the queue before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Where it listens.
    pub address: String,
    /// The verdict of its probes.
    pub health: HealthStatus,
    /// The circuit to it.
    #[serde(default)]
    pub circuit: CircuitStatus,
    /// Requests that it works on.
    pub in_flight: u64,
    /// Of those, reads.
    #[serde(default)]
    pub reads_in_flight: u64,
    /// Of those, writes.
    #[serde(default)]
    pub writes_in_flight: u64,
    /// Requests that it may work on at once.
    pub in_flight_limit: u64,
    /// Requests that wait.
    pub queued: u64,
    /// Requests that may wait.
    pub queue_limit: u64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTotals {
    /// Requests that have begun and not ended.
    pub in_flight: u64,
    /// Bodies on their way to clients, from the heads of their answers on, and from them.
    #[serde(default)]
    pub transfers: u64,
    /// How many of them there may be.
    #[serde(default)]
    pub transfers_limit: u64,
    /// Requests that ended.
    pub ended: u64,
    /// Of those, answered or given up here.
    pub rejected: u64,
    /// Reads served by another replica than the owner's.
    pub fallbacks: u64,
    /// Second attempts.
    pub retries: u64,
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// `clients` or `member`.
    pub name: String,
    /// When it expires, in seconds since 1970.
    pub expires_unix: i64,
}

/// What only the running server knows about a member.
#[derive(Clone, Debug)]
pub struct MemberFacts {
    /// Its verdict.
    pub health: Health,
    /// Its circuit.
    pub circuit: CircuitStatus,
    /// Whether it told that it drains.
    pub draining: bool,
    /// Whether it told our fingerprint.
    pub same_view: Option<bool>,
    /// Addresses that its name resolves to.
    pub resolved: Vec<String>,
    /// Since when its verdict stands.
    pub since: Option<SystemTime>,
    /// When it last answered a check, where the last one was bad.
    pub answered: Option<SystemTime>,
    /// What was wrong with the last check.
    pub why: Option<String>,
    /// Requests that it works on, and that wait for a place at it.
    pub load: (u64, u64),
    /// Its lease, where members hold leases.
    pub lease: Option<LeaseStatus>,
    /// What it did in the last minute.
    pub traffic: TrafficStatus,
}

impl ViewStatus {
    /// Describes a view, with what `facts` knows about each member.
    pub fn of(view: &View, facts: impl Fn(MemberIndex) -> MemberFacts) -> Self {
        let members = view.members();
        let describe = |(index, share): (MemberIndex, f64)| {
            let Member {
                id,
                address,
                weight,
            } = members.get(index);
            let MemberFacts {
                health,
                circuit,
                draining,
                same_view,
                resolved,
                since,
                answered,
                why,
                load: (in_flight, queued),
                lease,
                traffic,
            } = facts(index);
            let age = |at: SystemTime| at.elapsed().unwrap_or_default().as_secs();
            MemberStatus {
                id: id.to_string(),
                address: address.to_string(),
                weight: weight.get(),
                share,
                local: index == members.local(),
                health: health.into(),
                circuit,
                draining,
                same_view,
                resolved,
                since: since.map(human::rfc3339),
                since_seconds: since.map(age),
                silent_seconds: answered.map(age),
                why,
                in_flight,
                queued,
                lease,
                traffic,
            }
        };
        let pins = view.pins().iter().map(|(prefix, member)| PinStatus {
            prefix: prefix.as_str().to_owned(),
            member: members.get(member).id.to_string(),
        });
        Self {
            fingerprint: view.fingerprint().to_string(),
            placement: view.placement().as_str().to_owned(),
            members: view.shares().map(describe).collect(),
            pins: pins.collect(),
        }
    }
}

impl HealthStatus {
    /// `unknown`, `up` or `down`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

impl CircuitStatus {
    /// `closed`, `open` or `half-open`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl ConfigurationStatus {
    /// The last reload, if it was refused.
    pub fn refused(&self) -> Option<&ReloadStatus> {
        self.last_reload.as_ref().filter(|reload| !reload.taken)
    }
}

impl From<CircuitState> for CircuitStatus {
    fn from(state: CircuitState) -> Self {
        match state {
            CircuitState::Closed => Self::Closed,
            CircuitState::Open => Self::Open,
            CircuitState::HalfOpen => Self::HalfOpen,
        }
    }
}

impl From<Health> for HealthStatus {
    fn from(health: Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Up => Self::Up,
            Health::Draining => Self::Draining,
            Health::Down => Self::Down,
        }
    }
}
