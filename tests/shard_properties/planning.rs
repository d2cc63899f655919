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
    fallback: bool,
    policy: Policy,
    health: Vec<Health>,
}

impl Situation {
    fn route(&self) -> Route<'static> {
        parse(self.path).unwrap()
    }

    fn plan(&self) -> Plan {
        let request = Request {
            arrival: self.arrival,
            route: &self.route(),
            owner: None,
            access: self.access,
            ranged: self.ranged,
            method_is_get: self.method_is_get,
            sticky: self.sticky,
            fallback: self.fallback,
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
    let health = proptest::sample::select(vec![
        Health::Unknown,
        Health::Up,
        Health::Draining,
        Health::Down,
        Health::Down,
    ]);
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
        any::<[bool; 5]>(),
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
            let [peer, write, ranged, method_is_get, fallback] = flags;
            Situation {
                view: View::new(members, placement, &key.into(), pins),
                path,
                arrival: if peer { Arrival::Peer } else { Arrival::Client },
                access: if write { Access::Write } else { Access::Read },
                ranged,
                method_is_get,
                sticky,
                fallback,
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
        let local = situation.view.members().local();
        match situation.plan() {
            Plan::Local | Plan::Reject(_) => {}
            Plan::Fallback { .. } => {
                prop_assert!(situation.fallback, "nobody asked for it");
                prop_assert_ne!(situation.owner(), Some(local));
            }
            plan @ (Plan::Forward(_) | Plan::PeerFallback { .. } | Plan::Spread { .. }) => {
                prop_assert!(false, "{plan:?}");
            }
        }
    }

    #[test]
    fn a_write_is_served_by_the_owner_or_not_at_all(mut situation in situation()) {
        situation.access = Access::Write;
        let Some(owner) = situation.owner() else {
            return Ok(());
        };
        match situation.plan() {
            Plan::Reject(_) => {}
            Plan::Local => prop_assert_eq!(owner, situation.view.members().local()),
            Plan::Forward(member) => prop_assert_eq!(member, owner),
            plan @ (Plan::Fallback { .. } | Plan::PeerFallback { .. } | Plan::Spread { .. }) => {
                prop_assert!(false, "{plan:?}");
            }
        }
    }

    #[test]
    fn only_reads_of_a_repository_fall_back_and_only_if_the_operator_likes(situation in situation()) {
        if matches!(situation.plan(), Plan::Fallback { .. } | Plan::PeerFallback { .. }) {
            prop_assert_eq!(situation.access, Access::Read);
            prop_assert_eq!(situation.policy.owner_down, OwnerDown::Fallback);
            prop_assert!(situation.owner().is_some());
        }
    }

    #[test]
    fn a_peer_is_asked_to_stand_in_only_for_our_own_dead_replica(situation in situation()) {
        let local = situation.view.members().local();
        if let Plan::PeerFallback { peer } = situation.plan() {
            prop_assert_eq!(situation.arrival, Arrival::Client);
            prop_assert_eq!(situation.owner(), Some(local));
            prop_assert_eq!(situation.health[local.get()], Health::Down);
            prop_assert_ne!(peer, local);
        }
    }

    /// The wish to stand in changes reads of what others own, for peers, and nothing else.
    #[test]
    fn a_wish_without_meaning_changes_nothing(mut situation in situation()) {
        let local = situation.view.members().local();
        let has_meaning = situation.arrival == Arrival::Peer
            && situation.access == Access::Read
            && situation.owner().is_some_and(|owner| owner != local);
        situation.fallback = true;
        let with = situation.plan();
        situation.fallback = false;
        let without = situation.plan();
        if has_meaning {
            prop_assert!(matches!(without, Plan::Reject(Reject::Misdirected { .. })), "{without:?}");
            prop_assert!(!matches!(with, Plan::Reject(Reject::Misdirected { .. })), "{with:?}");
        } else {
            prop_assert_eq!(with, without);
        }
    }

    /// A draining member is sent a read only where it is the owner or nobody who stays is up.
    #[test]
    fn who_is_draining_is_spared(mut situation in situation()) {
        situation.access = Access::Read;
        let (Plan::Forward(member) | Plan::PeerFallback { peer: member }) = situation.plan() else {
            return Ok(());
        };
        if situation.health[member.get()] != Health::Draining {
            return Ok(());
        }
        let members = situation.view.members();
        if situation.owner() == Some(member) {
            let may = situation.policy.owner_down == OwnerDown::Fallback;
            prop_assert!(!may || situation.health[members.local().get()] == Health::Down);
        } else {
            prop_assert!(members.iter().all(|(member, _)| !situation.health[member.get()].is_preferred()));
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
            Plan::Forward(member) | Plan::PeerFallback { peer: member } => {
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
            Plan::Local
            | Plan::Forward(_)
            | Plan::PeerFallback { .. }
            | Plan::Reject(Reject::ReplicaDown | Reject::Private) => return Ok(()),
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
