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
    /// The local replica serves them from the shared storage.
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
    /// Whether its method can write.
    pub access: Access,
    /// Whether it asks for a part only (`Range`).
    pub ranged: bool,
    /// Whether its method is GET.
    pub method_is_get: bool,
    /// The member that its sticky cookie names.
    pub sticky: Option<MemberIndex>,
    /// fb
    pub fallback: bool,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Send it to the local replica.
    Local,
    /// Send it to this peer: the one hop.
    Forward(MemberIndex),
    /// A read whose owner is down: send it to the local replica.
    Fallback {
        /// The member that would have served it.
        owner: MemberIndex,
    },
    /// pf
    PeerFallback {
        /// p
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
    match (request.route, request.arrival) {
        (Route::Private, Arrival::Client | Arrival::Peer) => Plan::Reject(Reject::Private),
        (Route::Registry(_) | Route::Session, Arrival::Client) => {
            anywhere(request.sticky, view, health)
        }
        // Peer arrivals stop here, whatever the route: a second hop would mean that the member lists differ.
        (Route::Registry(_) | Route::Session, Arrival::Peer) => local(view, health),
        (Route::Repository { repository, .. }, Arrival::Peer) => match view.owner(repository) {
            owner if owner == view.members().local() => local(view, health),
            owner => Plan::Reject(Reject::Misdirected { owner }),
        },
        (
            Route::Repository {
                repository,
                resource,
            },
            Arrival::Client,
        ) => match view.owner(repository) {
            owner if owner == view.members().local() => local(view, health),
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
    if health(owner).is_usable() {
        return Plan::Forward(owner);
    }
    match policy.owner_down {
        OwnerDown::Fallback if local_reads => Plan::Fallback { owner },
        OwnerDown::Fallback | OwnerDown::Reject => Plan::Reject(Reject::OwnerDown { owner }),
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
    let sticky = sticky.filter(|&member| member != local && health(member).is_usable());
    if let Some(member) = sticky {
        return Plan::Forward(member);
    }
    if health(local).is_usable() {
        return Plan::Local;
    }
    let after = view.members().peers().filter(|(member, _)| *member > local);
    let before = view.members().peers().filter(|(member, _)| *member < local);
    match after
        .chain(before)
        .find(|(member, _)| health(*member).is_usable())
    {
        Some((member, _)) => Plan::Forward(member),
        None => Plan::Reject(Reject::ReplicaDown),
    }
}
fn next_peer(view: &View, health: impl Fn(MemberIndex) -> Health) -> Option<MemberIndex> {
    view.members().peers().map(|(m, _)| m).find(|m| health(*m).is_usable())
}
