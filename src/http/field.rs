//! The fields of a message head, as places in the buffer that holds it.

use std::ops::Range;

use crate::shard::text::{all_marked, letters_digits_and};

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
const INTERNAL_PREFIX: &[u8; 11] = b"x-shardlet-";

/// Which bytes may stand in a name (RFC 9110 §5.6.2).
const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// Whether it may stand in a name.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

impl Name {
    /// Looks a name up. The longest way is one comparison of length and a few of bytes.
    pub(crate) fn of(name: &[u8]) -> Self {
        let known = match name.len() {
            2 if is(name, b"te") => Self::Te,
            3 if is(name, b"via") => Self::Via,
            4 if is(name, b"date") => Self::Date,
            4 if is(name, b"host") => Self::Host,
            5 if is(name, b"range") => Self::Range,
            6 if is(name, b"cookie") => Self::Cookie,
            6 if is(name, b"expect") => Self::Expect,
            7 if is(name, b"trailer") => Self::Trailer,
            7 if is(name, b"upgrade") => Self::Upgrade,
            9 if is(name, b"forwarded") => Self::Forwarded,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            10 if is(name, b"user-agent") => Self::UserAgent,
            11 if is(name, b"traceparent") => Self::TraceParent,
            12 if is(name, b"x-request-id") => Self::RequestId,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if is(name, b"http2-settings") => Self::Http2Settings,
            15 if is(name, b"x-forwarded-for") => Self::XForwardedFor,
            16 if is(name, b"x-forwarded-host") => Self::XForwardedHost,
            16 if is(name, b"x-forwarded-port") => Self::XForwardedPort,
            16 if is(name, b"proxy-connection") => Self::ProxyConnection,
            17 if is(name, b"x-forwarded-proto") => Self::XForwardedProto,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            18 if is(name, b"proxy-authenticate") => Self::ProxyAuth,
            19 if is(name, b"proxy-authorization") => Self::ProxyAuth,
            23 if is(name, b"x-zot-cluster-hop-count") => Self::Internal,
            _ => Self::Other,
        };
        let begins = name.get(..INTERNAL_PREFIX.len());
        if known == Self::Other && begins.is_some_and(|begin| is(begin, INTERNAL_PREFIX)) {
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
    start: usize,
    name_end: usize,
    value_start: usize,
    value_end: usize,
    end: usize,
}

impl Field {
    /// Reads the line of `head` that begins and ends there, its CRLF not counted. None if no name and colon begin
    /// it (RFC 9112 §5.1).
    pub(super) fn read(head: &[u8], start: usize, line_end: usize) -> Option<Self> {
        let line = head.get(start..line_end)?;
        let colon = find(line, |word| {
            // Subtracting 1 from where it is takes the highest bit from the byte behind.
            let word = word ^ (EACH * u64::from(b':'));
            word.wrapping_sub(EACH) & !word
        })?;
        let (written, value) = (&line[..colon], &line[colon + 1..]);
        let name = Name::of(written);
        // What is known has been compared already.
        let is_unknown = matches!(name, Name::Other | Name::Internal);
        if colon == 0 || is_unknown && !all_marked(written, &TOKEN) {
            return None;
        }
        let value = value.trim_ascii_start();
        let value_start = line_end - value.len();
        Some(Self {
            name,
            nominated: false,
            start,
            name_end: start + colon,
            value_start,
            value_end: value_start + value.trim_ascii_end().len(),
            end: line_end + 2,
        })
    }

    /// Its name, as it was sent.
    pub(crate) fn name<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        head.get(self.start..self.name_end).unwrap_or_default()
    }

    /// Its value, without white space around it.
    pub(crate) fn value<'h>(&self, head: &'h [u8]) -> &'h [u8] {
        head.get(self.value_start..self.value_end)
            .unwrap_or_default()
    }

    /// Its whole line, with the line end.
    pub(crate) fn line(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// Whether these are the same letters, in any case: one bit, in which letters alone may differ. Three words cover 24
/// bytes, the longest name that is known; of a short one they are the same.
#[inline(always)]
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return false;
    };
    let last = N.saturating_sub(8);
    let differs = |at| {
        let known = word(known, at);
        let mut case = known;
        for byte in &mut case {
            *byte = u8::from(byte.is_ascii_lowercase()) << 5;
        }
        let differs = u64::from_ne_bytes(word(name, at)) ^ u64::from_ne_bytes(known);
        differs & !u64::from_ne_bytes(case)
    };
    differs(0) | differs(last / 2) | differs(last) == 0
}

/// Up to eight bytes from there on.
#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; 8] {
    let mut word = [0; 8];
    let length = (N - at).min(8);
    word[..length].copy_from_slice(&bytes[at..at + length]);
    word
}

/// 1 in each byte of a word.
pub(super) const EACH: u64 = u64::from_ne_bytes([1; 8]);

/// Where the first byte is whose highest bit `marks` sets. Eight bytes at a time, for a fourth of the instructions.
pub(super) fn find(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<usize> {
    let marks = |word: [u8; 8]| marks(u64::from_le_bytes(word)) & (EACH << 7);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let found = marks(*word);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    let found = marks(last);
    (found != 0).then(|| words.len() * 8 + found.trailing_zeros() as usize / 8)
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
