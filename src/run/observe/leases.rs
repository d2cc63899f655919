//! The leases, as the admin listener shows them.

use std::time::{Duration, SystemTime};

use crate::member::generation::Generation;
use crate::member::leases::{Leases, Standing, Tenure};
use crate::observe::human;
use crate::operate::status::{
    EarlierViewStatus, LeaseStatus, LeasesStatus, ViewChangeStatus, WishStatus,
};
use crate::shard::leases::record::LeaseState;
use crate::shard::leases::{Change, Reading};
use crate::shard::{Health, MemberId, MemberIndex};

/// Who asks and has left within that time is on its way out.
const LEFT_LATELY: Duration = Duration::from_secs(60);

/// What is in the way of writes.
pub(super) fn warnings(leases: &Leases) -> Vec<String> {
    let standing = leases.standing();
    let mut warnings = Vec::new();
    if let Some(fault) = standing.fault {
        warnings.push(format!("this member writes nothing any more: {fault}"));
    } else if !standing.is_member {
        warnings.push("this member is not in the view of the store yet: writes wait".to_owned());
    } else if !leases.lasts() {
        warnings
            .push("the lease of this member is over: writes wait until it is renewed".to_owned());
    }
    if let Some(trouble) = &standing.store_trouble {
        warnings.push(format!("the store of leases: {trouble}"));
    }
    if !standing.awaited.is_empty() {
        let awaited: Vec<&str> = standing.awaited.iter().map(MemberId::as_str).collect();
        let awaited = awaited.join(", ");
        warnings.push(format!(
            "a change of the view waits for {awaited}: writes to what moves wait"
        ));
    }
    if let Some(member) = &standing.policy_waits_for {
        warnings.push(format!(
            "the placement and pins of the file are not those of the view: it takes them once the file of {member}, \
             and those of all others, say the same"
        ));
    }
    warnings
}

/// All of it but what each member has. `shown`: the store and the level.
pub(super) fn status(leases: &Leases, shown: Option<(String, &'static str)>) -> LeasesStatus {
    let standing = leases.standing();
    let (store, level) = shown.unwrap_or_default();
    let chain = standing.chain.iter();
    let chain = chain.map(|(epoch, members)| EarlierViewStatus {
        epoch: *epoch,
        members: *members as u64,
    });
    let history = standing.history.iter().rev();
    LeasesStatus {
        store,
        level: level.to_owned(),
        member: standing.is_member,
        lasts: leases.lasts(),
        epoch: standing.epoch,
        unsettled: standing.unsettled as u64,
        awaited: ids(&standing.awaited),
        chain: chain.collect(),
        wishes: wishes(leases, &standing),
        history: history.map(|(at, change)| told(*at, change)).collect(),
        policy_waits_for: standing.policy_waits_for.as_ref().map(ToString::to_string),
        store_trouble: standing.store_trouble.clone(),
        fault: standing.fault.map(|fault| fault.to_string()),
    }
}

/// Those of guests. What this member and its peers wish stands with each of them.
fn wishes(leases: &Leases, standing: &Standing) -> Vec<WishStatus> {
    let has_left = |guest: &MemberId| {
        standing.history.iter().any(|(at, change)| {
            at.elapsed().unwrap_or_default() < LEFT_LATELY && change.left.contains(guest)
        })
    };
    let guests = leases.guests().into_iter();
    let joining = guests.filter(|guest| !has_left(guest));
    joining
        .map(|guest| WishStatus {
            member: guest.to_string(),
            wish: "join".to_owned(),
        })
        .collect()
}

fn told(at: SystemTime, change: &Change) -> ViewChangeStatus {
    let Change {
        epoch,
        members,
        is_first,
        came,
        left,
        fenced,
        went,
        anew,
        changed,
        policy,
    } = change;
    ViewChangeStatus {
        epoch: epoch.0,
        at: human::rfc3339(at),
        members: *members as u64,
        first: *is_first,
        came: ids(came),
        left: ids(left),
        fenced: ids(fenced),
        went: ids(went),
        anew: ids(anew),
        changed: ids(changed),
        policy: *policy,
    }
}

fn ids(members: &[MemberId]) -> Vec<String> {
    members.iter().map(ToString::to_string).collect()
}

/// As the member tells it, while it answers; else as it was read last in the store, where it was.
pub(super) fn of_member(
    leases: &Leases,
    generation: &Generation,
    member: MemberIndex,
) -> Option<LeaseStatus> {
    let members = generation.view.members();
    let id = &members.get(member).id;
    if member == members.local() {
        return leases.tenure().map(|own| told_lease(own, Duration::ZERO));
    }
    let heard = leases.heard(id);
    let standing = leases.standing();
    let read = standing.readings.iter().find(|reading| reading.id == *id);
    let is_down = generation.peer_state(member).verdict() == Health::Down;
    match (heard, read) {
        (Some((tenure, age)), _) if !is_down => Some(told_lease(tenure, age)),
        (_, Some(read)) => Some(read_lease(read, leases.now().boot)),
        (Some((tenure, age)), None) => Some(told_lease(tenure, age)),
        (None, None) => None,
    }
}

fn told_lease(tenure: Tenure, age: Duration) -> LeaseStatus {
    let Tenure {
        incarnation,
        acked,
        left_ms,
        wish,
    } = tenure;
    let left = Duration::from_millis(left_ms).saturating_sub(age);
    let state = if left.is_zero() { "over" } else { "live" };
    LeaseStatus {
        state: state.to_owned(),
        incarnation,
        acked,
        left_ms: Some(millis(left)),
        falls_in_ms: None,
        wish: wish.map(|wish| wish.as_str().to_owned()),
        told_by: "member".to_owned(),
        age_ms: millis(age),
    }
}

fn read_lease(read: &Reading, now: Duration) -> LeaseStatus {
    let Reading {
        id: _,
        incarnation,
        state,
        acked,
        read_at,
        falls_at,
    } = read;
    let state = match state {
        LeaseState::Live => "live",
        LeaseState::Parked => "parked",
        LeaseState::Released => "released",
        LeaseState::Fenced => "fenced",
    };
    LeaseStatus {
        state: state.to_owned(),
        incarnation: incarnation.0,
        acked: acked.0,
        left_ms: None,
        falls_in_ms: falls_at.map(|at| millis(at.saturating_sub(now))),
        wish: None,
        told_by: "store".to_owned(),
        age_ms: millis(now.saturating_sub(*read_at)),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
