//! The framework's errors, in our words.

use std::io::{self, ErrorKind};

use pingora::{Error, ErrorSource, ErrorType};

use crate::gate::TooSlow;
use crate::respond::{Failure, Malformed};

/// What an error means for the request it ended.
pub fn classify(error: &Error) -> Failure {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    match error.esource() {
        ErrorSource::Downstream => match cause.map(io::Error::kind) {
            // The gate judges the client's pace.
            Some(_) if cause.and_then(TooSlow::of) == Some(TooSlow::Sending) => {
                Failure::BodyTimeout
            }
            // The gate found bytes that are no chunks.
            Some(ErrorKind::InvalidData) => Failure::BadRequest(Malformed::Body),
            // The gate waited long enough for the client to take its answer.
            Some(ErrorKind::TimedOut) => Failure::ClientStalled,
            Some(_) | None => downstream(error.etype()),
        },
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Internal | ErrorSource::Unset => Failure::Internal,
    }
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
