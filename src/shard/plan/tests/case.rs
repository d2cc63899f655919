//! A request and the state of the cluster, and what is planned for it.

use crate::shard::members::tests::{id, members};
use crate::shard::pins::{Pin, Pins};
use crate::shard::placement::Placement;
use crate::shard::plan::*;
use crate::shard::route;

use Access::{Read, Write};
use Arrival::{Client, Peer};

/// We are `b`. Repositories `a/…`, `b/…`, `c/…` belong to the member of that name.
fn view() -> View {
    let members = members(&["a", "b", "c"], "b");
    let pin = |name: &str| Pin {
        prefix: name.parse().unwrap(),
        member: members.find(&id(name)).unwrap(),
    };
    let pins = Pins::new(vec![pin("a"), pin("b"), pin("c")]).unwrap();
    View::new(members, Placement::Rendezvous, &[1; 16].into(), pins)
}

/// A request and the state of the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    path: &'static str,
    arrival: Arrival,
    access: Access,
    method_is_get: bool,
    ranged: bool,
    sticky: &'static str,
    /// The ids of the members that are down.
    down: &'static str,
    /// The ids of the members that are draining, if they are not down.
    draining: &'static str,
    fallback: bool,
    policy: Policy,
}

/// A client's GET, all members up, the policy that is the default.
pub(super) fn read(path: &'static str) -> Case {
    Case {
        path,
        arrival: Client,
        access: Read,
        method_is_get: true,
        ranged: false,
        sticky: "",
        down: "",
        draining: "",
        fallback: false,
        policy: Policy {
            blobs: BlobReads::Owner,
            owner_down: OwnerDown::Fallback,
        },
    }
}

/// The same with a method that writes, even if somebody calls it GET.
pub(super) fn write(path: &'static str) -> Case {
    Case {
        access: Write,
        ..read(path)
    }
}

impl Case {
    pub(super) fn peer(self) -> Self {
        Self {
            arrival: Peer,
            ..self
        }
    }

    pub(super) fn not_get(self) -> Self {
        Self {
            method_is_get: false,
            ..self
        }
    }

    pub(super) fn ranged(self) -> Self {
        Self {
            ranged: true,
            ..self
        }
    }

    pub(super) fn sticky(self, sticky: &'static str) -> Self {
        Self { sticky, ..self }
    }

    pub(super) fn down(self, down: &'static str) -> Self {
        Self { down, ..self }
    }

    pub(super) fn draining(self, draining: &'static str) -> Self {
        Self { draining, ..self }
    }

    pub(super) fn fallback(self) -> Self {
        Self {
            fallback: true,
            ..self
        }
    }

    pub(super) fn spreading(mut self) -> Self {
        self.policy.blobs = BlobReads::Any;
        self
    }

    pub(super) fn rejecting(mut self) -> Self {
        self.policy.owner_down = OwnerDown::Reject;
        self
    }

    pub(super) fn plan(&self) -> String {
        self.plan_with(|name| {
            if self.down.contains(name) {
                Health::Down
            } else {
                Health::Up.when_draining(self.draining.contains(name))
            }
        })
    }

    /// The plan, written as a log would: `forward a`.
    pub(super) fn plan_with(&self, health: impl Fn(&str) -> Health) -> String {
        let view = view();
        let name = |index| view.members().get(index).id.to_string();
        let request = Request {
            arrival: self.arrival,
            route: &route::parse(self.path).unwrap(),
            owner: None,
            access: self.access,
            ranged: self.ranged,
            method_is_get: self.method_is_get,
            sticky: self
                .sticky
                .parse()
                .ok()
                .and_then(|id| view.members().find(&id)),
            fallback: self.fallback,
        };
        match plan(&request, &view, &self.policy, |index| health(&name(index))) {
            Plan::Local => "local".to_owned(),
            Plan::Forward(member) => format!("forward {}", name(member)),
            Plan::Fallback { owner } => format!("fallback {}", name(owner)),
            Plan::PeerFallback { peer } => format!("fallback to peer {}", name(peer)),
            Plan::Spread { owner } => format!("spread {}", name(owner)),
            Plan::Reject(Reject::OwnerDown { owner }) => format!("owner {} down", name(owner)),
            Plan::Reject(Reject::Misdirected { owner }) => {
                format!("misdirected, owner {}", name(owner))
            }
            Plan::Reject(Reject::ReplicaDown) => "replica down".to_owned(),
            Plan::Reject(Reject::Private) => "private".to_owned(),
        }
    }
}
