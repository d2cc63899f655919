//! Which of the members is this one?
//!
//! By flag, else environment, else file, else as zot finds itself: the member whose address is one
//! of this machine's addresses with the peer listener's port. Unlike zot, a name that does not
//! resolve is no reason to stop as long as the answer is clear: peers may start later than we do.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use crate::shard::{Host, Member, MemberId};

/// Most addresses or members that a message lists.
const MAX_LISTED: usize = 8;

/// How the local member was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// `--member`.
    Flag,
    /// `SHARDLET_MEMBER`.
    Variable,
    /// `member:` in the file.
    File,
    /// This machine has the member's address.
    Address(IpAddr),
    /// The host name of this machine, where no list says who the members are.
    HostName,
    /// Not at all: the first member stands in, since an offline command asked for no more.
    Assumed,
}

impl fmt::Display for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("--member"),
            Self::Variable => f.write_str("SHARDLET_MEMBER"),
            Self::File => f.write_str("`member` in the file"),
            Self::Address(address) => write!(f, "the local address {address}"),
            Self::HostName => f.write_str("the host name"),
            Self::Assumed => f.write_str("assumption"),
        }
    }
}

/// What names resolve to, or why they do not.
pub type Resolved = HashMap<String, Result<Vec<IpAddr>, String>>;

/// Looks at the machine, for the one case in which nothing names the member.
pub trait Surroundings {
    /// Addresses of all local interfaces.
    ///
    /// # Errors
    /// What the operating system says.
    fn addresses(&self) -> std::io::Result<Vec<IpAddr>>;

    /// The name of this machine.
    ///
    /// # Errors
    /// What the operating system says, or a name that is no text.
    fn host_name(&self) -> std::io::Result<String>;

    /// Resolves all names at once, within a bounded time. Names may be missing from the answer.
    fn resolve(&self, names: &[&str]) -> Resolved;

    /// Whether to look again, after a while, for a member whose name may be one of those that do not
    /// resolve yet. Asked after each look that was in vain, of which there were `looks` before.
    fn wait_for_names(&self, _looks: u32, _why: &Unidentified) -> bool {
        false
    }
}

/// What to do where this machine does not say which member it is.
pub const NAME_IT: &str =
    "name it: `--member ID`, the variable SHARDLET_MEMBER, or `member: ID` in the file";

/// The one member that has an address of this machine and listens on `port`.
///
/// # Errors
/// [`Unidentified`], when no member or more than one has.
pub fn by_address(
    members: &[Member],
    port: u16,
    local: &[IpAddr],
    resolved: &Resolved,
) -> Result<(MemberId, IpAddr), Unidentified> {
    // The whole of 127.0.0.0/8 is local: Debian has the machine's own name at 127.0.1.1.
    let is_local = |ip: &IpAddr| {
        ip.is_loopback()
            || local
                .iter()
                .any(|own| own.to_canonical() == ip.to_canonical())
    };
    let candidates = members.iter().filter(|member| member.address.port == port);
    let matches: Vec<(MemberId, IpAddr)> = candidates
        .filter_map(|member| {
            let found = addresses_of(&member.address.host, resolved)
                .into_iter()
                .find(is_local)?;
            Some((member.id.clone(), found))
        })
        .collect();
    match matches.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Unidentified::NoMatch {
            port,
            local: local.to_vec(),
            tried: tried(members, port, resolved),
            unresolved: members.iter().any(|member| {
                member.address.port == port && !is_resolved(&member.address.host, resolved)
            }),
        }),
        [_, _, ..] => Err(Unidentified::Ambiguous { port, matches }),
    }
}

fn addresses_of(host: &Host, resolved: &Resolved) -> Vec<IpAddr> {
    match host {
        Host::Ip(ip) => vec![*ip],
        Host::Name(name) => match resolved.get(&**name) {
            Some(Ok(addresses)) => addresses.clone(),
            Some(Err(_)) | None => Vec::new(),
        },
    }
}

fn is_resolved(host: &Host, resolved: &Resolved) -> bool {
    match host {
        Host::Ip(_) => true,
        Host::Name(name) => {
            matches!(resolved.get(&**name), Some(Ok(addresses)) if !addresses.is_empty())
        }
    }
}

fn tried(members: &[Member], port: u16, resolved: &Resolved) -> Vec<String> {
    let verdict = |member: &Member| {
        if member.address.port != port {
            return format!("another port than {port}");
        }
        match &member.address.host {
            Host::Ip(_) => "not local".to_owned(),
            Host::Name(name) => match resolved.get(&**name) {
                Some(Ok(addresses)) if addresses.is_empty() => "no address".to_owned(),
                Some(Ok(addresses)) => format!("at {}, not local", list(addresses)),
                Some(Err(error)) => error.clone(),
                None => "not resolved in time".to_owned(),
            },
        }
    };
    members
        .iter()
        .map(|member| format!("{} ({}: {})", member.id, member.address, verdict(member)))
        .collect()
}

/// Why the local member is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// No member has an address of this machine.
    NoMatch {
        /// The peer listener's port.
        port: u16,
        /// Addresses of this machine.
        local: Vec<IpAddr>,
        /// Each member, with why it is not this one.
        tried: Vec<String>,
        /// Whether the name of one that it could be does not resolve.
        unresolved: bool,
    },
    /// More than one member has an address of this machine.
    Ambiguous {
        /// The peer listener's port.
        port: u16,
        /// The members that match, each by an address.
        matches: Vec<(MemberId, IpAddr)>,
    },
}

impl Unidentified {
    /// Whether the names that do not resolve may yet tell.
    pub(super) fn may_resolve(&self) -> bool {
        match self {
            Self::NoMatch { unresolved, .. } => *unresolved,
            Self::Ambiguous { .. } => false,
        }
    }
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot tell which member this is: ")?;
        match self {
            Self::NoMatch {
                port,
                local,
                tried,
                unresolved: _,
            } => write!(
                f,
                "no member has an address of this machine with the peer listener's port {port}; \
                 this machine has {}; tried {}",
                list(local),
                list(tried)
            ),
            Self::Ambiguous { port, matches } => {
                let matches: Vec<_> = matches
                    .iter()
                    .map(|(id, ip)| format!("{id} (by {ip})"))
                    .collect();
                write!(
                    f,
                    "more than one member has an address of this machine with port {port}: {}",
                    list(&matches)
                )
            }
        }
    }
}

impl std::error::Error for Unidentified {}

fn list<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let mut shown: Vec<String> = items
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect();
    if items.len() > MAX_LISTED {
        shown.push(format!("and {} more", items.len() - MAX_LISTED));
    }
    shown.join(", ")
}
