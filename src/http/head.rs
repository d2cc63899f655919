//! One HTTP/1 request head, checked so strictly that no reader behind us can understand another
//! request than we do (RFC 9112). Pure: bytes in, verdict out.

use std::ops::Range;

use crate::http::respond::{Failure, Malformed};

/// The most header fields that can be configured; the framework's own limit.
pub const MAX_HEADER_COUNT: usize = 256;

/// With what a TLS record begins that carries a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Bounds on a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Longest request line, in bytes without its CRLF.
    pub request_line: usize,
    /// Longest head, in bytes, request line included.
    pub bytes: usize,
    /// Most header fields; at most [`MAX_HEADER_COUNT`].
    pub count: usize,
}

/// Fields that `Connection` must not name. A reader that took them off on the way (RFC 9110 §7.6.1)
/// would leave the next one with another request.
const MUST_ARRIVE: [&str; 17] = [
    "accept",
    "authorization",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "range",
    "transfer-encoding",
];
/// The same for all fields that begin so.
const MUST_ARRIVE_PREFIX: &str = "x-forwarded-";

/// Finds the end of a head in a buffer that grows, looking at each byte once.
#[derive(Debug, Default)]
pub struct Scanner {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

/// A whole head that may go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the buffer that the head takes.
    pub length: usize,
    /// The body that follows.
    pub body: Body,
    /// For an absolute-form target: how to make it origin-form.
    pub rewrite: Option<Rewrite>,
}

/// The bytes of a head to cut, and what to put there.
pub type Rewrite = (Range<usize>, &'static [u8]);

/// How the body is framed (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Exactly this many bytes; 0 for no body.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl Scanner {
    /// Looks at the bytes that have come in since the last call. `Ok(Some(length))` is the length
    /// of the whole head; `Ok(None)` asks for more bytes.
    ///
    /// # Errors
    /// Line ends other than CRLF, folded lines, and heads beyond the limits, each as early as it
    /// shows.
    pub fn scan(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Failure> {
        if buffer.first() == Some(&TLS_HANDSHAKE) {
            return Err(Failure::BadRequest(Malformed::TlsHello));
        }
        // An empty line, for one, which RFC 9112 §2.2 lets a server skip; some readers do not, so it is
        // refused like any other ambiguity.
        if buffer.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
            return Err(Failure::BadRequest(Malformed::RequestLine));
        }
        while let Some(found) = buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = self.scanned + found;
            self.scanned = end + 1;
            if end == self.line_start || buffer[end - 1] != b'\r' {
                return Err(Failure::BadRequest(Malformed::BareLineFeed));
            }
            let line = &buffer[self.line_start..end - 1];
            self.line_start = end + 1;
            if line.is_empty() {
                return if end < limits.bytes {
                    Ok(Some(end + 1))
                } else {
                    Err(Failure::HeadersTooLarge)
                };
            }
            self.lines += 1;
            check_line(line, self.lines, limits)?;
        }
        self.scanned = buffer.len();
        if self.lines == 0 && buffer.len() > limits.request_line + 1 {
            return Err(Failure::UriTooLong);
        }
        if buffer.len() >= limits.bytes {
            return Err(Failure::HeadersTooLarge);
        }
        Ok(None)
    }
}

fn check_line(line: &[u8], number: usize, limits: &HeadLimits) -> Result<(), Failure> {
    if number == 1 {
        if line.len() > limits.request_line {
            return Err(Failure::UriTooLong);
        }
    } else if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Failure::BadRequest(Malformed::FoldedHeader));
    } else if number - 1 > limits.count.min(MAX_HEADER_COUNT) {
        return Err(Failure::HeadersTooLarge);
    }
    Ok(())
}

/// Checks a whole head, as [`Scanner::scan`] delimited it.
///
/// # Errors
/// The first thing about it that another HTTP reader might understand differently, or that a
/// registry has no use for.
pub fn check(head: &[u8]) -> Result<Head, Failure> {
    // Written to only as far as there are fields: clearing it costs more than most heads.
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADER_COUNT];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Failure::BadRequest(Malformed::RequestLine)),
        Err(error) => return Err(parse_failure(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    };
    check_method(method)?;
    let host = host(request.headers, minor)?;
    let rewrite = origin_form(target, host, offset(head, target.as_bytes()))?;
    check_upgrade(request.headers)?;
    check_connection(request.headers)?;
    Ok(Head {
        length: head.len(),
        body: body(request.headers, minor)?,
        rewrite,
    })
}

fn parse_failure(error: httparse::Error) -> Failure {
    use httparse::Error;
    match error {
        Error::Version => Failure::HttpVersion,
        Error::HeaderName => Failure::BadRequest(Malformed::HeaderName),
        Error::HeaderValue => Failure::BadRequest(Malformed::HeaderValue),
        Error::NewLine => Failure::BadRequest(Malformed::BareLineFeed),
        Error::TooManyHeaders => Failure::HeadersTooLarge,
        Error::Status | Error::Token => Failure::BadRequest(Malformed::RequestLine),
    }
}

/// The methods of the OCI distribution specification and of browsers; nothing else reaches a
/// replica. CONNECT and TRACE in particular never do.
pub fn check_method(method: &str) -> Result<(), Failure> {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => Ok(()),
        _ => Err(Failure::MethodNotAllowed),
    }
}

fn values<'h>(
    fields: &'h [httparse::Header<'h>],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// RFC 9112 §3.2: exactly one valid `Host` in HTTP/1.1; HTTP/1.0 may do without.
fn host<'h>(fields: &'h [httparse::Header<'h>], minor: u8) -> Result<Option<&'h str>, Failure> {
    let mut hosts = values(fields, "host");
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if minor == 0 => return Ok(None),
        (None, _) => return Err(Failure::BadRequest(Malformed::HostMissing)),
        (Some(_), Some(_)) => return Err(Failure::BadRequest(Malformed::HostRepeated)),
        (Some(host), None) => host,
    };
    match std::str::from_utf8(host) {
        Ok(host) if is_host(host) => Ok(Some(host)),
        _ => Err(Failure::BadRequest(Malformed::HostInvalid)),
    }
}

/// A name or an address with an optional port. RFC 3986 §3.2.2 knows more, such as commas and
/// semicolons, which are lists or parameters to those who read it in a forwarding header.
pub fn is_host(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    text.bytes().all(known) && text.parse::<http::uri::Authority>().is_ok()
}

/// RFC 9112 §3.2.2: an absolute-form target must name the host that `Host` names, and goes on in
/// origin-form, so that what is routed and what is forwarded are the same bytes.
fn origin_form(target: &str, host: Option<&str>, at: usize) -> Result<Option<Rewrite>, Failure> {
    // A fragment is never sent (RFC 9112 §3.2). Some readers would cut it off, others would not.
    if target.contains('#') {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    }
    if target.starts_with('/') {
        // The framework reads it with this parser and answers what it refuses without a word.
        return match http::uri::PathAndQuery::try_from(target) {
            Ok(_) => Ok(None),
            Err(_) => Err(Failure::BadRequest(Malformed::RequestLine)),
        };
    }
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    };
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) || authority.is_empty() {
        return Err(Failure::BadRequest(Malformed::AuthorityDiffers));
    }
    let filler: &[u8] = if tail.starts_with('/') { b"" } else { b"/" };
    Ok(Some((at..at + scheme.len() + end, filler)))
}

/// Where `part` lies in `whole`, of which it is a slice.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// A client may offer `h2c` (curl does) and is answered in HTTP/1.1; any other protocol is refused,
/// since nothing behind us speaks one.
fn check_upgrade(fields: &[httparse::Header<'_>]) -> Result<(), Failure> {
    let refused = values(fields, "upgrade")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    if refused {
        Err(Failure::UpgradeRefused)
    } else {
        Ok(())
    }
}

fn check_connection(fields: &[httparse::Header<'_>]) -> Result<(), Failure> {
    let mut named = values(fields, "connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let must_arrive = |name: &[u8]| {
        let prefix = name.get(..MUST_ARRIVE_PREFIX.len()).unwrap_or_default();
        prefix.eq_ignore_ascii_case(MUST_ARRIVE_PREFIX.as_bytes())
            || MUST_ARRIVE
                .iter()
                .any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
    };
    if named.any(must_arrive) {
        Err(Failure::BadRequest(Malformed::Connection))
    } else {
        Ok(())
    }
}

fn body(fields: &[httparse::Header<'_>], minor: u8) -> Result<Body, Failure> {
    let mut lengths = values(fields, "content-length");
    let mut encodings = values(fields, "transfer-encoding");
    match (lengths.next(), encodings.next()) {
        (None, None) => Ok(Body::Length(0)),
        (Some(_), Some(_)) => Err(Failure::BadRequest(Malformed::LengthWithEncoding)),
        (Some(length), None) => {
            let length = if lengths.next().is_none() {
                decimal(length)
            } else {
                None
            };
            length
                .map(Body::Length)
                .ok_or(Failure::BadRequest(Malformed::ContentLength))
        }
        (None, Some(encoding)) => {
            let only = encodings.next().is_none() && minor == 1;
            if only && encoding.eq_ignore_ascii_case(b"chunked") {
                Ok(Body::Chunked)
            } else {
                Err(Failure::BadRequest(Malformed::TransferEncoding))
            }
        }
    }
}

/// Digits only: no sign, no list, no white space inside, no overflow.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
