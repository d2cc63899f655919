//! One line for each request: who asked for what, what we did with it and how it ended.
//!
//! JSON for machines, aligned text for people. Secrets are masked on the way in, and a slow
//! output never makes a request wait (see [`LineSender`]).

mod mask;
#[cfg(test)]
mod tests;

pub(crate) use mask::shortened;

use crate::http::respond::{Failure, Severity};
use crate::observe::human::{Bytes, push_rfc3339};
use crate::observe::metrics::{PlanKind, arrival_text};
use crate::observe::telemetry::{Format, LineSender};
use crate::observe::waits::Waits;
use crate::shard::plan::Arrival;
use crate::shard::route::Operation;
use crate::shard::text::shown;
use prometheus::IntCounter;
use serde::Serialize;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Longest user agent and method that is written, in bytes.
pub(crate) const MAX_TEXT: usize = 128;

/// What is known about a request when it has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessRecord<'a> {
    /// When its head came.
    pub time: SystemTime,
    /// The id in the answer and in error details.
    pub request_id: &'a str,
    /// Trace id of the `traceparent` that was sent on.
    pub trace_id: Option<&'a str>,
    /// Which listener it came in by.
    pub arrival: Arrival,
    /// The client, or the peer that forwarded it; `None` on a Unix socket.
    pub client: Option<SocketAddr>,
    /// As sent.
    pub method: &'a str,
    /// The request target as sent, with its query: it is masked here.
    pub target: &'a [u8],
    /// What the path names, if it names one.
    pub repository: Option<&'a str>,
    /// What is done to it.
    pub operation: Operation,
    /// Id of the repository's owner.
    pub owner: Option<&'a str>,
    /// What we did with the request.
    pub plan: PlanKind,
    /// Id of the peer it was sent to, or `replica`.
    pub upstream: Option<&'a str>,
    /// What downstream saw; 499 if it was gone.
    pub status: u16,
    /// Request body bytes.
    pub received_bytes: u64,
    /// Response body bytes.
    pub sent_bytes: u64,
    /// From the head of the request to the end of the response.
    pub total: Duration,
    /// What it waited for meanwhile.
    pub waits: Waits,
    /// Second attempts.
    pub retries: u32,
    /// Why it ended early, if it did.
    pub failure: Option<&'a Failure>,
    /// `HTTP/1.1`, `HTTP/2.0`…
    pub http: &'a str,
    /// `TLSv1.3`…, if any.
    pub tls: Option<&'a str>,
    /// As sent; it is shortened here.
    pub user_agent: Option<&'a str>,
}

/// The access log of one member; cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessLog {
    output: Option<(LineSender, Format)>,
    member: Arc<str>,
    dropped: IntCounter,
}

impl AccessLog {
    /// A log of `member` to `sender`, which counts dropped lines in `dropped`.
    pub(crate) fn new(
        sender: LineSender,
        format: Format,
        member: &str,
        dropped: IntCounter,
    ) -> Self {
        Self {
            output: Some((sender, format)),
            member: member.into(),
            dropped,
        }
    }

    /// A log that is switched off.
    pub(crate) fn off(dropped: IntCounter) -> Self {
        Self {
            output: None,
            member: "".into(),
            dropped,
        }
    }

    /// Writes one line; never waits.
    pub(crate) fn write(&self, record: &AccessRecord<'_>) {
        let Some((sender, format)) = &self.output else {
            return;
        };
        thread_local! {
            static LINE: RefCell<(String, Vec<u8>)> = const { RefCell::new((String::new(), Vec::new())) };
        }
        LINE.with_borrow_mut(|(scratch, line)| {
            line.clear();
            match format {
                Format::Json => json_line(&self.member, record, scratch, line),
                Format::Text => text_line(record, scratch, line),
            }
            if !sender.send(line) {
                self.dropped.inc();
            }
        });
    }
}

/// The JSON line. Every key is always there; names and order are pinned by a test. It begins with what an
/// event's line begins with (`telemetry::json`).
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: &'static str,
    kind: &'static str,
    member: &'a str,
    message: Cow<'static, str>,
    request_id: &'a str,
    trace_id: Option<&'a str>,
    arrival: &'static str,
    client: Option<SocketAddr>,
    method: &'a str,
    path: &'a str,
    repository: Option<&'a str>,
    operation: &'static str,
    owner: Option<&'a str>,
    plan: &'static str,
    upstream: Option<&'a str>,
    status: u16,
    received_bytes: u64,
    sent_bytes: u64,
    total_ms: f64,
    queue_ms: f64,
    hold_ms: f64,
    connect_ms: f64,
    client_ms: f64,
    replica_ms: f64,
    retries: u32,
    ended: &'static str,
    http: &'a str,
    tls: Option<&'a str>,
    user_agent: Option<&'a str>,
}

fn json_line(member: &str, record: &AccessRecord<'_>, scratch: &mut String, line: &mut Vec<u8>) {
    scratch.clear();
    push_rfc3339(record.time, scratch);
    let time_end = scratch.len();
    mask::mask_target(record.target, scratch);
    let (time, path) = scratch.split_at(time_end);
    let (level, message) = said(record.failure);
    let fields = Line {
        time,
        level,
        kind: "request",
        member,
        message,
        request_id: record.request_id,
        trace_id: record.trace_id,
        arrival: arrival_text(record.arrival),
        client: record.client,
        method: mask::shortened(record.method, MAX_TEXT),
        path,
        repository: record.repository,
        operation: record.operation.as_str(),
        owner: record.owner,
        plan: record.plan.as_str(),
        upstream: record.upstream,
        status: record.status,
        received_bytes: record.received_bytes,
        sent_bytes: record.sent_bytes,
        total_ms: milliseconds(record.total),
        queue_ms: milliseconds(record.waits.queue),
        hold_ms: milliseconds(record.waits.hold),
        connect_ms: milliseconds(record.waits.connect),
        client_ms: milliseconds(record.waits.client),
        replica_ms: milliseconds(record.waits.replica),
        retries: record.retries,
        ended: ended(record),
        http: record.http,
        tls: record.tls,
        user_agent: record
            .user_agent
            .map(|agent| mask::shortened(agent, MAX_TEXT)),
    };
    // Serialising strings and numbers into memory cannot fail.
    let _ = serde_json::to_writer(&mut *line, &fields);
    line.push(b'\n');
}

/// For a terminal: the result first, then what and where, then how much and how long.
fn text_line(record: &AccessRecord<'_>, scratch: &mut String, line: &mut Vec<u8>) {
    scratch.clear();
    push_rfc3339(record.time, scratch);
    let _ = write!(scratch, " {} ", record.status);
    scratch.push_str(mask::shortened(record.method, MAX_TEXT));
    scratch.push(' ');
    mask::mask_target(record.target, scratch);
    let _ = write!(scratch, " {}", record.plan.as_str());
    if let Some(upstream) = record.upstream.filter(|_| record.plan == PlanKind::Forward) {
        let _ = write!(scratch, " {upstream}");
    } else if let Some(owner) = record.owner.filter(|_| record.plan != PlanKind::Local) {
        let _ = write!(scratch, " (owner {owner})");
    }
    let _ = write!(scratch, " {:.1} ms", milliseconds(record.total));
    push_waits(&record.waits, scratch);
    let (received, sent) = (Bytes(record.received_bytes), Bytes(record.sent_bytes));
    let _ = write!(
        scratch,
        " in {received} out {sent} {}",
        arrival_text(record.arrival)
    );
    if let Some(client) = record.client {
        let _ = write!(scratch, " {client}");
    }
    if record.retries > 0 {
        let _ = write!(scratch, " retries {}", record.retries);
    }
    if record.failure.is_some() {
        let _ = write!(scratch, " ended {}", ended(record));
    }
    let _ = write!(scratch, " id {}", record.request_id);
    let mut utf8 = [0; 4];
    for character in scratch.chars() {
        line.extend_from_slice(shown(character).encode_utf8(&mut utf8).as_bytes());
    }
    line.push(b'\n');
}

/// How loud a line is, and in words how the request ended.
fn said(failure: Option<&Failure>) -> (&'static str, Cow<'static, str>) {
    let Some(failure) = failure else {
        return ("INFO", Cow::Borrowed("served"));
    };
    let answer = failure.answer();
    let level = match answer.severity {
        Severity::Debug | Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
    };
    (level, answer.message)
}

/// Those that there were.
fn push_waits(waits: &Waits, out: &mut String) {
    let mut before = " (";
    for (what, time) in waits.each() {
        if !time.is_zero() {
            let _ = write!(out, "{before}{} {:.1}", what.as_str(), milliseconds(time));
            before = ", ";
        }
    }
    if before == ", " {
        out.push(')');
    }
}

fn ended(record: &AccessRecord<'_>) -> &'static str {
    record.failure.map_or("ok", Failure::reason)
}

/// Milliseconds with three decimals: microseconds are the best that a clock tells.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
