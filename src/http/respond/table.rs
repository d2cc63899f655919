//! The table: one row for each failure.

use super::failure::{Failure, Malformed};
use crate::shard::route::RouteError;
use std::borrow::Cow;

/// How a failure is answered, logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status; 499 is never sent, only logged.
    pub(crate) status: u16,
    /// OCI error code: one of the distribution specification's where one fits.
    pub(crate) code: &'static str,
    /// Metric label and access log field: one of a bounded set.
    pub(crate) reason: &'static str,
    /// `Retry-After` in seconds; every 429 and 503 has one.
    pub(crate) retry_after: Option<u32>,
    /// How loud the diagnostics log is about it.
    pub(crate) severity: Severity,
    /// What becomes of the downstream connection.
    pub(crate) connection: Connection,
    /// What happened and what to do, for a human; no addresses, keys or tokens.
    pub(crate) message: Cow<'static, str>,
}

/// Whether the downstream connection survives the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It may carry another request, where the framework allows it: HTTP/1 connections end when it
    /// fails after an upstream was chosen.
    Keep,
    /// What follows on it cannot be trusted, or is not wanted.
    Close,
}

/// How loud the diagnostics log is about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The client's own affair: nobody is called for it.
    Debug,
    /// Worth knowing when somebody asks.
    Info,
    /// The service suffers, and may recover by itself.
    Warn,
    /// A person has to change something.
    Error,
}

use Connection::{Close, Keep};
use Severity::{Debug as Quiet, Error, Info, Warn};

// Codes of the distribution specification ("Error codes"), and two of ours in the same form.
const BAD_REQUEST: &str = "BAD_REQUEST";
const DENIED: &str = "DENIED";
const TOO_MANY: &str = "TOOMANYREQUESTS";
const UNAVAILABLE: &str = "UNAVAILABLE";
const UNSUPPORTED: &str = "UNSUPPORTED";

/// Another member can serve the next attempt at once.
const AT_ONCE: Option<u32> = Some(1);
/// The queue moves in seconds.
const SOON: Option<u32> = Some(2);
/// Probes need a few rounds to see a member come back.
const A_FEW_PROBES: Option<u32> = Some(5);
/// A configuration is being rolled out; it takes its time.
const A_ROLLOUT: Option<u32> = Some(10);
const NO_RETRY: Option<u32> = None;

const LOOP: &str = "this request has been through this member before, so something behind it sends requests back to the \
                    members' client listeners; take the cluster block out of the registry's configuration, or whatever else does so";

impl Failure {
    /// This failure's row of the table.
    pub(crate) fn answer(&self) -> Answer {
        if let Self::Route(error) = self {
            return Answer {
                message: Cow::Owned(error.to_string()),
                ..route_row(error)
            };
        }
        if let Self::BadRequest(malformed) = self {
            return malformed_row(*malformed);
        }
        self.fixed_row()
    }

    /// The status alone; 499 for a client that is gone.
    pub(crate) fn status(&self) -> u16 {
        self.answer().status
    }

    /// The metric reason alone.
    pub(crate) fn reason(&self) -> &'static str {
        self.answer().reason
    }

    // The columns line up, so that rows can be compared.
    #[rustfmt::skip]
    fn fixed_row(&self) -> Answer {
        match self {
            Self::Private => row(403, DENIED, "private", NO_RETRY, Quiet, Keep,
                "this path is for the operators of the registry and is not served here"),
            Self::LoopDetected => row(508, UNSUPPORTED, "loop_detected", NO_RETRY, Error, Keep, LOOP),
            Self::MethodNotAllowed => row(405, UNSUPPORTED, "method_not_allowed", NO_RETRY, Quiet, Keep,
                "no registry endpoint takes this method"),
            Self::UpgradeRefused => row(400, UNSUPPORTED, "upgrade_refused", NO_RETRY, Quiet, Close, "protocol upgrades are not passed on; send the request without Upgrade"),
            Self::HttpVersion => row(505, UNSUPPORTED, "http_version", NO_RETRY, Quiet, Close, "this HTTP version is not spoken here; use HTTP/1.1 or HTTP/2"),
            Self::HeaderTimeout => row(408, BAD_REQUEST, "header_timeout", NO_RETRY, Info, Close, "the request head did not arrive in time"),
            Self::BodyTimeout => row(408, BAD_REQUEST, "body_timeout", NO_RETRY, Info, Close,
                "the request body stopped arriving; send the upload again"),
            Self::BodyTooSlow => row(408, BAD_REQUEST, "body_too_slow", NO_RETRY, Info, Close,
                "the request body arrived too slowly; send the upload again"),
            Self::HeadersTooLarge => row(431, BAD_REQUEST, "headers_too_large", NO_RETRY, Quiet, Close,
                "the request has too many header fields, or too large ones"),
            Self::UriTooLong => row(414, BAD_REQUEST, "uri_too_long", NO_RETRY, Quiet, Close, "the request target is too long"),

            Self::OwnerDown { .. } => row(503, UNAVAILABLE, "owner_down", A_FEW_PROBES, Warn, Keep,
                "the one member that may serve this request is down; try again when it is back"),
            Self::Misdirected { .. } => row(421, UNAVAILABLE, "misdirected", NO_RETRY, Error, Keep,
                "this member does not own the repository; the views of the two members differ"),
            Self::PeerMisdirected { .. } => row(503, UNAVAILABLE, "peer_misdirected", A_ROLLOUT, Error, Keep,
                "two members disagree on the owner of this repository; all members need the same configuration"),
            Self::ViewsDiffer => row(503, UNAVAILABLE, "views_differ", A_ROLLOUT, Error, Keep,
                "two members disagree on the owner of this repository, so neither writes; all members need the same configuration"),
            Self::ReplicaDown => row(503, UNAVAILABLE, "replica_down", A_FEW_PROBES, Warn, Keep,
                "the registry replica of this member is down; try again"),

            // 429 and not 503: skopeo and podman wait for Retry-After and try again on 429 alone, and
            // only requests without a body (containers/image, makeRequestToResolvedURL).
            Self::QueueFull => row(429, TOO_MANY, "queue_full", SOON, Warn, Keep,
                "the replica or member that should serve this is busy and its queue is full; try again"),
            Self::QueueTimeout => row(429, TOO_MANY, "queue_timeout", SOON, Warn, Keep,
                "the replica or member that should serve this is busy and the request waited too long; try again"),
            Self::TransfersFull => row(429, TOO_MANY, "transfers_full", SOON, Info, Keep,
                "too many answers are on their way to this client while others need room; let some end and try again"),
            Self::ConnectionsFull => row(503, UNAVAILABLE, "connections_full", A_FEW_PROBES, Warn, Close,
                "this member has as many connections as it may have; try again"),
            Self::Starting => row(503, UNAVAILABLE, "starting", A_FEW_PROBES, Warn, Keep,
                "this member does not know yet what other members may be writing; try again"),
            Self::Reloading => row(503, UNAVAILABLE, "reloading", A_FEW_PROBES, Info, Keep,
                "an earlier replica of this member may still be writing this repository; try again"),
            Self::LeaseOver => row(503, UNAVAILABLE, "lease_over", A_FEW_PROBES, Warn, Keep, "this member could not renew its lease, so it must not write until it can; try again"),
            Self::Handover => row(503, UNAVAILABLE, "handover", SOON, Info, Keep, "the member that owned this repository until now may still be writing it; try again"),
            Self::Draining => row(503, UNAVAILABLE, "draining", AT_ONCE, Info, Close, "this member is about to stop and takes no new requests; try again"),

            Self::Unresolved => row(503, UNAVAILABLE, "unresolved", A_FEW_PROBES, Warn, Keep,
                "the name of the member or registry that should serve this does not resolve yet, or none of its addresses answers; try again"),
            Self::UpstreamRefused => row(503, UNAVAILABLE, "upstream_refused", SOON, Warn, Keep,
                "the registry could not be reached; try again"),
            Self::UpstreamConnectTimeout => row(503, UNAVAILABLE, "upstream_connect_timeout", SOON, Warn, Keep,
                "the registry did not take the connection in time; try again"),
            Self::UpstreamTls => row(502, UNAVAILABLE, "upstream_tls", NO_RETRY, Error, Keep,
                "the registry could not be reached safely; its certificate needs the operator's attention"),
            Self::UpstreamTimeout => row(504, UNAVAILABLE, "upstream_timeout", NO_RETRY, Warn, Keep,
                "the registry took the request and did not answer in time"),
            Self::UpstreamReset => row(502, UNAVAILABLE, "upstream_reset", NO_RETRY, Warn, Keep,
                "the registry closed the connection before it had answered"),
            Self::UpstreamProtocol => row(502, UNAVAILABLE, "upstream_protocol", NO_RETRY, Warn, Keep,
                "the registry's answer is not valid HTTP"),

            Self::ClientGone => row(499, UNAVAILABLE, "client_gone", NO_RETRY, Quiet, Close, "the client closed the connection"),
            Self::ClientStalled => row(499, UNAVAILABLE, "client_stalled", NO_RETRY, Info, Close, "the client stopped reading"),
            Self::ClientTooSlow => row(499, UNAVAILABLE, "client_too_slow", NO_RETRY, Info, Close, "the client read too slowly"),
            Self::ClientAbuse => row(499, UNAVAILABLE, "client_abuse", NO_RETRY, Info, Close, "the client's HTTP/2 connection was ended by GOAWAY for what it did"),
            Self::Route(_) | Self::BadRequest(_) | Self::Internal => row(500, UNAVAILABLE, "internal", NO_RETRY, Error, Close,
                "a mistake in shardlet; the operator finds more under the request id"),
        }
    }
}

/// The route parser knows best which code and sentence fit.
fn route_row(error: &RouteError) -> Answer {
    row(
        error.status(),
        error.code(),
        "route",
        NO_RETRY,
        Quiet,
        Keep,
        "",
    )
}

#[rustfmt::skip]
fn malformed_row(malformed: Malformed) -> Answer {
    let (reason, message) = match malformed {
        Malformed::RequestLine => ("request_line", "the request line is not valid"),
        Malformed::TlsHello => ("tls_hello", "a TLS client spoke to the plain listener: set listen.clients.tls or use http://"),
        Malformed::BareLineFeed => ("bare_line_feed", "a line of the request head ends in LF without CR"),
        Malformed::HeaderName => ("header_name", "the name of a header field is not valid"),
        Malformed::HeaderValue => ("header_value", "the value of a header field holds a forbidden byte"),
        Malformed::FoldedHeader => ("folded_header", "a header field is continued on the next line"),
        Malformed::LengthWithEncoding => ("length_with_encoding", "the request has both Content-Length and Transfer-Encoding"),
        Malformed::ContentLength => ("content_length", "Content-Length is not one decimal number"),
        Malformed::TransferEncoding => ("transfer_encoding", "Transfer-Encoding is not a single chunked"),
        Malformed::Body => ("body", "the request body does not match its framing"),
        Malformed::HostMissing => ("host_missing", "the request has no Host"),
        Malformed::HostRepeated => ("host_repeated", "the request has more than one Host"),
        Malformed::HostInvalid => ("host_invalid", "Host is not a host name with an optional port"),
        Malformed::AuthorityDiffers => ("authority_differs", "the request target and Host name different hosts"),
        Malformed::Connection => ("connection", "Connection names a field that must not be dropped on the way"),
        Malformed::PeerFields => ("peer_fields", "the request lacks what one member sends to another"),
    };
    row(400, BAD_REQUEST, reason, NO_RETRY, Quiet, Close, message)
}

const fn row(
    status: u16,
    code: &'static str,
    reason: &'static str,
    retry_after: Option<u32>,
    severity: Severity,
    connection: Connection,
    message: &'static str,
) -> Answer {
    Answer {
        status,
        code,
        reason,
        retry_after,
        severity,
        connection,
        message: Cow::Borrowed(message),
    }
}

/// Every value that [`Answer::reason`] can have, for metrics that exist before the first reject.
pub(crate) const REASONS: [&str; 53] = [
    "route",
    "request_line",
    "tls_hello",
    "bare_line_feed",
    "header_name",
    "header_value",
    "folded_header",
    "length_with_encoding",
    "content_length",
    "transfer_encoding",
    "body",
    "host_missing",
    "host_repeated",
    "host_invalid",
    "authority_differs",
    "connection",
    "peer_fields",
    "private",
    "loop_detected",
    "method_not_allowed",
    "upgrade_refused",
    "http_version",
    "header_timeout",
    "body_timeout",
    "body_too_slow",
    "headers_too_large",
    "uri_too_long",
    "owner_down",
    "misdirected",
    "peer_misdirected",
    "views_differ",
    "replica_down",
    "queue_full",
    "queue_timeout",
    "transfers_full",
    "connections_full",
    "starting",
    "reloading",
    "lease_over",
    "handover",
    "draining",
    "unresolved",
    "upstream_refused",
    "upstream_connect_timeout",
    "upstream_tls",
    "upstream_timeout",
    "upstream_reset",
    "upstream_protocol",
    "client_gone",
    "client_stalled",
    "client_too_slow",
    "client_abuse",
    "internal",
];
