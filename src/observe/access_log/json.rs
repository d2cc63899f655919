//! The JSON line, written straight into the log's buffer. Every key is always there; names and order are pinned by
//! a test, and so is that a JSON library would write the very same bytes.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::{AccessRecord, MAX_TEXT, ended, mask, said};
use crate::http::request_id::TraceParent;
use crate::http::respond::Failure;
use crate::observe::human::rfc3339_bytes;
use crate::observe::metrics::arrival_text;
use crate::observe::waits::Waits;
use crate::shard::text::{all_marked, hex, push_decimal, three_digits};

/// A hundred years, in microseconds: what is longer is a clock's mistake.
pub(super) const LONGEST: u64 = 100 * 366 * 86_400 * 1_000_000;

/// ASCII that stands in a text as it is (RFC 8259, section 7).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 0x80 {
        plain[byte as usize] = !is_escaped(byte);
        byte += 1;
    }
    plain
};

/// What all lines of one member have in common.
#[derive(Clone)]
pub(super) struct Json {
    member: Arc<str>,
    /// From the level to the message, where all is well.
    served: Arc<[u8]>,
}

impl Json {
    pub(super) fn of(member: &str) -> Self {
        let mut served = Vec::new();
        push_said(None, member, &mut served);
        Self {
            member: member.into(),
            served: served.into(),
        }
    }

    /// Appends the line of one request. It begins with what an event's line begins with (`telemetry::json`).
    pub(super) fn push(&self, record: &AccessRecord<'_>, line: &mut Vec<u8>) {
        let AccessRecord {
            time,
            request_id,
            trace,
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
        line.extend_from_slice(br#"{"time":""#);
        line.extend_from_slice(&rfc3339_bytes(time));
        match failure {
            None => line.extend_from_slice(&self.served),
            Some(_) => push_said(failure, &self.member, line),
        }
        push_plain(br#"","request_id":""#, request_id.as_bytes(), line);
        let trace_id = trace.map(TraceParent::trace_digits);
        push_quoted(br#"","trace_id":""#, trace_id, line);
        push_name(br#","arrival":""#, arrival_text(arrival), line);
        push_optional(br#"","client":""#, client, line);
        push_name(br#","method":""#, method, line);
        push_target(target, line);
        let repository = repository.map(|name| name.as_str().as_bytes());
        push_quoted(br#"","repository":""#, repository, line);
        push_name(br#","operation":""#, operation.as_str(), line);
        push_optional(br#"","owner":""#, owner, line);
        push_name(br#","plan":""#, plan.as_str(), line);
        push_optional(br#"","upstream":""#, upstream, line);
        push_number(br#","status":"#, status.into(), line);
        push_number(br#","received_bytes":"#, received_bytes, line);
        push_number(br#","sent_bytes":"#, sent_bytes, line);
        push_milliseconds(br#","total_ms":"#, total, line);
        push_waits(&waits, line);
        push_number(br#","retries":"#, retries.into(), line);
        push_name(br#","ended":""#, ended(record), line);
        push_name(br#"","http":""#, http, line);
        push_quoted(br#"","tls":""#, tls.map(str::as_bytes), line);
        push_user_agent(user_agent, line);
        line.extend_from_slice(b"}\n");
    }
}

/// From the level to the message.
fn push_said(failure: Option<&Failure>, member: &str, line: &mut Vec<u8>) {
    let (level, message) = said(failure);
    push_name(br#"","level":""#, level, line);
    line.extend_from_slice(br#"","kind":"request","member":""#);
    push_text(member, line);
    line.extend_from_slice(br#"","message":""#);
    push_text(&message, line);
}

// Keys are arrays, so that each is copied by a few instructions of its own instead of a call. A key opens the quotation
// of its text, and where there always is one, the next key closes it.

/// What needs no escapes.
fn push_plain<const N: usize>(key: &[u8; N], text: &[u8], line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    line.extend_from_slice(text);
}

/// The same where there may be none, with its quotation closed.
fn push_quoted<const N: usize>(key: &[u8; N], text: Option<&[u8]>, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    let Some(text) = text else {
        return push_null(line);
    };
    line.extend_from_slice(text);
    line.push(b'"');
}

/// In place of a quotation that was opened.
fn push_null(line: &mut Vec<u8>) {
    line.pop();
    line.extend_from_slice(b"null");
}

/// A text of our own, which needs no escapes.
fn push_name<const N: usize>(key: &[u8; N], name: &'static str, line: &mut Vec<u8>) {
    push_plain(key, name.as_bytes(), line);
}

/// With its quotation closed.
fn push_optional<const N: usize>(key: &[u8; N], text: Option<&str>, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    let Some(text) = text else {
        return push_null(line);
    };
    push_text(text, line);
    line.push(b'"');
}

fn push_user_agent(agent: Option<&[u8]>, line: &mut Vec<u8>) {
    let key = br#","user_agent":""#;
    match agent {
        Some(agent) if agent.len() <= MAX_TEXT && all_marked(agent, &PLAIN) => {
            push_quoted(key, Some(agent), line);
        }
        agent => {
            let agent = agent.and_then(|agent| str::from_utf8(agent).ok());
            push_optional(
                key,
                agent.map(|agent| mask::shortened(agent, MAX_TEXT)),
                line,
            );
        }
    }
}

fn push_target(target: &[u8], line: &mut Vec<u8>) {
    thread_local! {
        static MASKED: RefCell<String> = const { RefCell::new(String::new()) };
    }
    line.extend_from_slice(br#"","path":""#);
    if mask::is_shown_as_it_is(target) {
        return line.extend_from_slice(target);
    }
    MASKED.with_borrow_mut(|masked| {
        masked.clear();
        mask::mask_target(target, masked);
        push_text(masked, line);
    });
}

/// A text as it stands between quotation marks, escaped (RFC 8259, section 7).
fn push_text(text: &str, line: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    if !all_marked(rest, &PLAIN) {
        while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
            line.extend_from_slice(&rest[..at]);
            push_escape(rest[at], line);
            rest = &rest[at + 1..];
        }
    }
    line.extend_from_slice(rest);
}

const fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn push_escape(byte: u8, line: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            line.extend_from_slice(b"\\u00");
            return line.extend_from_slice(hex(&[byte]).as_flattened());
        }
    };
    line.extend_from_slice(&[b'\\', short]);
}

fn push_number<const N: usize>(key: &[u8; N], number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    push_decimal(number, line);
}

fn push_waits(waits: &Waits, line: &mut Vec<u8>) {
    let Waits {
        queue,
        hold,
        connect,
        client,
        replica,
    } = *waits;
    if [queue, hold, connect, client] == [Duration::ZERO; 4] {
        // Most requests wait for the replica alone.
        line.extend_from_slice(
            br#","queue_ms":0.0,"hold_ms":0.0,"connect_ms":0.0,"client_ms":0.0"#,
        );
    } else {
        push_milliseconds(br#","queue_ms":"#, queue, line);
        push_milliseconds(br#","hold_ms":"#, hold, line);
        push_milliseconds(br#","connect_ms":"#, connect, line);
        push_milliseconds(br#","client_ms":"#, client, line);
    }
    push_milliseconds(br#","replica_ms":"#, replica, line);
}

/// Milliseconds as a number with one to three decimals: microseconds are the best that a clock tells.
fn push_milliseconds<const N: usize>(key: &[u8; N], time: Duration, line: &mut Vec<u8>) {
    line.extend_from_slice(key);
    let micros = u64::try_from(time.as_micros())
        .unwrap_or(LONGEST)
        .min(LONGEST);
    push_decimal(micros / 1000, line);
    let [tenths, hundredths, thousandths] = three_digits(micros % 1000);
    line.extend_from_slice(&[b'.', tenths, hundredths, thousandths]);
    if thousandths == b'0' {
        let zeros = 1 + usize::from(hundredths == b'0');
        line.truncate(line.len() - zeros);
    }
}
