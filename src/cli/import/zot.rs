//! zot's configuration → proxy.yaml, and zot's own with what must change.

mod keys;
mod storage;
mod sync;

use std::net::IpAddr;

use super::Imported;
use super::draft::{
    ADMIN_PORT, Draft, DraftMember, PEER_PORT, REPLICA_PORT, is_loopback, members, on_one_host,
};
use super::notes::Notes;
use super::tree::{self, Tree, Value};
use crate::shard::{HashKey, MemberAddress, Members, Placement};

/// What zot listens on where nothing is written.
const ADDRESS: &str = "127.0.0.1";
const PORT: u16 = 8080;
const FILE: &str = "zot.json";

/// Converts one zot's configuration. `made_up_key` is for one without a `cluster` block.
pub(super) fn import(text: &str, made_up_key: String) -> Result<Imported, Notes> {
    let mut tree = tree::parse(text)?;
    let mut notes = Notes::default();
    if !matches!(tree.value, Value::Map(_))
        || tree.at(&["http"]).or(tree.at(&["storage"])).is_none()
    {
        return Err(Notes::one(
            None,
            "no configuration of zot: it has neither `http` nor `storage`",
        ));
    }
    keys::check(&tree, &mut notes);
    let cluster = cluster(&tree, made_up_key, &mut notes)?;
    let port = port(&tree, &mut notes);
    let local = local(&cluster, port, &tree, &mut notes);
    let offset = u16::try_from(local.unwrap_or(0)).unwrap_or(0);
    let peers = match (cluster.members.as_slice(), local) {
        // Nobody else is there to come in by it.
        ([_], _) => Some(format!("127.0.0.1:{PEER_PORT}")),
        (members, Some(local)) => {
            let member = &members[local];
            let address = if is_loopback(&member.host) {
                member.host.as_str()
            } else {
                "0.0.0.0"
            };
            Some(format!("{address}:{}", member.port))
        }
        (_, None) => None,
    };
    let replica = replica_port(REPLICA_PORT + offset, port);
    let mut draft = Draft {
        member: local.map(|local| cluster.members[local].id.clone()),
        clients: format!("{}:{port}", address(&tree, &mut notes)),
        clients_tls: clients_tls(&tree, &mut notes),
        peers,
        admin: (offset > 0).then(|| format!("127.0.0.1:{}", ADMIN_PORT + offset)),
        registry: format!("127.0.0.1:{replica}"),
        reads_write: false,
        hash_key: cluster.hash_key,
        placement: cluster.placement,
        tls: cluster.tls,
        members: cluster.members,
        pins: Vec::new(),
        owner_reads_only: false,
        settings: Vec::new(),
    };
    http(&mut tree, replica, &mut notes);
    storage::convert(&mut tree, &mut draft, &mut notes);
    sync::convert(&mut tree, &mut draft, &mut notes);
    extensions(&tree, &mut draft, &mut notes);
    tree.remove(&[], "cluster");
    Ok(Imported {
        draft,
        registry: Some((FILE, tree.json())),
        notes,
    })
}

/// What a `cluster` block comes to.
struct Cluster {
    members: Vec<DraftMember>,
    hash_key: String,
    placement: Placement,
    tls: Option<[String; 3]>,
    /// The ports that the members had, in order.
    ports: Vec<u16>,
}

fn cluster(tree: &Tree, made_up_key: String, notes: &mut Notes) -> Result<Cluster, Notes> {
    let Some(section) = tree
        .at(&["cluster"])
        .filter(|section| !section.entries().is_empty())
    else {
        notes.whole(
            "no `cluster` block: this is a cluster of one member, with a hash key made up just now; before another \
             joins, list all members, give all of them the same key, and set `cluster.tls`",
        );
        return Ok(Cluster {
            members: members(&["127.0.0.1".to_owned()], &[Some("zot-1".to_owned())]),
            hash_key: made_up_key,
            placement: Placement::Rendezvous,
            tls: None,
            ports: Vec::new(),
        });
    };
    let listed = section.items(&["members"]);
    let line = section
        .at(&["members"])
        .map_or(section.line, |members| members.line);
    if listed.is_empty() || listed.len() > Members::MAX {
        return Err(Notes::one(
            Some(line),
            "cluster.members: zot needs a list of 1 to 1,024 `host:port`",
        ));
    }
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for item in listed {
        let address = item
            .text(&[])
            .and_then(|text| text.parse::<MemberAddress>().ok());
        let address = address.ok_or_else(|| {
            Notes::one(
                Some(item.line),
                "cluster.members: a member is not `host:port`",
            )
        })?;
        hosts.push(bracketed(&address));
        ports.push(address.port);
    }
    let key = section.text(&["hashKey"]).unwrap_or_default();
    if key.len() != HashKey::LENGTH {
        let line = section
            .at(&["hashKey"])
            .map_or(section.line, |key| key.line);
        let message = format!(
            "cluster.hashKey: zot needs {} characters, and these are {}",
            HashKey::LENGTH,
            key.len()
        );
        return Err(Notes::one(Some(line), message));
    }
    notes.at(
        line,
        format!(
            "members meet at their sidecars' peer listeners, from port {PEER_PORT} on, instead of at their zots; \
             owners are the same by `placement: zot`, as long as the order stays"
        ),
    );
    Ok(Cluster {
        members: members(&hosts, &[]),
        hash_key: key.to_owned(),
        placement: Placement::Zot,
        tls: peer_tls(section, tree, notes),
        ports,
    })
}

fn bracketed(address: &MemberAddress) -> String {
    let text = address.to_string();
    let host = text
        .rsplit_once(':')
        .map_or(text.as_str(), |(host, _)| host);
    host.to_owned()
}

fn peer_tls(cluster: &Tree, tree: &Tree, notes: &mut Notes) -> Option<[String; 3]> {
    let Some(tls) = cluster.at(&["tls"]).filter(|tls| !tls.entries().is_empty()) else {
        notes.at(
            cluster.line,
            "no cluster.tls: members speak plain HTTP as before (`insecure: true`), and whoever reaches a peer \
             listener is believed; make certificates and set `cluster.tls`",
        );
        return None;
    };
    let pair = |section: &Tree| {
        Some([section.text(&["cert"])?, section.text(&["key"])?].map(str::to_owned))
    };
    let ca = tls.text(&["cacert"]).unwrap_or("ca.crt").to_owned();
    let found = pair(tls).or_else(|| pair(tree.at(&["http", "tls"])?));
    let [cert, key] = found.unwrap_or_else(|| ["member.crt", "member.key"].map(str::to_owned));
    notes.at(
        tls.line,
        format!(
            "members show {cert} to each other: it needs both extended key usages (server and client) and the \
             member's id or host written out, where zot wanted a server's certificate alone; relative paths start \
             from the folder of proxy.yaml"
        ),
    );
    Some([ca, cert, key])
}

/// Which member this is, where addresses cannot tell because all are on one host.
fn local(cluster: &Cluster, port: u16, tree: &Tree, notes: &mut Notes) -> Option<usize> {
    if !on_one_host(&cluster.members) {
        return None;
    }
    let address = tree.text(&["http", "address"]).unwrap_or(ADDRESS);
    let same_host = cluster
        .members
        .iter()
        .all(|member| member.host == cluster.members[0].host);
    let is_this = |(listed, member): (&u16, &DraftMember)| {
        *listed == port && (same_host || member.host == address)
    };
    let found = cluster.ports.iter().zip(&cluster.members).position(is_this);
    let line = tree
        .at(&["cluster", "members"])
        .map_or(1, |members| members.line);
    let local = found.unwrap_or(0);
    notes.at(
        line,
        format!(
            "all members are on one host, so each needs a proxy.yaml with its own `member`, `listen` and \
             `registry.address`: import each one's configuration; this one is {}",
            cluster.members[local].id
        ),
    );
    Some(local)
}

fn port(tree: &Tree, notes: &mut Notes) -> u16 {
    let written = tree.text(&["http", "port"]);
    let port = written.map_or(Some(PORT), |text| {
        text.parse().ok().filter(|port| *port != 0)
    });
    port.unwrap_or_else(|| {
        let line = tree.at(&["http", "port"]).map_or(1, |port| port.line);
        notes.at(
            line,
            format!("http.port is no port that clients could know: they are served on {PORT}"),
        );
        PORT
    })
}

fn address(tree: &Tree, notes: &mut Notes) -> String {
    let written = tree.text(&["http", "address"]).unwrap_or(ADDRESS);
    match written.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Err(_) if written == "localhost" => ADDRESS.to_owned(),
        Err(_) => {
            let line = tree
                .at(&["http", "address"])
                .map_or(1, |address| address.line);
            notes.at(line, "http.address is a name: the sidecar listens on 0.0.0.0, since it takes addresses only");
            "0.0.0.0".to_owned()
        }
    }
}

/// A port on loopback that no listener of the sidecar has.
fn replica_port(wanted: u16, clients: u16) -> u16 {
    if wanted == clients {
        wanted + 1000
    } else {
        wanted
    }
}

fn clients_tls(tree: &Tree, notes: &mut Notes) -> Option<[String; 2]> {
    let tls = tree.at(&["http", "tls"])?;
    if let Some(authority) = tls.at(&["cacert"]) {
        notes.at(
            authority.line,
            "http.tls.cacert: clients' certificates are not carried over, since TLS ends at the sidecar and zot sees \
             none: whoever had to show one has to log in by another way, or everybody may do what anonymous users may",
        );
    }
    Some([tls.text(&["cert"])?, tls.text(&["key"])?].map(str::to_owned))
}

/// zot moves to loopback, without TLS and without limits on whole requests.
fn http(tree: &mut Tree, replica: u16, notes: &mut Notes) {
    let line = tree.at(&["http"]).map_or(1, |http| http.line);
    notes.at(
        line,
        format!(
            "zot moves to 127.0.0.1:{replica}, and the sidecar takes its address, port and TLS: nobody may reach a \
             zot but through its sidecar"
        ),
    );
    for (key, what) in [("readTimeout", "pushes"), ("writeTimeout", "pulls")] {
        let at = tree.at(&["http", key]).map_or(line, |timeout| timeout.line);
        notes.at(
            at,
            format!(
                "http.{key} becomes 0s: it limits whole {what} of any size (60 s if nothing is written), where the \
                 sidecar has idle limits; zots before v2.1.17 do not know this key: take it out there"
            ),
        );
    }
    if let Some(limit) = tree.at(&["http", "ratelimit"]) {
        notes.at(
            limit.line,
            "http.ratelimit stays in zot, and all clients of a member look like one to it",
        );
    }
    if let Some(mtls) = tree.at(&["http", "auth", "mtls"]) {
        notes.at(mtls.line, "http.auth.mtls: certificates of clients end at the sidecar, so nobody can log in by one");
    }
    let text = |text: &str| Value::Text(text.to_owned());
    tree.set(&["http"], "address", text("127.0.0.1"));
    tree.set(&["http"], "port", Value::Text(replica.to_string()));
    tree.set(&["http"], "readTimeout", text("0s"));
    tree.set(&["http"], "writeTimeout", text("0s"));
    tree.remove(&["http"], "tls");
    tree.remove(&["http", "auth"], "mtls");
}

/// What else runs in zot and meets more than one replica, or a proxy in front.
fn extensions(tree: &Tree, draft: &mut Draft, notes: &mut Notes) {
    let line = |path: &[&str]| tree.at(path).map_or(1, |section| section.line);
    let enabled = |name: &str| tree.is_enabled(&["extensions", name]);
    if enabled("search") || enabled("ui") || enabled("trust") {
        draft.reads_write = true;
        let name = ["search", "ui", "trust"]
            .into_iter()
            .find(|name| enabled(name))
            .unwrap_or("search");
        notes.at(
            line(&["extensions", name]),
            format!("extensions.{name} brings a metadata database, which counts downloads: reads of manifests write (`reads_write: true`)"),
        );
    }
    let auth = tree.at(&["http", "auth"]);
    let shared = auth.is_some_and(|auth| {
        auth.at(&["sessionKeysFile"])
            .or(auth.at(&["sessionDriver"]))
            .is_some()
    });
    let openid = tree.at(&["http", "auth", "openid"]);
    if let Some(section) = tree
        .at(&["extensions", "ui"])
        .filter(|_| enabled("ui"))
        .or(openid)
        && auth.is_some()
        && !shared
    {
        notes.at(
            section.line,
            "browsers log in here, so all zots need one http.auth.sessionKeysFile or one Redis sessionDriver; \
             without it a session is taken for a forged one by every other zot",
        );
    }
    if let Some(cve) = tree
        .at(&["extensions", "search", "cve"])
        .filter(|_| enabled("search"))
    {
        notes.at(cve.line, "extensions.search.cve: zot does not scan on S3, and on files every replica would scan everything");
    }
    if enabled("scrub") {
        notes.at(
            line(&["extensions", "scrub"]),
            "extensions.scrub runs on every replica and reads all of the storage: enable it on one",
        );
    }
    if enabled("trust") {
        notes.at(
            line(&["extensions", "trust"]),
            "extensions.trust keeps keys under zot's root folder, which replicas do not share",
        );
    }
    if enabled("metrics") {
        notes.at(
            line(&["extensions", "metrics"]),
            "extensions.metrics is not reached through the sidecar, which has metrics of its own: scrape zot on loopback",
        );
    }
}
