//! One walk over a head, and the rules that it has to keep.

use super::{Method, RequestHead, Version, list};
use crate::http::field::{Field, Name, is_token};
use crate::http::fields::{Fields, Flaw};
use crate::http::head::{self, Body, MAX_HEADER_COUNT};
use crate::http::respond::{Failure, Malformed};
use crate::shard::text::letters_digits_and;

/// Most options in `Connection`: each is looked for among all fields.
const MAX_OPTIONS: usize = 16;

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

/// Bytes of a target that mean nothing by themselves.
const PLAIN: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=:@/%");

/// The longest target that goes on, in bytes: what reads it behind us counts with 16 bits.
const MAX_TARGET: usize = u16::MAX as usize - 1;

pub(super) fn head<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields,
    by_http2: bool,
) -> Result<RequestHead<'b>, Failure> {
    if !fields.are_all_of(bytes) {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    }
    let (method, target, version) = request_line(&bytes[..fields.begin() - 2])?;
    match fields.flaw() {
        None if fields.list().len() > MAX_HEADER_COUNT => return Err(Failure::HeadersTooLarge),
        None => {}
        Some(Flaw::LineEnd) => return Err(Failure::BadRequest(Malformed::BareLineFeed)),
        Some(Flaw::Name) => return Err(Failure::BadRequest(Malformed::HeaderName)),
        Some(Flaw::Value) => return Err(Failure::BadRequest(Malformed::HeaderValue)),
    }
    let method = Method::parse(method)?;
    let version = if by_http2 { Version::Http2 } else { version };
    let named = host(fields.values(bytes, Name::Host), version)?;
    let target = Target::parse(target, named)?;
    // A client may offer `h2c` (curl does) and is answered in HTTP/1.1 (RFC 9110 §7.8); any other protocol is
    // refused, since nothing behind us speaks one.
    let is_offered = fields
        .values(bytes, Name::Upgrade)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .all(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    if !is_offered {
        return Err(Failure::UpgradeRefused);
    }
    let options = if fields.has(Name::Connection) {
        nominate(bytes, fields.list_mut())?
    } else {
        Options::default()
    };
    let body = body(bytes, fields, version)?;
    Ok(RequestHead {
        bytes,
        fields,
        method,
        version,
        path: target.path,
        query: target.query,
        host: named.or(target.authority),
        body,
        passes_trailers: body == Body::Chunked && !by_http2 && !options.nominates,
        closes: options.close(version),
    })
}

/// RFC 9112 §3: a method, a target and a version, with one space between them.
fn request_line(line: &[u8]) -> Result<(&[u8], &str, Version), Failure> {
    let words = word(line, is_token).and_then(|(method, rest)| {
        let (target, version) = word(rest, |byte| !byte.is_ascii_control() && byte != b' ')?;
        Some((method, str::from_utf8(target).ok()?, version))
    });
    let Some((method, target, version)) = words else {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    };
    match version.split_first_chunk() {
        Some((b"HTTP/1.1", b"")) => Ok((method, target, Version::Http11)),
        Some((b"HTTP/1.0", b"")) => Ok((method, target, Version::Http10)),
        Some((b"HTTP/1.1" | b"HTTP/1.0", _)) => Err(Failure::BadRequest(Malformed::BareLineFeed)),
        _ => Err(Failure::HttpVersion),
    }
}

/// The bytes up to the first space, if all are of the kind that is wanted, and what stands behind it.
fn word(line: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !is_wanted(*byte))?;
    let (word, rest) = line.split_at(end);
    (end > 0).then_some((word, rest.strip_prefix(b" ")?))
}

/// RFC 9112 §3.2: exactly one valid `Host` in HTTP/1.1; HTTP/1.0 may do without. So may HTTP/2
/// (RFC 9113 §8.3.1).
fn host<'b>(
    mut named: impl Iterator<Item = &'b [u8]>,
    version: Version,
) -> Result<Option<&'b str>, Failure> {
    let fault = match (named.next(), named.next()) {
        (None, _) if version == Version::Http11 => Malformed::HostMissing,
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => Malformed::HostRepeated,
        (Some(host), None) => match str::from_utf8(host) {
            Ok(host) if head::is_host(host) => return Ok(Some(host)),
            _ => Malformed::HostInvalid,
        },
    };
    Err(Failure::BadRequest(fault))
}

/// RFC 9112 §6.3: how long the body is, told in one way and once.
fn body(bytes: &[u8], fields: &Fields, version: Version) -> Result<Body, Failure> {
    let mut lengths = fields.values(bytes, Name::ContentLength);
    let mut encodings = fields.values(bytes, Name::TransferEncoding);
    let (body, fault) = match (lengths.next(), encodings.next()) {
        (None, None) => return Ok(Body::Length(0)),
        (Some(_), Some(_)) => (None, Malformed::LengthWithEncoding),
        (Some(length), None) => {
            let length = head::decimal(length).filter(|_| lengths.next().is_none());
            (length.map(Body::Length), Malformed::ContentLength)
        }
        (None, Some(encoding)) => {
            // RFC 9112 §6.1: HTTP/1.0 knows none.
            let is_only = encodings.next().is_none() && version != Version::Http10;
            let is_chunked = is_only && encoding.eq_ignore_ascii_case(b"chunked");
            (
                is_chunked.then_some(Body::Chunked),
                Malformed::TransferEncoding,
            )
        }
    };
    body.ok_or(Failure::BadRequest(fault))
}

/// A request target, taken apart.
struct Target<'b> {
    authority: Option<&'b str>,
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Target<'b> {
    /// RFC 9112 §3.2.1 and §3.2.2: origin-form, or absolute-form for the host that `Host` names, if it
    /// names one.
    fn parse(target: &'b str, host: Option<&str>) -> Result<Self, Failure> {
        let (mut question_mark, mut is_odd) = (None, false);
        for (at, byte) in target.bytes().enumerate() {
            match byte {
                _ if PLAIN[usize::from(byte)] => {}
                b'?' if question_mark.is_none() => question_mark = Some(at),
                // A fragment is never sent (RFC 9112 §3.2). Some readers would cut it off, others would not.
                b'#' => return Err(Failure::BadRequest(Malformed::RequestLine)),
                // None of these stands in a URI (RFC 3986 §2), though clients send others that do not either.
                b'<' | b'>' => is_odd = true,
                b'`' => is_odd |= question_mark.is_none(),
                b'"' => is_odd |= question_mark.is_some(),
                _ => {}
            }
        }
        let (authority, rest) = if target.starts_with('/') {
            (None, target)
        } else {
            let (authority, rest) = absolute(target)?;
            if host.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
                return Err(Failure::BadRequest(Malformed::AuthorityDiffers));
            }
            (Some(authority), rest)
        };
        if is_odd || rest.len() > MAX_TARGET {
            return Err(Failure::BadRequest(Malformed::RequestLine));
        }
        // Only now: what is no target is no host either.
        if host.is_none() && authority.is_some_and(|authority| !head::is_host(authority)) {
            return Err(Failure::BadRequest(Malformed::HostInvalid));
        }
        let begin = target.len() - rest.len();
        let path = &target[begin..question_mark.unwrap_or(target.len())];
        Ok(Self {
            authority,
            path: if path.is_empty() { "/" } else { path },
            query: question_mark.map(|at| &target[at + 1..]),
        })
    }
}

/// The authority of an absolute-form target, and what follows it.
fn absolute(target: &str) -> Result<(&str, &str), Failure> {
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
    match rest.split_at(end) {
        ("", _) => Err(Failure::BadRequest(Malformed::AuthorityDiffers)),
        parts => Ok(parts),
    }
}

/// What all lines of `Connection` say together.
#[derive(Default)]
struct Options {
    count: usize,
    close: bool,
    keep_alive: bool,
    /// They name a field that might be a trailer: none of those that we know is one.
    nominates: bool,
}

impl Options {
    /// RFC 9112 §9.3: `close` counts first; HTTP/1.0 goes on only if it says so.
    fn close(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.close || !self.keep_alive,
            Version::Http11 => self.close,
            // Its connections end in another way.
            Version::Http2 => false,
        }
    }
}

/// Marks the fields that `Connection` names (RFC 9110 §7.6.1), in any of its lines.
fn nominate(bytes: &[u8], fields: &mut [Field]) -> Result<Options, Failure> {
    let mut options = Options::default();
    for at in 0..fields.len() {
        if fields[at].name != Name::Connection {
            continue;
        }
        for option in list(fields[at].value(bytes)) {
            options.count += 1;
            let is_allowed = options.count <= MAX_OPTIONS
                && option.iter().copied().all(is_token)
                && !must_arrive(option);
            if !is_allowed {
                return Err(Failure::BadRequest(Malformed::Connection));
            }
            if option.eq_ignore_ascii_case(b"close") {
                options.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                options.keep_alive = true;
            } else {
                options.nominates |= Name::of(option) == Name::Other;
            }
            for field in &mut *fields {
                field.nominated |= field.name(bytes).eq_ignore_ascii_case(option);
            }
        }
    }
    Ok(options)
}

/// Whether `Connection` must not name this field.
fn must_arrive(name: &[u8]) -> bool {
    let prefix = name.get(..MUST_ARRIVE_PREFIX.len()).unwrap_or_default();
    prefix.eq_ignore_ascii_case(MUST_ARRIVE_PREFIX.as_bytes())
        || MUST_ARRIVE
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
}
