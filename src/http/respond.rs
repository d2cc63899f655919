//! Every answer of our own comes from here.
//!
//! A client that is turned away has to learn what happened, whether it may try again and what to
//! quote to the operator; an operator has to find the same event in the log and in the metrics.
//! So status, OCI error code, message, `Retry-After`, log level, metric reason and the fate of the
//! connection stand side by side in one table, and nothing else in the crate makes up an
//! error response.

mod failure;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub(crate) use failure::{Failure, Malformed};
pub(crate) use table::{Connection, REASONS, Severity};

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use serde::Serialize;

/// Header that carries the request id in both directions.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";

/// Methods that a registry knows; what a 405 answer lists.
pub(crate) const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The error document of the OCI distribution specification, section "Error codes".
#[derive(Serialize)]
struct ErrorDocument<'a> {
    errors: [ErrorEntry<'a>; 1],
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    code: &'a str,
    message: &'a str,
    detail: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    request_id: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<String>,
}

impl Failure {
    /// Status line, headers and body, ready to be written.
    ///
    /// A `HEAD` gets the headers of the `GET`, so also its `Content-Length`, and no body.
    /// The caller still closes the connection when it leaves a request body unread.
    pub(crate) fn response(&self, request_id: &str, head: bool) -> (http::response::Parts, Bytes) {
        let answer = self.answer();
        let document = self.document(request_id);
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = http::StatusCode::from_u16(answer.status)
            .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = &mut parts.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID_HEADER, id);
        }
        if let Some(seconds) = answer.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if answer.status == 405 {
            headers.insert(ALLOW, HeaderValue::from_static(ALLOWED_METHODS));
        }
        if answer.connection == Connection::Close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        (parts, if head { Bytes::new() } else { document })
    }

    fn document(&self, request_id: &str) -> Bytes {
        let answer = self.answer();
        let document = ErrorDocument {
            errors: [ErrorEntry {
                code: answer.code,
                message: &answer.message,
                detail: Detail {
                    request_id,
                    reason: answer.reason,
                    owner: self.owner().map(ToString::to_string),
                    view: self.view().map(ToString::to_string),
                },
            }],
        };
        // Strings and maps with string keys always serialise; an empty body is still an answer.
        serde_json::to_vec(&document).unwrap_or_default().into()
    }
}
