//! Series come and go with the members of the view.

use super::*;
use crate::shard::MemberIndex;

fn index(view: &View, id: &str) -> MemberIndex {
    view.members().find(&id.parse().unwrap()).unwrap()
}

/// The samples of a metric, without its name.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.render();
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.to_owned())
    };
    text.lines().filter_map(of).collect()
}

fn of_members(values: &[(&str, i64)]) -> Vec<String> {
    let sample = |(id, value): &(&str, i64)| format!("{{member=\"{id}\"}} {value}");
    values.iter().map(sample).collect()
}

#[test]
fn the_view_is_shown() {
    let metrics = Metrics::new().unwrap();
    metrics.members(&view());
    assert_eq!(value(&metrics, "shardlet_view_members"), 3.0);
    assert!((value(&metrics, "shardlet_view_share_ratio") - 1.0 / 3.0).abs() < 1e-9);
    let first = value(&metrics, "shardlet_view_fingerprint");
    metrics.members(&view_of(&["zot-1", "zot-2"], Placement::Zot));
    assert_eq!(value(&metrics, "shardlet_view_members"), 2.0);
    assert_eq!(value(&metrics, "shardlet_view_share_ratio"), 0.5);
    assert_ne!(value(&metrics, "shardlet_view_fingerprint"), first);
    assert_eq!(
        samples(&metrics, "shardlet_view_info"),
        ["{placement=\"zot\"} 1"]
    );
}

#[test]
fn what_can_be_counted_is_there_from_the_start_and_what_is_not_known_is_not() {
    let metrics = Metrics::new().unwrap();
    metrics.members(&view());
    let all = of_members(&[("zot-1", 0), ("zot-2", 0), ("zot-3", 0)]);
    for name in ["shardlet_circuit_open", "shardlet_circuit_opened_total"] {
        assert_eq!(samples(&metrics, name), all, "{name}");
    }
    for name in [
        "shardlet_peer_in_flight",
        "shardlet_peer_queue_depth",
        "shardlet_resolve_errors_total",
    ] {
        assert_eq!(samples(&metrics, name), all[1..], "{name}");
    }
    for name in [
        "shardlet_peer_up",
        "shardlet_peer_view_same",
        "shardlet_peer_draining",
    ] {
        assert_eq!(samples(&metrics, name), [""; 0], "{name}");
    }
}

#[test]
fn members_that_stay_go_on_counting_and_those_that_leave_are_not_shown() {
    let metrics = Metrics::new().unwrap();
    let old = view();
    let before = metrics.members(&old);
    let (second, third) = (index(&old, "zot-2"), index(&old, "zot-3"));
    for peer in [second, third] {
        before.peer_up(peer, true);
        before.peer_view_same(peer, true);
        before.peer_draining(peer, false);
        before.resolve_error(peer);
        before.circuit_opens(peer);
    }
    let _held = before.peer_works(third);
    // The third is another number in the new view, and the second is gone.
    let new = view_of(&["zot-1", "zot-3", "zot-4"], Placement::Rendezvous);
    let after = metrics.members(&new);
    assert!(!metrics.render().contains("zot-2"));
    after.circuit_opens(index(&new, "zot-3"));
    after.resolve_error(index(&new, "zot-4"));
    let shown = |name| samples(&metrics, name);
    assert_eq!(shown("shardlet_peer_up"), of_members(&[("zot-3", 1)]));
    assert_eq!(
        shown("shardlet_circuit_opened_total"),
        of_members(&[("zot-1", 0), ("zot-3", 2), ("zot-4", 0)])
    );
    assert_eq!(
        shown("shardlet_resolve_errors_total"),
        of_members(&[("zot-3", 1), ("zot-4", 1)])
    );
    assert_eq!(
        shown("shardlet_peer_in_flight"),
        of_members(&[("zot-3", 1), ("zot-4", 0)])
    );
}

#[test]
fn what_goes_on_under_an_old_view_brings_no_member_back() {
    let metrics = Metrics::new().unwrap();
    let old = view();
    let before = metrics.members(&old);
    let new = view_of(&["zot-1", "zot-3"], Placement::Rendezvous);
    metrics.members(&new);
    let (second, third) = (index(&old, "zot-2"), index(&old, "zot-3"));
    for peer in [second, third] {
        before.peer_up(peer, true);
        before.peer_view_same(peer, false);
        before.peer_draining(peer, true);
        before.resolve_error(peer);
        before.circuit_opens(peer);
    }
    let _held = [before.peer_works(second), before.peer_queued(second)];
    assert!(!metrics.render().contains("zot-2"));
    let one = of_members(&[("zot-3", 1)]);
    assert_eq!(samples(&metrics, "shardlet_peer_draining"), one);
    assert_eq!(samples(&metrics, "shardlet_resolve_errors_total"), one);
    // A member that returns begins anew.
    metrics.members(&old);
    let counts = of_members(&[("zot-2", 0), ("zot-3", 1)]);
    assert_eq!(samples(&metrics, "shardlet_resolve_errors_total"), counts);
}

#[test]
fn a_circuit_is_counted_when_it_opens() {
    let metrics = Metrics::new().unwrap();
    let view = view();
    let members = metrics.members(&view);
    let local = view.members().local();
    members.circuit_opens(local);
    let told = || {
        ["shardlet_circuit_open", "shardlet_circuit_opened_total"]
            .map(|name| value(&metrics, &format!("{name}{{member=\"zot-1\"}}")))
    };
    assert_eq!(told(), [1.0, 1.0]);
    members.circuit_closes(local);
    assert_eq!(told(), [0.0, 1.0]);
    // The local replica has its own gauges.
    assert!(members.peer_works(local).is_none());
}
