//! What can go wrong with one request, as seen by the one who has to answer it.

use crate::shard::members::MemberId;
use crate::shard::route::RouteError;
use crate::shard::view::Fingerprint;

/// Why a request is answered, or given up, by us.
///
/// Everything but a client that is lost ([`Failure::is_of_a_lost_client`]) is answered while the
/// response has not begun; after that the connection is cut and the failure only reaches the log and
/// the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    // What was asked for.
    /// The path names no repository and no known endpoint, or is written in a forbidden way.
    Route(RouteError),
    /// The path is for operators of the replica, not for clients (zot's `/metrics`, pprof…).
    Private,
    /// The HTTP message itself is wrong.
    BadRequest(Malformed),
    /// The request has been through this member before: something behind us sends it back.
    LoopDetected,
    /// `CONNECT`, `TRACE` or a method that no registry knows.
    MethodNotAllowed,
    /// The client wants to speak another protocol on this connection.
    UpgradeRefused,
    /// Neither HTTP/1.0, HTTP/1.1 nor HTTP/2.
    HttpVersion,
    /// The head did not arrive whole within `timeouts.request_header`.
    HeaderTimeout,
    /// No body byte arrived for `timeouts.idle`.
    BodyTimeout,
    /// The body arrived more slowly than `limits.upload_rate` for too long.
    BodyTooSlow,
    /// Too many header fields, or too many bytes of them.
    HeadersTooLarge,
    /// The request target is longer than the limit.
    UriTooLong,

    // Who should have served it.
    /// The owner is down, and this request must not or may not be served by another member.
    OwnerDown {
        /// The member that is down.
        owner: MemberId,
    },
    /// A peer forwarded a request for a repository that is not ours.
    Misdirected {
        /// The owner in our view.
        owner: MemberId,
        /// Our view, so that the peer can tell that the two differ.
        view: Fingerprint,
    },
    /// The peer that we forwarded to says that it is not the owner.
    PeerMisdirected {
        /// The owner in our view.
        owner: MemberId,
    },
    /// It is known that two members disagree on the owner of this repository.
    ViewsDiffer,
    /// The local replica is down.
    ReplicaDown,

    // Whether there was room.
    /// The queue before the replica or peer that should serve it is full.
    QueueFull,
    /// The request waited in the queue for as long as the queue allows.
    QueueTimeout,
    /// The client has its share of all transfers, and others may want the rest.
    TransfersFull,
    /// The listener has as many connections as it may have.
    ConnectionsFull,
    /// This member does not know yet what others may be writing.
    Starting,
    /// An earlier replica of this member may still be writing, or its configurations change too fast.
    Reloading,
    /// This member's lease is over, so others may have taken over what it owned.
    LeaseOver,
    /// The repository has just come to this member, or is about to leave it.
    Handover,
    /// This member drains and takes no new work.
    Draining,

    // What became of the upstream.
    /// The upstream's name has no address yet, or several of which none has answered.
    Unresolved,
    /// The upstream did not take the connection.
    UpstreamRefused,
    /// The upstream did not take the connection within `timeouts.connect`.
    UpstreamConnectTimeout,
    /// The upstream's certificate does not belong to the member that we meant to reach, or the
    /// handshake failed otherwise.
    UpstreamTls,
    /// The upstream was silent for `timeouts.idle` (a write: `timeouts.commit`) with our request in
    /// hand.
    UpstreamTimeout,
    /// The upstream cut the connection before the end of its response.
    UpstreamReset,
    /// The upstream's response is not HTTP as we can pass it on.
    UpstreamProtocol,

    // The rest.
    /// The client closed the connection before the end; nothing can be answered, only logged.
    ClientGone,
    /// The client took no response byte for `timeouts.idle`; nothing can be answered, only logged.
    ClientStalled,
    /// The client took the response more slowly than `limits.download_rate` for too long; nothing
    /// can be answered, only logged.
    ClientTooSlow,
    /// The client's HTTP/2 connection was ended by GOAWAY for what it did on any of its streams;
    /// nothing can be answered, only logged.
    ClientAbuse,
    /// A mistake of ours.
    Internal,
}

/// What is wrong with an HTTP message, as RFC 9110 and RFC 9112 have it.
///
/// Each of these is a place where two HTTP readers may understand different things, which is how
/// requests are smuggled past a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The request line is not `METHOD SP TARGET SP VERSION` (RFC 9112 §3).
    RequestLine,
    /// A TLS handshake on a listener that speaks plain HTTP.
    TlsHello,
    /// A line of the head ends in LF without CR (RFC 9112 §2.2).
    BareLineFeed,
    /// A field name is not a token, or is followed by white space (RFC 9112 §5.1).
    HeaderName,
    /// A field value holds a control byte (RFC 9110 §5.5).
    HeaderValue,
    /// A field value goes on in the next line (obs-fold, RFC 9112 §5.2).
    FoldedHeader,
    /// `Content-Length` and `Transfer-Encoding` in one message (RFC 9112 §6.3).
    LengthWithEncoding,
    /// `Content-Length` is not one decimal number (RFC 9112 §6.3).
    ContentLength,
    /// `Transfer-Encoding` is anything but one `chunked` (RFC 9112 §6.1), or is in HTTP/1.0.
    TransferEncoding,
    /// The body's chunks or length do not add up (RFC 9112 §7.1).
    Body,
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2).
    HostMissing,
    /// More than one `Host` (RFC 9112 §3.2).
    HostRepeated,
    /// `Host` is no host with an optional port (RFC 9110 §7.2).
    HostInvalid,
    /// The authority of an absolute-form target is not the one in `Host` (RFC 9112 §3.2.2).
    AuthorityDiffers,
    /// `Connection` names a field that has to reach the next reader, such as `Host` or
    /// `Content-Length` (RFC 9110 §7.6.1).
    Connection,
    /// A peer's request does not carry the fields that one member sends to another.
    PeerFields,
}

#[cfg(test)]
impl Malformed {
    /// All of them, in the order of declaration.
    pub(crate) const ALL: [Self; 16] = [
        Self::RequestLine,
        Self::TlsHello,
        Self::BareLineFeed,
        Self::HeaderName,
        Self::HeaderValue,
        Self::FoldedHeader,
        Self::LengthWithEncoding,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::Body,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::AuthorityDiffers,
        Self::Connection,
        Self::PeerFields,
    ];
}

impl Failure {
    /// Whether nobody is there any more to be answered.
    pub(crate) fn is_of_a_lost_client(&self) -> bool {
        matches!(
            self,
            Self::ClientGone | Self::ClientStalled | Self::ClientTooSlow | Self::ClientAbuse
        )
    }

    /// The owner in our view, where the failure is about it.
    pub(crate) fn owner(&self) -> Option<&MemberId> {
        if let Self::OwnerDown { owner }
        | Self::Misdirected { owner, .. }
        | Self::PeerMisdirected { owner } = self
        {
            return Some(owner);
        }
        None
    }

    /// Our view's fingerprint, where the failure is about it.
    pub(crate) fn view(&self) -> Option<&Fingerprint> {
        if let Self::Misdirected { view, .. } = self {
            Some(view)
        } else {
            None
        }
    }
}
