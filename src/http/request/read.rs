//! One walk over a head, and the rules that it has to keep.

use std::mem::MaybeUninit;

use super::{Method, RequestHead, Version, bit, list};
use crate::http::field::{Field, Fields, Name};
use crate::http::head::{self, Body, MAX_HEADER_COUNT};
use crate::http::respond::{Failure, Malformed};

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

/// The longest target that goes on, in bytes: what reads it behind us counts with 16 bits.
const MAX_TARGET: usize = u16::MAX as usize - 1;

pub(super) fn head<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields,
    by_http2: bool,
) -> Result<RequestHead<'b>, Failure> {
    // Written to only as far as there are fields: clearing it costs more than most heads.
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADER_COUNT];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut lines) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Failure::BadRequest(Malformed::RequestLine)),
        Err(error) => return Err(failure_of(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Failure::BadRequest(Malformed::RequestLine));
    };
    let method = Method::parse(method)?;
    let version = match minor {
        _ if by_http2 => Version::Http2,
        0 => Version::Http10,
        _ => Version::Http11,
    };
    let mut said = Said::default();
    fields.clear();
    for line in &*request.headers {
        let field = Field::new(bytes, line.name.as_bytes(), line.value);
        said.take(field.name, line.value);
        fields.push(field);
    }
    let named = said.host(version)?;
    let target = Target::parse(target, named)?;
    if said.upgrade_refused {
        return Err(Failure::UpgradeRefused);
    }
    let options = if said.names & bit(Name::Connection) == 0 {
        Options::default()
    } else {
        nominate(bytes, fields)?
    };
    let body = said.body(version)?;
    Ok(RequestHead {
        bytes,
        fields,
        names: said.names,
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

fn failure_of(error: httparse::Error) -> Failure {
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

/// What the fields say that bears on the whole message.
#[derive(Default)]
struct Said<'b> {
    names: u32,
    host: Once<'b>,
    length: Once<'b>,
    encoding: Once<'b>,
    upgrade_refused: bool,
}

/// A field that may come once.
#[derive(Default)]
struct Once<'b> {
    value: Option<&'b [u8]>,
    is_repeated: bool,
}

impl<'b> Once<'b> {
    fn take(&mut self, value: &'b [u8]) {
        self.is_repeated |= self.value.is_some();
        self.value.get_or_insert(value);
    }
}

impl<'b> Said<'b> {
    fn take(&mut self, name: Name, value: &'b [u8]) {
        self.names |= bit(name);
        if name == Name::Host {
            self.host.take(value);
        } else if name == Name::ContentLength {
            self.length.take(value);
        } else if name == Name::TransferEncoding {
            self.encoding.take(value);
        } else if name == Name::Upgrade {
            // A client may offer `h2c` (curl does) and is answered in HTTP/1.1 (RFC 9110 §7.8); any
            // other protocol is refused, since nothing behind us speaks one.
            let mut protocols = value.split(|byte| *byte == b',');
            self.upgrade_refused |=
                protocols.any(|name| !name.trim_ascii().eq_ignore_ascii_case(b"h2c"));
        }
    }

    /// RFC 9112 §3.2: exactly one valid `Host` in HTTP/1.1; HTTP/1.0 may do without. So may HTTP/2
    /// (RFC 9113 §8.3.1).
    fn host(&self, version: Version) -> Result<Option<&'b str>, Failure> {
        let host = match self.host.value {
            None if version == Version::Http11 => {
                return Err(Failure::BadRequest(Malformed::HostMissing));
            }
            None => return Ok(None),
            Some(_) if self.host.is_repeated => {
                return Err(Failure::BadRequest(Malformed::HostRepeated));
            }
            Some(host) => host,
        };
        match std::str::from_utf8(host) {
            Ok(host) if head::is_host(host) => Ok(Some(host)),
            _ => Err(Failure::BadRequest(Malformed::HostInvalid)),
        }
    }

    /// RFC 9112 §6.3: how long the body is, told in one way and once.
    fn body(&self, version: Version) -> Result<Body, Failure> {
        match (self.length.value, self.encoding.value) {
            (None, None) => Ok(Body::Length(0)),
            (Some(_), Some(_)) => Err(Failure::BadRequest(Malformed::LengthWithEncoding)),
            (Some(length), None) => {
                let length = if self.length.is_repeated {
                    None
                } else {
                    head::decimal(length)
                };
                length
                    .map(Body::Length)
                    .ok_or(Failure::BadRequest(Malformed::ContentLength))
            }
            (None, Some(encoding)) => {
                // RFC 9112 §6.1: HTTP/1.0 knows none.
                let is_only = !self.encoding.is_repeated && version != Version::Http10;
                if is_only && encoding.eq_ignore_ascii_case(b"chunked") {
                    Ok(Body::Chunked)
                } else {
                    Err(Failure::BadRequest(Malformed::TransferEncoding))
                }
            }
        }
    }
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
        // A fragment is never sent (RFC 9112 §3.2). Some readers would cut it off, others would not.
        if target.contains('#') {
            return Err(Failure::BadRequest(Malformed::RequestLine));
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
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        // None of these stands in a URI (RFC 3986 §2), though clients send others that do not either.
        let in_path = |byte: u8| !matches!(byte, b'<' | b'>' | b'`');
        let in_query = |byte: u8| !matches!(byte, b'<' | b'>' | b'"');
        if rest.len() > MAX_TARGET
            || !path.bytes().all(in_path)
            || !query.unwrap_or_default().bytes().all(in_query)
        {
            return Err(Failure::BadRequest(Malformed::RequestLine));
        }
        // Only now: what is no target is no host either.
        if host.is_none() && authority.is_some_and(|authority| !head::is_host(authority)) {
            return Err(Failure::BadRequest(Malformed::HostInvalid));
        }
        Ok(Self {
            authority,
            path: if path.is_empty() { "/" } else { path },
            query,
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

/// Whether it may stand in a name (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
