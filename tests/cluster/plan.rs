//! What a cluster is to be, and each member's proxy.yaml for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::link::{Before, Link};

/// Timeouts that a healthy test never meets and a broken one does not wait for long. A replica of the
/// tests dies with its member: nobody waits for it after a start.
const TIMEOUTS: &str =
    "connect: 10s, request_header: 10s, idle: 10s, aftermath: 0s, drain_delay: 0s, drain: 10s";
/// No verdict by probes: attempts alone tell who is up.
const QUIET_PROBES: &str = "interval: 1h, timeout: 60s, fall: 100";
/// Verdicts by probes, soon.
const EAGER_PROBES: &str = "interval: 100ms, timeout: 5s, rise: 1, fall: 1";
/// How a member whose certificate its peers do not know is listed by itself, since it would not start
/// with one that does not name it.
const OWN_HOST: &str = "own.invalid";

/// A cluster to be started.
#[derive(Clone)]
pub struct Plan {
    /// Of the peer listeners alone.
    ip: Ipv4Addr,
    /// Of everything that listens on whatever port is free.
    other_ip: Ipv4Addr,
    ports: Vec<u16>,
    hosts: BTreeMap<usize, String>,
    registry_hosts: BTreeMap<usize, String>,
    peer_ips: BTreeMap<usize, IpAddr>,
    certificate_names: BTreeMap<usize, Vec<String>>,
    /// Whom a member lists, where that is not everybody.
    lists: BTreeMap<usize, Vec<usize>>,
    /// With the address of each, once it is laid.
    links: BTreeMap<Before, Option<SocketAddr>>,
    /// Whether members hold leases, and list each other all the same.
    leases: Option<bool>,
    insecure: bool,
    client_tls: bool,
    proxy_protocol: bool,
    /// By top-level key (`cluster` without the members), for all members.
    sections: BTreeMap<&'static str, String>,
    /// The same for one member.
    own_sections: BTreeMap<(usize, &'static str), String>,
}

impl Plan {
    /// This many members, mutual TLS between them, plain HTTP for clients.
    pub fn of(members: usize) -> Self {
        let sections = [
            ("timeouts", TIMEOUTS),
            ("probes", QUIET_PROBES),
            // So that connections of one member meet on different threads, as they do on any machine.
            ("threads", "2"),
            ("writes", "hold: 0s"),
            ("reload", "watch: false"),
            ("circuit", "failures: 1000"),
            ("cluster", "hash_key: 000102030405060708090a0b0c0d0e0f"),
        ];
        Self {
            ip: Ipv4Addr::LOCALHOST,
            other_ip: Ipv4Addr::LOCALHOST,
            ports: vec![0; members],
            hosts: BTreeMap::new(),
            registry_hosts: BTreeMap::new(),
            peer_ips: BTreeMap::new(),
            certificate_names: BTreeMap::new(),
            lists: BTreeMap::new(),
            links: BTreeMap::new(),
            leases: None,
            insecure: false,
            client_tls: false,
            proxy_protocol: false,
            sections: sections.map(|(key, text)| (key, text.to_owned())).into(),
            own_sections: BTreeMap::new(),
        }
    }

    /// Plain HTTP between members.
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Members hold leases on a store of their own.
    pub fn leased(mut self) -> Self {
        self.leases = Some(false);
        self
    }

    /// The same, with the list by which they have worked so far.
    pub fn leased_and_listed(mut self) -> Self {
        self.leases = Some(true);
        self
    }

    /// Members work by their list alone.
    pub fn listed(mut self) -> Self {
        self.leases = None;
        self
    }

    /// Whether they hold leases.
    pub fn is_leased(&self) -> bool {
        self.leases.is_some()
    }

    /// TLS on the client listeners.
    pub fn client_tls(mut self) -> Self {
        self.client_tls = true;
        self
    }

    /// A PROXY header before the connections of `trusted_proxies`.
    pub fn proxy_protocol(mut self) -> Self {
        self.proxy_protocol = true;
        self
    }

    /// A network of the test's own before this party.
    pub fn link(mut self, before: Before) -> Self {
        self.links.insert(before, None);
        self
    }

    /// Probes that soon see who is down and who is back.
    pub fn eager_probes(self) -> Self {
        self.set("probes", EAGER_PROBES)
    }

    /// The inside of a top-level mapping of proxy.yaml, in flow style.
    pub fn set(mut self, key: &'static str, text: &str) -> Self {
        self.sections.insert(key, text.to_owned());
        self
    }

    /// The same for one member alone.
    pub fn set_at(mut self, index: usize, key: &'static str, text: &str) -> Self {
        self.own_sections.insert((index, key), text.to_owned());
        self
    }

    /// The host in a member's address, instead of the cluster's IP address.
    pub fn host_of(mut self, index: usize, host: &str) -> Self {
        self.hosts.insert(index, host.to_owned());
        self
    }

    /// The host in the address of a member's replica, instead of its IP address.
    pub fn registry_host_of(mut self, index: usize, host: &str) -> Self {
        self.registry_hosts.insert(index, host.to_owned());
        self
    }

    /// The IP address of a member's peer listener, instead of the cluster's.
    pub fn listening_at(mut self, index: usize, ip: IpAddr) -> Self {
        self.peer_ips.insert(index, ip);
        self
    }

    /// The names in a member's certificate, instead of its id and IP address; `IP` stands for that.
    pub fn certificate_of(mut self, index: usize, names: &[&str]) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.certificate_names.insert(index, names);
        self
    }

    /// Whether members may not know each other by theirs.
    pub fn has_strange_certificates(&self) -> bool {
        (0..self.size()).any(|index| self.is_stranger(index))
    }

    /// Whom one member lists, instead of everybody.
    pub fn lists_at(mut self, index: usize, members: &[usize]) -> Self {
        self.lists.insert(index, members.to_vec());
        self
    }

    /// Nobody but this member itself lists it any more.
    pub fn without(mut self, index: usize) -> Self {
        let others: Vec<_> = (0..self.size()).filter(|at| *at != index).collect();
        for at in &others {
            self.lists.insert(*at, others.clone());
        }
        self
    }

    /// Gives every member its peer address.
    pub(super) fn placed_at(
        mut self,
        [ip, other_ip]: [Ipv4Addr; 2],
        mut reserve: impl FnMut(IpAddr) -> u16,
    ) -> Self {
        self.ip = ip;
        self.other_ip = other_ip;
        for index in 0..self.size() {
            self.ports[index] = reserve(self.peer_address(index).ip());
        }
        self
    }

    /// Starts the links, and has the parties dial them.
    pub(super) fn lay_links(
        &mut self,
        replica: impl Fn(usize) -> SocketAddr,
    ) -> BTreeMap<Before, Link> {
        let mut links = BTreeMap::new();
        for before in self.links.keys().copied().collect::<Vec<_>>() {
            let target = match before {
                Before::Peers(index) => self.peer_address(index),
                Before::Replica(index) => replica(index),
            };
            let link = Link::start(self.other_ip.into(), target);
            self.links.insert(before, Some(link.address));
            links.insert(before, link);
        }
        links
    }

    /// How many members.
    pub fn size(&self) -> usize {
        self.ports.len()
    }

    /// The address of the peer listeners.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The address of the client and admin listeners and of the replicas.
    pub fn other_ip(&self) -> Ipv4Addr {
        self.other_ip
    }

    /// A member's id.
    pub fn id(&self, index: usize) -> String {
        format!("zot-{}", index + 1)
    }

    /// All ids.
    pub fn ids(&self) -> Vec<String> {
        (0..self.size()).map(|index| self.id(index)).collect()
    }

    /// Where a member listens for peers.
    pub fn peer_address(&self, index: usize) -> SocketAddr {
        let ip = self
            .peer_ips
            .get(&index)
            .copied()
            .unwrap_or(IpAddr::V4(self.ip));
        SocketAddr::new(ip, self.ports[index])
    }

    /// Whether clients speak TLS.
    pub fn speaks_client_tls(&self) -> bool {
        self.client_tls
    }

    pub(super) fn certificate_names(&self, index: usize) -> Vec<String> {
        let usual = || vec![self.id(index), self.ip.to_string()];
        let mut names = self
            .certificate_names
            .get(&index)
            .cloned()
            .unwrap_or_else(usual);
        for name in names.iter_mut().filter(|name| *name == "IP") {
            *name = self.ip.to_string();
        }
        if self.is_stranger(index) {
            names.push(OWN_HOST.to_owned());
        }
        names
    }

    /// Whether peers do not know a member by its certificate.
    fn is_stranger(&self, index: usize) -> bool {
        let names = self.certificate_names.get(&index);
        names.is_some_and(|names| {
            !names.contains(&self.id(index)) && !names.iter().any(|name| name == "IP")
        })
    }

    /// A member's proxy.yaml.
    pub(super) fn yaml(&self, index: usize, registry: SocketAddr, folder: &Path) -> String {
        let (id, ip, folder) = (self.id(index), self.other_ip, folder.display());
        let more = |key| self.section(index, key).unwrap_or_default();
        let mut yaml = format!("member: {id}\nthreads: {}\n", more("threads"));
        let tls = if self.client_tls {
            format!(", tls: {{ cert: {folder}/server.crt, key: {folder}/server.key }}")
        } else {
            String::new()
        };
        let peers = self.peer_address(index);
        let (socket, introduced) = (self.command_socket(index, &folder), self.proxy_protocol);
        let _ = write!(
            yaml,
            "listen:\n  clients: {{ address: \"{ip}:0\"{tls}, proxy_protocol: {introduced} }}\n  \
             peers: {{ address: \"{peers}\" }}\n  admin: {{ address: \"{ip}:0\"{socket} }}\n"
        );
        let registry = match self.registry_hosts.get(&index) {
            Some(host) => format!("{host}:{}", registry.port()),
            None => registry.to_string(),
        };
        let _ = writeln!(
            yaml,
            "registry: {{ address: \"{registry}\", {} }}",
            more("registry")
        );
        let trust = if self.insecure {
            "insecure: true".to_owned()
        } else {
            format!(
                "tls: {{ ca: {folder}/ca.crt, cert: {folder}/{id}.crt, key: {folder}/{id}.key }}"
            )
        };
        let everybody = (0..self.size()).collect();
        let listed = self.lists.get(&index).unwrap_or(&everybody);
        let agreed = self.agreed(index, listed);
        let _ = writeln!(
            yaml,
            "cluster: {{ {}, {trust}, {agreed} }}",
            more("cluster")
        );
        for key in [
            "writes",
            "reads",
            "sticky",
            "timeouts",
            "limits",
            "probes",
            "resolve",
            "log",
            "circuit",
            "reload",
            "telemetry",
        ] {
            let Some(text) = self.section(index, key) else {
                continue;
            };
            // The default would have every test wait for half a minute.
            let is_short = key == "timeouts" && !text.contains("aftermath");
            let added = if is_short { ", aftermath: 0s" } else { "" };
            let _ = writeln!(yaml, "{key}: {{ {text}{added} }}");
        }
        if let Some(text) = self.section(index, "trusted_proxies") {
            let _ = writeln!(yaml, "trusted_proxies: [ {text} ]");
        }
        yaml
    }

    /// Who the members are, and how they agree on that.
    fn agreed(&self, index: usize, listed: &[usize]) -> String {
        let line = |at: &usize| self.member_line(*at, *at == index);
        let members: Vec<String> = listed.iter().map(line).collect();
        let members = members.join(", ");
        // The test puts a store of its own in the place of this one.
        let store = "coordination: { store: { s3: { bucket: tests, region: nowhere } } }";
        match self.leases {
            None => format!("members: [ {members} ]"),
            Some(true) => format!("{store}, members: [ {members} ]"),
            Some(false) => {
                let link = self.links.get(&Before::Peers(index)).copied().flatten();
                let called = link.unwrap_or_else(|| self.peer_address(index));
                format!("{store}, address: \"{called}\"")
            }
        }
    }

    fn member_line(&self, index: usize, own: bool) -> String {
        // The certificate carries the id as well, so the other address needs no other certificate.
        if let Some(Some(link)) = self.links.get(&Before::Peers(index)) {
            return format!("{{ id: {}, address: \"{link}\" }}", self.id(index));
        }
        let host = if own && self.is_stranger(index) {
            OWN_HOST.to_owned()
        } else {
            let host = self.hosts.get(&index).cloned();
            host.unwrap_or_else(|| self.ip.to_string())
        };
        format!(
            "{{ id: {}, address: \"{host}:{}\" }}",
            self.id(index),
            self.ports[index]
        )
    }

    /// Where a member takes commands, if a test sends some; see [`Plan::set`] with `commands`.
    fn command_socket(&self, index: usize, folder: &impl std::fmt::Display) -> String {
        let wanted = self.section(index, "commands");
        wanted.map_or_else(String::new, |_| {
            format!(", socket: {folder}/{}.sock", self.id(index))
        })
    }

    fn section(&self, index: usize, key: &'static str) -> Option<&str> {
        let own = self.own_sections.get(&(index, key));
        own.or_else(|| self.sections.get(key)).map(String::as_str)
    }
}
