//! Reads who we are among the members, or, where no list is written, who we are.

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

/// The local member: by flag, else variable, else file, else by this machine's addresses; or, without a list,
/// by its name.
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
    if listed.is_open() {
        return by_host_name(env, out);
    }
    // With half a list, or another port than was meant, the search would mislead.
    if out.failed() {
        return None;
    }
    let members: Vec<Member> = listed.members().cloned().collect();
    match env.surroundings {
        None => {
            remark_elsewhere(env, out);
            Some((members.first()?.id.clone(), Identified::Assumed))
        }
        Some(surroundings) => search(&members, listen.peers.address.port(), surroundings)
            .map_err(|message| {
                out.whole(message, Some(NAME_IT.to_owned()));
            })
            .ok(),
    }
}

/// Where no list says who the members are, this machine's name is as good as any.
fn by_host_name(env: &Environment<'_>, out: &mut Findings<'_>) -> Option<(MemberId, Identified)> {
    /// What stands in for an id that another machine has.
    const STAND_IN: &str = "member";
    let Some(surroundings) = env.surroundings else {
        remark_elsewhere(env, out);
        return Some((STAND_IN.parse().ok()?, Identified::Assumed));
    };
    let id = surroundings.host_name().map_err(|error| error.to_string());
    let id = id.and_then(|name| {
        let lower = name.to_ascii_lowercase();
        // Every machine may have that one.
        if lower == "localhost" || lower.starts_with("localhost.") {
            return Err("it is `localhost`".to_owned());
        }
        let id = lower.parse::<MemberId>();
        id.map_err(|error| format!("`{}`: {error}", printable(&name)))
    });
    let id = id.map_err(|why| {
        let message = format!("cannot tell which member this is: the host name is no id ({why})");
        out.whole(message, Some(NAME_IT.to_owned()));
    });
    Some((id.ok()?, Identified::HostName))
}

fn remark_elsewhere(env: &Environment<'_>, out: &mut Findings<'_>) {
    if env.elsewhere {
        let message = "which member this is shows on its own machine".to_owned();
        out.whole_remark(message, Some(NAME_IT.to_owned()));
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
