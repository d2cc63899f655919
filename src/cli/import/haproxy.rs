//! haproxy.cfg → proxy.yaml: rules to pins, servers to members.

mod lex;
mod model;
mod options;
mod rules;
mod servers;
mod times;

use super::Imported;
use super::draft::{
    Draft, DraftMember, PEER_PORT, REPLICA_PORT, is_loopback, members, on_one_host,
};
use super::notes::Notes;
use crate::shard::Placement;
use model::{Model, Section};
use servers::Server;

/// Where clients are served if no server says it.
const CLIENTS_PORT: u16 = 5000;

/// Converts a configuration. `frontend` names the one that serves the registry, if there are several.
pub(super) fn import(
    text: &str,
    made_up_key: String,
    frontend: Option<&str>,
) -> Result<Imported, Notes> {
    let mut notes = Notes::default();
    let model = Model::read(text, &mut notes);
    let front = model.front(frontend)?;
    let backends = model.backends_of(front, &mut notes);
    let servers = servers::collect(&backends, &model, &mut notes);
    if servers.is_empty() {
        let message = format!("{} {} leads to no `server` line", front.kind, front.name);
        return Err(Notes::one(Some(front.line), message));
    }
    let members = listed(&servers, &mut notes);
    let one_host = on_one_host(&members);
    let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
    let same_port = one_host || ports.iter().all(|port| *port == ports[0]);
    let clients = if same_port { ports[0] } else { CLIENTS_PORT };
    front_notes(front, &servers, clients, same_port, &mut notes);
    let redispatch = |section: &&Section| section.all(&["option", "redispatch"]).next().is_some();
    if !model.about(front, &backends).iter().any(redispatch) {
        notes.at(
            front.line,
            "without `option redispatch 1` HAProxy answers 503 for a member that has just died",
        );
    }
    // Several addresses of one machine: each sidecar has one of them.
    let address = if is_loopback(&members[0].host) {
        members[0].host.as_str()
    } else {
        "0.0.0.0"
    }
    .to_owned();
    let mut draft = Draft {
        member: one_host.then(|| members[0].id.clone()),
        clients: format!("{address}:{clients}"),
        clients_tls: None,
        peers: one_host.then(|| format!("{address}:{PEER_PORT}")),
        admin: None,
        registry: format!(
            "127.0.0.1:{}",
            if clients == REPLICA_PORT {
                REPLICA_PORT + 1000
            } else {
                REPLICA_PORT
            }
        ),
        reads_write: false,
        hash_key: made_up_key,
        placement: Placement::Rendezvous,
        tls: None,
        pins: rules::pins(front, &backends, &servers, &members, &mut notes),
        members,
        owner_reads_only: false,
        settings: Vec::new(),
    };
    servers::settings(&servers, &mut draft);
    options::convert(&model, front, &backends, &mut draft, &mut notes);
    times::convert(&model, front, &backends, &mut draft, &mut notes);
    notes.whole(
        "a hash key was made up just now: all members need the same; members speak plain HTTP to each other \
         (`insecure: true`), as HAProxy did to them: make certificates and set `cluster.tls`",
    );
    Ok(Imported {
        draft,
        registry: None,
        notes,
    })
}

/// Servers as members, with a note where they are all on one machine.
fn listed(servers: &[Server], notes: &mut Notes) -> Vec<DraftMember> {
    let hosts: Vec<String> = servers.iter().map(|server| server.host.clone()).collect();
    let names: Vec<Option<String>> = servers
        .iter()
        .map(|server| Some(server.name.clone()))
        .collect();
    let mut members = members(&hosts, &names);
    for (member, server) in members.iter_mut().zip(servers) {
        member.weight = server.weight;
    }
    if on_one_host(&members) {
        let id = &members[0].id;
        notes.at(
            servers[0].line,
            format!(
                "all servers are on one host, so each sidecar needs a proxy.yaml with its own `member`, `listen` and \
                 `registry.address`: this one is {id}'s"
            ),
        );
    }
    members
}

fn front_notes(
    front: &Section,
    servers: &[Server],
    clients: u16,
    same_port: bool,
    notes: &mut Notes,
) {
    notes.at(
        front.line,
        format!(
            "{} {} may stay in front, without its rules and its cookie: any sidecar will do for any request",
            front.kind, front.name
        ),
    );
    let what = if same_port {
        format!(
            "the sidecars listen where these replicas did, on port {clients}, and the replicas move to loopback"
        )
    } else {
        format!(
            "these replicas have different ports: the sidecars listen on {clients}, and the replicas move to loopback"
        )
    };
    notes.at(
        servers[0].line,
        format!("{what}; members meet at peer listeners from port {PEER_PORT} on"),
    );
}
