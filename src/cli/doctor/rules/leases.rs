//! Members that hold leases: what the running sidecar, the peers and the store itself say of them.

use super::super::facts::{Facts, Peer, Stored};
use super::super::finding::{Finding, Kind};
use crate::observe::human::names;
use crate::operate::status::LeasesStatus;
use crate::shard::leases::record::{Lease, LeaseState, Seat};
use crate::shard::text::printable;

pub(super) fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let by_lease = facts.config.coordination.is_some();
    let find = |kind, place: &str, what: String| Finding {
        kind,
        place: place.to_owned(),
        what,
    };
    if let Ok(status) = &facts.sidecar {
        match (&status.leases, by_lease) {
            (Some(leases), true) => found.extend(sidecar(leases, &facts.local)),
            (None, false) => {}
            (runs, _) => {
                let kinds = ["a list", "leases"];
                let (runs, file) = (
                    kinds[usize::from(runs.is_some())],
                    kinds[usize::from(by_lease)],
                );
                let what = format!("it works by {runs}, and the file by {file}");
                found.push(find(Kind::ConfigurationNotLoaded, &facts.local, what));
            }
        }
    }
    for Peer { id, answer, .. } in &facts.peers {
        match answer.as_ref().map(|told| (told.lease, by_lease)) {
            Ok((Some(false), true)) => {
                found.push(find(
                    Kind::LeaseLost,
                    id,
                    "it says that its lease is over".to_owned(),
                ));
            }
            Ok((None, true)) => {
                found.push(find(Kind::ModesDiffer, id, "it works by a list".to_owned()));
            }
            Ok((Some(_), false)) => {
                found.push(find(Kind::ModesDiffer, id, "it works by leases".to_owned()));
            }
            Ok((Some(true), true) | (None, false)) | Err(_) => {}
        }
    }
    found.extend(facts.stored.iter().flat_map(|stored| store(facts, stored)));
    found
}

/// What the local sidecar says.
fn sidecar(leases: &LeasesStatus, local: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |kind, place: &str, what: String| {
        found.push(Finding {
            kind,
            place: place.to_owned(),
            what,
        });
    };
    if let Some(trouble) = &leases.store_trouble {
        add(Kind::LeaseStore, local, printable(trouble));
    }
    if let Some(fault) = &leases.fault {
        add(Kind::LeaseLost, local, printable(fault));
    } else if !leases.member {
        add(
            Kind::LeaseLost,
            local,
            "it is not in the view of the store".to_owned(),
        );
    } else if !leases.lasts {
        add(Kind::LeaseLost, local, "its lease is over".to_owned());
    }
    if leases.unsettled > 0 && !leases.awaited.is_empty() {
        let awaited = printable(&names(&leases.awaited));
        add(
            Kind::ViewUnsettled,
            local,
            format!("view {} waits for {awaited}", leases.epoch),
        );
    }
    if let Some(member) = &leases.policy_waits_for {
        let what = "its file has another placement or other pins than that of this member";
        add(Kind::ViewDiffers, &printable(member), what.to_owned());
    }
    found
}

/// What the store has.
fn store(facts: &Facts<'_>, stored: &Stored) -> Vec<Finding> {
    let mut found = Vec::new();
    let view = &stored.view.now;
    if view.policy.key != facts.config.view.describe().key {
        found.push(Finding {
            kind: Kind::HashKeyDiffers,
            place: facts.local.clone(),
            what: "the view of the store has another hash key than the file".to_owned(),
        });
        return found;
    }
    let policy = view.policy.id();
    for (seat, lease) in view.members.iter().zip(&stored.leases) {
        let told = match lease {
            Err(why) => Some((Kind::LeaseStore, format!("its lease: {}", printable(why)))),
            Ok(None) => Some((
                Kind::LeaseLost,
                "the view has it, and there is no lease of it".to_owned(),
            )),
            Ok(Some(lease)) => lost(seat, lease).or_else(|| {
                let what =
                    "its file has another placement or other pins than the view of the store";
                (lease.policy != policy).then(|| (Kind::ViewDiffers, what.to_owned()))
            }),
        };
        found.extend(told.map(|(kind, what)| Finding {
            kind,
            place: seat.id.to_string(),
            what,
        }));
    }
    found
}

/// A lease of a member that is none.
fn lost(seat: &Seat, lease: &Lease) -> Option<(Kind, String)> {
    let what = match lease.state {
        _ if lease.incarnation != seat.incarnation => {
            "it began anew, and the view has it as it was before"
        }
        LeaseState::Live => return None,
        LeaseState::Parked => "it has ended, and its place is kept for the length of its lease",
        LeaseState::Released => "it has left, and is still in the view",
        LeaseState::Fenced => "its lease was taken, and it is still in the view",
    };
    Some((Kind::LeaseLost, what.to_owned()))
}
