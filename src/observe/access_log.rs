//! One line for each request: who asked for what, what we did with it and how it ended.
//!
//! JSON for machines, aligned text for people. Secrets are masked on the way in, and a slow
//! output never makes a request wait (see [`LineSender`]).

mod json;
mod mask;
#[cfg(test)]
mod tests;

use crate::http::request_id::{RequestId, TraceParent};
use crate::http::respond::{Failure, Severity};
use crate::observe::human::{Bytes, rfc3339_bytes};
use crate::observe::metrics::{PlanKind, arrival_text};
use crate::observe::telemetry::{Format, LineSender};
use crate::observe::waits::Waits;
use crate::shard::Repository;
use crate::shard::plan::Arrival;
use crate::shard::route::Operation;
use crate::shard::text::shown;
use json::Json;
use prometheus::IntCounter;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Longest user agent that is written, in bytes.
const MAX_TEXT: usize = 128;

/// What is known about a request when it has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessRecord<'a> {
    /// When its head came.
    pub time: SystemTime,
    /// The id in the answer and in error details.
    pub request_id: &'a RequestId,
    /// The `traceparent` that was sent on.
    pub trace: Option<&'a TraceParent>,
    /// Which listener it came in by.
    pub arrival: Arrival,
    /// The client, or the peer that forwarded it; `None` on a Unix socket.
    pub client: Option<&'a str>,
    /// As sent.
    pub method: &'static str,
    /// The request target as sent, with its query: it is masked here.
    pub target: &'a [u8],
    /// What the path names, if it names one.
    pub repository: Option<Repository<'a>>,
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
    pub http: &'static str,
    /// `TLSv1.3`…, if any.
    pub tls: Option<&'static str>,
    /// As sent; it is shortened here.
    pub user_agent: Option<&'a [u8]>,
}

/// The access log of one member; cheap to clone.
#[derive(Clone)]
pub(crate) struct AccessLog {
    output: Option<(LineSender, Look)>,
    dropped: IntCounter,
}

/// How lines look.
#[derive(Clone)]
enum Look {
    Text,
    Json(Json),
}

impl AccessLog {
    /// A log of `member` to `sender`, which counts dropped lines in `dropped`.
    pub(crate) fn new(
        sender: LineSender,
        format: Format,
        member: &str,
        dropped: IntCounter,
    ) -> Self {
        let look = match format {
            Format::Text => Look::Text,
            Format::Json => Look::Json(Json::of(member)),
        };
        Self {
            output: Some((sender, look)),
            dropped,
        }
    }

    /// A log that is switched off.
    pub(crate) fn off(dropped: IntCounter) -> Self {
        Self {
            output: None,
            dropped,
        }
    }

    /// Writes one line; never waits.
    pub(crate) fn write(&self, record: &AccessRecord<'_>) {
        let Some((sender, look)) = &self.output else {
            return;
        };
        let taken = sender.make(|lines| match look {
            Look::Text => text_line(record, lines),
            Look::Json(json) => json.push(record, lines),
        });
        if !taken {
            self.dropped.inc();
        }
    }
}

/// For a terminal: the result first, then what and where, then how much and how long.
fn text_line(record: &AccessRecord<'_>, line: &mut Vec<u8>) {
    thread_local! {
        static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        push_words(record, text);
        let mut utf8 = [0; 4];
        for character in text.chars() {
            line.extend_from_slice(shown(character).encode_utf8(&mut utf8).as_bytes());
        }
        line.push(b'\n');
    });
}

fn push_words(record: &AccessRecord<'_>, text: &mut String) {
    text.extend(rfc3339_bytes(record.time).map(char::from));
    let _ = write!(text, " {} ", record.status);
    text.push_str(record.method);
    text.push(' ');
    mask::mask_target(record.target, text);
    let _ = write!(text, " {}", record.plan.as_str());
    if let Some(upstream) = record.upstream.filter(|_| record.plan == PlanKind::Forward) {
        let _ = write!(text, " {upstream}");
    } else if let Some(owner) = record.owner.filter(|_| record.plan != PlanKind::Local) {
        let _ = write!(text, " (owner {owner})");
    }
    let _ = write!(text, " {:.1} ms", milliseconds(record.total));
    push_waits(&record.waits, text);
    let (received, sent) = (Bytes(record.received_bytes), Bytes(record.sent_bytes));
    let arrival = arrival_text(record.arrival);
    let _ = write!(text, " in {received} out {sent} {arrival}");
    if let Some(client) = record.client {
        let _ = write!(text, " {client}");
    }
    if record.retries > 0 {
        let _ = write!(text, " retries {}", record.retries);
    }
    if record.failure.is_some() {
        let _ = write!(text, " ended {}", ended(record));
    }
    let _ = write!(text, " id {}", record.request_id.as_str());
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
