//! Each rule left out is missed.

use super::super::omit::{OMITTED, Rule};
use super::plan::Plan;
use super::scenarios::first_fault;
use crate::shard::placement::Placement;

/// A rule that is not missed within so many seeds is not tested.
const MOST: u64 = 400;

pub(super) struct Without;

impl Without {
    pub(super) fn rules(rules: &'static [Rule]) -> Self {
        OMITTED.set(rules);
        Self
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        OMITTED.set(&[]);
    }
}

fn mutants() -> Vec<(&'static [Rule], Plan)> {
    let (rough, sharp, busy) = (Plan::rough, Plan::sharp, Plan::busy);
    let late = Plan {
        late: 300,
        crashes: 20,
        cuts: 60,
        ..rough()
    };
    let lost = Plan {
        answer_lost: 400,
        ..sharp()
    };
    let clones = Plan {
        clones: 60,
        stops: 80,
        crashes: 20,
        ..Plan::calm()
    };
    let zot = Plan {
        placement: Placement::Zot,
        members: 6,
        running: 6,
        leaves: 0,
        crashes: 40,
        ..rough()
    };
    let comings = Plan {
        members: 8,
        running: 3,
        leaves: 60,
        crashes: 30,
        ..busy()
    };
    vec![
        (&[Rule::CountFromSending], sharp()),
        (&[Rule::CountFromFirstTry], lost),
        (&[Rule::DoubtUnknown], rough()),
        (&[Rule::KnowOwnPut], rough()),
        (&[Rule::KnowClone], clones.clone()),
        (&[Rule::SeeRenewals], rough()),
        (&[Rule::WaitForGrace], busy()),
        (&[Rule::SkipFailures], Plan::outages()),
        (&[Rule::DeclareLongGrace], Plan::killed_by_itself_alone()),
        (&[Rule::DoubtMissing], Plan::strays()),
        (&[Rule::FenceWhatWasSeen], late),
        (&[Rule::RemoveOnlyOver], rough()),
        (&[Rule::ReplaceWhatWasRead], rough()),
        (&[Rule::MindWholeChain], zot),
        (&[Rule::JoinWhenSettled, Rule::MindWholeChain], comings),
        (&[Rule::BeginAnew], rough()),
        (&[Rule::ProveDeath], clones),
        (&[Rule::AwaitWrites], rough()),
        (&[Rule::AwaitAcknowledgement], rough()),
        (&[Rule::AskAtLastByte], busy()),
        (&[Rule::MindOtherRules], Plan::beside_a_file()),
        (&[Rule::MindClocks], Plan::suspended()),
    ]
}

#[test]
fn each_rule_is_missed() {
    let mut survivors = Vec::new();
    for (rules, plan) in mutants() {
        let found = {
            let _without = Without::rules(rules);
            first_fault(&plan, 0..MOST)
        };
        match found {
            Some((seed, fault)) => println!("without {rules:?}: seed {seed}, {fault}"),
            None => {
                println!("without {rules:?}: nothing is missed");
                survivors.push(rules);
            }
        }
    }
    assert!(survivors.is_empty(), "not missed: {survivors:?}");
}
