//! What people are told of a change of the view.

use super::super::Change;
use super::super::record::{Arrangement, Epoch, Incarnation, LeaseState, Nonce, Seat, ViewRecord};
use super::one::{numbered, seat};
use super::plan::Plan;
use crate::shard::members::tests::id;
use crate::shard::members::{MemberId, Weight};

/// A view of the members at these places, a, b and so on.
fn view(epoch: u64, fenced: u64, members: &[usize]) -> ViewRecord {
    let plan = Plan::calm();
    let setup = |index: &usize| numbered(&plan, *index, 1);
    ViewRecord {
        nonce: Nonce {
            process: 1,
            call: epoch,
        },
        now: Arrangement {
            epoch: Epoch(epoch),
            members: members.iter().map(|index| seat(&setup(index))).collect(),
            policy: setup(&0).policy,
        },
        chain: Vec::new(),
        fenced,
    }
}

fn ids(texts: &[&str]) -> Vec<MemberId> {
    texts.iter().map(|text| id(text)).collect()
}

#[test]
fn who_came_and_who_went_and_why() {
    let first = Change::between(None, &view(4, 0, &[0, 1]), |_| None);
    assert_eq!((first.is_first, first.members, first.epoch.0), (true, 2, 4));
    let before = view(4, 1, &[0, 1, 2]);
    let between = |after: &ViewRecord| Change::between(Some(&before), after, |_| None);
    let came = between(&view(5, 1, &[0, 1, 2, 3]));
    assert_eq!(came.came, ids(&["d"]));
    // Nobody was fenced, so they left; or all of them were; of some it is not known.
    assert_eq!(between(&view(5, 1, &[0])).left, ids(&["b", "c"]));
    assert_eq!(between(&view(5, 3, &[0])).fenced, ids(&["b", "c"]));
    assert_eq!(between(&view(5, 2, &[0])).went, ids(&["b", "c"]));
    // What was read of a lease is better.
    let read = |seat: &Seat| (seat.id == id("c")).then_some(LeaseState::Released);
    let change = Change::between(Some(&before), &view(5, 2, &[0]), read);
    assert_eq!((change.went, change.left), (ids(&["b"]), ids(&["c"])));
}

#[test]
fn what_has_changed_in_those_that_stay() {
    let before = view(4, 0, &[0, 1, 2]);
    let mut after = view(5, 0, &[0, 1, 2]);
    after.now.members[0].incarnation = Incarnation(2);
    after.now.members[1].weight = Weight::new(7).unwrap();
    after.now.policy.pins = vec![("team".into(), "a".into())];
    let change = Change::between(Some(&before), &after, |_| None);
    let expected = Change {
        epoch: Epoch(5),
        members: 3,
        anew: ids(&["a"]),
        changed: ids(&["b"]),
        policy: true,
        ..Change::default()
    };
    assert_eq!(change, expected);
}
