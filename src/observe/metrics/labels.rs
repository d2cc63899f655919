//! The values that labels can take: closed sets, so that a label never grows with traffic.

use crate::shard::plan::{Arrival, Plan};
use crate::shard::route::Access;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),* }
        impl $name {
            /// All values, in the order of declaration.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The label's text.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

label! {
    /// What was planned for a request, without the member it concerns.
    PlanKind {
        /// Served by the local replica, as its owner or because any replica will do.
        Local = "local",
        /// Sent on to the owner, or to the member that a cookie names.
        Forward = "forward",
        /// Read from the local replica because the owner is down.
        Fallback = "fallback",
        /// Read from a peer's replica because the local one, the owner's, is down.
        PeerFallback = "peer_fallback",
        /// An immutable blob read from the local replica to spread the load.
        Spread = "spread",
        /// Answered by us.
        Reject = "reject",
    }
}

impl From<&Plan> for PlanKind {
    fn from(plan: &Plan) -> Self {
        match plan {
            Plan::Local => Self::Local,
            Plan::Forward(_) => Self::Forward,
            Plan::Fallback { .. } => Self::Fallback,
            Plan::PeerFallback { .. } => Self::PeerFallback,
            Plan::Spread { .. } => Self::Spread,
            Plan::Reject(_) => Self::Reject,
        }
    }
}

label! {
    /// The hundreds of a response status.
    StatusClass {
        /// 100 to 199, of which only 101 ends a request.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399; registries redirect blob reads to storage.
        Redirect = "3xx",
        /// 400 to 499, with 499 for a client that is gone.
        ClientError = "4xx",
        /// 500 to 599 and whatever is no status.
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// The class of a status code.
    pub(crate) const fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirect,
            4 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label! {
    /// Whom a request was sent to.
    Upstream {
        /// The local replica.
        Replica = "replica",
        /// Another member.
        Peer = "peer",
    }
}

label! {
    /// Which way bytes went, as seen from here.
    Direction {
        /// Read from the connection.
        Received = "received",
        /// Written to the connection.
        Sent = "sent",
    }
}

label! {
    /// Which of our sockets a connection came in by.
    Listener {
        /// `listen.clients`.
        Clients = "clients",
        /// `listen.peers`.
        Peers = "peers",
        /// `listen.admin`.
        Admin = "admin",
    }
}

label! {
    /// Why a connection got nothing, or no more.
    Refusal {
        /// The listener has as many connections as it may have.
        Full = "full",
        /// The TLS handshake failed or took too long.
        Tls = "tls",
        /// A trusted proxy did not say whose connection it is, in time and in the form of the PROXY
        /// protocol.
        ProxyHeader = "proxy_header",
        /// The certificate names no member of the view.
        NotMember = "not_member",
        /// An HTTP/2 client did too much of what costs us more than it does the client.
        Abuse = "abuse",
    }
}

label! {
    /// How a request's wait for its owner has ended.
    HoldEnd {
        /// It went on.
        Released = "released",
        /// `writes.hold` was over.
        TimedOut = "timed_out",
        /// The client left.
        ClientGone = "client_gone",
        /// It was refused at once: `writes.limit` others wait.
        Full = "full",
    }
}

label! {
    /// What a request waited for.
    WaitFor {
        /// A place at the replica or the peer.
        Queue = "queue",
        /// The owner, or leave to write.
        Hold = "hold",
        /// A new connection.
        Connect = "connect",
        /// The client's body.
        Client = "client",
        /// The replica, or the peer with its replica.
        Replica = "replica",
    }
}

label! {
    /// What became of a span.
    SpanEnd {
        /// The collector has it.
        Exported = "exported",
        /// Lost.
        Dropped = "dropped",
    }
}

label! {
    /// Whose complaints are counted.
    Library {
        /// TLS.
        Rustls = "rustls",
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1 and the proxy.
        Pingora = "pingora",
    }
}

label! {
    /// Which certificate is meant.
    Certificate {
        /// The one that clients see.
        Clients = "clients",
        /// The one that peers see, with the cluster's CA.
        Member = "member",
    }
}

/// The text of the `access` label.
pub(crate) const fn access_text(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// The text of the `arrival` label.
pub(crate) const fn arrival_text(arrival: Arrival) -> &'static str {
    match arrival {
        Arrival::Client => "client",
        Arrival::Peer => "peer",
    }
}
