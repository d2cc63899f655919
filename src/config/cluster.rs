//! Reads `cluster` and the local member into one view.

use std::collections::HashMap;

use super::environment::{Environment, MEMBER_VARIABLE};
use super::findings::{Findings, Wrong, printable};
use super::hash_key;
use super::identity::{self, Identified, Resolved};
use super::network::required_file;
use super::problem::Place;
use super::schema::{self, nearest};
use super::section::Section;
use super::settings::{ClusterTls, Listen};
use super::values::{boolean, choice, number, parsed};
use super::yaml::{Kind, Node};
use crate::shard::{
    Host, Member, MemberAddress, MemberId, Members, Pin, PinPrefix, Pins, Placement, View, Weight,
};

/// The member list as read: each with its node, to point at.
type Listed<'n> = Vec<(Member, &'n Node)>;

/// Reads everything that placement depends on, and who we are in it.
pub(super) fn read(
    root: &Section<'_>,
    listen: &Listen,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<(ClusterTls, View, Identified)> {
    let cluster = root.section("cluster", &schema::CLUSTER, out);
    let key = hash_key::read(&cluster, env, out);
    let placements = [
        ("rendezvous", Placement::Rendezvous),
        ("zot", Placement::Zot),
    ];
    let placement = cluster.or("placement", out, Placement::Rendezvous, choice(&placements));
    let tls = tls(&cluster, out);
    let (listed, whole) = members(&cluster, placement, out);
    let pins = pins(&cluster, &listed, whole, out);
    let local = local(root, &listed, whole, listen, env, out);
    // Whatever is missing by now was complained about.
    let (local, identified) = local?;
    if out.failed() {
        return None;
    }
    let list = listed.into_iter().map(|(member, _)| member).collect();
    let members = Members::new(list, &local)
        .map_err(|error| out.whole(error.to_string(), None))
        .ok()?;
    let with_index = |(prefix, id): (PinPrefix, MemberId)| {
        members.find(&id).map(|member| Pin { prefix, member })
    };
    let pins = pins.into_iter().filter_map(with_index).collect();
    let pins = Pins::new(pins)
        .map_err(|error| out.whole(error.to_string(), None))
        .ok()?;
    Some((tls?, View::new(members, placement, &key?, pins), identified))
}

fn tls(cluster: &Section<'_>, out: &mut Findings<'_>) -> Option<ClusterTls> {
    let insecure = cluster.or("insecure", out, false, boolean);
    let tls = cluster.section("tls", &schema::CLUSTER_TLS, out);
    match (tls.is_written(), insecure) {
        (true, false) => {
            let ca = required_file(&tls, "ca", out);
            let cert = required_file(&tls, "cert", out);
            let key = required_file(&tls, "key", out);
            Some(ClusterTls::Mutual {
                ca: ca?,
                cert: cert?,
                key: key?,
            })
        }
        (false, true) => Some(ClusterTls::Insecure),
        (true, true) => {
            let help = "remove `insecure` for mutual TLS, or `tls` for plain HTTP between members";
            if let Some(node) = cluster.node("insecure") {
                out.problem(
                    &node.mark,
                    "`cluster.tls` and `cluster.insecure` exclude each other".into(),
                    Some(help.into()),
                );
            }
            None
        }
        (false, false) => {
            let help = "`tls: { ca: ca.crt, cert: member.crt, key: member.key }`; \
                        to do without, `insecure: true` must be written out";
            cluster.lacks("tls", out, Some(help.into()));
            None
        }
    }
}

/// All members that can be read, and whether these are all that are written.
fn members<'n>(
    cluster: &Section<'n>,
    placement: Placement,
    out: &mut Findings<'_>,
) -> (Listed<'n>, bool) {
    let items = cluster.items(
        "members",
        "members, such as `{ id: zot-1, address: zot-1:5443 }`",
        out,
    );
    match cluster.node("members").map(|node| (&node.kind, node)) {
        None => cluster.lacks("members", out, None),
        Some((Kind::Scalar(_) | Kind::Mapping(_), _)) => {}
        Some((Kind::Null | Kind::Sequence(_), node)) if items.is_empty() => {
            out.problem(
                &node.mark,
                "there are no members".into(),
                Some("one is enough".into()),
            );
        }
        Some((Kind::Null | Kind::Sequence(_), node)) if items.len() > Members::MAX => {
            let message = format!(
                "{} members are too many, the limit is {}",
                items.len(),
                Members::MAX
            );
            out.problem(&node.mark, message, None);
        }
        Some((Kind::Null | Kind::Sequence(_), _)) => {}
    }
    let items = &items[..items.len().min(Members::MAX)];
    let listed: Listed<'n> = items
        .iter()
        .filter_map(|node| Some((member(node, placement, out)?, node)))
        .collect();
    let whole = listed.len() == items.len();
    duplicates(&listed, out);
    (listed, whole)
}

fn member(node: &Node, placement: Placement, out: &mut Findings<'_>) -> Option<Member> {
    if let Kind::Scalar(text) = &node.kind {
        let host = text
            .rsplit_once(':')
            .map_or(text.as_str(), |(host, _)| host);
        let help = format!(
            "write `{{ id: {}, address: {} }}`",
            printable(host),
            printable(text)
        );
        let wrong = Wrong::expected("a mapping with id, address, weight");
        out.bad_value(node, "cluster.members[]", wrong.help(help));
        return None;
    }
    let member = Section::open(&schema::MEMBER, Some(node), out);
    let id = member.required(
        "id",
        out,
        parsed("a name of lowercase letters, digits, `-`, `_` and `.`"),
    );
    let address = member.required(
        "address",
        out,
        parsed("a host and a port, such as `zot-1:5443`"),
    );
    let weight = member.or("weight", out, Weight::default(), |text| {
        let weight = number(1..=Weight::MAX)(text)?;
        Weight::new(weight).map_err(|error| Wrong::expected(error.to_string()))
    });
    if let (Placement::Zot, Some(node)) = (placement, member.node("weight"))
        && weight != Weight::default()
    {
        let help = "zot placement gives each member the same share; use `placement: rendezvous` for weights";
        out.problem(
            &node.mark,
            format!("weight {weight} with `placement: zot`"),
            Some(help.into()),
        );
    }
    Some(Member {
        id: id?,
        address: address?,
        weight,
    })
}

fn duplicates(listed: &Listed<'_>, out: &mut Findings<'_>) {
    let mut ids: HashMap<&MemberId, usize> = HashMap::new();
    let mut addresses: HashMap<&MemberAddress, usize> = HashMap::new();
    for (member, node) in listed {
        let mut complain = |key: &str, what: String, first: usize| {
            let mark = node.get(key).map_or(&node.mark, |value| &value.mark);
            out.problem(
                mark,
                format!("duplicate member {key} `{what}`, first on line {first}"),
                None,
            );
        };
        let line = node.mark.line;
        match ids.get(&member.id) {
            Some(first) => complain("id", member.id.to_string(), *first),
            None => drop(ids.insert(&member.id, line)),
        }
        match addresses.get(&member.address) {
            Some(first) => complain("address", member.address.to_string(), *first),
            None => drop(addresses.insert(&member.address, line)),
        }
    }
}

fn pins(
    cluster: &Section<'_>,
    listed: &Listed<'_>,
    whole: bool,
    out: &mut Findings<'_>,
) -> Vec<(PinPrefix, MemberId)> {
    let mut pins = Vec::new();
    let mut lines: HashMap<PinPrefix, usize> = HashMap::new();
    for node in cluster.items(
        "pins",
        "pins, such as `{ prefix: repo1/, member: zot-1 }`",
        out,
    ) {
        let pin = Section::open(&schema::PIN, Some(node), out);
        let prefix = pin.required(
            "prefix",
            out,
            parsed::<PinPrefix>("whole components of a repository name, such as `repo1/`"),
        );
        let member = pin.required("member", out, parsed("the id of a member"));
        if let (Some(id), Some(node)) = (&member, pin.node("member")) {
            known(id, listed, whole)
                .unwrap_or_else(|wrong| out.bad_value(node, "cluster.pins[].member", wrong));
        }
        let (Some(prefix), Some(member)) = (prefix, member) else {
            continue;
        };
        match (lines.get(&prefix), pin.node("prefix")) {
            (Some(first), Some(node)) => {
                out.problem(
                    &node.mark,
                    format!("duplicate pin `{prefix}`, first on line {first}"),
                    None,
                );
            }
            (_, _) => drop(lines.insert(prefix.clone(), node.mark.line)),
        }
        pins.push((prefix, member));
    }
    pins
}

/// Whether an id names a member. With a member list that could not be read whole, nobody knows.
fn known(id: &MemberId, listed: &Listed<'_>, whole: bool) -> Result<(), Wrong> {
    if !whole || listed.is_empty() || listed.iter().any(|(member, _)| member.id == *id) {
        return Ok(());
    }
    let ids: Vec<&str> = listed
        .iter()
        .map(|(member, _)| member.id.as_str())
        .collect();
    let wrong = Wrong::expected("the id of a member");
    Err(match nearest(id.as_str(), ids.iter().copied()) {
        Some(near) => wrong.help(format!("did you mean `{near}`?")),
        None => wrong.help(format!("the members are {}", ids.join(", "))),
    })
}

/// The local member: by flag, else variable, else file, else by this machine's addresses.
fn local(
    root: &Section<'_>,
    listed: &Listed<'_>,
    whole: bool,
    listen: &Listen,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<(MemberId, Identified)> {
    // Read even if it is overruled, so that its problems are told.
    let written: Option<MemberId> = root.value("member", out, parsed("the id of a member"));
    if let (Some(id), Some(node)) = (&written, root.node("member")) {
        known(id, listed, whole).unwrap_or_else(|wrong| out.bad_value(node, "member", wrong));
    }
    let named = |text: &str, place: Place, out: &mut Findings<'_>| {
        let id = parsed::<MemberId>("the id of a member")(text);
        let id = id.and_then(|id| known(&id, listed, whole).map(|()| id));
        id.map_err(|Wrong { expected, help }| {
            out.elsewhere(
                place,
                format!("bad value `{}`: expected {expected}", printable(text)),
                help,
            );
        })
        .ok()
    };
    if let Some(text) = env.member_flag {
        return named(text, Place::Flag("--member"), out).map(|id| (id, Identified::Flag));
    }
    if let Some(text) = env.member_variable {
        return named(text, Place::Variable(MEMBER_VARIABLE), out)
            .map(|id| (id, Identified::Variable));
    }
    if root.node("member").is_some() {
        return written.map(|id| (id, Identified::File));
    }
    // With half a list the search would find a wrong answer, or none for a wrong reason.
    if !whole {
        return None;
    }
    let members: Vec<Member> = listed.iter().map(|(member, _)| member.clone()).collect();
    let first = members.first()?.id.clone();
    let Some(surroundings) = env.surroundings else {
        return Some((first, Identified::Assumed));
    };
    let port = listen.peers.address.port();
    let names: Vec<&str> = members
        .iter()
        .filter(|member| member.address.port == port)
        .filter_map(|member| match &member.address.host {
            Host::Name(name) => Some(&**name),
            Host::Ip(_) => None,
        })
        .collect();
    let help = format!(
        "name it: `--member ID`, the variable {MEMBER_VARIABLE}, or `member: ID` in the file"
    );
    let resolved = if names.is_empty() {
        Resolved::new()
    } else {
        surroundings.resolve(&names)
    };
    let found = surroundings
        .addresses()
        .map_err(|error| {
            format!("cannot tell which member this is: this machine's addresses: {error}")
        })
        .and_then(|own| {
            identity::by_address(&members, port, &own, &resolved).map_err(|error| error.to_string())
        });
    match found {
        Ok((id, address)) => Some((id, Identified::Address(address))),
        Err(message) => {
            out.whole(message, Some(help));
            None
        }
    }
}
