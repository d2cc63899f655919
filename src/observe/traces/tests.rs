use super::*;

const FLAGGED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNFLAGGED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn sent(header: &str) -> Option<TraceParent> {
    TraceParent::keep(header.as_bytes())
}

fn tracer(sample: f64) -> (Tracer, mpsc::Receiver<Told>) {
    let dropped = IntCounter::new("dropped_total", "for the test").unwrap();
    Tracer::new(Sample::new(sample).unwrap(), dropped)
}

fn span(parent: Option<SpanId>) -> Span {
    Span {
        trace: sent(FLAGGED).unwrap(),
        parent,
        start: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_123),
        total: Duration::from_micros(81_234),
        arrival: Arrival::Client,
        operation: Operation::UploadPatch,
        method: "PATCH",
        repository: Some("app/web".into()),
        owner: Some("zot-2".into()),
        plan: PlanKind::Forward,
        upstream: Some("zot-2".into()),
        status: 202,
        failure: None,
        request_id: "id-1".into(),
        waits: Waits {
            client: Duration::from_micros(70_500),
            ..Waits::default()
        },
        retries: 0,
        received: 1_572_864,
        sent: 0,
    }
}

#[test]
fn who_may_decide_decides() {
    // What came, whether its sender's word counts, the share taken by chance; whether it is sampled.
    let cases = [
        (Some(FLAGGED), true, 0.0, true),
        (Some(UNFLAGGED), true, 1.0, false),
        (Some(FLAGGED), false, 0.0, false),
        (Some(UNFLAGGED), false, 1.0, true),
        (None, false, 0.0, false),
        (None, true, 1.0, true),
    ];
    for (header, is_trusted, share, expected) in cases {
        let (tracer, _spans) = tracer(share);
        let came = header.and_then(sent);
        let (goes, sampled) = tracer.begin(came.clone(), is_trusted);
        let case = format!("{header:?}, trusted {is_trusted}, {share}");
        assert_eq!(sampled.is_some(), expected, "{case}");
        assert_eq!(
            goes.is_sampled(),
            expected,
            "{case}: the next one is told the same"
        );
        let Some(came) = came else {
            continue;
        };
        assert_eq!(goes.trace_id(), came.trace_id(), "{case}");
        assert_eq!(goes.parent_id() != came.parent_id(), expected, "{case}");
        if let Some(sampled) = sampled {
            assert_eq!(sampled.parent.unwrap().to_string(), "00f067aa0ba902b7");
        }
    }
}

#[test]
fn chance_takes_its_share() {
    let (tracer, _spans) = tracer(0.25);
    let taken = (0..4000).filter(|_| tracer.begin(None, false).1.is_some());
    let taken = taken.count();
    assert!((800..1200).contains(&taken), "{taken} of 4000");
}

#[test]
fn a_full_queue_costs_spans_and_not_time() {
    let (tracer, spans) = tracer(1.0);
    let sampled = Sampled { parent: None };
    for _ in 0..QUEUE + 3 {
        tracer.record(sampled, span);
    }
    assert_eq!(tracer.dropped.get(), 3);
    drop(spans);
    tracer.record(sampled, |_| unreachable!("nobody would read it"));
    assert_eq!(tracer.dropped.get(), 4);
}

#[test]
fn an_export_is_pinned() {
    let cut = Span {
        failure: Some("upstream_reset"),
        repository: None,
        status: 200,
        ..span(None)
    };
    let parent = sent(UNFLAGGED).map(|parent| parent.parent());
    let spans = [span(parent), cut];
    let body: serde_json::Value = serde_json::from_slice(&encode("zot-1", &spans)).unwrap();
    insta::assert_json_snapshot!(body);
}
