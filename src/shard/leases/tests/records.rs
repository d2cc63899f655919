//! What is stored, and read again: members of two versions share it.

use super::super::record::{
    Arrangement, Epoch, Incarnation, Lease, LeaseState, Nonce, Policy, Seat, ViewRecord,
};
use super::plan::Plan;
use super::world::setup;
use crate::shard::members::tests::id;

fn lease() -> Lease {
    let setup = setup(&Plan::calm(), 0);
    Lease {
        id: setup.id,
        incarnation: Incarnation(3),
        version: 77,
        nonce: Nonce {
            process: 9,
            call: 41,
        },
        state: LeaseState::Live,
        lasts_ms: 10_000,
        grace_ms: 30_000,
        acked: Epoch(5),
        address: setup.address,
        weight: setup.weight,
        replica: "registry:5000".into(),
        policy: setup.policy.id(),
        inherited: true,
    }
}

fn view() -> ViewRecord {
    let seat = |name: &str| Seat {
        id: id(name),
        incarnation: Incarnation(1),
        address: format!("{name}:5443").parse().unwrap(),
        weight: lease().weight,
    };
    let arrangement = |epoch, names: &[&str]| Arrangement {
        epoch: Epoch(epoch),
        members: names.iter().map(|name| seat(name)).collect(),
        policy: Policy {
            pins: vec![("team".into(), "b".into())],
            ..setup(&Plan::calm(), 0).policy
        },
    };
    ViewRecord {
        nonce: Nonce {
            process: 9,
            call: 42,
        },
        now: arrangement(6, &["a", "b"]),
        chain: vec![arrangement(5, &["a"])],
        fenced: 2,
    }
}

#[test]
fn records_are_stored_like_this() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(
        text(lease().to_bytes().unwrap()),
        concat!(
            r#"{"id":"a","incarnation":3,"version":77,"nonce":{"process":9,"call":41},"state":"live","#,
            r#""lasts_ms":10000,"grace_ms":30000,"acked":5,"address":"a:5443","weight":1,"#,
            r#""replica":"registry:5000","policy":"46e8f2ef65eb2511","inherited":true}"#
        )
    );
    assert_eq!(
        text(view().to_bytes().unwrap()),
        concat!(
            r#"{"nonce":{"process":9,"call":42},"now":{"epoch":6,"members":["#,
            r#"{"id":"a","incarnation":1,"address":"a:5443","weight":1},"#,
            r#"{"id":"b","incarnation":1,"address":"b:5443","weight":1}],"#,
            r#""policy":{"placement":"rendezvous","version":1,"key":"8c4f56530c6d4724ab8c629e08f61ce5","#,
            r#""pins":[["team","b"]]}},"chain":[{"epoch":5,"members":["#,
            r#"{"id":"a","incarnation":1,"address":"a:5443","weight":1}],"#,
            r#""policy":{"placement":"rendezvous","version":1,"key":"8c4f56530c6d4724ab8c629e08f61ce5","#,
            r#""pins":[["team","b"]]}}],"fenced":2}"#
        )
    );
}

#[test]
fn what_an_earlier_version_stored_is_read() {
    let stored = String::from_utf8(lease().to_bytes().unwrap()).unwrap();
    let earlier = stored.replace(",\"inherited\":true", "");
    assert_ne!(earlier, stored);
    let wanted = Lease {
        inherited: false,
        ..lease()
    };
    assert_eq!(Lease::from_bytes(earlier.as_bytes()), Ok(wanted));
}

#[test]
fn what_was_stored_is_read_again() {
    let stored = lease();
    assert_eq!(Lease::from_bytes(&stored.to_bytes().unwrap()), Ok(stored));
    let stored = view();
    assert_eq!(
        ViewRecord::from_bytes(&stored.to_bytes().unwrap()),
        Ok(stored)
    );
}

#[test]
fn what_is_no_record_is_refused() {
    let lease = String::from_utf8(lease().to_bytes().unwrap()).unwrap();
    for (from, to) in [
        ("\"live\"", "\"dozing\""),
        ("\"id\":\"a\"", "\"id\":\"A B\""),
        ("\"weight\":1", "\"weight\":0"),
        ("\"a:5443\"", "\"a\""),
        ("\"version\":77", "\"version\":-1"),
        ("{", ""),
    ] {
        let broken = lease.replacen(from, to, 1);
        assert_ne!(broken, lease, "{from} is there");
        let error = Lease::from_bytes(broken.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
    assert!(ViewRecord::from_bytes(b"null").is_err());
}
