//! Reads who we are among the members.

use super::cluster::Listed;
use super::environment::{Environment, MEMBER_VARIABLE};
use super::findings::{Findings, Wrong};
use super::identity::{self, Identified, Resolved, Surroundings};
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
        None => Some((members.first()?.id.clone(), Identified::Assumed)),
        Some(surroundings) => search(&members, listen.peers.address.port(), surroundings)
            .map_err(|message| {
                let help = format!(
                    "name it: `--member ID`, the variable {MEMBER_VARIABLE}, or `member: ID` in the file"
                );
                out.whole(message, Some(help));
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
    let resolved = if names.is_empty() {
        Resolved::new()
    } else {
        surroundings.resolve(&names.iter().map(|name| &**name).collect::<Vec<_>>())
    };
    let own = surroundings.addresses().map_err(|error| {
        format!("cannot tell which member this is: the addresses of this machine: {error}")
    })?;
    identity::by_address(members, port, &own, &resolved)
        .map(|(id, address)| (id, Identified::Address(address)))
        .map_err(|error| error.to_string())
}
