//! Reads `listen` and `registry`: who may come in, and where the replica is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::duration::duration;
use super::findings::{Findings, Wrong};
use super::schema;
use super::section::Section;
use super::settings::{
    AdminListener, ClientListener, KeyPairPaths, Listen, PeerListener, Queue, Registry,
    RegistryAddress, RegistryTls,
};
use super::values::{boolean, number, parsed, path, socket_address};
use super::yaml::Node;
use crate::shard::{Host, MemberAddress, Members};

const CLIENT_PORT: u16 = 5000;
const PEER_PORT: u16 = 5443;
/// Of the admin listener, where none is written.
pub(crate) const ADMIN_PORT: u16 = 9900;
const REPLICA_PORT: u16 = 5001;
const MAX_IN_FLIGHT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
const QUEUE_LIMIT: usize = 1024;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest path of a Unix socket, in bytes (unix(7): `sun_path`, less the zero at its end).
const MAX_SOCKET_BYTES: usize = 107;

/// Reads `listen`. Listeners that would collide are a problem here, not at the start.
pub(super) fn listen(root: &Section<'_>, out: &mut Findings<'_>) -> Listen {
    let listen = root.section("listen", &schema::LISTEN, out);
    let clients = listen.section("clients", &schema::LISTEN_CLIENTS, out);
    let peers = listen.section("peers", &schema::LISTEN_PEERS, out);
    let admin = listen.section("admin", &schema::LISTEN_ADMIN, out);
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut address = |section: &Section<'_>, ip, port| {
        section.or("address", out, SocketAddr::new(ip, port), socket_address)
    };
    let addresses = [
        address(&clients, everywhere, CLIENT_PORT),
        address(&peers, everywhere, PEER_PORT),
        address(&admin, loopback, ADMIN_PORT),
    ];
    collisions(&listen, [&clients, &peers, &admin], addresses, out);
    let [client_address, peer_address, admin_address] = addresses;
    Listen {
        clients: ClientListener {
            address: client_address,
            tls: key_pair(&clients, out),
            proxy_protocol: clients.or("proxy_protocol", out, false, boolean),
        },
        peers: PeerListener {
            address: peer_address,
        },
        admin: AdminListener {
            address: admin_address,
            socket: command_socket(&admin, out),
        },
    }
}

fn command_socket(admin: &Section<'_>, out: &mut Findings<'_>) -> Option<PathBuf> {
    let written = admin.value("socket", out, path)?;
    let path = out.folder(&written);
    if let (Some(node), true) = (
        admin.node("socket"),
        path.as_os_str().len() > MAX_SOCKET_BYTES,
    ) {
        let message =
            format!("the path of `listen.admin.socket` is longer than {MAX_SOCKET_BYTES} bytes");
        let help = "the system takes no longer path of a socket".to_owned();
        out.problem(&node.mark, message, Some(help));
    }
    Some(path)
}

fn key_pair(clients: &Section<'_>, out: &mut Findings<'_>) -> Option<KeyPairPaths> {
    let tls = clients.section("tls", &schema::LISTEN_CLIENTS_TLS, out);
    if !tls.is_written() {
        return None;
    }
    let cert = required_file(&tls, "cert", out);
    let key = required_file(&tls, "key", out);
    Some(KeyPairPaths {
        cert: cert?,
        key: key?,
    })
}

/// A file that must be named.
pub(super) fn required_file(
    section: &Section<'_>,
    key: &'static str,
    out: &mut Findings<'_>,
) -> Option<PathBuf> {
    let written = section.required(key, out, path)?;
    // What is in it is looked at by `crate::tls`, whenever it is to be used.
    Some(out.file(&written))
}

fn collisions(
    listen: &Section<'_>,
    sections: [&Section<'_>; 3],
    addresses: [SocketAddr; 3],
    out: &mut Findings<'_>,
) {
    const NAMES: [&str; 3] = ["clients", "peers", "admin"];
    for (second, b) in addresses.iter().enumerate() {
        for (first, a) in addresses.iter().enumerate().take(second) {
            let anywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
            // Port 0 asks the system for a free one.
            if a.port() != b.port() || a.port() == 0 || (a.ip() != b.ip() && !anywhere) {
                continue;
            }
            let message = format!(
                "`listen.{}` and `listen.{}` both listen on port {}: {a} and {b}",
                NAMES[first],
                NAMES[second],
                a.port()
            );
            let written = sections[second]
                .node("address")
                .or(sections[first].node("address"));
            match written.map(|node| &node.mark).or(listen.mark()) {
                Some(mark) => out.problem(
                    mark,
                    message,
                    Some("give each listener its own port".into()),
                ),
                None => out.whole(message, None),
            }
        }
    }
}

/// Remarks on a peer listener that no peer can reach.
pub(super) fn reachable(tree: &Node, listen: &Listen, members: &Members, out: &mut Findings<'_>) {
    let elsewhere = |host: &Host| match host {
        Host::Ip(ip) => !ip.is_loopback(),
        Host::Name(name) => &**name != "localhost",
    };
    let loopback = listen.peers.address.ip().is_loopback();
    if !loopback
        || !members
            .peers()
            .any(|(_, peer)| elsewhere(&peer.address.host))
    {
        return;
    }
    let written = ["listen", "peers", "address"]
        .iter()
        .try_fold(tree, |node, key| node.get(key));
    if let Some(node) = written {
        let message = "peers on other machines cannot reach a loopback address";
        out.remark(&node.mark, message.into(), None);
    }
}

/// Without anybody who may send one, every PROXY header would be refused.
pub(super) fn introduced(tree: &Node, listen: &Listen, trusted: &[IpNet], out: &mut Findings<'_>) {
    let written = ["listen", "clients", "proxy_protocol"]
        .iter()
        .try_fold(tree, |node, key| node.get(key));
    if let (true, true, Some(node)) = (listen.clients.proxy_protocol, trusted.is_empty(), written)
        && !out.failed()
    {
        let message = "`listen.clients.proxy_protocol` is on, and there are no `trusted_proxies`";
        let help =
            "list the addresses of the proxies that send PROXY headers: nobody else's is taken";
        out.problem(&node.mark, message.into(), Some(help.into()));
    }
}

/// Reads `registry`.
pub(super) fn registry(root: &Section<'_>, out: &mut Findings<'_>) -> Registry {
    let registry = root.section("registry", &schema::REGISTRY, out);
    let default = MemberAddress {
        host: Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        port: REPLICA_PORT,
    };
    let address = registry.or(
        "address",
        out,
        RegistryAddress::Tcp(default),
        registry_address,
    );
    let tls = registry_tls(&registry, &address, out);
    Registry {
        address,
        tls,
        max_in_flight: in_flight(&registry, MAX_IN_FLIGHT, out),
        queue: queue(&registry, &schema::REGISTRY_QUEUE, out),
        reads_write: registry.or("reads_write", out, false, boolean),
    }
}

/// Reads `max_in_flight` of whoever has one.
pub(super) fn in_flight(
    party: &Section<'_>,
    default: NonZeroUsize,
    out: &mut Findings<'_>,
) -> NonZeroUsize {
    party.or("max_in_flight", out, default, |text| {
        number(1..=1_000_000)(text).map(|limit| NonZeroUsize::MIN.saturating_add(limit - 1))
    })
}

/// Reads `queue` of whoever has one.
pub(super) fn queue(
    party: &Section<'_>,
    schema: &'static schema::Schema,
    out: &mut Findings<'_>,
) -> Queue {
    let queue = party.section("queue", schema, out);
    Queue {
        limit: queue.or("limit", out, QUEUE_LIMIT, number(0..=1_000_000)),
        timeout: queue.or(
            "timeout",
            out,
            QUEUE_TIMEOUT,
            duration(Duration::from_millis(1)..=Duration::from_secs(600)),
        ),
    }
}

fn registry_address(text: &str) -> Result<RegistryAddress, Wrong> {
    let expected = "a host and a port, such as `127.0.0.1:5001`, or `unix:/run/registry.sock`";
    if let Some(socket) = text.strip_prefix("unix:") {
        // What the system can bind at most, with its closing zero byte.
        const MAX_SOCKET_PATH: usize = 107;
        let legal =
            socket.starts_with('/') && socket.len() <= MAX_SOCKET_PATH && !socket.contains('\0');
        return if legal {
            Ok(RegistryAddress::Unix(PathBuf::from(socket)))
        } else {
            Err(Wrong::expected(expected).help(format!(
                "the path of a socket is absolute and has at most {MAX_SOCKET_PATH} bytes"
            )))
        };
    }
    for scheme in ["http://", "https://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            let rest = rest.trim_end_matches('/');
            let help = if scheme == "https://" {
                format!("write `{rest}`, and `tls: {{ ca: … }}` beside it")
            } else {
                format!("write `{rest}`")
            };
            return Err(Wrong::expected(expected).help(help));
        }
    }
    parsed(expected)(text).map(RegistryAddress::Tcp)
}

fn registry_tls(
    registry: &Section<'_>,
    address: &RegistryAddress,
    out: &mut Findings<'_>,
) -> Option<RegistryTls> {
    let tls = registry.section("tls", &schema::REGISTRY_TLS, out);
    if !tls.is_written() {
        return None;
    }
    let ca = required_file(&tls, "ca", out);
    let server_name = tls.value(
        "server_name",
        out,
        parsed("the name in the replica's certificate"),
    );
    let server_name = match address {
        RegistryAddress::Tcp(address) => server_name.or_else(|| Some(address.host.clone())),
        RegistryAddress::Unix(_) if tls.node("server_name").is_some() => server_name,
        RegistryAddress::Unix(_) => {
            tls.lacks(
                "server_name",
                out,
                Some("a socket has no host whose name could be checked".into()),
            );
            None
        }
    };
    Some(RegistryTls {
        ca: ca?,
        server_name: server_name?,
    })
}
