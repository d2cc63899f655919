mod ownerless;
mod spreading;

use super::*;
use crate::shard::members::tests::{id, members};
use crate::shard::pins::{Pin, Pins};
use crate::shard::placement::Placement;
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

/// One case: everything at its most ordinary, to be changed where a row needs it.
struct Case {
    arrival: Arrival,
    path: &'static str,
    access: Access,
    ranged: bool,
    method_is_get: bool,
    sticky: &'static str,
    down: &'static str,
    policy: Policy,
}

const ORDINARY: Case = Case {
    arrival: Client,
    path: MANIFEST_OF_A,
    access: Read,
    ranged: false,
    method_is_get: true,
    sticky: "",
    down: "",
    policy: Policy {
        blobs: BlobReads::Owner,
        owner_down: OwnerDown::Fallback,
    },
};

const MANIFEST_OF_A: &str = "/v2/a/x/manifests/1";
const MANIFEST_OF_B: &str = "/v2/b/x/manifests/1";
const BLOB_OF_A: &str = "/v2/a/x/blobs/sha256:1";
const BLOB_OF_B: &str = "/v2/b/x/blobs/sha256:1";
const REJECTING: Policy = Policy {
    blobs: BlobReads::Owner,
    owner_down: OwnerDown::Reject,
};
const SPREADING: Policy = Policy {
    blobs: BlobReads::Any,
    owner_down: OwnerDown::Fallback,
};

impl Case {
    /// The plan, written as the proxy's log would: `forward a`.
    fn plan(&self) -> String {
        let view = view();
        let name = |index| view.members().get(index).id.to_string();
        let health = |index| match self.down.contains(&name(index)) {
            true => Health::Down,
            false => Health::Up,
        };
        let request = Request {
            arrival: self.arrival,
            route: &route::parse(self.path.as_bytes()).unwrap(),
            access: self.access,
            ranged: self.ranged,
            method_is_get: self.method_is_get,
            sticky: self
                .sticky
                .parse()
                .ok()
                .and_then(|id| view.members().find(&id)),
        };
        match plan(&request, &view, &self.policy, health) {
            Plan::Local => "local".to_owned(),
            Plan::Forward(member) => format!("forward {}", name(member)),
            Plan::Fallback { owner } => format!("fallback {}", name(owner)),
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

#[test]
fn a_clients_request_goes_to_the_owner() {
    for (expected, case) in [
        (
            "local",
            Case {
                path: MANIFEST_OF_B,
                ..ORDINARY
            },
        ),
        (
            "local",
            Case {
                path: MANIFEST_OF_B,
                access: Write,
                ..ORDINARY
            },
        ),
        (
            "local",
            Case {
                path: MANIFEST_OF_B,
                down: "ac",
                ..ORDINARY
            },
        ),
        ("forward a", ORDINARY),
        (
            "forward a",
            Case {
                access: Write,
                ..ORDINARY
            },
        ),
        (
            "forward a",
            Case {
                sticky: "c",
                ..ORDINARY
            },
        ),
        (
            "forward c",
            Case {
                path: "/v2/c/tags/list",
                ..ORDINARY
            },
        ),
        // The local replica is not needed for a forward.
        (
            "forward a",
            Case {
                down: "bc",
                ..ORDINARY
            },
        ),
        (
            "replica down",
            Case {
                path: MANIFEST_OF_B,
                down: "b",
                ..ORDINARY
            },
        ),
        (
            "replica down",
            Case {
                path: MANIFEST_OF_B,
                access: Write,
                down: "b",
                ..ORDINARY
            },
        ),
    ] {
        assert_eq!(case.plan(), expected);
    }
}

#[test]
fn reads_fall_back_and_writes_do_not() {
    for (expected, case) in [
        (
            "fallback a",
            Case {
                down: "a",
                ..ORDINARY
            },
        ),
        (
            "fallback a",
            Case {
                down: "a",
                method_is_get: false,
                ..ORDINARY
            },
        ),
        (
            "fallback a",
            Case {
                down: "ac",
                path: BLOB_OF_A,
                ranged: true,
                ..ORDINARY
            },
        ),
        (
            "owner a down",
            Case {
                down: "a",
                access: Write,
                ..ORDINARY
            },
        ),
        (
            "owner a down",
            Case {
                down: "a",
                access: Write,
                policy: SPREADING,
                ..ORDINARY
            },
        ),
        (
            "owner a down",
            Case {
                down: "a",
                policy: REJECTING,
                ..ORDINARY
            },
        ),
        (
            "owner a down",
            Case {
                down: "ab",
                ..ORDINARY
            },
        ),
    ] {
        assert_eq!(case.plan(), expected);
    }
}

#[test]
fn a_peers_request_is_served_here_or_nowhere() {
    const PEER: Case = Case {
        arrival: Peer,
        ..ORDINARY
    };
    for (expected, case) in [
        (
            "local",
            Case {
                path: MANIFEST_OF_B,
                ..PEER
            },
        ),
        (
            "local",
            Case {
                path: MANIFEST_OF_B,
                access: Write,
                ..PEER
            },
        ),
        (
            "replica down",
            Case {
                path: MANIFEST_OF_B,
                down: "b",
                ..PEER
            },
        ),
        ("misdirected, owner a", PEER),
        ("misdirected, owner a", Case { down: "a", ..PEER }),
        (
            "local",
            Case {
                path: "/v2/",
                ..PEER
            },
        ),
        (
            "local",
            Case {
                path: "/home",
                sticky: "c",
                ..PEER
            },
        ),
        (
            "replica down",
            Case {
                path: "/v2/",
                down: "b",
                ..PEER
            },
        ),
        (
            "private",
            Case {
                path: "/metrics",
                ..PEER
            },
        ),
    ] {
        assert_eq!(case.plan(), expected);
    }
}

#[test]
fn a_member_without_a_verdict_is_tried() {
    let view = view();
    let route = route::parse(MANIFEST_OF_A.as_bytes()).unwrap();
    let request = Request {
        arrival: Client,
        route: &route,
        access: Write,
        ranged: false,
        method_is_get: false,
        sticky: None,
    };
    let planned = plan(&request, &view, &ORDINARY.policy, |_| Health::Unknown);
    assert_eq!(
        planned,
        Plan::Forward(view.members().find(&id("a")).unwrap())
    );
}
