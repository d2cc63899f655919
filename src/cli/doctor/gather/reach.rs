//! The local replica, and whether it answers elsewhere than on loopback.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::StatusCode;

use super::{PATIENCE, Questions, nearby};
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::NotChecked;
use crate::config::RegistryAddress;
use crate::upstream::{Load, Question};

/// Where every registry says that it is one (OCI distribution specification, end-1).
const BASE: &str = "/v2/";
/// How long an address of this machine may take to answer.
const NEARBY: Duration = Duration::from_secs(1);

/// Why the replica does not answer; none if it does. Its address is known from here on.
pub(super) async fn replica_fault(
    questions: &Questions,
    registry: &RegistryAddress,
) -> Option<String> {
    let upstream = questions.upstreams.replica();
    let addresses = match registry {
        RegistryAddress::Unix(_) => vec![None],
        RegistryAddress::Tcp(address) => match super::peers::resolve(address).await {
            Ok(addresses) => addresses.into_iter().map(Some).collect(),
            Err(error) => return Some(error),
        },
    };
    let mut fault = None;
    for at in addresses {
        if let Some(at) = at {
            upstream.use_address(at);
        }
        let Some(route) = upstream.route(Load::Question) else {
            continue;
        };
        let question = Question::get(BASE, &registry.host());
        let status = route.ask(&question, PATIENCE).await;
        match status.map(|answer| answer.status) {
            Ok(status) if is_registry(status) => return None,
            Ok(status) => fault = Some(format!("it answered {status} to {BASE}")),
            Err(error) => fault = Some(error.to_string()),
        }
    }
    fault.or(Some("it has no address".to_owned()))
}

fn is_registry(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::UNAUTHORIZED)
}

/// Tries the replica's port at every other address of this machine.
pub(super) async fn look_around(questions: &Questions, facts: &mut Facts<'_>) {
    let config = facts.config;
    let RegistryAddress::Tcp(address) = &config.registry.address else {
        return;
    };
    let Some(at) = questions.upstreams.replica().address() else {
        return;
    };
    let ours: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .collect();
    if !at.ip().is_loopback() {
        if ours.contains(&at.ip()) {
            facts.exposed_at.push(at.to_string());
        } else {
            facts.not_checked.push(NotChecked {
                what: "whether other hosts reach the replica".to_owned(),
                why: format!("{address} is not on this machine: see to it that its network lets nobody else in"),
            });
        }
        return;
    }
    let listen = &config.listen;
    let own = [
        listen.clients.address,
        listen.peers.address,
        listen.admin.address,
    ];
    for ip in ours.into_iter().filter(|ip| is_seen_by_others(*ip)) {
        let other = SocketAddr::new(ip, at.port());
        let is_ours = own.iter().any(|own| {
            own.port() == other.port() && (own.ip().is_unspecified() || own.ip() == other.ip())
        });
        if !is_ours && answers(other, config.registry.tls.is_some()).await {
            facts.exposed_at.push(other.to_string());
        }
    }
}

/// Not loopback, and not link-local, which takes an interface to be named.
fn is_seen_by_others(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// Who answers is the question, so nothing is verified.
async fn answers(at: SocketAddr, tls: bool) -> bool {
    let Ok(route) = nearby(at, tls) else {
        return false;
    };
    let question = Question::get(BASE, &at.to_string());
    let answer = route.ask(&question, NEARBY).await;
    answer.is_ok_and(|answer| is_registry(answer.status))
}
