//! Reads `cluster` and the local member into one view.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::coordination::{self, weight};
use super::environment::Environment;
use super::findings::{Findings, Wrong};
use super::hash_key::{self, Key};
use super::identity::Identified;
use super::local::local;
use super::network::{in_flight, queue, required_file};
use super::schema::{self, nearest};
use super::section::Section;
use super::settings::{ClusterTls, Coordination, Listen, PeerLimits, Timeouts};
use super::statefulset;
use super::values::{boolean, choice, parsed, path};
use super::yaml::{Kind, Node};
use crate::shard::leases::record::Policy;
use crate::shard::text::printable;
use crate::shard::{
    Member, MemberAddress, MemberId, Members, Pin, PinPrefix, Pins, PinsError, Placement, View,
};

/// The default of `cluster.max_in_flight`: a peer's own replica limits come first.
const PEER_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2047);

/// What stands under `cluster`, and who we are in it.
pub(super) struct Cluster {
    pub(super) tls: ClusterTls,
    pub(super) view: Arc<View>,
    pub(super) coordination: Option<Coordination>,
    pub(super) key_known: bool,
    pub(super) identified: Identified,
    pub(super) peer_limits: PeerLimits,
    pub(super) state: Option<PathBuf>,
}

/// The member list as read.
pub(super) struct Listed<'n> {
    /// Each member with its node, to point at.
    list: Vec<(Member, &'n Node)>,
    /// Whether these are all that are written.
    whole: bool,
    /// Whether they are the pods of a StatefulSet.
    is_set: bool,
    /// Whether none are written, since a store knows them.
    is_open: bool,
}

impl Listed<'_> {
    /// The members that could be read.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().map(|(member, _)| member)
    }

    /// Whether a store knows the members, and no list is written.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether an id names a member. With a list that could not be read whole, nobody knows.
    pub(super) fn known(&self, id: &MemberId) -> Result<(), Wrong> {
        let nobody_knows = !self.whole || self.list.is_empty();
        if nobody_knows || self.members().any(|member| member.id == *id) {
            return Ok(());
        }
        if let (Some(first), Some(last), true) = (self.list.first(), self.list.last(), self.is_set)
        {
            let (first, last) = (&first.0.id, &last.0.id);
            let count = self.list.len();
            let help = format!("with {count} replicas they are {first} to {last}");
            return Err(Wrong::expected("the id of a member").help(help));
        }
        let ids: Vec<&str> = self.members().map(|member| member.id.as_str()).collect();
        let wrong = Wrong::expected("the id of a member");
        Err(match nearest(id.as_str(), ids.iter().copied()) {
            Some(near) => wrong.help(format!("did you mean `{near}`?")),
            None => wrong.help(format!("the members are {}", ids.join(", "))),
        })
    }
}

/// Reads everything that placement depends on, and who we are in it.
pub(super) fn read(
    root: &Section<'_>,
    listen: &Listen,
    timeouts: &Timeouts,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<Cluster> {
    let cluster = root.section("cluster", &schema::CLUSTER, out);
    let key = hash_key::read(&cluster, env, out);
    let placements = [
        ("rendezvous", Placement::Rendezvous),
        ("zot", Placement::Zot),
    ];
    let placement = cluster.or("placement", out, Placement::Rendezvous, choice(&placements));
    let tls = tls(&cluster, out);
    let peer_limits = PeerLimits {
        max_in_flight: in_flight(&cluster, PEER_IN_FLIGHT, out),
        queue: queue(&cluster, &schema::CLUSTER_QUEUE, out),
    };
    let state = cluster.value("state", out, path);
    let state = state.map(|written| out.folder(&written));
    let leases = coordination::read(&cluster, timeouts, out);
    let listed = listed(&cluster, placement, out);
    let own = coordination::own(&cluster, placement, !listed.is_open, env, out);
    let pins = pins(&cluster, &listed, out);
    let local = local(root, &listed, listen, env, out);
    // Whatever is missing by now was complained about.
    let (local, identified) = local?;
    if out.failed() {
        return None;
    }
    let key = key?;
    let is_open = listed.is_open;
    let mut list: Vec<Member> = listed.list.into_iter().map(|(member, _)| member).collect();
    if let (true, Some((address, weight))) = (is_open, own) {
        let id = local.clone();
        list.push(Member {
            id,
            address,
            weight,
        });
    }
    let members = Members::new(list, &local)
        .map_err(|error| out.whole(error.to_string(), None))
        .ok()?;
    let view = view(members, placement, &key, &pins, out)?;
    let coordination = match leases {
        Some(leases) => Some(agreed(leases, &view, &pins, env, out)?),
        None => None,
    };
    Some(Cluster {
        tls: tls?,
        view: Arc::new(view),
        coordination,
        key_known: key.known,
        identified,
        peer_limits,
        state,
    })
}

/// Pins to members that are not listed say nothing.
fn view(
    members: Members,
    placement: Placement,
    key: &Key,
    pins: &[(PinPrefix, MemberId)],
    out: &mut Findings<'_>,
) -> Option<View> {
    if pins.len() > Pins::MAX {
        let count = pins.len();
        out.whole(PinsError::TooMany { count }.to_string(), None);
        return None;
    }
    let with_index = |(prefix, id): &(PinPrefix, MemberId)| {
        let prefix = prefix.clone();
        members.find(id).map(|member| Pin { prefix, member })
    };
    let pins = pins.iter().filter_map(with_index).collect();
    let pins = Pins::new(pins)
        .map_err(|error| out.whole(error.to_string(), None))
        .ok()?;
    Some(View::new(members, placement, &key.key, pins))
}

/// What members agree on over the store. `view` has us in it.
fn agreed(
    leases: coordination::Written,
    view: &View,
    pins: &[(PinPrefix, MemberId)],
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<Coordination> {
    let coordination::Written {
        store,
        timing,
        replica_kill,
        replica_ends_with_sidecar,
    } = leases;
    let members = view.members();
    let Member {
        id: _,
        address,
        weight,
    } = members.get(members.local());
    coordination::agrees(address, env, out);
    let mut pins: Vec<(String, String)> = pins
        .iter()
        .map(|(prefix, id)| (prefix.as_str().to_owned(), id.to_string()))
        .collect();
    // As a view has them, in whichever order they are written.
    pins.sort();
    (!out.failed()).then(|| Coordination {
        store,
        timing,
        replica_kill,
        replica_ends_with_sidecar,
        address: address.clone(),
        weight: *weight,
        policy: Policy {
            pins,
            ..Policy::of(view)
        },
        listed: members.peers().map(|(_, peer)| peer.id.clone()).collect(),
    })
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
        (false, true) => {
            if let Some(node) = cluster.node("insecure") {
                let help = "for more than a trial: `tls: { ca: …, cert: …, key: … }`";
                out.remark(
                    &node.mark,
                    "members are not asked for certificates: whoever reaches the peer listener is believed".into(),
                    Some(help.into()),
                );
            }
            Some(ClusterTls::Insecure)
        }
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

/// The members, written one by one or as a StatefulSet.
fn listed<'n>(cluster: &Section<'n>, placement: Placement, out: &mut Findings<'_>) -> Listed<'n> {
    let Some(node) = cluster.node("statefulset") else {
        return members(cluster, placement, out);
    };
    if let Some(members) = cluster.node("members") {
        let message = "`cluster.members` and `cluster.statefulset` exclude each other";
        let help = "the members of a StatefulSet are known by its name and its number of replicas";
        out.problem(&members.mark, message.into(), Some(help.into()));
    }
    let members = statefulset::members(cluster, out);
    Listed {
        whole: members.is_some(),
        is_set: true,
        is_open: false,
        list: members
            .unwrap_or_default()
            .into_iter()
            .map(|member| (member, node))
            .collect(),
    }
}

fn members<'n>(cluster: &Section<'n>, placement: Placement, out: &mut Findings<'_>) -> Listed<'n> {
    let expected = "members, such as `{ id: zot-1, address: zot-1:5443 }`";
    let items = cluster.items("members", expected, out);
    match cluster.node("members") {
        None if coordination::is_written(cluster) => {}
        None => {
            let help = "on Kubernetes, `statefulset: { name: registry, replicas: 3, service: registry-peers }` lists them";
            cluster.lacks("members", out, Some(help.into()));
        }
        // Anything else than a list was complained about.
        Some(node) if items.is_empty() && matches!(node.kind, Kind::Null | Kind::Sequence(_)) => {
            out.problem(
                &node.mark,
                "there are no members".into(),
                Some("one is enough".into()),
            );
        }
        Some(node) if items.len() > Members::MAX => {
            let message = format!(
                "{} members are too many, the limit is {}",
                items.len(),
                Members::MAX
            );
            out.problem(&node.mark, message, None);
        }
        Some(_) => {}
    }
    let items = &items[..items.len().min(Members::MAX)];
    let read = |node| Some((member(node, placement, out)?, node));
    let list: Vec<_> = items.iter().filter_map(read).collect();
    let listed = Listed {
        whole: list.len() == items.len(),
        is_set: false,
        is_open: cluster.node("members").is_none() && coordination::is_written(cluster),
        list,
    };
    duplicates(&listed, out);
    listed
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
    let member = Section::open(&schema::MEMBER, node, out);
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
    let weight = weight(&member, placement, out);
    Some(Member {
        id: id?,
        address: address?,
        weight,
    })
}

fn duplicates(listed: &Listed<'_>, out: &mut Findings<'_>) {
    let mut ids: HashMap<&MemberId, usize> = HashMap::new();
    let mut addresses: HashMap<&MemberAddress, usize> = HashMap::new();
    for (member, node) in &listed.list {
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
    out: &mut Findings<'_>,
) -> Vec<(PinPrefix, MemberId)> {
    let mut pins = Vec::new();
    let mut lines: HashMap<PinPrefix, usize> = HashMap::new();
    for node in cluster.items(
        "pins",
        "pins, such as `{ prefix: repo1/, member: zot-1 }`",
        out,
    ) {
        let pin = Section::open(&schema::PIN, node, out);
        let prefix = pin.required(
            "prefix",
            out,
            parsed::<PinPrefix>("whole components of a repository name, such as `repo1/`"),
        );
        let member = pin.required("member", out, |text| {
            let id = parsed("the id of a member")(text)?;
            listed.known(&id).map(|()| id)
        });
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
