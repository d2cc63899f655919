//! Reads `cluster.coordination`, and what a member says of itself where no list says it.

use std::time::Duration;

use super::duration::{duration, spelled};
use super::environment::{ADDRESS_VARIABLE, Environment};
use super::findings::{Findings, Wrong};
use super::problem::Location;
use super::schema;
use super::section::{Section, scalar};
use super::settings::{StoreSettings, Timeouts};
use super::store;
use super::values::{boolean, number, parsed};
use crate::shard::leases::Timing;
use crate::shard::text::printable;
use crate::shard::{Host, MemberAddress, Placement, Weight};

/// The default of `lease`.
const LEASE: Duration = Duration::from_secs(10);
/// The default of `handoff`.
const HANDOFF: Duration = Duration::from_secs(5);
/// How long a replica may go on that is killed.
const KILLED: Duration = Duration::from_secs(5);
/// How often a record is read that is waited for.
const POLL: Duration = Duration::from_millis(250);
/// How far clocks may differ in speed, in thousandths.
const DRIFT: u32 = 10;
/// A lease is renewed so often while it lasts, and `guard` is shorter than the time in between.
const RENEWALS: u32 = 4;
/// What stands in for an address that another machine has. It belongs to nobody (RFC 2606).
const STAND_IN: &str = "member.invalid:5443";

/// What stands under `cluster.coordination`.
pub(super) struct Written {
    pub(super) store: StoreSettings,
    pub(super) timing: Timing,
    pub(super) replica_kill: Option<Vec<String>>,
    pub(super) replica_ends_with_sidecar: bool,
}

/// Whether members work by leases. Where the key is misspelled, nobody wants to hear that a list is missing.
pub(super) fn is_written(cluster: &Section<'_>) -> bool {
    cluster.is_meant("coordination")
}

/// None if it is not there, or after a complaint.
pub(super) fn read(
    cluster: &Section<'_>,
    timeouts: &Timeouts,
    out: &mut Findings<'_>,
) -> Option<Written> {
    if !is_written(cluster) {
        return None;
    }
    let written = cluster.section("coordination", &schema::COORDINATION, out);
    let store = store::read(&written, out);
    let replica_kill = written.node("replica_kill").map(|_| kill(&written, out));
    let replica_ends_with_sidecar = written.or("replica_ends_with_sidecar", out, false, boolean);
    half_a_level(&written, replica_ends_with_sidecar, out);
    let timing = timing(&written, timeouts, out);
    Some(Written {
        store: store?,
        timing,
        replica_kill,
        replica_ends_with_sidecar,
    })
}

fn timing(written: &Section<'_>, timeouts: &Timeouts, out: &mut Findings<'_>) -> Timing {
    let seconds = Duration::from_secs;
    let lease = written.or("lease", out, LEASE, duration(seconds(3)..=seconds(60)));
    let renew = lease / RENEWALS;
    let least = Duration::from_millis(100);
    let margin = written.or("guard", out, lease / 10, duration(least..=seconds(15)));
    if let Some(node) = written.node("guard")
        && margin >= renew
    {
        let message = format!(
            "`guard` ({}) is not shorter than a quarter of `lease` ({})",
            spelled(margin),
            spelled(lease)
        );
        let help = "a lease is renewed four times while it lasts: with such a guard, writes would stop between renewals";
        out.problem(&node.mark, message, Some(help.into()));
    }
    let handoff = written.or(
        "handoff",
        out,
        HANDOFF,
        duration(Duration::ZERO..=seconds(300)),
    );
    Timing {
        lease,
        renew,
        margin,
        grace: timeouts.aftermath,
        killed: KILLED,
        handoff,
        poll: POLL,
        drift: DRIFT,
    }
}

/// A program and its arguments.
fn kill(written: &Section<'_>, out: &mut Findings<'_>) -> Vec<String> {
    const EXPECTED: &str = "words of a command, such as `[/usr/local/bin/kill-replica]`";
    let items = written.items("replica_kill", EXPECTED, out);
    if let (Some(node), []) = (written.node("replica_kill"), items)
        && node.kind.is_empty()
    {
        let help = "name a program and its arguments, or leave `replica_kill` out";
        out.problem(&node.mark, "there is no command".into(), Some(help.into()));
    }
    let word = |at: usize, text: &str| {
        if text.is_empty() || text.contains('\0') {
            return Err(Wrong::expected("a word of a command"));
        }
        // What a relative path means depends on where the process was started.
        if at == 0 && text.contains('/') && !text.starts_with('/') {
            return Err(Wrong::expected(
                "the absolute path of a program, or its name alone",
            ));
        }
        Ok(text.to_owned())
    };
    let read = |(at, node)| {
        scalar(node, "cluster.coordination.replica_kill", out, |text| {
            word(at, text)
        })
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// Either half alone is legal, and probably not meant.
fn half_a_level(written: &Section<'_>, ends_with_sidecar: bool, out: &mut Findings<'_>) {
    let kill = written.node("replica_kill");
    let ends = written.node("replica_ends_with_sidecar");
    let (node, message, help) = match (kill, ends, ends_with_sidecar) {
        (Some(kill), _, false) => (
            kill,
            "`replica_kill` without `replica_ends_with_sidecar: true` is level L0: others wait for `timeouts.aftermath`",
            "a process that is gone or stopped gives no command; have something else kill the replica within 2 s then",
        ),
        (None, Some(ends), true) => (
            ends,
            "`replica_ends_with_sidecar` without `replica_kill` is level L0: others wait for `timeouts.aftermath`",
            "a process that lives and loses its lease has to kill the replica itself: write `replica_kill`",
        ),
        _ => return,
    };
    out.remark(&node.mark, message.into(), Some(help.into()));
}

/// Where others reach us, and our share. With a list of members both stand there; without leases
/// neither is written here.
pub(super) fn own(
    cluster: &Section<'_>,
    placement: Placement,
    is_listed: bool,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<(MemberAddress, Weight)> {
    let address = cluster.value("address", out, own_address);
    let weight = weight(cluster, placement, out);
    let listed_elsewhere = match (is_written(cluster), is_listed) {
        (false, _) => Some("is for members that work by leases, with `cluster.coordination`"),
        (true, true) => Some("is in the list of members already"),
        (true, false) => None,
    };
    if let Some(why) = listed_elsewhere {
        for key in ["address", "weight"] {
            if let Some(node) = cluster.node(key) {
                let help = "`cluster.members` says where members are reached, and their shares";
                let message = format!("`cluster.{key}` {why}");
                out.problem(&node.mark, message, Some(help.into()));
            }
        }
        return None;
    }
    if let Some(text) = env.address {
        let address = own_address(text).map_err(|Wrong { expected, help }| {
            let message = format!("bad value `{}`: expected {expected}", printable(text));
            out.elsewhere(Location::Variable(ADDRESS_VARIABLE), message, help);
        });
        return Some((address.ok()?, weight));
    }
    if cluster.node("address").is_some() {
        return Some((address?, weight));
    }
    // Which member it is does not show here either.
    if env.surroundings.is_none() {
        if env.elsewhere {
            let message =
                format!("no `cluster.address`: it must come from the variable {ADDRESS_VARIABLE}");
            out.whole_remark(message, None);
        }
        return Some((STAND_IN.parse().ok()?, weight));
    }
    let help =
        format!("where other members reach our peer listener; or the variable {ADDRESS_VARIABLE}");
    cluster.lacks("address", out, Some(help));
    None
}

/// Whether the variable says what the list says of us; complains if not.
pub(super) fn agrees(listed: &MemberAddress, env: &Environment<'_>, out: &mut Findings<'_>) {
    let Some(text) = env
        .address
        .filter(|text| text.parse().as_ref() != Ok(listed))
    else {
        return;
    };
    let message = format!(
        "`{}` is not where `cluster.members` has us, {listed}",
        printable(text)
    );
    let help = "leave the variable empty, or write the same into the list";
    out.elsewhere(
        Location::Variable(ADDRESS_VARIABLE),
        message,
        Some(help.into()),
    );
}

fn own_address(text: &str) -> Result<MemberAddress, Wrong> {
    const EXPECTED: &str = "a host and a port, such as `zot-1:5443`";
    let address: MemberAddress = parsed(EXPECTED)(text)?;
    match &address.host {
        Host::Ip(ip) if ip.is_unspecified() => {
            Err(Wrong::expected(EXPECTED).help("write the address that other members reach us at"))
        }
        Host::Ip(_) | Host::Name(_) => Ok(address),
    }
}

/// A share of the repositories, of a member in a list too.
pub(super) fn weight(
    section: &Section<'_>,
    placement: Placement,
    out: &mut Findings<'_>,
) -> Weight {
    let weight = section.or("weight", out, Weight::default(), |text| {
        let weight = number(1..=Weight::MAX)(text)?;
        Weight::new(weight).map_err(|error| Wrong::expected(error.to_string()))
    });
    if let (Placement::Zot, Some(node)) = (placement, section.node("weight"))
        && weight != Weight::default()
    {
        let help = "zot placement gives each member the same share; use `placement: rendezvous` for weights";
        let message = format!("weight {weight} with `placement: zot`");
        out.problem(&node.mark, message, Some(help.into()));
    }
    weight
}
