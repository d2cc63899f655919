//! Deciding what to do.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use shardlet::shard::{
    Access, Arrival, BlobReads, Health, MemberIndex, OwnerDown, Pin, Pins, Plan, Policy, Reject,
    Request, Route, View, parse, plan,
};

use super::{list, members, placement};

const PATHS: &[&str] = &[
    "/v2/",
    "/v2/_catalog",
    "/v2/_zot/ext/search",
    "/zot/auth/token",
    "/zot/auth/login",
    "/",
    "/metrics",
    "/v2/_zot/pprof/",
    "/v2/a/manifests/x",
    "/v2/b/manifests/x",
    "/v2/c/blobs/sha256:1",
    "/v2/d/e/blobs/sha256:2",
    "/v2/f/blobs/uploads/",
    "/v2/g/blobs/uploads/s",
    "/v2/h/tags/list",
    "/v2/i/referrers/sha256:3",
];

/// All that a plan depends on.
#[derive(Debug)]
struct Situation {
    view: View,
    path: &'static str,
    arrival: Arrival,
    access: Access,
    ranged: bool,
    method_is_get: bool,
    sticky: Option<MemberIndex>,
    policy: Policy,
    health: Vec<Health>,
}

impl Situation {
    fn route(&self) -> Route<'static> {
        parse(self.path.as_bytes()).unwrap()
    }

    fn plan(&self) -> Plan {
        let request = Request {
            arrival: self.arrival,
            route: &self.route(),
            access: self.access,
            ranged: self.ranged,
            method_is_get: self.method_is_get,
            sticky: self.sticky,
        };
        plan(&request, &self.view, &self.policy, |index| {
            self.health[index.get()]
        })
    }

    fn owner(&self) -> Option<MemberIndex> {
        match self.route() {
            Route::Repository { repository, .. } => Some(self.view.owner(&repository)),
            Route::Registry(_) | Route::Session | Route::Private => None,
        }
    }
}

fn situation() -> impl Strategy<Value = Situation> {
    let health = prop_oneof![Just(Health::Unknown), Just(Health::Up), Just(Health::Down)];
    let policy = (any::<bool>(), any::<bool>()).prop_map(|(any, fallback)| Policy {
        blobs: if any {
            BlobReads::Any
        } else {
            BlobReads::Owner
        },
        owner_down: if fallback {
            OwnerDown::Fallback
        } else {
            OwnerDown::Reject
        },
    });
    let parts = (
        (
            list(1..6),
            placement(),
            any::<[u8; 16]>(),
            any::<Option<Index>>(),
        ),
        proptest::sample::select(PATHS),
        any::<[bool; 4]>(),
        any::<Option<Index>>(),
        policy,
        vec(health, 6),
    );
    parts.prop_map(
        |((list, placement, key, pin), path, flags, sticky, policy, health)| {
            let members = members(&list);
            let pick = |index: Index| {
                members
                    .iter()
                    .nth(index.index(members.len()))
                    .map(|(index, _)| index)
            };
            let pin = pin.and_then(pick).map(|member| Pin {
                prefix: "a".parse().unwrap(),
                member,
            });
            let sticky = sticky.and_then(pick);
            let pins = Pins::new(pin.into_iter().collect()).unwrap();
            let [peer, write, ranged, method_is_get] = flags;
            Situation {
                view: View::new(members, placement, &key.into(), pins),
                path,
                arrival: if peer { Arrival::Peer } else { Arrival::Client },
                access: if write { Access::Write } else { Access::Read },
                ranged,
                method_is_get,
                sticky,
                policy,
                health,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_peer_arrival_is_never_forwarded(mut situation in situation()) {
        situation.arrival = Arrival::Peer;
        let plan = situation.plan();
        prop_assert!(matches!(plan, Plan::Local | Plan::Reject(_)), "{plan:?}");
    }

    #[test]
    fn a_write_is_served_by_the_owner_or_not_at_all(mut situation in situation()) {
        situation.access = Access::Write;
        let plan = situation.plan();
        prop_assert!(!matches!(plan, Plan::Fallback { .. } | Plan::Spread { .. }), "{plan:?}");
        if let (Plan::Forward(member), Some(owner)) = (plan, situation.owner()) {
            prop_assert_eq!(member, owner);
        }
    }

    #[test]
    fn local_means_the_owner_is_local_or_there_is_none(situation in situation()) {
        let local = situation.view.members().local();
        if situation.plan() == Plan::Local {
            prop_assert!(situation.owner().is_none_or(|owner| owner == local));
        }
    }

    #[test]
    fn nothing_is_sent_to_who_is_down_nor_forwarded_to_ourselves(situation in situation()) {
        let local = situation.view.members().local();
        let sent_to = match situation.plan() {
            Plan::Local | Plan::Fallback { .. } | Plan::Spread { .. } => local,
            Plan::Forward(member) => {
                prop_assert_ne!(member, local);
                member
            }
            Plan::Reject(_) => return Ok(()),
        };
        prop_assert_ne!(situation.health[sent_to.get()], Health::Down);
    }

    #[test]
    fn every_owner_named_is_the_owner(situation in situation()) {
        let named = match situation.plan() {
            Plan::Fallback { owner } | Plan::Spread { owner } => owner,
            Plan::Reject(Reject::OwnerDown { owner } | Reject::Misdirected { owner }) => owner,
            Plan::Local | Plan::Forward(_) | Plan::Reject(Reject::ReplicaDown | Reject::Private) => return Ok(()),
        };
        prop_assert_eq!(Some(named), situation.owner());
        prop_assert_ne!(named, situation.view.members().local());
    }

    #[test]
    fn private_routes_are_always_refused(situation in situation()) {
        let private = situation.route() == Route::Private;
        prop_assert_eq!(private, situation.plan() == Plan::Reject(Reject::Private));
    }
}
