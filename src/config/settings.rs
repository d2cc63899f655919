//! The typed configuration: a value that cannot be wrong.
//!
//! Every field was parsed, range-checked and, where it has one, given its default by the time a
//! [`Config`] exists. Nothing here is optional by accident: an `Option` is a choice of the
//! operator. Destructure these types without `..`, so that a new field cannot be forgotten.

mod coordination;
mod store;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::identity::Identified;
use super::problem::Problem;
pub use coordination::{Coordination, Level};
pub use store::{DynamoDbSettings, KubernetesSettings, S3Settings, ServiceUrl, StoreSettings};

use crate::shard::{CircuitLimits, Host, MemberAddress, Policy, Thresholds, View};

/// Everything that one member needs to know to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The three listeners of this member.
    pub listen: Listen,
    /// How many threads serve requests.
    pub threads: Threads,
    /// The replica beside this member.
    pub registry: Registry,
    /// How members prove to each other who they are.
    pub cluster: ClusterTls,
    /// Members with the local one, placement, hash key and pins, as one value.
    pub view: Arc<View>,
    /// How members agree over a store who may write; by the list in the file if none. With it, `view` is what
    /// the file says, until the store tells: the list that is written, else this member alone.
    pub coordination: Option<Coordination>,
    /// Whether the hash key is the cluster's. If not, the view is good for a check alone.
    pub key_known: bool,
    /// How the local member was found out.
    pub identified: Identified,
    /// How much work is sent to each of the other members.
    pub peer_limits: PeerLimits,
    /// A folder that keeps what this member may have been writing over its own restarts.
    pub state: Option<PathBuf>,
    /// How long a write may wait for its owner.
    pub hold: Hold,
    /// Which reads may be served by another replica than the owner's.
    pub reads: Policy,
    /// The cookie that keeps a browser session on one member.
    pub sticky: Sticky,
    /// Deadlines and idle limits. None of them limits a whole body.
    pub timeouts: Timeouts,
    /// Bounds on what clients and peers may ask of this process.
    pub limits: Limits,
    /// When a member that fails is left alone for a while.
    pub circuit: CircuitLimits,
    /// Who is believed about the clients before it: by `Forwarded` and `X-Forwarded-*`, and by the PROXY
    /// protocol where `listen.clients` speaks it.
    pub trusted_proxies: Vec<IpNet>,
    /// What is logged, and how.
    pub log: Log,
    /// What is sent to a collector, if anything.
    pub telemetry: Telemetry,
    /// Active checks of the local replica and of the peers.
    pub probes: Probes,
    /// Resolution of member names, in the background.
    pub resolve: Resolve,
    /// When the configuration is read anew.
    pub reload: Reload,
    /// Every file that this configuration was read from or names.
    /// The configuration file itself is the first, unless it came from standard input.
    pub files: Vec<PathBuf>,
    /// What is legal but probably not meant. To be logged once at the start.
    pub remarks: Vec<Problem>,
}

impl Config {
    /// Whether there may be other members.
    #[must_use]
    pub fn may_have_peers(&self) -> bool {
        self.coordination.is_some() || self.view.members().len() > 1
    }
}

/// How many threads serve requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One for each CPU that this process may use. The default.
    Auto,
    /// So many.
    Exactly(NonZeroUsize),
}

/// The listeners. Which of them a request came in by is its arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For clients: docker, podman, kubelets, load balancers.
    pub clients: ClientListener,
    /// For the other members.
    pub peers: PeerListener,
    /// For operators: health, metrics, status.
    pub admin: AdminListener,
}

/// The client listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientListener {
    /// Where to listen. Default `0.0.0.0:5000`.
    pub address: SocketAddr,
    /// TLS for clients; plain HTTP without.
    pub tls: Option<KeyPairPaths>,
    /// Whether connections from `trusted_proxies` begin with a PROXY header. Default: no.
    pub proxy_protocol: bool,
}

/// The peer listener. Its TLS is [`ClusterTls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerListener {
    /// Where to listen. Default `0.0.0.0:5443`.
    pub address: SocketAddr,
}

/// The admin listener, plain HTTP, and the socket that commands are taken at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminListener {
    /// Where to listen. Default `127.0.0.1:9900`.
    pub address: SocketAddr,
    /// The command socket; in a usual folder if not named.
    pub socket: Option<PathBuf>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairPaths {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The local replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Where the replica listens. Default `127.0.0.1:5001`.
    pub address: RegistryAddress,
    /// TLS towards the replica; plain HTTP without.
    pub tls: Option<RegistryTls>,
    /// Requests that the replica works on at the same time. Default 256.
    pub max_in_flight: NonZeroUsize,
    /// Where requests beyond `max_in_flight` wait.
    pub queue: Queue,
    /// Whether reading a manifest may write, as with zot's on-demand sync or download statistics:
    /// such reads then count as writes. Default: no.
    pub reads_write: bool,
}

/// Where the replica listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryAddress {
    /// Host and TCP port.
    Tcp(MemberAddress),
    /// A Unix domain socket, absolute.
    Unix(PathBuf),
}

impl RegistryAddress {
    /// What the `Host` of our own questions says.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// TLS towards the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryTls {
    /// Certificates that the replica's certificate must be signed by, PEM.
    pub ca: PathBuf,
    /// The name that the replica's certificate must carry. Default: the host of its address.
    pub server_name: Host,
}

/// A bounded queue with a bounded wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Requests that may wait; 0 turns waiting off. Default 1024.
    pub limit: usize,
    /// How long one request may wait. Default 10 s.
    pub timeout: Duration,
}

/// How much work is sent to each of the other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Requests that one peer works on for us at the same time. Default 2048.
    pub max_in_flight: NonZeroUsize,
    /// Where requests beyond `max_in_flight` wait.
    pub queue: Queue,
}

/// How members prove to each other who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterTls {
    /// Mutual TLS.
    Mutual {
        /// Certificates that sign the members' certificates, PEM.
        ca: PathBuf,
        /// This member's certificate chain, leaf first, PEM.
        cert: PathBuf,
        /// This member's private key, PEM.
        key: PathBuf,
    },
    /// Plain HTTP: whoever reaches the peer listener is believed to be a member.
    Insecure,
}

/// How requests wait for their owner instead of being refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How long one of them may wait; zero turns waiting off. Default 20 s, below the 30 s after
    /// which containerd gives up a commit.
    pub time: Duration,
    /// How many may wait at a time, in all of this member. Default 4,096.
    pub limit: usize,
}

/// The sticky cookie, for routes without a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// Its name, a token (RFC 6265 §4.1.1). Default `SHARDLET`.
    pub cookie: String,
    /// Its `Path` attribute, which starts with `/`. Default `/`.
    pub path: String,
}

/// Deadlines and idle limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection to a replica or peer, TLS handshake included. Default 2 s.
    pub connect: Duration,
    /// From the first byte of a request (or the accept of a connection) to the end of its
    /// headers. Default 10 s.
    pub request_header: Duration,
    /// How long a client connection may wait between two requests. Default 75 s.
    pub keepalive: Duration,
    /// How long a request in flight may go without a byte moved in either direction. Default 60 s.
    pub idle: Duration,
    /// How long the replica may take to answer a write whose body it has; a large layer is moved in
    /// storage then, without a byte on the wire. Default 5 m.
    pub commit: Duration,
    /// How long a replica may go on with a write after nobody waits for it any more. Repositories
    /// that move to another owner wait for that long where a write ended without an answer, or
    /// where their old owner fell silent; so do all after a start, if no other member knows what
    /// may be under way. Default 30 s.
    pub aftermath: Duration,
    /// How long requests in flight may take to finish once a drain closed the doors. Default 30 s.
    pub drain: Duration,
    /// How long a draining member goes on as usual while it says that it is not ready, so that
    /// load balancers and peers turn away first. Default 5 s.
    pub drain_delay: Duration,
}

/// Bounds on what clients and peers may ask of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, of each listener. Default 10,000.
    pub connections: NonZeroUsize,
    /// Open connections of one client address. Default: no limit of its own.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Requests on one client connection before it is closed. Default 10,000.
    pub requests_per_connection: NonZeroU32,
    /// Length of a request line, in bytes. Default 16 KiB.
    pub request_line: usize,
    /// Number of header fields of a request. Default 100.
    pub header_count: usize,
    /// Length of all header fields of a request together, in bytes. Default 64 KiB.
    pub header_bytes: usize,
    /// HTTP/2 streams that a client may have open on one connection. Default 128.
    pub h2_streams: u32,
    /// HTTP/2 receive window of one stream, in bytes. Default 1 MiB.
    pub h2_window: u32,
    /// TLS handshakes under way at once, of each listener. Default 256.
    pub handshakes: NonZeroUsize,
    /// Answers that all clients together may be reading, and writes that they may be making, at the
    /// same time. Default 4,096.
    pub transfers: NonZeroUsize,
    /// Slowest rate at which a request body may arrive from a client, in bytes a second. Default: off.
    pub upload_rate: Option<NonZeroU32>,
    /// Slowest rate at which a client may take an answer, in bytes a second. Default: off.
    pub download_rate: Option<NonZeroU32>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// A filter as `info` or `warn,shardlet=debug`: levels, or `target=level`, by commas.
    pub level: String,
    /// Whether each request is logged.
    pub requests: bool,
}

/// What is sent to a collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Spans of requests. Default: none.
    pub traces: Option<Traces>,
}

/// Where spans go, and of how many requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// An OTLP collector.
    pub endpoint: Collector,
    /// How many of the requests that nobody has decided on.
    pub sample: Sample,
}

/// An OTLP collector that takes JSON over plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Host and port.
    pub address: MemberAddress,
    /// The path of its traces, `/v1/traces` at the end.
    pub path: String,
}

/// A share of requests, 0 to 1. Default 0.01.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample(f64);

impl Sample {
    /// None unless it is from 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether a request with this random number is among them.
    pub(crate) fn takes(self, random: u64) -> bool {
        (random as f64) < self.0 * (u64::MAX as f64) || self.0 == 1.0
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self(0.01)
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// From one check to the next. Default 1 s.
    pub interval: Duration,
    /// How long one check may take. Default 1 s.
    pub timeout: Duration,
    /// Consecutive results that it takes to call a party up or down. Default 2 and 2.
    pub thresholds: Thresholds,
    /// The replica's path that is asked; 200 and 401 mean alive.
    pub path: ProbePath,
}

/// What the local replica is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbePath {
    /// `/readyz` where the replica has it, else `/v2/`. The default.
    Auto,
    /// This path.
    Fixed(String),
}

/// Resolution of member names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// From one look-up to the next. Default 10 s.
    pub interval: Duration,
}

/// When the configuration is read anew, besides by signal and command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether its files are watched. Default: yes.
    pub watch: bool,
}
