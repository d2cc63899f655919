//! Members, their views, clocks and certificates, and who can reach a replica.

use super::super::facts::{Certificate, Facts, Peer, ReplicaFile, Told};
use super::super::finding::{Finding, Kind};
use super::in_file;
use crate::observe::human::day;
use crate::operate::status::HealthStatus;
use crate::shard::text::{foreign_name, printable};

/// A certificate that ends within so many seconds wants to be issued anew.
const NEAR_THE_END: i64 = 14 * 24 * 3600;
/// Clocks may be apart by so many seconds.
const SKEW: f64 = 5.0;

pub(super) fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    sidecar(facts, &mut found);
    for peer in &facts.peers {
        judge(facts, peer, &mut found);
    }
    found.extend(
        facts
            .certificates
            .iter()
            .filter_map(|certificate| near_its_end(facts.now, certificate)),
    );
    if let [first, more @ ..] = facts.exposed_at.as_slice() {
        let more = more.iter().map(|address| format!(" and {address}"));
        let what = format!(
            "the replica answers at {first}{} as well, which other hosts can reach",
            more.collect::<String>()
        );
        found.push(here(Kind::ReplicaReachable, facts, what));
    }
    found
}

fn here(kind: Kind, facts: &Facts<'_>, what: impl Into<String>) -> Finding {
    Finding {
        kind,
        place: facts.local.clone(),
        what: what.into(),
    }
}

/// What the local sidecar says, and the replica beside it.
fn sidecar(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let file = facts.config.view.fingerprint().to_string();
    match &facts.sidecar {
        Err(why) => found.push(here(Kind::SidecarUnreachable, facts, why)),
        Ok(status) => {
            if let Some(refused) = status.configuration.refused() {
                let problem = refused.problems.iter().flat_map(|text| text.lines()).next();
                let what = format!(
                    "the reload of {} was refused: {}",
                    refused.at,
                    printable(problem.unwrap_or("it is in the log"))
                );
                found.push(here(Kind::ConfigurationNotLoaded, facts, what));
            } else if status.view.fingerprint != file && facts.config.coordination.is_none() {
                let what = format!(
                    "it runs with view {}, and the file says {file}",
                    foreign_name(&status.view.fingerprint)
                );
                found.push(here(Kind::ConfigurationNotLoaded, facts, what));
            }
        }
    }
    let held_for_down = facts
        .sidecar
        .as_ref()
        .is_ok_and(|status| status.replica.health == HealthStatus::Down);
    if let Some(fault) = &facts.replica_fault {
        found.push(here(
            Kind::ReplicaDown,
            facts,
            format!("the replica: {fault}"),
        ));
    } else if held_for_down {
        let what = "the replica answers `/v2/`, but not the sidecar's probe (`probes.path`)";
        found.push(here(Kind::ReplicaDown, facts, what));
    }
}

/// One peer's answer, or silence.
fn judge(facts: &Facts<'_>, peer: &Peer, found: &mut Vec<Finding>) {
    let mut add = |kind, what: String| {
        found.push(Finding {
            kind,
            place: peer.id.clone(),
            what,
        });
    };
    let told = match &peer.answer {
        Ok(told) if told.member == peer.id => told,
        Ok(told) => {
            let who = foreign_name(&told.member);
            return add(
                Kind::MemberUnreachable,
                format!("{who} answers at its address, {}", peer.address),
            );
        }
        Err(why) => {
            return add(
                Kind::MemberUnreachable,
                format!("at {}: {}", peer.address, printable(why)),
            );
        }
    };
    if !told.replica_up {
        add(
            Kind::ReplicaDown,
            "it says that its replica is down".to_owned(),
        );
    }
    if let Some(ahead) = told.clock_ahead.filter(|ahead| ahead.abs() > SKEW) {
        let way = if ahead > 0.0 { "ahead of" } else { "behind" };
        add(
            Kind::ClockSkew,
            format!("its clock is {:.0} s {way} this machine's", ahead.abs()),
        );
    }
    if let Some((kind, what)) = other_view(facts, told) {
        add(kind, what);
    }
}

/// In which way a peer's view is another than the one that this member runs with.
fn other_view(facts: &Facts<'_>, told: &Told) -> Option<(Kind, String)> {
    let view = &facts.config.view;
    let file = view.fingerprint().to_string();
    let running = facts
        .sidecar
        .as_ref()
        .map_or(&file, |status| &status.view.fingerprint);
    if told.view == *running {
        return None;
    }
    let described = told.description.clone().zip(told.view.parse().ok());
    // What the file says is known word by word; of what else may run, the fingerprint alone.
    let Some((description, fingerprint)) = described.filter(|_| *running == file) else {
        let what = format!(
            "its view is {}, and this member's {running}",
            foreign_name(&told.view)
        );
        return Some((Kind::ViewDiffers, what));
    };
    let kind = if description.key == view.describe().key {
        Kind::ViewDiffers
    } else {
        Kind::HashKeyDiffers
    };
    let difference = view.difference(&view.rebuild(fingerprint, description));
    Some((kind, format!("it has {}", printable(&difference))))
}

fn near_its_end(now: i64, certificate: &Certificate) -> Option<Finding> {
    let Certificate { name, expires } = certificate;
    let left = expires - now;
    let what = match left {
        ..=0 => format!("it expired on {}", day(*expires)),
        1..NEAR_THE_END => format!("it expires on {}", day(*expires)),
        _ => return None,
    };
    Some(Finding {
        kind: Kind::CertificateExpires,
        place: name.clone(),
        what,
    })
}

/// A replica that is not bound to loopback, unless it is where the sidecar looks for it: then others may reach it or
/// not, which its network decides.
pub(super) fn bound(replica: &ReplicaFile, path: &[&str], address: &str) -> Option<Finding> {
    let host = match path {
        ["http", "addr"] => address.rsplit_once(':').map_or(address, |(host, _)| host),
        _ => address,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    if is_loopback || replica.reached_over_network {
        return None;
    }
    let shown = if host.is_empty() {
        "every address"
    } else {
        address
    };
    let what = format!("{} is {shown}", path.join("."));
    Some(in_file(Kind::ReplicaReachable, replica, path, what))
}
