//! Spans as OTLP in JSON (opentelemetry-proto 1.x, `ExportTraceServiceRequest`).
//!
//! By hand: the kept client (opentelemetry-otlp 0.33 with its SDK, JSON only, no HTTP client) brings 13
//! crates more, protobuf among them, tells nobody how many spans it dropped, and would still need the
//! connection from us.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Span;
use crate::observe::metrics::arrival_text;
use crate::observe::waits::Waits;

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`; a status that is not set is 0.
const ERROR: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Encoded<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Encoded<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'static str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    status: Status,
}

#[derive(Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Value<'a>,
}

#[derive(Serialize)]
enum Value<'a> {
    #[serde(rename = "stringValue")]
    Text(&'a str),
    /// 64-bit integers are text in protobuf's JSON.
    #[serde(rename = "intValue")]
    Integer(String),
    #[serde(rename = "doubleValue")]
    Decimal(f64),
}

/// The body of one export by `member`.
pub(crate) fn encode(member: &str, spans: &[Span]) -> Vec<u8> {
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Resource {
                attributes: vec![
                    text("service.name", "shardlet"),
                    text("service.instance.id", member),
                    text("service.version", env!("CARGO_PKG_VERSION")),
                ],
            },
            scope_spans: [ScopeSpans {
                scope: Scope {
                    name: "shardlet",
                    version: env!("CARGO_PKG_VERSION"),
                },
                spans: spans.iter().map(encoded).collect(),
            }],
        }],
    };
    // Texts and numbers always serialise.
    serde_json::to_vec(&request).unwrap_or_default()
}

fn encoded(span: &Span) -> Encoded<'_> {
    // A client that left is not an error of the service's.
    let is_error = span.status >= 500 || (span.failure.is_some() && span.status < 400);
    Encoded {
        trace_id: span.trace.trace_id(),
        span_id: span.trace.parent_id(),
        parent_span_id: span.parent.map(|parent| parent.to_string()),
        name: span.operation.as_str(),
        kind: SERVER,
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.start + span.total),
        attributes: attributes(span),
        status: Status {
            code: is_error.then_some(ERROR),
        },
    }
}

/// What the access log has too, under the names of the semantic conventions where there are some. Never a
/// path or a query: they hold secrets.
fn attributes(span: &Span) -> Vec<Attribute<'_>> {
    let mut attributes = vec![
        text("http.request.method", span.method),
        number("http.response.status_code", span.status.into()),
        number("http.request.body.size", span.received),
        number("http.response.body.size", span.sent),
        text("shardlet.request_id", &span.request_id),
        text("shardlet.arrival", arrival_text(span.arrival)),
        text("shardlet.operation", span.operation.as_str()),
        text("shardlet.plan", span.plan.as_str()),
    ];
    let optional = [
        ("shardlet.repository", span.repository.as_deref()),
        ("shardlet.owner", span.owner.as_deref()),
        ("shardlet.upstream", span.upstream.as_deref()),
        ("error.type", span.failure),
    ];
    let known = optional
        .into_iter()
        .filter_map(|(key, value)| Some(text(key, value?)));
    attributes.extend(known);
    let Waits {
        queue,
        hold,
        connect,
        client,
        replica,
    } = span.waits;
    attributes.extend([
        milliseconds("shardlet.queue_ms", queue),
        milliseconds("shardlet.hold_ms", hold),
        milliseconds("shardlet.connect_ms", connect),
        milliseconds("shardlet.client_ms", client),
        milliseconds("shardlet.replica_ms", replica),
        number("shardlet.retries", span.retries.into()),
    ]);
    attributes
}

fn text<'a>(key: &'static str, value: &'a str) -> Attribute<'a> {
    let value = Value::Text(value);
    Attribute { key, value }
}

fn number(key: &'static str, value: u64) -> Attribute<'static> {
    let value = Value::Integer(value.to_string());
    Attribute { key, value }
}

fn milliseconds(key: &'static str, time: Duration) -> Attribute<'static> {
    let value = Value::Decimal(time.as_micros() as f64 / 1000.0);
    Attribute { key, value }
}

fn nanoseconds(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}
