//! Names for one request, so that a client's error, our log and the replica's log can be matched.
//!
//! What the client sent is kept if it is harmless in a header, a log line and JSON; else a new
//! name is made. The same holds for the W3C trace context.

use siphasher::sip128::SipHasher24;
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Longest request id that is taken from a client, in bytes.
pub const MAX_REQUEST_ID: usize = 128;
/// Longest `traceparent` that is taken from a client, in bytes; version 00 has 55.
pub const MAX_TRACEPARENT: usize = 256;

/// A request id: 1 to [`MAX_REQUEST_ID`] letters, digits and `-_.:+/=~`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Keeps the value of `X-Request-Id` if it is valid, else makes one of 32 hexadecimal digits.
    pub fn keep_or_make(sent: Option<&[u8]>) -> Self {
        sent.and_then(Self::keep).unwrap_or_else(Self::make)
    }

    /// Makes a new one.
    pub fn make() -> Self {
        let mut id = String::with_capacity(32);
        push_hex(&random_128().to_be_bytes(), &mut id);
        Self(id.into())
    }

    fn keep(sent: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=~".contains(byte);
        if sent.is_empty() || sent.len() > MAX_REQUEST_ID || !sent.iter().all(allowed) {
            return None;
        }
        std::str::from_utf8(sent).ok().map(|text| Self(text.into()))
    }

    /// As it is sent and logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `traceparent` header: version, trace id, parent id, flags (W3C Trace Context, level 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Box<str>);

impl TraceParent {
    /// Keeps the header if it is valid, else begins a trace that is marked as not recorded.
    pub fn keep_or_make(sent: Option<&[u8]>) -> Self {
        sent.and_then(Self::keep).unwrap_or_else(Self::make)
    }

    fn make() -> Self {
        // The specification forbids ids of zeros only.
        let trace = random_128() | 1;
        let parent = (random_128() >> 64) as u64 | 1;
        let mut header = String::with_capacity(55);
        header.push_str("00-");
        push_hex(&trace.to_be_bytes(), &mut header);
        header.push('-');
        push_hex(&parent.to_be_bytes(), &mut header);
        header.push_str("-00");
        Self(header.into())
    }

    fn keep(sent: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(sent)
            .ok()
            .filter(|text| text.len() <= MAX_TRACEPARENT)?;
        let mut fields = text.split('-');
        let version = fields
            .next()
            .filter(|version| *version != "ff" && is_hex(version, 2))?;
        fields
            .next()
            .filter(|trace| is_hex(trace, 32) && !is_zero(trace))?;
        fields
            .next()
            .filter(|parent| is_hex(parent, 16) && !is_zero(parent))?;
        fields.next().filter(|flags| is_hex(flags, 2))?;
        // Later versions may append fields, version 00 may not.
        let whole = version != "00" || fields.next().is_none();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (whole && printable).then(|| Self(text.into()))
    }

    /// As it is sent on.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace id alone: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

/// Two digits a byte, for every request: the formatter of numbers costs twice that.
fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 0xf)]);
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(hex: &str) -> bool {
    hex.bytes().all(|byte| byte == b'0')
}

/// A number that no other call in any process returns, as far as 128 random bits go.
///
/// A keyed hash of a counter: the key comes from the system's randomness once a thread, so that a
/// request costs no system call.
fn random_128() -> u128 {
    thread_local! {
        static KEY: SipHasher24 = {
            let seed = RandomState::new();
            SipHasher24::new_with_keys(seed.hash_one(0u8), seed.hash_one(1u8))
        };
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.with(|count| count.replace(count.get().wrapping_add(1)));
    KEY.with(|key| key.hash(&count.to_le_bytes()).as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_valid_id_is_kept() {
        for id in [
            "a",
            "4bf92f3577b34da6",
            "A-b_c.d:e+f/g=~",
            &"x".repeat(MAX_REQUEST_ID),
        ] {
            assert_eq!(RequestId::keep_or_make(Some(id.as_bytes())).as_str(), id);
        }
    }

    #[test]
    fn anything_else_is_replaced() {
        let long = "x".repeat(MAX_REQUEST_ID + 1);
        for id in ["", "a b", "a\"b", "a\nb", "ä", "a,b", &long] {
            let made = RequestId::keep_or_make(Some(id.as_bytes()));
            assert!(is_hex(made.as_str(), 32), "{id:?} became {made}");
        }
    }

    #[test]
    fn made_ids_differ_over_threads() {
        let make = || {
            (0..1000)
                .map(|_| RequestId::make().to_string())
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let all: HashSet<_> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        assert_eq!(all.len(), 4000);
    }

    #[test]
    fn a_valid_traceparent_is_kept() {
        let base = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for header in [
            format!("00-{base}"),
            format!("01-{base}"),
            format!("cc-{base}-what"),
        ] {
            let kept = TraceParent::keep_or_make(Some(header.as_bytes()));
            assert_eq!(kept.as_str(), header);
            assert_eq!(kept.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_replaced_by_a_valid_one() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for header in [
            String::new(),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}-01-more"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{parent}"),
            format!("01-{trace}-{parent}-01-a b"),
        ] {
            let made = TraceParent::keep_or_make(Some(header.as_bytes()));
            assert_ne!(made.as_str(), header);
            assert_eq!(TraceParent::keep(made.as_str().as_bytes()), Some(made));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_result_is_a_safe_header(sent in any::<Vec<u8>>()) {
            let id = RequestId::keep_or_make(Some(&sent));
            prop_assert!(http::HeaderValue::from_str(id.as_str()).is_ok());
            prop_assert!(RequestId::keep(id.as_str().as_bytes()).is_some());
            let trace = TraceParent::keep_or_make(Some(&sent));
            prop_assert_eq!(trace.trace_id().len(), 32);
        }
    }
}
