mod oracle;

use super::*;
use crate::observe::human::rfc3339;
use crate::observe::telemetry::lines::tests::Kept;
use crate::observe::telemetry::{BASE, LineWriter};
use std::time::UNIX_EPOCH;

fn id(text: &str) -> &'static RequestId {
    Box::leak(Box::new(RequestId::keep_or_make(Some(text.as_bytes()))))
}

fn trace() -> &'static TraceParent {
    let trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    Box::leak(Box::new(TraceParent::keep(trace).unwrap()))
}

fn forwarded() -> AccessRecord<'static> {
    AccessRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_795_000_000_123),
        request_id: id("4bf92f3577b34da6"),
        trace: Some(trace()),
        arrival: Arrival::Client,
        client: Some("192.0.2.7:40112"),
        method: "PATCH",
        target: b"/v2/app/web/blobs/uploads/5c1f?_state=c2VjcmV0",
        repository: Repository::parse("app/web").ok(),
        operation: Operation::UploadPatch,
        owner: Some("zot-2"),
        plan: PlanKind::Forward,
        upstream: Some("zot-2"),
        status: 202,
        received_bytes: 1_572_864,
        sent_bytes: 0,
        total: Duration::from_micros(81_234),
        waits: Waits {
            client: Duration::from_micros(70_500),
            replica: Duration::from_micros(8_501),
            ..Waits::default()
        },
        retries: 0,
        failure: None,
        http: "HTTP/1.1",
        tls: Some("TLSv1.3"),
        user_agent: Some(b"containers/5.30.1 (github.com/containers/image)"),
    }
}

fn rejected(failure: &Failure) -> AccessRecord<'_> {
    AccessRecord {
        trace: None,
        client: None,
        method: "GET",
        target: b"//v2/x",
        repository: None,
        operation: Operation::Other,
        owner: None,
        plan: PlanKind::Reject,
        upstream: None,
        status: failure.status(),
        received_bytes: 0,
        sent_bytes: 211,
        total: Duration::from_micros(40),
        waits: Waits::default(),
        failure: Some(failure),
        tls: None,
        user_agent: None,
        ..forwarded()
    }
}

fn written(format: Format, records: &[AccessRecord<'_>]) -> String {
    let kept = Kept::default();
    let writer = LineWriter::start(kept.clone()).unwrap();
    let dropped = IntCounter::new("dropped_total", "for the test").unwrap();
    let log = AccessLog::new(writer.sender(), format, "zot-1", dropped);
    records.iter().for_each(|record| log.write(record));
    drop(writer);
    kept.text()
}

#[test]
fn json_lines_are_pinned() {
    let text = written(Format::Json, &[forwarded(), rejected(&Failure::Private)]);
    insta::assert_snapshot!(text);
}

#[test]
fn text_lines_are_pinned() {
    let fallback = AccessRecord {
        method: "GET",
        target: b"/v2/app/web/manifests/latest",
        plan: PlanKind::Fallback,
        upstream: Some("replica"),
        waits: Waits {
            queue: Duration::from_millis(250),
            hold: Duration::from_millis(1500),
            connect: Duration::from_millis(2),
            replica: Duration::from_millis(7),
            ..Waits::default()
        },
        retries: 1,
        ..forwarded()
    };
    let cut = AccessRecord {
        failure: Some(&Failure::UpstreamReset),
        ..forwarded()
    };
    let records = [forwarded(), fallback, cut, rejected(&Failure::Private)];
    insta::assert_snapshot!(written(Format::Text, &records));
}

#[test]
fn every_json_line_has_the_same_keys() {
    let text = written(
        Format::Json,
        &[forwarded(), rejected(&Failure::ConnectionsFull)],
    );
    let keys: Vec<Vec<String>> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Map<_, _>>(line).unwrap())
        .map(|line| line.keys().cloned().collect())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_request_begins_as_every_line_does_and_is_documented() {
    let text = written(Format::Json, &[forwarded()]);
    let mut at = 0;
    let keys = text.split("\":").filter_map(|part| part.rsplit('"').next());
    let keys: Vec<&str> = keys.take(text.matches("\":").count()).collect();
    assert_eq!(keys[..BASE.len()], BASE);
    let page = include_str!("../../../docs/log.md");
    for key in keys {
        let row = page[at..].find(&format!("\n| `{key}` |"));
        at += row.unwrap_or_else(|| panic!("docs/log.md lacks {key}, or has it elsewhere"));
    }
}

#[test]
fn a_request_cannot_fake_a_line() {
    let record = AccessRecord {
        target: b"/v2/\x1b[2J\r\n200 GET /fake",
        user_agent: Some(b"a\nb"),
        ..forwarded()
    };
    for format in [Format::Text, Format::Json] {
        let text = written(format, &[record]);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn long_texts_are_shortened() {
    let agent = "ä".repeat(500);
    let text = written(
        Format::Json,
        &[AccessRecord {
            user_agent: Some(agent.as_bytes()),
            ..forwarded()
        }],
    );
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["user_agent"], "ä".repeat(MAX_TEXT / 2));
}

#[test]
fn dropped_lines_are_counted() {
    let writer = LineWriter::start(Kept::default()).unwrap();
    let dropped = IntCounter::new("dropped_total", "for the test").unwrap();
    let log = AccessLog::new(writer.sender(), Format::Json, "zot-1", dropped.clone());
    drop(writer);
    log.write(&forwarded());
    assert_eq!(dropped.get(), 1);
    AccessLog::off(dropped.clone()).write(&forwarded());
    assert_eq!(dropped.get(), 1);
}
