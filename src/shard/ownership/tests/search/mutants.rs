//! Each rule left out is missed: then there are two writers.

use super::super::super::omit::Rule;
use super::super::omitted::Without;
use super::models::{Model, NO_TROUBLE, trouble};
use super::moves::Budget;

/// A search gives up on finding what is missed beyond so many states.
const MOST: usize = 400_000;

fn judged_first() -> Model {
    let mut model = Model::moved(trouble(2, 0, 0));
    (model.manner.in_halves, model.manner.judged_first) = (true, true);
    model
}

fn mutants() -> Vec<(Rule, Model)> {
    let given_up = Budget {
        reloads: 2,
        given_up: 1,
        ..NO_TROUBLE
    };
    let replicas = Budget {
        replicas: 2,
        crashes: 1,
        ..NO_TROUBLE
    };
    let stopped = Budget {
        reloads: 1,
        stops: 1,
        ..NO_TROUBLE
    };
    vec![
        (Rule::RetireLedger, judged_first()),
        (Rule::TellWritesUnderWay, Model::moved(trouble(2, 0, 0))),
        (Rule::CountOrphans, Model::moved(given_up)),
        (Rule::AskBeforeWriting, Model::moved(trouble(3, 0, 0))),
        (Rule::AskBeforeMoving, Model::moved(replicas)),
        (Rule::WaitForAnswer, Model::moved(trouble(3, 0, 2))),
        (Rule::KeepLastKnown, Model::moved(trouble(1, 1, 0))),
        (Rule::KeepFormerMembers, Model::removed(trouble(1, 0, 0))),
        (Rule::WaitInSilence, Model::removed(trouble(1, 1, 0))),
        (Rule::RememberUntoldReplica, Model::moved(replicas)),
        (Rule::CountStrangers, Model::removed(trouble(0, 1, 0))),
        (Rule::KeepEarlierProcess, Model::moved(trouble(1, 1, 0))),
        (Rule::BelieveWitness, Model::moved(replicas)),
        (Rule::RequireCompleteWitness, Model::moved(trouble(1, 2, 0))),
        (Rule::WaitAtStart, Model::moved(trouble(1, 2, 0))),
        (Rule::WaitForOthersStart, Model::moved(trouble(0, 2, 1))),
        (Rule::MindOldReplica, Model::moved(replicas)),
        (Rule::MindEarlierReplica, Model::moved(replicas)),
        (Rule::NoticeAbsence, Model::removed(stopped)),
        (Rule::NoticeAbsenceAtWrite, Model::removed(stopped)),
    ]
}

#[test]
fn each_rule_is_missed() {
    let mut survivors = Vec::new();
    for (rule, model) in mutants() {
        let found = {
            let _without = Without::rule(rule);
            model.search(MOST)
        };
        println!("without {rule:?}: {} states, {:?}", found.states, found.way);
        if found.way.is_none() {
            survivors.push((rule, found.states));
        }
    }
    assert!(survivors.is_empty(), "not missed: {survivors:?}");
}

/// The two halves of the gate in the other order do no harm, since a retired ledger takes no writes.
#[test]
fn a_retired_ledger_takes_no_writes() {
    let found = judged_first().search(MOST);
    assert_eq!(found.way, None);
}
