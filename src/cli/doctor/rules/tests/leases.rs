//! Members that hold leases: a fleet of two, of which each case spoils one thing.

use std::sync::Arc;

use super::*;
use crate::cli::doctor::facts::Stored;
use crate::cli::members;
use crate::operate::status::LeasesStatus;
use crate::shard::leases::record::{
    Arrangement, Epoch, Incarnation, Lease, LeaseState, Nonce, Policy, Seat, ViewRecord,
};
use crate::shard::{Member, View};

const LEASED: &str = "member: zot-1\n\
    registry: { address: 127.0.0.1:5001 }\n\
    cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  address: 10.0.0.1:5443\n  \
    pins: [{ prefix: mirror, member: zot-1 }]\n  coordination: { store: { s3: { bucket: one, region: a } } }\n";

/// The configuration with the members that a sidecar tells.
fn leased() -> Config {
    let mut config = configured(LEASED);
    let seats = [("zot-1", "10.0.0.1:5443"), ("zot-2", "10.0.0.2:5443")];
    let seats = seats.map(|(id, address)| Member {
        id: id.parse().unwrap(),
        address: address.parse().unwrap(),
        weight: Default::default(),
    });
    let view = members::with_policy_of(&config, seats.to_vec()).unwrap();
    config.view = Arc::new(members::beside(&config, &view).unwrap());
    config
}

fn stored(view: &View) -> Stored {
    let policy = Policy::of(view);
    let nonce = Nonce {
        process: 1,
        call: 1,
    };
    let seats = view.members().iter().map(|(_, member)| Seat {
        id: member.id.clone(),
        incarnation: Incarnation(1),
        address: member.address.clone(),
        weight: member.weight,
    });
    let seats: Vec<Seat> = seats.collect();
    let lease = |seat: &Seat| Lease {
        id: seat.id.clone(),
        incarnation: seat.incarnation,
        version: 9,
        nonce,
        state: LeaseState::Live,
        lasts_ms: 10_000,
        grace_ms: 30_000,
        acked: Epoch(4),
        address: seat.address.clone(),
        weight: seat.weight,
        replica: "registry:5000".into(),
        policy: policy.id(),
        inherited: false,
    };
    Stored {
        leases: seats.iter().map(|seat| Ok(Some(lease(seat)))).collect(),
        view: ViewRecord {
            nonce,
            now: Arrangement {
                epoch: Epoch(4),
                members: seats,
                policy,
            },
            chain: Vec::new(),
            fenced: 0,
        },
    }
}

fn spoilt_lease(kind: Kind, place: &str, says: &str, spoil: impl FnOnce(&mut Facts<'_>)) {
    let config = leased();
    let mut facts = good(&config);
    if let Ok(status) = &mut facts.sidecar {
        status.leases = Some(LeasesStatus {
            member: true,
            lasts: true,
            epoch: 4,
            ..LeasesStatus::default()
        });
    }
    if let Ok(told) = &mut facts.peers[0].answer {
        told.lease = Some(true);
    }
    facts.stored = Some(stored(&config.view));
    facts.replicas.truncate(1);
    assert_eq!(diagnose(&facts), []);
    spoil(&mut facts);
    found(&facts, kind, place, says);
}

fn spoilt_status(kind: Kind, place: &str, says: &str, spoil: impl FnOnce(&mut LeasesStatus)) {
    spoilt_lease(kind, place, says, |facts| {
        let status = facts.sidecar.as_mut().unwrap();
        spoil(status.leases.as_mut().unwrap());
    });
}

#[test]
fn what_the_sidecar_says_of_its_own() {
    let lost = Kind::LeaseLost;
    spoilt_status(lost, "zot-1", "it is not in the view", |leases| {
        leases.member = false;
    });
    spoilt_status(lost, "zot-1", "its lease is over", |leases| {
        leases.lasts = false;
    });
    spoilt_status(lost, "zot-1", "another process", |leases| {
        (leases.member, leases.lasts) = (false, false);
        leases.fault = Some("another process has the same member id".into());
    });
    spoilt_status(Kind::LeaseStore, "zot-1", "no answer", |leases| {
        leases.store_trouble = Some("no answer within 1 s".into());
    });
    let unsettled = "view 4 waits for zot-2";
    spoilt_status(Kind::ViewUnsettled, "zot-1", unsettled, |leases| {
        (leases.unsettled, leases.awaited) = (1, vec!["zot-2".into()]);
    });
    let other = "its file has another placement or other pins than that of this member";
    spoilt_status(Kind::ViewDiffers, "zot-2", other, |leases| {
        leases.policy_waits_for = Some("zot-2".into());
    });
}

#[test]
fn members_of_two_kinds() {
    let file = "it works by a list, and the file by leases";
    spoilt_lease(Kind::ConfigurationNotLoaded, "zot-1", file, |facts| {
        facts.sidecar.as_mut().unwrap().leases = None;
    });
    for (lease, kind, says) in [
        (None, Kind::ModesDiffer, "it works by a list"),
        (Some(false), Kind::LeaseLost, "that its lease is over"),
    ] {
        spoilt_lease(kind, "zot-2", says, |facts| {
            facts.peers[0].answer.as_mut().unwrap().lease = lease;
        });
    }
    spoilt(Kind::ModesDiffer, "zot-2", "it works by leases", |facts| {
        facts.peers[0].answer.as_mut().unwrap().lease = Some(true);
    });
}

#[test]
fn what_the_store_has() {
    fn change(facts: &mut Facts<'_>, change: impl FnOnce(&mut Lease)) {
        let stored = facts.stored.as_mut().unwrap();
        change(stored.leases[1].as_mut().unwrap().as_mut().unwrap());
    }
    for (state, says) in [
        (LeaseState::Parked, "its place is kept"),
        (LeaseState::Released, "it has left"),
        (LeaseState::Fenced, "its lease was taken"),
    ] {
        spoilt_lease(Kind::LeaseLost, "zot-2", says, |facts| {
            change(facts, |lease| lease.state = state);
        });
    }
    spoilt_lease(Kind::LeaseLost, "zot-2", "it began anew", |facts| {
        change(facts, |lease| lease.incarnation = Incarnation(2));
    });
    let other = Policy {
        pins: Vec::new(),
        ..Policy::of(&leased().view)
    };
    spoilt_lease(
        Kind::ViewDiffers,
        "zot-2",
        "than the view of the store",
        |facts| {
            change(facts, |lease| lease.policy = other.id());
        },
    );
    spoilt_lease(Kind::LeaseLost, "zot-2", "no lease of it", |facts| {
        facts.stored.as_mut().unwrap().leases[1] = Ok(None);
    });
    spoilt_lease(
        Kind::LeaseStore,
        "zot-2",
        "its lease: it was slow",
        |facts| {
            facts.stored.as_mut().unwrap().leases[1] = Err("it was slow".into());
        },
    );
    spoilt_lease(
        Kind::HashKeyDiffers,
        "zot-1",
        "another hash key than the file",
        |facts| {
            facts.stored.as_mut().unwrap().view.now.policy.key = "another".into();
        },
    );
}
