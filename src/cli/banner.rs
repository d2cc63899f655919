//! What a member says about itself when it starts: enough to see on a screen of three terminals
//! which one is which. What is wrong stands in the log.

use crate::observe::human::{columns, percent};
use crate::operate::status::{ListenerStatus, Status};

/// Members that are listed one by one; a long list would push everything else off the screen.
const MAX_MEMBERS: usize = 12;

/// Renders the start banner.
pub(crate) fn render(status: &Status) -> String {
    let mut rows: Vec<[String; 2]> = status
        .listeners
        .iter()
        .map(|listener| [listener.name.clone(), socket(listener)])
        .collect();
    rows.push(["replica".into(), status.replica.address.clone()]);
    rows.push(["members".into(), members(status)]);
    rows.push([
        "placement".into(),
        format!(
            "{}, view {}",
            status.view.placement, status.view.fingerprint
        ),
    ]);
    if !status.view.pins.is_empty() {
        let pins = status
            .view
            .pins
            .iter()
            .map(|pin| format!("{}={}", pin.prefix, pin.member));
        rows.push(["pins".into(), listed(pins)]);
    }
    if let Some(leases) = &status.leases {
        let text = format!("{}, level {}", leases.store, leases.level);
        rows.push(["leases".into(), text]);
    }
    let indented = |text: &str| {
        text.lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    };
    let mut out = format!("shardlet {}: this is {}\n", status.version, status.member);
    out.push_str(&indented(&columns(&rows)));
    out
}

/// The same as events, for machines.
pub(crate) fn log(status: &Status) {
    let at = |name: &str| {
        let listener = status.listeners.iter().find(|one| one.name == name);
        listener.map(socket)
    };
    let leases = status.leases.as_ref();
    tracing::info!(
        version = status.version,
        clients = at("clients"),
        peers = at("peers"),
        admin = at("admin"),
        replica = status.replica.address,
        members = members(status),
        placement = status.view.placement,
        view = status.view.fingerprint,
        leases = leases.map(|leases| &leases.store),
        level = leases.map(|leases| &leases.level),
        "serving"
    );
    for warning in &status.warnings {
        tracing::warn!("{warning}");
    }
}

fn socket(listener: &ListenerStatus) -> String {
    let address = &listener.address;
    match listener.security.as_str() {
        "mtls" => format!("{address} (mutual TLS)"),
        "tls" => format!("https://{address}"),
        _ => format!("http://{address}"),
    }
}

fn members(status: &Status) -> String {
    let members = &status.view.members;
    let mine = members
        .iter()
        .find(|member| member.local)
        .map_or(0.0, |member| member.share);
    let ids = members.iter().map(|member| member.id.clone());
    format!("{}; my share is {}", listed(ids), percent(mine))
}

fn listed(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(MAX_MEMBERS);
    let mut list = texts.take(MAX_MEMBERS).collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::tests::sample;

    #[test]
    fn the_banner_is_pinned() {
        insta::assert_snapshot!(render(&sample()));
    }

    #[test]
    fn a_long_list_of_members_is_cut() {
        let mut status = sample();
        let member = status.view.members[1].clone();
        status.view.members.extend(std::iter::repeat_n(member, 297));
        let banner = render(&status);
        assert!(
            banner.contains(" and 288 more; my share is 25.0%"),
            "{banner}"
        );
        assert!(banner.lines().count() < 12);
    }
}
