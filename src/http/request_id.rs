//! Names for one request, so that a client's error, our log and the replica's log can be matched.
//!
//! What the client sent is kept if it is harmless in a header, a log line and JSON; else a new
//! name is made. The same holds for the W3C trace context.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use crate::shard::text::hex;

/// Longest request id that is taken from a client, in bytes.
pub(crate) const MAX_REQUEST_ID: usize = 128;
/// Longest `traceparent` that is taken from a client, in bytes; version 00 has 55.
pub(crate) const MAX_TRACEPARENT: usize = 256;

// Where the parts of a `traceparent` are, and how long it is up to the end of its flags.
const VERSION: Range<usize> = 0..2;
const TRACE: Range<usize> = 3..35;
const PARENT: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;
const DASHES: [usize; 3] = [2, 35, 52];
const FIXED: usize = 55;

/// A request id: 1 to [`MAX_REQUEST_ID`] letters, digits and `-_.:+/=~`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Ascii<32>);

impl RequestId {
    /// Keeps the value of `X-Request-Id` if it is valid, else makes one of 32 hexadecimal digits.
    pub fn keep_or_make(sent: Option<&[u8]>) -> Self {
        sent.and_then(Self::keep).unwrap_or_else(Self::make)
    }

    /// Makes a new one.
    pub fn make() -> Self {
        Self(Ascii::of(hex(&random_128()).as_flattened()))
    }

    fn keep(sent: &[u8]) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=~".contains(byte);
        let is_valid = !sent.is_empty() && sent.len() <= MAX_REQUEST_ID && sent.iter().all(allowed);
        is_valid.then(|| Self(Ascii::of(sent)))
    }

    /// As it is sent and logged.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same, where it costs nothing that it is looked at once more.
    pub fn as_str(&self) -> &str {
        text(self.as_bytes())
    }
}

/// A `traceparent` header: version, trace id, parent id, flags (W3C Trace Context, level 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Ascii<FIXED>);

impl TraceParent {
    /// Begins a trace that is marked as not recorded.
    pub(crate) fn make() -> Self {
        // The specification forbids ids of zeros only.
        let mut trace = random_128();
        trace[0] |= 1;
        Self::of(hex(&trace).as_flattened(), SpanId::make(), *b"00")
    }

    fn of(trace: &[u8], parent: SpanId, flags: [u8; 2]) -> Self {
        let mut header = *b"00-................................-................-..";
        header[TRACE].copy_from_slice(trace);
        header[PARENT].copy_from_slice(hex(&parent.0.to_be_bytes()).as_flattened());
        header[FLAGS].copy_from_slice(&flags);
        Self(Ascii::Usual(header))
    }

    /// The same trace, sampled, from this span on.
    pub(crate) fn child(&self, span: SpanId) -> Self {
        Self::of(self.trace_digits(), span, *b"01")
    }

    /// The same, marked as not recorded.
    pub(crate) fn unsampled(&self) -> Self {
        Self::of(self.trace_digits(), self.parent(), *b"00")
    }

    /// Keeps the header if it is valid.
    pub fn keep(sent: &[u8]) -> Option<Self> {
        let (fixed, rest) = sent.split_first_chunk::<FIXED>()?;
        let is_hex = |at: Range<usize>| fixed[at].iter().all(is_digit);
        let is_zero = |at: Range<usize>| fixed[at].iter().all(|byte| *byte == b'0');
        let is_separated = DASHES.iter().all(|at| fixed[*at] == b'-');
        let is_valid = is_separated
            && [VERSION, TRACE, PARENT, FLAGS].into_iter().all(is_hex)
            && fixed[VERSION] != *b"ff"
            && !is_zero(TRACE)
            && !is_zero(PARENT);
        // Later versions may append fields, version 00 may not.
        let is_whole = rest.is_empty()
            || fixed[VERSION] != *b"00"
                && rest.starts_with(b"-")
                && rest.iter().all(u8::is_ascii_graphic);
        (is_valid && is_whole && sent.len() <= MAX_TRACEPARENT).then(|| Self(Ascii::of(sent)))
    }

    /// As it is sent on.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The trace id alone: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        text(self.trace_digits())
    }

    /// The same, for every request.
    pub(crate) fn trace_digits(&self) -> &[u8] {
        &self.0.as_bytes()[TRACE]
    }

    /// The id of the span that it comes from: 16 hexadecimal digits.
    pub(crate) fn parent_id(&self) -> &str {
        text(&self.0.as_bytes()[PARENT])
    }

    /// The span that it comes from.
    pub(crate) fn parent(&self) -> SpanId {
        // Sixteen such digits always are a number.
        SpanId(u64::from_str_radix(self.parent_id(), 16).unwrap_or(1))
    }

    /// Whether the sender records it (the lowest flag).
    pub(crate) fn is_sampled(&self) -> bool {
        let flags = text(&self.0.as_bytes()[FLAGS]);
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

/// ASCII without controls and quotation marks, as it was made or has been checked here: what nearly all have this
/// length is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ascii<const N: usize> {
    Usual([u8; N]),
    Other(Box<[u8]>),
}

impl<const N: usize> Ascii<N> {
    fn of(bytes: &[u8]) -> Self {
        let usual = bytes.try_into().map(Self::Usual);
        usual.unwrap_or_else(|_| Self::Other(bytes.into()))
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Usual(bytes) => bytes,
            Self::Other(bytes) => bytes,
        }
    }
}

fn text(ascii: &[u8]) -> &str {
    str::from_utf8(ascii).unwrap_or_default()
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// What no other call in any process returns, as far as 128 random bits go.
fn random_128() -> [u8; 16] {
    let mut bytes = [0; 16];
    for half in bytes.as_chunks_mut().0 {
        *half = random_64().to_ne_bytes();
    }
    bytes
}

/// The next number of xoshiro256++ (Blackman and Vigna), which each thread begins where the system's randomness
/// says. Names have to differ; nothing rests on that nobody can guess them.
pub(crate) fn random_64() -> u64 {
    thread_local! {
        static STATE: Cell<[u64; 4]> = {
            let seed = RandomState::new();
            Cell::new([0_u8, 1, 2, 3].map(|part| seed.hash_one(part)))
        };
    }
    STATE.with(|state| {
        let [a, b, c, d] = state.get();
        let (next_c, next_d) = (c ^ a, d ^ b);
        state.set([
            a ^ next_d,
            b ^ next_c,
            next_c ^ (b << 17),
            next_d.rotate_left(45),
        ]);
        a.wrapping_add(d).rotate_left(23).wrapping_add(a)
    })
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
            let made = made.as_bytes();
            assert!(made.len() == 32 && made.iter().all(is_digit), "{id:?}");
        }
    }

    #[test]
    fn made_ids_differ_over_threads() {
        let make = || {
            (0..1000)
                .map(|_| RequestId::make().as_str().to_owned())
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
            assert_eq!(kept.as_bytes(), header.as_bytes());
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
            came.child(SpanId(0xabc)).as_bytes(),
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01"
        );
        assert_eq!(
            came.unsampled().as_bytes(),
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        );
        let made = TraceParent::make();
        assert!(!made.is_sampled() && TraceParent::keep(made.as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_result_is_a_safe_header(sent in any::<Vec<u8>>()) {
            let id = RequestId::keep_or_make(Some(&sent));
            prop_assert!(http::HeaderValue::from_bytes(id.as_bytes()).is_ok());
            prop_assert!(RequestId::keep(id.as_bytes()).is_some());
            if let Some(trace) = TraceParent::keep(&sent) {
                prop_assert!(http::HeaderValue::from_bytes(trace.as_bytes()).is_ok());
                prop_assert_eq!((trace.trace_id().len(), trace.parent_id().len()), (32, 16));
            }
        }
    }
}
