//! The head of a request, read once and in place: its line, its fields, and what they say to us.
//!
//! Whatever two HTTP readers might understand differently is refused here (RFC 9112), as is what no
//! registry has a use for. Pure: bytes in, places in them out.

mod read;

use std::borrow::Cow;

use super::field::{Field, Name};
use super::fields::Fields;
use super::head::Body;
use super::respond::Failure;

/// The methods of the OCI distribution specification and of browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// By which version of HTTP a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    Http11,
    /// Its head was written anew as one of HTTP/1.1.
    Http2,
}

/// A whole head that may go on.
#[derive(Debug)]
pub(crate) struct RequestHead<'b> {
    bytes: &'b [u8],
    fields: &'b Fields,
    method: Method,
    version: Version,
    path: &'b str,
    query: Option<&'b str>,
    host: Option<&'b str>,
    body: Body,
    passes_trailers: bool,
    closes: bool,
}

impl Method {
    /// Reads a method. Nothing else reaches a replica; CONNECT and TRACE in particular never do.
    ///
    /// # Errors
    /// Any other method.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        match text {
            b"GET" => Ok(Self::Get),
            b"HEAD" => Ok(Self::Head),
            b"POST" => Ok(Self::Post),
            b"PUT" => Ok(Self::Put),
            b"PATCH" => Ok(Self::Patch),
            b"DELETE" => Ok(Self::Delete),
            b"OPTIONS" => Ok(Self::Options),
            _ => Err(Failure::MethodNotAllowed),
        }
    }

    /// As it stands in a request line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

impl<'b> RequestHead<'b> {
    /// Reads a head of HTTP/1. What [`super::head::Scanner`] has found in it is in `fields`.
    ///
    /// # Errors
    /// The first thing about it that another reader might understand differently, or that a registry
    /// has no use for.
    pub(crate) fn parse(bytes: &'b [u8], fields: &'b mut Fields) -> Result<Self, Failure> {
        read::head(bytes, fields, false)
    }

    /// The same for a head that came by HTTP/2 and was written as one of HTTP/1.1.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn parse_http2(bytes: &'b [u8], fields: &'b mut Fields) -> Result<Self, Failure> {
        read::head(bytes, fields, true)
    }

    pub(crate) fn method(&self) -> Method {
        self.method
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What is asked for: `/` if the target names a host alone (RFC 9112 §3.2.1).
    pub(crate) fn path(&self) -> &'b str {
        self.path
    }

    /// What stands behind the first question mark, which may be nothing.
    pub(crate) fn query(&self) -> Option<&'b [u8]> {
        self.query.map(str::as_bytes)
    }

    /// Path and query as they are sent on, for the log.
    pub(crate) fn target(&self) -> Cow<'b, str> {
        match self.query {
            None => Cow::Borrowed(self.path),
            Some(query) => Cow::Owned([self.path, "?", query].concat()),
        }
    }

    /// The host that is meant: that of `Host`, else that of the target (RFC 9112 §3.2.2). A request of
    /// HTTP/1.0 may name none, nor need one of HTTP/2.
    pub(crate) fn host(&self) -> Option<&'b str> {
        self.host
    }

    pub(crate) fn body(&self) -> Body {
        self.body
    }

    /// Whether trailers behind the body go on. Not those of HTTP/2, which the framework does not give out.
    /// Nor where `Connection` names fields that stay here: they might be among the trailers (RFC 9110
    /// §7.6.1), and the head is gone by then.
    pub(crate) fn passes_trailers(&self) -> bool {
        self.passes_trailers
    }

    /// Whether the client wants no other request to follow (RFC 9112 §9.3).
    pub(crate) fn wants_close(&self) -> bool {
        self.closes
    }

    /// Whether the client may wait for `100 Continue` before it sends the body. That of HTTP/1.0 is
    /// not to be believed (RFC 9110 §10.1.1).
    pub(crate) fn expects_continue(&self) -> bool {
        self.version != Version::Http10
            && self
                .all(Name::Expect)
                .flat_map(list)
                .any(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the client takes trailers: it says so to us if `Connection` names the field, which
    /// HTTP/2 has no need of (RFC 9110 §10.1.4, RFC 9113 §8.2.2).
    pub(crate) fn takes_trailers(&self) -> bool {
        let to_us = |field: &&Field| match self.version {
            Version::Http10 => false,
            Version::Http11 => field.nominated,
            Version::Http2 => true,
        };
        self.fields
            .named(Name::Te)
            .filter(to_us)
            .flat_map(|field| list(field.value(self.bytes)))
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.fields.has(name)
    }

    /// The value of the first field of this name.
    pub(crate) fn first(&self, name: Name) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The values of all fields of this name, in order.
    pub(crate) fn all(&self, name: Name) -> impl DoubleEndedIterator<Item = &'b [u8]> + use<'b> {
        self.fields.values(self.bytes, name)
    }

    /// The value of the first internal field of this name, which is written in lower case.
    pub(crate) fn internal(&self, name: &str) -> Option<&'b [u8]> {
        self.fields.internal(self.bytes, name)
    }

    /// All fields, in order, by their places in [`Self::bytes`].
    pub(crate) fn fields(&self) -> &'b [Field] {
        self.fields.list()
    }

    /// The head as it was sent.
    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }
}

/// The members of a list (RFC 9110 §5.6.1), of which empty ones count for nothing.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
