//! `server` lines: members, and what HAProxy kept to for each.

use std::collections::BTreeMap;

use super::model::{Line, Model, Section};
use super::times;
use crate::cli::import::draft::Draft;
use crate::cli::import::notes::Notes;
use crate::shard::{MemberAddress, Weight};

/// One replica, from all of the lines that name its address.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) line: usize,
    pub(super) weight: Option<u16>,
    max_in_flight: Option<u32>,
    max_queue: Option<u32>,
    /// Settings of `probes`, as written for this server.
    probes: BTreeMap<&'static str, String>,
}

/// All replicas behind these backends, in order, each once.
pub(super) fn collect(backends: &[&Section], model: &Model, notes: &mut Notes) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for section in backends {
        for line in model.lines_of(section, "server-template") {
            notes.at(
                line.number,
                "server-template makes servers out of a name: write `cluster.members` out",
            );
        }
        let defaults: Vec<&Line> = model.lines_of(section, "default-server").collect();
        for line in section.all(&["server"]) {
            read(line, &defaults, &mut servers, notes);
        }
    }
    servers
}

/// A server's address, by which members are told apart.
pub(super) fn address(line: &Line) -> Option<MemberAddress> {
    line.word(2).parse().ok()
}

fn read(line: &Line, defaults: &[&Line], servers: &mut Vec<Server>, notes: &mut Notes) {
    let Some(address) = address(line) else {
        notes.at(
            line.number,
            format!(
                "server {}: {} is no host and port",
                line.word(1),
                line.word(2)
            ),
        );
        return;
    };
    let text = address.to_string();
    let host = text
        .rsplit_once(':')
        .map_or(text.as_str(), |(host, _)| host)
        .to_owned();
    let found = servers
        .iter()
        .position(|server| server.host == host && server.port == address.port);
    let at = found.unwrap_or(servers.len());
    if found.is_none() {
        servers.push(Server {
            name: line.word(1).to_owned(),
            host,
            port: address.port,
            line: line.number,
            weight: None,
            max_in_flight: None,
            max_queue: None,
            probes: BTreeMap::new(),
        });
    }
    let mut own = Vec::new();
    for default in defaults {
        own.extend(
            default.words[1..]
                .iter()
                .map(String::as_str)
                .map(|word| (word, false)),
        );
    }
    own.extend(
        line.words
            .iter()
            .skip(3)
            .map(String::as_str)
            .map(|word| (word, true)),
    );
    parameters(&own, line, &mut servers[at], notes);
}

/// Parameters, each with whether it stands on the line itself.
fn parameters(words: &[(&str, bool)], line: &Line, server: &mut Server, notes: &mut Notes) {
    let mut words = words.iter().copied();
    while let Some((word, own)) = words.next() {
        let mut value = || words.next().map_or("", |(value, _)| value);
        match word {
            "check" | "agent-check" | "no-check" | "enabled" | "check-ssl" => {}
            "cookie" | "id" | "observe" | "on-error" | "on-marked-down" | "on-marked-up" | "slowstart" | "resolvers"
            | "resolve-prefer" | "init-addr" | "port" | "addr" | "agent-port" | "agent-inter" | "error-limit" | "pool-max-conn"
            | "pool-purge-delay" | "alpn" | "check-alpn" | "check-sni" => drop(value()),
            "inter" => times::keep(value(), "interval", &mut server.probes),
            "rise" => drop(server.probes.insert("rise", value().to_owned())),
            "fall" => drop(server.probes.insert("fall", value().to_owned())),
            // Several backends limit one server each for itself: the largest limit is kept.
            "maxconn" => server.max_in_flight = server.max_in_flight.max(value().parse().ok()),
            "maxqueue" => server.max_queue = server.max_queue.max(value().parse().ok()),
            "weight" => weight(value(), line, server, notes),
            "backup" => notes.at(line.number, format!(
                "server {}: a member is no backup of another; for reads of a dead owner any other member stands in", server.name
            )),
            "disabled" => notes.at(line.number, format!(
                "server {} is disabled, and becomes a member all the same: take it out if it is no more", server.name
            )),
            "ssl" => notes.at(line.number, format!(
                "server {}: HAProxy spoke TLS to it; give its certificate to `listen.clients.tls` of its sidecar, and \
                 take TLS off the replica, which is on loopback now", server.name
            )),
            "verify" | "ca-file" | "crt" | "crl-file" | "sni" | "verifyhost" | "ciphers" | "ssl-min-ver" | "ssl-max-ver"
            | "ciphersuites" => drop(value()),
            "send-proxy" | "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => notes.at(line.number, format!(
                "server {}: {word} is not carried over: the sidecar takes the client's address from X-Forwarded-For of a \
                 trusted proxy", server.name
            )),
            other if own => notes.at(line.number, format!("server {}: `{other}` is not carried over", server.name)),
            _ => {}
        }
    }
}

fn weight(value: &str, line: &Line, server: &mut Server, notes: &mut Notes) {
    match value.parse() {
        Ok(weight @ 1..=Weight::MAX) => server.weight = Some(weight),
        Ok(_) | Err(_) => {
            let name = &server.name;
            notes.at(
                line.number,
                format!(
                    "server {name}: weight {value} is none here, it has 1: a member owns something"
                ),
            );
        }
    }
}

/// What was said for every server becomes a setting of all of them.
pub(super) fn settings(servers: &[Server], draft: &mut Draft) {
    let largest = |of: fn(&Server) -> Option<u32>| {
        servers
            .iter()
            .filter_map(of)
            .max()
            .filter(|found| *found > 0)
    };
    if let Some(limit) = largest(|server| server.max_in_flight) {
        draft.settings.push((
            "registry",
            "max_in_flight",
            limit.min(1_000_000).to_string(),
        ));
    }
    if let Some(limit) = largest(|server| server.max_queue) {
        draft.settings.push((
            "registry",
            "queue",
            format!("{{ limit: {} }}", limit.min(1_000_000)),
        ));
    }
    let probes = servers.iter().find(|server| !server.probes.is_empty());
    for (key, value) in probes.map(|server| &server.probes).into_iter().flatten() {
        let counts = value
            .parse::<u32>()
            .is_ok_and(|count| (1..=100).contains(&count));
        if counts || *key == "interval" {
            draft.settings.push(("probes", key, value.clone()));
        }
    }
}
