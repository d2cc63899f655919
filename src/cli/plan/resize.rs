//! A view with members added and removed.

use std::str::FromStr;

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
    let stays = |member: &&Member| !remove.contains(&member.id);
    let staying = members
        .iter()
        .map(|(_, member)| member)
        .filter(stays)
        .cloned();
    let joining = add.iter().map(|addition| Member {
        id: addition.id.clone(),
        address: addition.address.clone(),
        weight: Weight::default(),
    });
    let list: Vec<Member> = staying.chain(joining).collect();
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
