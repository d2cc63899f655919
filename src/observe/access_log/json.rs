//! The JSON line, written straight into the log's buffer. Every key is always there; names and order are pinned by
//! a test, and so is that a JSON library would write the very same bytes.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{AccessRecord, MAX_TEXT, ended, mask, said};
use crate::observe::human::rfc3339_bytes;
use crate::observe::metrics::arrival_text;

/// A hundred years, in microseconds: what is longer is a clock's mistake.
pub(super) const LONGEST: u64 = 100 * 366 * 86_400 * 1_000_000;

/// What all lines of one member have in common.
#[derive(Clone)]
pub(super) struct Json {
    /// From the level to the message.
    middle: Arc<str>,
}

impl Json {
    pub(super) fn of(member: &str) -> Self {
        let mut middle = Vec::from(br#"","kind":"request","member":"#);
        push_text(member, &mut middle);
        middle.extend_from_slice(br#","message":"#);
        Self {
            middle: String::from_utf8_lossy(&middle).into(),
        }
    }

    /// Appends the line of one request. It begins with what an event's line begins with (`telemetry::json`).
    pub(super) fn push(&self, record: &AccessRecord<'_>, line: &mut Vec<u8>) {
        let AccessRecord {
            time,
            request_id,
            trace_id,
            arrival,
            client,
            method,
            target,
            repository,
            operation,
            owner,
            plan,
            upstream,
            status,
            received_bytes,
            sent_bytes,
            total,
            waits,
            retries,
            failure,
            http,
            tls,
            user_agent,
        } = *record;
        let (level, message) = said(failure);
        line.extend_from_slice(br#"{"time":""#);
        line.extend_from_slice(&rfc3339_bytes(time));
        push_name(br#"","level":""#, level, line);
        line.extend_from_slice(self.middle.as_bytes());
        push_text(&message, line);
        push_key(br#","request_id":"#, request_id, line);
        push_optional(br#","trace_id":"#, trace_id, line);
        push_name(br#","arrival":""#, arrival_text(arrival), line);
        push_client(client, line);
        push_key(br#","method":"#, mask::shortened(method, MAX_TEXT), line);
        push_target(target, line);
        push_optional(br#","repository":"#, repository, line);
        push_name(br#","operation":""#, operation.as_str(), line);
        push_optional(br#"","owner":"#, owner, line);
        push_name(br#","plan":""#, plan.as_str(), line);
        push_optional(br#"","upstream":"#, upstream, line);
        push_number(br#","status":"#, status.into(), line);
        push_number(br#","received_bytes":"#, received_bytes, line);
        push_number(br#","sent_bytes":"#, sent_bytes, line);
        push_milliseconds(br#","total_ms":"#, total, line);
        push_milliseconds(br#","queue_ms":"#, waits.queue, line);
        push_milliseconds(br#","hold_ms":"#, waits.hold, line);
        push_milliseconds(br#","connect_ms":"#, waits.connect, line);
        push_milliseconds(br#","client_ms":"#, waits.client, line);
        push_milliseconds(br#","replica_ms":"#, waits.replica, line);
        push_number(br#","retries":"#, retries.into(), line);
        push_name(br#","ended":""#, ended(record), line);
        push_key(br#"","http":"#, http, line);
        push_optional(br#","tls":"#, tls, line);
        let agent = user_agent.map(|agent| mask::shortened(agent, MAX_TEXT));
        push_optional(br#","user_agent":"#, agent, line);
        line.extend_from_slice(b"}\n");
    }
}

// Keys are arrays, so that each is copied by a few instructions of its own instead of a call.

/// A text of our own, which needs no escapes; its key opens the quotation, and the next one closes it.
fn push_name<const N: usize>(key: &[u8; N], name: &'static str, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    line.extend_from_slice(name.as_bytes());
}

fn push_key<const N: usize>(key: &[u8; N], text: &str, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    push_text(text, line);
}

fn push_optional<const N: usize>(key: &[u8; N], text: Option<&str>, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    match text {
        Some(text) => push_text(text, line),
        None => line.extend_from_slice(b"null"),
    }
}

fn push_client(client: Option<SocketAddr>, line: &mut Vec<u8>) {
    let key = br#"","client":"#;
    line.extend_from_slice(key);
    match client {
        Some(SocketAddr::V4(address)) => {
            let mut before = b'"';
            for part in address.ip().octets() {
                line.push(before);
                before = b'.';
                push_digits(part.into(), line);
            }
            line.push(b':');
            push_digits(address.port().into(), line);
            line.push(b'"');
        }
        // Writing into memory cannot fail.
        Some(SocketAddr::V6(address)) => drop(write!(line, "\"{address}\"")),
        None => line.extend_from_slice(b"null"),
    }
}

fn push_target(target: &[u8], line: &mut Vec<u8>) {
    thread_local! {
        static MASKED: RefCell<String> = const { RefCell::new(String::new()) };
    }
    line.extend_from_slice(br#","path":"#);
    if mask::is_shown_as_it_is(target) {
        line.push(b'"');
        line.extend_from_slice(target);
        return line.push(b'"');
    }
    MASKED.with_borrow_mut(|masked| {
        masked.clear();
        mask::mask_target(target, masked);
        push_text(masked, line);
    });
}

/// A text in quotation marks, escaped (RFC 8259, section 7).
fn push_text(text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    let mut rest = text.as_bytes();
    if has_escapes(rest) {
        while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
            line.extend_from_slice(&rest[..at]);
            push_escape(rest[at], line);
            rest = &rest[at + 1..];
        }
    }
    line.extend_from_slice(rest);
    line.push(b'"');
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Whether any byte is to be escaped, looked at by eight: most texts have none.
fn has_escapes(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else {
        return text.iter().any(|byte| is_escaped(*byte));
    };
    let eights = text.as_chunks::<8>().0.iter();
    eights.fold(escapes(*last), |found, eight| found | escapes(*eight)) != 0
}

/// Not 0 if one of these bytes is to be escaped.
fn escapes(eight: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let word = u64::from_ne_bytes(eight);
    // The high bit of a byte that is less than the limit, which is at most 0x80. A borrow can set that of the byte
    // above too, but begins at one that is.
    let below = |word: u64, limit: u64| word.wrapping_sub(limit * EACH) & !word;
    let is = |byte: u8| below(word ^ (u64::from(byte) * EACH), 1);
    (below(word, b' '.into()) | is(b'"') | is(b'\\')) & HIGH
}

fn push_escape(byte: u8, line: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            line.extend_from_slice(b"\\u00");
            let digits = [byte >> 4, byte & 15].map(|half| HEX[usize::from(half)]);
            return line.extend_from_slice(&digits);
        }
    };
    line.extend_from_slice(&[b'\\', short]);
}

fn push_number<const N: usize>(key: &[u8; N], number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    push_digits(number, line);
}

fn push_digits(mut number: u64, line: &mut Vec<u8>) {
    if number < 10 {
        return line.push(b'0' + number as u8);
    }
    let mut digits = [0; 20];
    let mut begin = digits.len();
    while number > 0 {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    line.extend_from_slice(&digits[begin..]);
}

/// Milliseconds as a number with one to three decimals: microseconds are the best that a clock tells.
fn push_milliseconds<const N: usize>(key: &[u8; N], time: Duration, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    if time.is_zero() {
        return line.extend_from_slice(b"0.0");
    }
    let micros = u64::try_from(time.as_micros())
        .unwrap_or(LONGEST)
        .min(LONGEST);
    push_digits(micros / 1000, line);
    let part = micros % 1000;
    let digits = [part / 100, part / 10 % 10, part % 10].map(|digit| b'0' + digit as u8);
    let shown = match digits {
        [_, b'0', b'0'] => &digits[..1],
        [_, _, b'0'] => &digits[..2],
        _ => &digits[..],
    };
    line.push(b'.');
    line.extend_from_slice(shown);
}
