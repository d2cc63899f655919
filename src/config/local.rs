//! Reads who we are among the members.

use super::cluster::Listed;
use super::environment::{Environment, MEMBER_VARIABLE};
use super::findings::{Findings, Wrong};
use super::identity::{self, Identified, NAME_IT, Resolved, Surroundings};
use super::problem::Location;
use super::section::Section;
use super::settings::Listen;
use super::values::parsed;
use crate::shard::text::printable;
use crate::shard::{Host, Member, MemberId};

/// The local member: by flag, else variable, else file, else by this machine's addresses.
pub(super) fn local(
    root: &Section<'_>,
    listed: &Listed<'_>,
    listen: &Listen,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<(MemberId, Identified)> {
    // Read even if it is overruled, so that its problems are told.
    let written = root.value("member", out, |text| member(text, listed));
    let named = |text: &str, place: Location, out: &mut Findings<'_>| {
        let complain = |Wrong { expected, help }| {
            let message = format!("bad value `{}`: expected {expected}", printable(text));
            out.elsewhere(place, message, help);
        };
        member(text, listed).map_err(complain).ok()
    };
    if let Some(text) = env.member_flag {
        return Some((
            named(text, Location::Flag("--member"), out)?,
            Identified::Flag,
        ));
    }
    if let Some(text) = env.member_variable {
        return Some((
            named(text, Location::Variable(MEMBER_VARIABLE), out)?,
            Identified::Variable,
        ));
    }
    if root.node("member").is_some() {
        return Some((written?, Identified::File));
    }
    // With half a list, or another port than was meant, the search would mislead.
    if out.failed() {
        return None;
    }
    let members: Vec<Member> = listed.members().cloned().collect();
    match env.surroundings {
        None => {
            if env.elsewhere {
                let message = "which member this is shows on its own machine".to_owned();
                out.whole_remark(message, Some(NAME_IT.to_owned()));
            }
            Some((members.first()?.id.clone(), Identified::Assumed))
        }
        Some(surroundings) => search(&members, listen.peers.address.port(), surroundings)
            .map_err(|message| {
                out.whole(message, Some(NAME_IT.to_owned()));
            })
            .ok(),
    }
}

fn member(text: &str, listed: &Listed<'_>) -> Result<MemberId, Wrong> {
    let id = parsed("the id of a member")(text)?;
    listed.known(&id).map(|()| id)
}

fn search(
    members: &[Member],
    port: u16,
    surroundings: &dyn Surroundings,
) -> Result<(MemberId, Identified), String> {
    let named = |member: &Member| match &member.address.host {
        Host::Name(name) if member.address.port == port => Some(name.clone()),
        Host::Name(_) | Host::Ip(_) => None,
    };
    let names: Vec<_> = members.iter().filter_map(named).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let mut looks = 0;
    loop {
        let resolved = if names.is_empty() {
            Resolved::new()
        } else {
            surroundings.resolve(&names)
        };
        let own = surroundings.addresses().map_err(|error| {
            format!("cannot tell which member this is: the addresses of this machine: {error}")
        })?;
        match identity::by_address(members, port, &own, &resolved) {
            Ok((id, address)) => return Ok((id, Identified::Address(address))),
            // Never by elimination: of two members whose names do not resolve, either could be meant.
            Err(error) if error.may_resolve() && surroundings.wait_for_names(looks, &error) => {
                looks = looks.saturating_add(1);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}
