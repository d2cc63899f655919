//! Names for one request, so that a client's error, our log and the replica's log can be matched.
//!
//! What the client sent is kept if it is harmless in a header, a log line and JSON; else a new
//! name is made. The same holds for the W3C trace context.

use siphasher::sip128::SipHasher24;
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Longest request id that is taken from a client, in bytes.
pub(crate) const MAX_REQUEST_ID: usize = 128;
/// Longest `traceparent` that is taken from a client, in bytes; version 00 has 55.
pub(crate) const MAX_TRACEPARENT: usize = 256;

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
    /// Begins a trace that is marked as not recorded.
    pub(crate) fn make() -> Self {
        // The specification forbids ids of zeros only.
        let trace = random_128() | 1;
        Self::of(
            |header| push_hex(&trace.to_be_bytes(), header),
            SpanId::make(),
            "00",
        )
    }

    fn of(push_trace_id: impl FnOnce(&mut String), parent: SpanId, flags: &str) -> Self {
        let mut header = String::with_capacity(55);
        header.push_str("00-");
        push_trace_id(&mut header);
        header.push('-');
        push_hex(&parent.0.to_be_bytes(), &mut header);
        header.extend(["-", flags]);
        Self(header.into())
    }

    /// The same trace, sampled, from this span on.
    pub(crate) fn child(&self, span: SpanId) -> Self {
        Self::of(|header| header.push_str(self.trace_id()), span, "01")
    }

    /// The same, marked as not recorded.
    pub(crate) fn unsampled(&self) -> Self {
        Self::of(
            |header| header.push_str(self.trace_id()),
            self.parent(),
            "00",
        )
    }

    /// Keeps the header if it is valid.
    pub fn keep(sent: &[u8]) -> Option<Self> {
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

    /// The id of the span that it comes from: 16 hexadecimal digits.
    pub(crate) fn parent_id(&self) -> &str {
        self.0.get(36..52).unwrap_or_default()
    }

    /// The span that it comes from.
    pub(crate) fn parent(&self) -> SpanId {
        // Sixteen such digits always are a number.
        SpanId(u64::from_str_radix(self.parent_id(), 16).unwrap_or(1))
    }

    /// Whether the sender records it (the lowest flag).
    pub(crate) fn is_sampled(&self) -> bool {
        let flags = self.0.get(53..55).unwrap_or_default();
        u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

/// One span of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId(u64);

impl SpanId {
    /// Makes a new one.
    pub(crate) fn make() -> Self {
        // Zero is forbidden.
        Self(random_64() | 1)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
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

/// Half of such a number.
pub(crate) fn random_64() -> u64 {
    (random_128() >> 64) as u64
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
            let kept = TraceParent::keep(header.as_bytes()).unwrap();
            assert_eq!(kept.as_str(), header);
            assert_eq!(kept.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_not_kept_and_a_made_one_is_valid() {
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
            assert_eq!(TraceParent::keep(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn a_trace_goes_on_from_span_to_span() {
        let came = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what";
        let came = TraceParent::keep(came.as_bytes()).unwrap();
        assert!(came.is_sampled());
        assert_eq!(came.parent().to_string(), came.parent_id());
        assert_eq!(
            came.child(SpanId(0xabc)).as_str(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01"
        );
        assert_eq!(
            came.unsampled().as_str(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        );
        let made = TraceParent::make();
        assert!(!made.is_sampled() && TraceParent::keep(made.as_str().as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_result_is_a_safe_header(sent in any::<Vec<u8>>()) {
            let id = RequestId::keep_or_make(Some(&sent));
            prop_assert!(http::HeaderValue::from_str(id.as_str()).is_ok());
            prop_assert!(RequestId::keep(id.as_str().as_bytes()).is_some());
            if let Some(trace) = TraceParent::keep(&sent) {
                prop_assert!(http::HeaderValue::from_str(trace.as_str()).is_ok());
                prop_assert_eq!((trace.trace_id().len(), trace.parent_id().len()), (32, 16));
            }
        }
    }
}
