//! Our own JSON against that of a library, byte for byte.

use std::borrow::Cow;
use std::net::SocketAddr;

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;

use super::*;
use crate::http::respond::Malformed;

/// The line as a library writes it.
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
    client: Option<&'a str>,
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

fn line_of_the_library(member: &str, record: &AccessRecord<'_>) -> String {
    let mut path = String::new();
    mask::mask_target(record.target, &mut path);
    let (level, message) = said(record.failure);
    let fields = Line {
        time: &rfc3339(record.time),
        level,
        kind: "request",
        member,
        message,
        request_id: record.request_id.as_str(),
        trace_id: record.trace.map(TraceParent::trace_id),
        arrival: arrival_text(record.arrival),
        client: record.client,
        method: record.method,
        path: &path,
        repository: record.repository.map(|name| name.as_str()),
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
            .and_then(|agent| str::from_utf8(agent).ok())
            .map(|agent| mask::shortened(agent, MAX_TEXT)),
    };
    let mut line = serde_json::to_string(&fields).unwrap();
    line.push('\n');
    line
}

fn line_of_ours(member: &str, record: &AccessRecord<'_>) -> String {
    let mut line = Vec::new();
    Json::of(member).push(record, &mut line);
    String::from_utf8(line).unwrap()
}

#[test]
fn every_byte_and_character_is_escaped_as_a_library_does() {
    let bytes: String = (0..=0x7f_u8).map(char::from).collect();
    let mut texts: Vec<String> = bytes.chars().map(String::from).collect();
    texts.extend((0..=0x7f_u8).map(|byte| format!("{}\u{e9}{0}x", char::from(byte))));
    texts.extend([bytes, "\u{80}\u{2028}\u{fffd}\u{1f980}".into()]);
    for text in &texts {
        let record = AccessRecord {
            target: text.as_bytes(),
            owner: Some(text),
            upstream: Some(text),
            user_agent: Some(text.as_bytes()),
            ..forwarded()
        };
        assert_eq!(
            line_of_ours(text, &record),
            line_of_the_library(text, &record)
        );
    }
    for byte in 0..=u8::MAX {
        let target = [b'/', byte, b'a', byte];
        let record = AccessRecord {
            target: &target,
            user_agent: Some(&target),
            ..forwarded()
        };
        let (ours, wanted) = (
            line_of_ours("m", &record),
            line_of_the_library("m", &record),
        );
        assert_eq!(ours, wanted, "byte {byte:#x}");
    }
}

/// What a request may bring along; borrowed by its record.
#[derive(Clone, Debug)]
struct Owned {
    time: Duration,
    member: String,
    request_id: RequestId,
    trace: Option<TraceParent>,
    repository: Option<String>,
    options: [Option<String>; 2],
    user_agent: Option<Vec<u8>>,
    ours: (&'static str, &'static str, Option<&'static str>),
    target: Vec<u8>,
    client: Option<String>,
    labels: (Arrival, Operation, PlanKind),
    numbers: (u16, u64, u64, u32),
    times: [Duration; 6],
    failure: Option<Failure>,
}

impl Owned {
    fn record(&self) -> AccessRecord<'_> {
        let repository = self.repository.as_deref();
        let [owner, upstream] = self.options.each_ref().map(Option::as_deref);
        let (method, http, tls) = self.ours;
        let [total, queue, hold, connect, client, replica] = self.times;
        AccessRecord {
            time: UNIX_EPOCH + self.time,
            request_id: &self.request_id,
            trace: self.trace.as_ref(),
            arrival: self.labels.0,
            client: self.client.as_deref(),
            method,
            target: &self.target,
            repository: repository.and_then(|name| Repository::parse(name).ok()),
            operation: self.labels.1,
            owner,
            plan: self.labels.2,
            upstream,
            status: self.numbers.0,
            received_bytes: self.numbers.1,
            sent_bytes: self.numbers.2,
            total,
            waits: Waits {
                queue,
                hold,
                connect,
                client,
                replica,
            },
            retries: self.numbers.3,
            failure: self.failure.as_ref(),
            http,
            tls,
            user_agent: self.user_agent.as_deref(),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,200}",
        any::<String>(),
        "[\\x00-\\x20\"\\\\a]{0,20}"
    ]
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let path = "/v2/[a-z0-9/._:@%~+-]{0,40}(\\?[a-z_]{1,9}=[a-zA-Z0-9:%]{0,20}(&n=[0-9]{1,3})?)?";
    prop_oneof![path.prop_map(String::into_bytes), any::<Vec<u8>>()]
}

fn time() -> impl Strategy<Value = Duration> {
    let micros = Duration::from_micros;
    prop_oneof![
        Just(Duration::ZERO),
        (0..2_000_000_u64).prop_map(micros),
        (0..10_u64, 0..2_000_u64).prop_map(move |(power, n)| micros(n * 10_u64.pow(power as u32))),
        (0..json::LONGEST).prop_map(micros),
        (0..2_000_000_u64).prop_map(Duration::from_nanos),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    let owner = || "zot-2".parse().unwrap();
    let mut all = vec![
        Failure::Private,
        Failure::ClientGone,
        Failure::UpstreamReset,
        Failure::Internal,
        Failure::QueueFull,
        Failure::OwnerDown { owner: owner() },
        Failure::PeerMisdirected { owner: owner() },
    ];
    all.extend(Malformed::ALL.map(Failure::BadRequest));
    select(all)
}

fn user_agent() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![text().prop_map(String::into_bytes), any::<Vec<u8>>()]
}

fn requests() -> impl Strategy<Value = Owned> {
    let labels = (
        select(vec![Arrival::Client, Arrival::Peer]),
        select(Operation::ALL),
        select(PlanKind::ALL),
    );
    let count = || prop_oneof![0..20_000_u64, any::<u64>()];
    let numbers = (any::<u16>(), count(), count(), any::<u32>());
    let ours = (
        select(vec!["GET", "-"]),
        select(vec!["HTTP/1.1", "-"]),
        of(Just("TLSv1.3")),
    );
    let names = (
        "[a-zA-Z0-9._:/+=~-]{1,200}",
        any::<bool>(),
        of("[a-z0-9]{1,9}(/[a-z0-9]{1,9}[._-][a-z0-9]{1,9}){0,9}"),
        prop::array::uniform2(of(text())),
        of(user_agent()),
        ours,
    );
    let instant = 0..4_000_000_000_000_u64;
    let what = (
        text(),
        names,
        target(),
        of(any::<SocketAddr>().prop_map(|client| client.to_string())),
        labels,
    );
    let times = prop::array::uniform6(time());
    (instant, what, numbers, times, of(failure())).prop_map(
        |(milliseconds, (member, names, target, client, labels), numbers, times, failure)| {
            let (request_id, is_traced, repository, options, user_agent, ours) = names;
            Owned {
                time: Duration::from_millis(milliseconds),
                member,
                request_id: RequestId::keep_or_make(Some(request_id.as_bytes())),
                trace: is_traced.then(TraceParent::make),
                repository,
                options,
                user_agent,
                ours,
                target,
                client,
                labels,
                numbers,
                times,
                failure,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_library_would_write_the_same_line(request in requests()) {
        let (member, record) = (&request.member, request.record());
        prop_assert_eq!(line_of_ours(member, &record), line_of_the_library(member, &record));
    }
}
