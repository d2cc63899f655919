//! Who the members are: by the file, or, where they hold leases, by a sidecar that runs.

use std::net::SocketAddr;

use super::ask::Admin;
use crate::config::{Config, Identified};
use crate::operate::Status;
use crate::operate::status::MemberStatus;
use crate::shard::text::printable;
use crate::shard::{Member, MemberId, Members, Pin, Pins, Placement, View, Weight};

/// The view by which owners are told.
///
/// # Errors
/// Why it cannot be known: nothing is told of owners then.
pub(super) fn view(config: &Config, admin: Option<SocketAddr>) -> Result<View, String> {
    if config.coordination.is_none() {
        return match admin {
            None => Ok((*config.view).clone()),
            Some(_) => Err(
                "the file lists the members, and no sidecar is asked: leave --admin out".to_owned(),
            ),
        };
    }
    let admin = Admin::at(admin.unwrap_or(config.listen.admin.address));
    let known = admin.status().and_then(|status| running(config, &status));
    known.map_err(|why| {
        format!(
            "members work by leases (`cluster.coordination`), so a sidecar that runs is asked who they are, and that of \
             {admin} does not tell ({why}): name another one by --admin"
        )
    })
}

/// The view that a sidecar with leases runs by, as the key of the file computes it.
///
/// # Errors
/// Why that is not the same.
pub(super) fn running(config: &Config, status: &Status) -> Result<View, String> {
    match &status.leases {
        None => return Err("it works by a list in its file".to_owned()),
        Some(leases) if leases.epoch == 0 => {
            return Err("it has not found the view of the store yet".to_owned());
        }
        Some(_) => {}
    }
    let told = &status.view;
    let unreadable = || "this version cannot read its view".to_owned();
    let seats: Option<Vec<Member>> = told.members.iter().map(member).collect();
    let placement = told.placement.parse().map_err(|_| unreadable())?;
    let pins = told
        .pins
        .iter()
        .map(|pin| (pin.prefix.as_str(), pin.member.as_str()));
    let view = view_of(config, seats.ok_or_else(unreadable)?, placement, pins)?;
    if view.fingerprint().to_string() == told.fingerprint {
        return Ok(view);
    }
    Err("the hash key of the file is not that of its view".to_owned())
}

/// The same as the member of the file has it, who may be no member of it.
///
/// # Errors
/// Members that cannot be.
pub(super) fn beside(config: &Config, view: &View) -> Result<View, String> {
    let seats: Vec<Member> = view
        .members()
        .owners()
        .map(|(_, member)| member.clone())
        .collect();
    let ours = config.view.members();
    let ours = ours.get(ours.local());
    let members = match view.members().find(&ours.id) {
        Some(_) => Members::new(seats, &ours.id),
        None => Members::with_guest(seats, ours.clone()),
    };
    let members = members.map_err(|error| error.to_string())?;
    Ok(view.with_same_key(members, view.placement(), view.pins().clone()))
}

/// What a file with leases makes of these members once all files say the same as it: its placement and pins, and the
/// weight of the member that it names, which joins if it is none yet.
///
/// # Errors
/// Members or pins that cannot be.
pub(super) fn planned(config: &Config, before: &View) -> Result<View, String> {
    let seats = before.members().owners().map(|(_, member)| member.clone());
    let mut seats: Vec<Member> = seats.collect();
    let ours = config.view.members();
    let ours = ours.get(ours.local());
    if config.identified != Identified::Assumed {
        match seats.iter_mut().find(|seat| seat.id == ours.id) {
            Some(seat) => seat.weight = ours.weight,
            None => seats.push(ours.clone()),
        }
    }
    with_policy_of(config, seats)
}

/// These members, with placement, pins and key of a file with leases.
///
/// # Errors
/// Members or pins that cannot be.
pub(super) fn with_policy_of(config: &Config, mut seats: Vec<Member>) -> Result<View, String> {
    let pins = config
        .coordination
        .iter()
        .flat_map(|leases| &leases.policy.pins);
    let pins = pins.map(|(prefix, member)| (prefix.as_str(), member.as_str()));
    // As a view with leases has them.
    seats.sort_by(|one, other| one.id.cmp(&other.id));
    view_of(config, seats, config.view.placement(), pins)
}

/// Who asks does not matter. With leases a pin to who is no member says nothing.
fn view_of<'p>(
    config: &Config,
    seats: Vec<Member>,
    placement: Placement,
    pins: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<View, String> {
    let any = seats.first().ok_or("no member would be left")?.id.clone();
    let members = Members::new(seats, &any).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for (prefix, id) in pins {
        let prefix = prefix
            .parse()
            .map_err(|_| format!("{} is no prefix", printable(prefix)))?;
        let member = id.parse().ok().and_then(|id: MemberId| members.find(&id));
        found.extend(member.map(|member| Pin { prefix, member }));
    }
    let pins = Pins::new(found).map_err(|error| error.to_string())?;
    Ok(config.view.with_same_key(members, placement, pins))
}

fn member(told: &MemberStatus) -> Option<Member> {
    Some(Member {
        id: told.id.parse().ok()?,
        address: told.address.parse().ok()?,
        weight: Weight::new(told.weight).ok()?,
    })
}
