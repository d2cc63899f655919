//! A view with members added and removed.

use std::str::FromStr;

use crate::cli::members;
use crate::config::Config;
use crate::shard::{Member, MemberAddress, MemberId, Members, Pin, Pins, View, Weight};

/// A member that joins.
#[derive(Clone, Debug)]
pub(super) struct Addition {
    id: MemberId,
    address: MemberAddress,
}

impl FromStr for Addition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, address) = text
            .split_once('=')
            .ok_or("write ID=ADDRESS, such as zot-4=zot-4:5443")?;
        Ok(Self {
            id: id.parse().map_err(|error| format!("the id: {error}"))?,
            address: address
                .parse()
                .map_err(|error| format!("the address: {error}"))?,
        })
    }
}

/// The view without those that leave, and with those that join at the end of the list.
pub(super) fn resize(view: &View, add: &[Addition], remove: &[MemberId]) -> Result<View, String> {
    let members = view.members();
    let list = resized(members, add, remove)?;
    // Who asks does not matter: any member will do.
    let local = list.first().ok_or("no member would be left")?.id.clone();
    let after = Members::new(list, &local).map_err(|error| error.to_string())?;
    let pin = |(prefix, owner)| {
        let owner: &MemberId = &members.get(owner).id;
        let member = after.find(owner).ok_or_else(|| {
            format!("the pin {prefix} names {owner}, which leaves: write the new configuration, and use --to")
        })?;
        Ok(Pin {
            prefix: Clone::clone(prefix),
            member,
        })
    };
    let pins: Result<Vec<Pin>, String> = view.pins().iter().map(pin).collect();
    let pins = Pins::new(pins?).map_err(|error| error.to_string())?;
    Ok(view.with_same_key(after, view.placement(), pins))
}

/// The same where members hold leases: they stand in the order of their ids, and pins say something while there is
/// such a member.
pub(super) fn resize_leased(
    config: &Config,
    view: &View,
    add: &[Addition],
    remove: &[MemberId],
) -> Result<View, String> {
    let file = members::with_policy_of(config, seats(view.members()))?;
    if file.fingerprint() != view.fingerprint() {
        return Err(
            "the file has another placement or other pins than the view in force: plan those by --to first".to_owned(),
        );
    }
    members::with_policy_of(config, resized(view.members(), add, remove)?)
}

fn seats(members: &Members) -> Vec<Member> {
    members.iter().map(|(_, member)| member.clone()).collect()
}

/// Those that stay, then those that join.
fn resized(
    members: &Members,
    add: &[Addition],
    remove: &[MemberId],
) -> Result<Vec<Member>, String> {
    for id in remove {
        if members.find(id).is_none() {
            let ids: Vec<&str> = members
                .iter()
                .map(|(_, member)| member.id.as_str())
                .collect();
            return Err(format!(
                "{id} is no member: the members are {}",
                ids.join(", ")
            ));
        }
    }
    let mut list = seats(members);
    list.retain(|member| !remove.contains(&member.id));
    list.extend(add.iter().map(|addition| Member {
        id: addition.id.clone(),
        address: addition.address.clone(),
        weight: Weight::default(),
    }));
    Ok(list)
}
