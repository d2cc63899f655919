//! What to do with one request: the single place where routing policy lives.
//!
//! [`plan`] is exhaustive and has no side effects; the proxy only carries its answer out.

mod second;
#[cfg(test)]
mod tests;

pub use second::second;

use super::health::Health;
use super::members::MemberIndex;
use super::route::{Access, Resource, Route};
use super::view::View;

/// Which listener a request came in by. A fact about the socket, never read from a header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arrival {
    /// The client listener.
    Client,
    /// The peer listener: another member forwarded it.
    Peer,
}

/// The operator's choices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Who serves blobs.
    pub blobs: BlobReads,
    /// What happens to reads while the owner is down.
    pub owner_down: OwnerDown,
}

/// Who serves whole blobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobReads {
    /// The owner, as everything else.
    Owner,
    /// The replica beside the member that the client reached: blobs never change, and a hot repository is spread.
    Any,
}

/// What happens to reads while the owner is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerDown {
    /// Another replica serves them from the shared storage: the local one, or a peer's if it is the local one that is
    /// down.
    Fallback,
    /// They are refused.
    Reject,
}

/// What the plan needs to know about a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How it came.
    pub arrival: Arrival,
    /// What its path means.
    pub route: &'a Route<'a>,
    /// The owner of its repository, if that was looked up already.
    pub owner: Option<MemberIndex>,
    /// Whether its method can write.
    pub access: Access,
    /// Whether it asks for a part only (`Range`).
    pub ranged: bool,
    /// Whether its method is GET.
    pub method_is_get: bool,
    /// The member that its sticky cookie names.
    pub sticky: Option<MemberIndex>,
    /// Whether a peer asks us to stand in for the owner. Without meaning for a client's request or for a write.
    pub fallback: bool,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Send it to the local replica.
    Local,
    /// Send it to this peer: the one hop.
    Forward(MemberIndex),
    /// A read whose owner is down or draining: send it to the local replica.
    Fallback {
        /// The member that would have served it.
        owner: MemberIndex,
    },
    /// A read of a repository of ours while our replica is down: ask this peer to stand in for it. The one hop.
    PeerFallback {
        /// The member that is asked.
        peer: MemberIndex,
    },
    /// A whole blob: send it to the local replica, and to the owner if that does not have it.
    Spread {
        /// The member that has it otherwise.
        owner: MemberIndex,
    },
    /// Answer it ourselves.
    Reject(Reject),
}

/// Why we answer ourselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reject {
    /// The owner is down, and this request may not be served by another.
    OwnerDown {
        /// The owner.
        owner: MemberIndex,
    },
    /// A peer took us for the owner: our view differs from its.
    Misdirected {
        /// The owner in our view.
        owner: MemberIndex,
    },
    /// The local replica is down, and nobody else may serve this request.
    ReplicaDown,
    /// The endpoint is not open on this listener.
    Private,
}

/// Decides what to do with a request.
///
/// `health` gives the verdict on each member; for the local one that is the verdict on its replica.
#[must_use]
pub fn plan(
    request: &Request<'_>,
    view: &View,
    policy: &Policy,
    health: impl Fn(MemberIndex) -> Health,
) -> Plan {
    let owner = |repository| request.owner.unwrap_or_else(|| view.owner(repository));
    match (request.route, request.arrival) {
        (Route::Private, Arrival::Client | Arrival::Peer) => Plan::Reject(Reject::Private),
        (Route::Registry(_) | Route::Session, Arrival::Client) => {
            anywhere(request.sticky, view, health)
        }
        // Peer arrivals stop here, whatever the route: a second hop would mean that the member lists differ.
        (Route::Registry(_) | Route::Session, Arrival::Peer) => local(view, health),
        (Route::Repository { repository, .. }, Arrival::Peer) => match owner(repository) {
            owner if owner == view.members().local() => local(view, health),
            owner if request.fallback && request.access == Access::Read => {
                stand_in(owner, view, policy, health)
            }
            owner => Plan::Reject(Reject::Misdirected { owner }),
        },
        (
            Route::Repository {
                repository,
                resource,
            },
            Arrival::Client,
        ) => match owner(repository) {
            owner if owner == view.members().local() => ours(request.access, view, policy, health),
            owner => at_peer(owner, resource, request, view, policy, health),
        },
    }
}

fn local(view: &View, health: impl Fn(MemberIndex) -> Health) -> Plan {
    if health(view.members().local()).is_usable() {
        Plan::Local
    } else {
        Plan::Reject(Reject::ReplicaDown)
    }
}

/// A peer's read of a repository that is not ours. It says that the owner, which may be itself, cannot serve it.
fn stand_in(
    owner: MemberIndex,
    view: &View,
    policy: &Policy,
    health: impl Fn(MemberIndex) -> Health,
) -> Plan {
    match policy.owner_down {
        // Not a misdirection, which would tell of views that differ: our operator does not want it.
        OwnerDown::Reject => Plan::Reject(Reject::OwnerDown { owner }),
        OwnerDown::Fallback if health(view.members().local()).is_usable() => {
            Plan::Fallback { owner }
        }
        OwnerDown::Fallback => Plan::Reject(Reject::ReplicaDown),
    }
}

/// A client's request for a repository that is ours.
fn ours(
    access: Access,
    view: &View,
    policy: &Policy,
    health: impl Fn(MemberIndex) -> Health,
) -> Plan {
    let plan = local(view, &health);
    if plan == Plan::Local || access == Access::Write || policy.owner_down == OwnerDown::Reject {
        return plan;
    }
    best(peers_after_local(view), health).map_or(plan, |peer| Plan::PeerFallback { peer })
}

/// A client's request for a repository that a peer owns.
fn at_peer(
    owner: MemberIndex,
    resource: &Resource<'_>,
    request: &Request<'_>,
    view: &View,
    policy: &Policy,
    health: impl Fn(MemberIndex) -> Health,
) -> Plan {
    let local_reads = request.access == Access::Read && health(view.members().local()).is_usable();
    if local_reads && policy.blobs == BlobReads::Any && is_whole_blob(resource, request) {
        return Plan::Spread { owner };
    }
    let falls_back = local_reads && policy.owner_down == OwnerDown::Fallback;
    match health(owner) {
        Health::Unknown | Health::Up => Plan::Forward(owner),
        Health::Draining | Health::Down if falls_back => Plan::Fallback { owner },
        Health::Draining => Plan::Forward(owner),
        Health::Down => Plan::Reject(Reject::OwnerDown { owner }),
    }
}

/// HEAD of a blob can write (zot, with deduplication on), and a part is not worth a second try elsewhere.
fn is_whole_blob(resource: &Resource<'_>, request: &Request<'_>) -> bool {
    let is_blob = match resource {
        Resource::Blob { .. } => true,
        Resource::Manifest { .. }
        | Resource::UploadStart
        | Resource::Upload { .. }
        | Resource::Tags
        | Resource::Referrers { .. } => false,
    };
    is_blob && request.method_is_get && !request.ranged
}

/// A client's request that any replica can answer: the sticky member, else the local one, else the next that is up.
///
/// Without the last, a dead replica would cost clients `/v2/`, which they ask before anything else, and so the
/// repositories of all other members too.
fn anywhere(
    sticky: Option<MemberIndex>,
    view: &View,
    health: impl Fn(MemberIndex) -> Health,
) -> Plan {
    let local = view.members().local();
    let candidates = sticky
        .into_iter()
        .chain([local])
        .chain(peers_after_local(view));
    match best(candidates, health) {
        Some(member) if member == local => Plan::Local,
        Some(member) => Plan::Forward(member),
        None => Plan::Reject(Reject::ReplicaDown),
    }
}

/// The first that is up and stays; if there is none, the first that is up.
fn best(
    candidates: impl Iterator<Item = MemberIndex> + Clone,
    health: impl Fn(MemberIndex) -> Health,
) -> Option<MemberIndex> {
    candidates
        .clone()
        .find(|&member| health(member).is_preferred())
        .or_else(|| {
            candidates
                .clone()
                .find(|&member| health(member).is_usable())
        })
}

/// The peers in the order of the list, from the one after the local member on.
/// Where reads of a repository may come from, in the order in which this member asks.
#[must_use]
pub fn readers(owner: MemberIndex, view: &View, policy: &Policy) -> Vec<MemberIndex> {
    let local = view.members().local();
    match policy.owner_down {
        OwnerDown::Reject => vec![owner],
        OwnerDown::Fallback if owner == local => std::iter::once(owner)
            .chain(peers_after_local(view))
            .collect(),
        OwnerDown::Fallback => vec![owner, local],
    }
}

fn peers_after_local(view: &View) -> impl Iterator<Item = MemberIndex> + Clone {
    let local = view.members().local();
    let peers = view.members().peers().map(|(member, _)| member);
    let after = peers.clone().filter(move |member| *member > local);
    after.chain(peers.filter(move |member| *member < local))
}
