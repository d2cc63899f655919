//! The framework's errors, in our words.

use std::io::{self, ErrorKind};

use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use crate::http::respond::{Failure, Malformed};
use crate::http::{self, TooSlow};

/// What an error means for the request it ended.
pub(crate) fn classify(error: &Error) -> Failure {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    match error.esource() {
        ErrorSource::Downstream => cause
            .and_then(by_the_gate)
            .unwrap_or_else(|| downstream(error.etype())),
        // The network gave up, or nobody acknowledged in time.
        ErrorSource::Upstream if cause.map(io::Error::kind) == Some(ErrorKind::TimedOut) => {
            Failure::UpstreamTimeout
        }
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Internal | ErrorSource::Unset => Failure::Internal,
    }
}

/// A client may be gone because we have cut it off, for what it did on another stream too.
pub(crate) fn or_abuse(failure: Failure, error: &Error, session: &Session) -> Failure {
    let is_cut = || session.digest().is_some_and(http::is_cut) || is_refused_by_the_library(error);
    if failure == Failure::ClientGone && is_cut() {
        return Failure::ClientAbuse;
    }
    failure
}

/// The library tells its streams before it tells the client, and so before the gate can know.
fn is_refused_by_the_library(error: &Error) -> bool {
    let refused = error.root_cause().downcast_ref::<h2::Error>();
    refused.is_some_and(|error| {
        error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    })
}

/// Whether an upstream was waited for in vain.
pub(crate) fn is_timeout(error: &Error) -> bool {
    classify(error) == Failure::UpstreamTimeout
}

/// What the gate, which the framework reads from and writes to, had to object to.
fn by_the_gate(error: &io::Error) -> Option<Failure> {
    match TooSlow::of(error) {
        Some(TooSlow::Sending) => return Some(Failure::BodyTooSlow),
        Some(TooSlow::Reading) => return Some(Failure::ClientTooSlow),
        None => {}
    }
    if error.kind() == ErrorKind::InvalidData {
        // Bytes that are no chunks.
        return Some(Failure::BadRequest(Malformed::Body));
    }
    // It waited long enough for the client to take its answer.
    (error.kind() == ErrorKind::TimedOut).then_some(Failure::ClientStalled)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the framework has thirty kinds of error"
)]
fn downstream(kind: &ErrorType) -> Failure {
    match kind {
        ErrorType::ReadTimedout => Failure::BodyTimeout,
        ErrorType::WriteTimedout => Failure::ClientStalled,
        ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::ConnectionClosed
        | ErrorType::H2Error
        | ErrorType::ConnectError => Failure::ClientGone,
        ErrorType::InvalidHTTPHeader => Failure::BadRequest(Malformed::HeaderValue),
        _ => Failure::BadRequest(Malformed::Body),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the framework has thirty kinds of error"
)]
fn upstream(kind: &ErrorType) -> Failure {
    match kind {
        ErrorType::ConnectTimedout => Failure::UpstreamConnectTimeout,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError
        | ErrorType::BindError => Failure::UpstreamRefused,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => Failure::UpstreamTls,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::UpstreamTimeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => {
            Failure::UpstreamReset
        }
        _ => Failure::UpstreamProtocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_blamed_for_its_own_faults() {
        let cases = [
            (
                ErrorSource::Downstream,
                ErrorType::ConnectionClosed,
                Failure::ClientGone,
            ),
            (
                ErrorSource::Downstream,
                ErrorType::ReadTimedout,
                Failure::BodyTimeout,
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ConnectionClosed,
                Failure::UpstreamReset,
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ReadTimedout,
                Failure::UpstreamTimeout,
            ),
            (
                ErrorSource::Upstream,
                ErrorType::ConnectTimedout,
                Failure::UpstreamConnectTimeout,
            ),
            (
                ErrorSource::Upstream,
                ErrorType::InvalidHTTPHeader,
                Failure::UpstreamProtocol,
            ),
            (
                ErrorSource::Unset,
                ErrorType::InternalError,
                Failure::Internal,
            ),
        ];
        for (source, kind, failure) in cases {
            let mut error = *Error::new(kind);
            error.esource = source;
            assert_eq!(classify(&error), failure);
        }
    }
}
