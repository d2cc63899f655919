//! What of an answer goes back to the client, and how (RFC 9110 §7.6.1). Pure: bytes in, bytes out.

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE};
use pingora::http::ResponseHeader;

use crate::http::field::{Field, Name};
use crate::http::request::Version;
use crate::http::respond::{REQUEST_ID_HEADER, wire};
use crate::http::response::{ResponseBody, ResponseHead};
use crate::shard::text::push_decimal;

/// What the answer to one client is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back<'a> {
    /// The client's version.
    pub(crate) version: Version,
    /// The id of the request.
    pub(crate) request_id: &'a [u8],
    /// The time now ([`crate::http::date::Date`]), for an answer that has none.
    pub(crate) date: &'a [u8],
    /// A value for `Set-Cookie`.
    pub(crate) cookie: Option<&'a str>,
    /// The client's connection ends behind this answer.
    pub(crate) close: bool,
}

/// The end-to-end fields, with names and values as they were sent. The framing is told anew, and the
/// request id is ours.
pub(crate) fn kept<'h>(
    head: &ResponseHead<'h>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + use<'h> {
    let bytes = head.bytes();
    kept_fields(head, true).map(move |field| (field.name(bytes), field.value(bytes)))
}

/// Writes the head for this client and returns how the body is to be framed behind it. Behind
/// [`ResponseBody::ToClose`] the connection ends, and the client has been told so.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    back: &Back<'_>,
) -> ResponseBody {
    let body = framed(head.body(), back.version);
    out.reserve(head.bytes().len() + 160);
    begin(out, head);
    copy(out, head, body == ResponseBody::Chunked);
    if head.named(Name::Date).all(|date| date.nominated) {
        // RFC 9110 §6.6.1: whoever has a clock says when an answer without a date came.
        wire::write_field(out, "date", back.date);
    }
    wire::write_field(out, REQUEST_ID_HEADER, back.request_id);
    if let Some(cookie) = back.cookie {
        wire::write_field(out, "set-cookie", cookie.as_bytes());
    }
    if let Some(length) = head.content_length() {
        out.extend_from_slice(b"Content-Length: ");
        push_decimal(length, out);
        out.extend_from_slice(b"\r\n");
    } else if body == ResponseBody::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let close = back.close || body == ResponseBody::ToClose;
    out.extend_from_slice(wire::connection(back.version, close));
    out.extend_from_slice(b"\r\n");
    body
}

/// Writes an interim answer; none for HTTP/1.0, which knows none (RFC 9110 §15.2).
pub(crate) fn write_interim(out: &mut Vec<u8>, head: &ResponseHead<'_>, version: Version) {
    if version == Version::Http11 {
        begin(out, head);
        copy(out, head, false);
        out.extend_from_slice(b"\r\n");
    }
}

/// The same head for an HTTP/2 client, interim or not; the framework adds the date.
///
/// # Errors
/// A field that no HTTP/2 field can be; the parser lets none through.
pub(crate) fn to_http2(
    head: &ResponseHead<'_>,
    back: &Back<'_>,
) -> pingora::Result<ResponseHeader> {
    let mut response = ResponseHeader::build(head.status(), Some(head.fields().len() + 3))?;
    // RFC 9113 §8.2.2: nothing of the connection, and no coding; a length is no part of it.
    for (name, value) in kept(head) {
        let name = HeaderName::from_bytes(name).map_err(not_a_field)?;
        let value = HeaderValue::from_bytes(value).map_err(not_a_field)?;
        response.append_header(name, value)?;
    }
    if head.is_informational() {
        return Ok(response);
    }
    response.insert_header(REQUEST_ID_HEADER, back.request_id)?;
    if let Some(cookie) = back.cookie {
        response.append_header(SET_COOKIE, cookie)?;
    }
    if let Some(length) = head.content_length() {
        response.insert_header(CONTENT_LENGTH, length)?;
    }
    Ok(response)
}

fn not_a_field(_: impl std::error::Error) -> Box<pingora::Error> {
    pingora::Error::new(pingora::ErrorType::InvalidHTTPHeader)
}

/// How a client of this version gets such a body.
fn framed(body: ResponseBody, version: Version) -> ResponseBody {
    match body {
        ResponseBody::None | ResponseBody::Length(_) => body,
        // RFC 9112 §6.1: HTTP/1.0 knows no chunks.
        ResponseBody::Chunked | ResponseBody::ToClose if version == Version::Http10 => {
            ResponseBody::ToClose
        }
        // In chunks a cut is seen (RFC 9112 §8), and the connection goes on.
        ResponseBody::Chunked | ResponseBody::ToClose => ResponseBody::Chunked,
    }
}

/// `trailers` says whether they can follow, so that they may be announced (RFC 9110 §6.6.2).
fn kept_fields<'h>(
    head: &ResponseHead<'h>,
    trailers: bool,
) -> impl Iterator<Item = &'h Field> + use<'h> {
    let trailers = trailers && head.passes_trailers();
    head.fields().iter().filter(move |field| {
        let ours = matches!(
            field.name,
            Name::ContentLength | Name::Internal | Name::RequestId
        );
        let kept = if field.name == Name::Trailer {
            trailers
        } else {
            !ours && !field.name.is_hop_by_hop()
        };
        kept && !field.nominated
    })
}

fn begin(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    out.extend_from_slice(b"HTTP/1.1");
    out.extend_from_slice(head.status_and_reason());
    if head.reason().is_empty() {
        // RFC 9112 §4: the space is there without a phrase, too.
        out.push(b' ');
    }
    out.extend_from_slice(b"\r\n");
}

/// Copies the lines that are kept, neighbours in one go.
fn copy(out: &mut Vec<u8>, head: &ResponseHead<'_>, trailers: bool) {
    let mut run = 0..0;
    for field in kept_fields(head, trailers) {
        let line = field.line();
        if line.start != run.end {
            out.extend_from_slice(head.bytes().get(run).unwrap_or_default());
            run = line.start..line.start;
        }
        run.end = line.end;
    }
    out.extend_from_slice(head.bytes().get(run).unwrap_or_default());
}

#[cfg(test)]
mod tests;
