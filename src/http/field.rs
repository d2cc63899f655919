//! The fields of a message head, as places in the buffer that holds it.

use std::ops::Range;

/// What a field is to us, by its name in any case (RFC 9110 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Connection,
    ContentLength,
    Cookie,
    Date,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    /// What only members say to each other, and zot's own hop count.
    Internal,
    KeepAlive,
    /// What a client and a proxy tell each other to prove who they are.
    ProxyAuth,
    ProxyConnection,
    Range,
    RequestId,
    Te,
    TraceParent,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
    /// Anything else: the affair of the two ends.
    Other,
}

/// Every internal field begins so.
const INTERNAL_PREFIX: &[u8] = b"x-shardlet-";

impl Name {
    /// Looks a name up. The longest way is one comparison of length and one of bytes.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let known = match name.len() {
            2 if is(b"te") => Self::Te,
            3 if is(b"via") => Self::Via,
            4 if is(b"date") => Self::Date,
            4 if is(b"host") => Self::Host,
            5 if is(b"range") => Self::Range,
            6 if is(b"cookie") => Self::Cookie,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"trailer") => Self::Trailer,
            7 if is(b"upgrade") => Self::Upgrade,
            9 if is(b"forwarded") => Self::Forwarded,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::KeepAlive,
            10 if is(b"user-agent") => Self::UserAgent,
            11 if is(b"traceparent") => Self::TraceParent,
            12 if is(b"x-request-id") => Self::RequestId,
            14 if is(b"content-length") => Self::ContentLength,
            14 if is(b"http2-settings") => Self::Http2Settings,
            15 if is(b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(b"x-forwarded-port") => Self::XForwardedPort,
            16 if is(b"proxy-connection") => Self::ProxyConnection,
            17 if is(b"x-forwarded-proto") => Self::XForwardedProto,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            18 if is(b"proxy-authenticate") => Self::ProxyAuth,
            19 if is(b"proxy-authorization") => Self::ProxyAuth,
            23 if is(b"x-zot-cluster-hop-count") => Self::Internal,
            _ => Self::Other,
        };
        let begins = name.get(..INTERNAL_PREFIX.len());
        if known == Self::Other
            && begins.is_some_and(|begin| begin.eq_ignore_ascii_case(INTERNAL_PREFIX))
        {
            return Self::Internal;
        }
        known
    }

    /// Whether it is between two neighbours alone, whatever `Connection` says (RFC 9110 §7.6.1).
    pub(crate) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyAuth
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// One field, by its places in the head's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// What it is to us.
    pub(crate) name: Name,
    /// Whether `Connection` names it.
    pub(crate) nominated: bool,
    start: u32,
    name_end: u32,
    value_start: u32,
    value_end: u32,
    end: u32,
}

/// The fields of one head, in order; made once and used again.
pub(crate) type Fields = Vec<Field>;

impl Field {
    /// A field whose name and value are these slices of `head`; its line ends behind the next CRLF.
    pub(crate) fn new(head: &[u8], name: &[u8], value: &[u8]) -> Self {
        let at = |part: &[u8]| part.as_ptr() as usize - head.as_ptr() as usize;
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let value_start = if value.is_empty() {
            at(name) + name.len() + 1
        } else {
            at(value)
        };
        let rest = head.get(value_start + value.len()..).unwrap_or_default();
        let line_end = line_feed(rest);
        let end = line_end.map_or(head.len(), |end| value_start + value.len() + end + 1);
        Self {
            name: Name::of(name),
            nominated: false,
            start: place(at(name)),
            name_end: place(at(name) + name.len()),
            value_start: place(value_start),
            value_end: place(value_start + value.len()),
            end: place(end),
        }
    }

    /// Its name, as it was sent.
    pub(crate) fn name<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        slice(head, self.start, self.name_end)
    }

    /// Its value, without white space around it.
    pub(crate) fn value<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        slice(head, self.value_start, self.value_end)
    }

    /// Its whole line, with the line end.
    pub(crate) fn line(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

fn slice(head: &[u8], start: u32, end: u32) -> &[u8] {
    head.get(start as usize..end as usize).unwrap_or_default()
}

/// Where the first LF is. Eight bytes at a time, for less than half of the instructions.
pub(super) fn line_feed(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        // A byte is 0 where there is an LF; subtracting 1 from it borrows, first from the lowest one.
        let zeros = u64::from_le_bytes(*word) ^ (EACH * u64::from(b'\n'));
        let found = zeros.wrapping_sub(EACH) & !zeros & (EACH << 7);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| *byte == b'\n');
    found.map(|found| words.len() * 8 + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, Name); 26] = [
        ("connection", Name::Connection),
        ("content-length", Name::ContentLength),
        ("cookie", Name::Cookie),
        ("date", Name::Date),
        ("expect", Name::Expect),
        ("forwarded", Name::Forwarded),
        ("host", Name::Host),
        ("http2-settings", Name::Http2Settings),
        ("keep-alive", Name::KeepAlive),
        ("proxy-authenticate", Name::ProxyAuth),
        ("proxy-authorization", Name::ProxyAuth),
        ("proxy-connection", Name::ProxyConnection),
        ("range", Name::Range),
        ("te", Name::Te),
        ("traceparent", Name::TraceParent),
        ("trailer", Name::Trailer),
        ("transfer-encoding", Name::TransferEncoding),
        ("upgrade", Name::Upgrade),
        ("user-agent", Name::UserAgent),
        ("via", Name::Via),
        ("x-forwarded-for", Name::XForwardedFor),
        ("x-forwarded-host", Name::XForwardedHost),
        ("x-forwarded-port", Name::XForwardedPort),
        ("x-forwarded-proto", Name::XForwardedProto),
        ("x-request-id", Name::RequestId),
        ("x-zot-cluster-hop-count", Name::Internal),
    ];

    /// RFC 9110 §5.1: whatever its letters are, and nothing that only begins or ends as it does.
    #[test]
    fn a_name_is_known_in_any_case() {
        for (name, known) in KNOWN {
            let mixed = |at: usize, byte: u8| match at % 2 {
                0 => byte.to_ascii_uppercase(),
                _ => byte,
            };
            let mixed = name.bytes().enumerate().map(|(at, byte)| mixed(at, byte));
            let upper = name.to_ascii_uppercase();
            for written in [
                name.as_bytes(),
                upper.as_bytes(),
                &mixed.collect::<Vec<_>>(),
            ] {
                assert_eq!(Name::of(written), known, "{written:?}");
            }
            for other in [&name[1..], &name[..name.len() - 1], &format!("{name}s")] {
                assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
            }
        }
        for internal in ["x-shardlet-", "X-Shardlet-View", "x-SHARDLET-anything"] {
            assert_eq!(Name::of(internal.as_bytes()), Name::Internal, "{internal}");
        }
        assert_eq!(Name::of(b"x-shardlet"), Name::Other);
    }
}
