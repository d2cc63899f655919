use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

use CircuitState::{Closed, HalfOpen, Open};
use Outcome::{Failure, Neither, Success};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn limits(failures: u32, open: u64, open_limit: u64) -> CircuitLimits {
    CircuitLimits {
        failures: NonZeroU32::new(failures).unwrap(),
        open: at(open),
        open_limit: at(open_limit),
    }
}

/// Requests one after another, a second apart: `+` succeeds, `-` fails, `o` ends without a verdict, `.` is a second
/// without a request, `!` a second in which a probe sees the party come up. Below each: what became of it. `c`, `h`,
/// `o` is the state afterwards (closed, half-open, open), in capitals where the result changed it; `x` is a request
/// that was turned away.
#[test]
fn requests_in_a_row_open_and_close_it() {
    for (limits, requests, expected) in [
        (limits(3, 2, 9), "--+--+", "cccccc"),
        (limits(3, 2, 9), "--o-", "cccO"),
        (limits(1, 2, 9), "-", "O"),
        (limits(3, 2, 9), "---+", "ccOx"),
        (limits(3, 2, 9), "---.+", "ccOoC"),
        // Closed again, it takes as many failures as before.
        (limits(3, 2, 9), "---.+--+---", "ccOoCcccccO"),
        // Open for two seconds, for four, for eight, then for nine and nine.
        (limits(1, 2, 9), "-x-xxx-xxxxxxx-", "OxOxxxOxxxxxxxO"),
        (
            limits(1, 4, 9),
            "-xxx-xxxxxxx-xxxxxxxx-xxxxxxxx-",
            "OxxxOxxxxxxxOxxxxxxxxOxxxxxxxxO",
        ),
        // A trial that closes it starts the doublings anew.
        (limits(1, 2, 9), "-x-xxx+-x-", "OxOxxxCOxO"),
        // A trial without a verdict is for the next to take.
        (limits(1, 2, 9), "-xooo-", "OxhhhO"),
        (limits(1, 2, 9), "-xo+", "OxhC"),
        // The party comes up: a trial at once. When that fails, the first period again.
        (limits(1, 4, 9), "-!+", "OhC"),
        (limits(1, 4, 9), "-xxx-x!-xxx+", "OxxxOxhOxxxC"),
        (limits(1, 4, 9), "!-", "cO"),
        // A first period beyond the limit is the limit.
        (limits(1, 9, 2), "-x-x+", "OxOxC"),
        // No period: a trial always.
        (limits(1, 0, 9), "---+", "hhhC"),
    ] {
        let mut circuit = Circuit::new(limits);
        let seen: String = requests
            .chars()
            .zip(0..)
            .map(|(what, second)| step(&mut circuit, what, at(second)))
            .collect();
        assert_eq!(seen, expected, "{requests} {limits:?}");
    }
}

fn step(circuit: &mut Circuit, what: char, now: Duration) -> char {
    let outcome = match what {
        '+' => Success,
        '-' | 'x' => Failure,
        'o' => Neither,
        _ => {
            if what == '!' {
                circuit.retry_soon(now);
            }
            return letter(circuit.state(now));
        }
    };
    let Some(pass) = circuit.enter(now) else {
        return 'x';
    };
    let changed = circuit.record(now, pass, outcome);
    let after = letter(circuit.state(now));
    match changed {
        Some(state) if letter(state) == after => after.to_ascii_uppercase(),
        _ => after,
    }
}

fn letter(state: CircuitState) -> char {
    match state {
        Closed => 'c',
        Open => 'o',
        HalfOpen => 'h',
    }
}

#[test]
fn one_request_has_the_trial_and_all_others_are_turned_away() {
    let mut circuit = opened(limits(1, 2, 9));
    assert!(!circuit.admits(at(1)));
    assert!(circuit.admits(at(2)));
    let trial = circuit.enter(at(2)).unwrap();
    assert!(trial.is_trial());
    assert_eq!(circuit.state(at(2)), Open);
    assert!(!circuit.admits(at(1000)));
    assert_eq!(circuit.enter(at(1000)), None);
    assert_eq!(circuit.record(at(1000), trial, Success), Some(Closed));
    assert!(!circuit.enter(at(1000)).unwrap().is_trial());
}

#[test]
fn what_began_before_it_opened_neither_closes_nor_prolongs_it() {
    let mut circuit = Circuit::new(limits(2, 2, 9));
    let mut old: Vec<_> = (0..10)
        .map(|_| circuit.enter(Duration::ZERO).unwrap())
        .collect();
    let mut end =
        |circuit: &mut Circuit, outcome| circuit.record(at(1), old.pop().unwrap(), outcome);
    assert_eq!(end(&mut circuit, Failure), None);
    assert_eq!(end(&mut circuit, Failure), Some(Open));
    assert_eq!(end(&mut circuit, Success), None);
    assert_eq!(end(&mut circuit, Failure), None);
    assert_eq!(circuit.state(at(2)), Open);
    assert_eq!(circuit.state(at(3)), HalfOpen);
    // Nor do they decide the trial, nor count once it is closed.
    let trial = circuit.enter(at(3)).unwrap();
    assert_eq!(end(&mut circuit, Success), None);
    assert_eq!(end(&mut circuit, Failure), None);
    assert_eq!(end(&mut circuit, Neither), None);
    assert_eq!(circuit.state(at(9)), Open);
    assert_eq!(circuit.record(at(9), trial, Success), Some(Closed));
    assert_eq!(end(&mut circuit, Failure), None);
    assert_eq!(end(&mut circuit, Failure), None);
    assert_eq!(circuit.failures(), 0);
}

#[test]
fn a_trial_from_before_the_party_came_up_does_not_count() {
    let mut circuit = opened(limits(1, 4, 9));
    let old = circuit.enter(at(4)).unwrap();
    circuit.retry_soon(at(5));
    let trial = circuit.enter(at(5)).unwrap();
    assert!(trial.is_trial());
    assert_eq!(circuit.record(at(6), old, Failure), None);
    assert_eq!(circuit.enter(at(6)), None);
    assert_eq!(circuit.record(at(6), trial, Success), Some(Closed));
}

#[test]
fn new_limits_count_at_once() {
    let mut circuit = Circuit::new(limits(3, 20, 60));
    for _ in 0..2 {
        let pass = circuit.enter(at(0)).unwrap();
        assert_eq!(circuit.record(at(0), pass, Failure), None);
    }
    circuit.set_limits(limits(1, 20, 60));
    let pass = circuit.enter(at(0)).unwrap();
    assert_eq!(circuit.record(at(0), pass, Failure), Some(Open));
    assert_eq!(circuit.state(at(10)), Open);
    circuit.set_limits(limits(1, 5, 10));
    let trial = circuit.enter(at(10)).unwrap();
    // A trial that is given back is for the next to take, though the limit is up again.
    circuit.set_limits(limits(1, 20, 60));
    assert_eq!(circuit.record(at(10), trial, Neither), None);
    assert_eq!(circuit.state(at(10)), HalfOpen);
}

#[test]
fn no_time_is_too_long_nor_runs_backwards() {
    let mut circuit = opened(CircuitLimits {
        open: Duration::MAX,
        open_limit: Duration::MAX,
        ..limits(1, 1, 1)
    });
    assert_eq!(circuit.state(at(u64::MAX)), Open);
    let trial = circuit.enter(Duration::MAX).unwrap();
    assert_eq!(circuit.record(Duration::MAX, trial, Failure), Some(Open));
    assert_eq!(circuit.state(Duration::ZERO), Open);
}

/// Opened at second 0.
fn opened(limits: CircuitLimits) -> Circuit {
    let mut circuit = Circuit::new(limits);
    for _ in 0..limits.failures.get() {
        let pass = circuit.enter(Duration::ZERO).unwrap();
        let _ = circuit.record(Duration::ZERO, pass, Failure);
    }
    assert!(circuit.is_open());
    circuit
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Enter,
    End(Index, Outcome),
    CameUp,
    Limits(CircuitLimits),
}

fn any_limits() -> impl Strategy<Value = CircuitLimits> {
    (1..5u32, 0..5u64, 0..40u64).prop_map(|(failures, open, most)| limits(failures, open, most))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![1 => Just(Success), 2 => Just(Failure), 1 => Just(Neither)];
    vec(
        prop_oneof![
            3 => (0..20u64).prop_map(Step::Pass),
            6 => Just(Step::Enter),
            6 => (any::<Index>(), outcome).prop_map(|(which, outcome)| Step::End(which, outcome)),
            1 => Just(Step::CameUp),
            1 => any_limits().prop_map(Step::Limits),
        ],
        0..120,
    )
}

/// With no pause at all, old requests end while the trial is under way.
#[test]
fn a_success_from_before_does_not_close_it_during_a_trial() {
    let (mut circuit, now) = (Circuit::new(limits(1, 0, 0)), Duration::ZERO);
    let [first, second] = [(); 2].map(|()| circuit.enter(now).unwrap());
    assert_eq!(circuit.record(now, first, Failure), Some(Open));
    let trial = circuit.enter(now).unwrap();
    assert!(trial.is_trial());
    assert_eq!(circuit.record(now, second, Success), None);
    assert_eq!(circuit.state(now), Open);
    assert_eq!(circuit.record(now, trial, Success), Some(Closed));
}

proptest! {
    // What it finds becomes a test of its own above.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    /// Any requests, in any order of beginning and end: what must hold after each step.
    #[test]
    fn whatever_happens_a_circuit_keeps_its_promises(first in any_limits(), steps in steps()) {
        let mut circuit = Circuit::new(first);
        let mut limits = first;
        let mut now = Duration::ZERO;
        let mut under_way: Vec<Pass> = Vec::new();
        // Whether the trial that counts is among them.
        let mut on_trial = false;
        let mut failures = 0;
        for step in steps {
            let before = circuit.state(now);
            match step {
                Step::Pass(seconds) => now += at(seconds),
                Step::Enter => {
                    let admits = circuit.admits(now);
                    let pass = circuit.enter(now);
                    prop_assert_eq!(pass.is_some(), admits);
                    if let Some(pass) = pass {
                        prop_assert!(!on_trial, "nobody passes during a trial");
                        prop_assert_eq!(pass.is_trial(), before == HalfOpen);
                        on_trial = pass.is_trial();
                        under_way.push(pass);
                    }
                }
                Step::End(_, _) if under_way.is_empty() => {}
                Step::End(which, outcome) => {
                    let pass = under_way.remove(which.index(under_way.len()));
                    let counts = pass.generation == circuit.generation;
                    let trial = pass.is_trial() && counts;
                    let changed = circuit.record(now, pass, outcome);
                    let after = circuit.state(now);
                    prop_assert!(counts || (changed.is_none() && after == before));
                    match (changed, outcome) {
                        (None, _) => prop_assert_eq!(before == Closed, after == Closed),
                        (Some(Closed), Success) => prop_assert!(trial && after == Closed),
                        (Some(Open), Failure) => prop_assert!(trial || failures + 1 >= limits.failures.get()),
                        (changed, outcome) => prop_assert!(false, "{outcome:?} made it {changed:?}"),
                    }
                    if trial {
                        on_trial = false;
                        prop_assert_eq!(changed.is_none(), outcome == Neither);
                        prop_assert!(outcome != Neither || after == HalfOpen);
                    } else if counts {
                        failures = match outcome {
                            Failure if changed.is_none() => failures + 1,
                            Neither => failures,
                            Success | Failure => 0,
                        };
                    }
                    prop_assert_eq!(circuit.failures(), failures);
                }
                Step::CameUp => {
                    circuit.retry_soon(now);
                    on_trial = false;
                    prop_assert_eq!(circuit.state(now), if before == Closed { Closed } else { HalfOpen });
                }
                Step::Limits(new) => {
                    limits = new;
                    circuit.set_limits(new);
                }
            }
            prop_assert_eq!(circuit.is_open(), circuit.state(now) != Closed);
            // Without a trial under way, the longest period is all that anybody waits.
            prop_assert_eq!(circuit.admits(now + limits.open_limit), !on_trial);
        }
    }
}
