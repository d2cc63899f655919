//! A store that does not hold its conditions is found out; one that holds them badly reached is not blamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::unruly::{Call, Mood, Unruly};
use crate::store::prove::{Fault, Unproven, prove};
use crate::store::{Expected, Key, Store};

/// All calls of these are honest, but the puts and reads of which this says otherwise; each has its number from 1.
fn but(mood: impl Fn(&Call, u32) -> Mood + Send + Sync + 'static) -> Arc<dyn Store> {
    let (puts, gets) = (AtomicU32::new(0), AtomicU32::new(0));
    Arc::new(Unruly::new(move |call| {
        let number = match call {
            Call::Put(..) => puts.fetch_add(1, Ordering::SeqCst) + 1,
            Call::Get => gets.fetch_add(1, Ordering::SeqCst) + 1,
            Call::List => 1,
        };
        mood(call, number)
    }))
}

fn nth_put(nth: u32, mood: Mood) -> Arc<dyn Store> {
    but(move |call, number| match call {
        Call::Put(..) if number == nth => mood,
        Call::Get | Call::Put(..) | Call::List => Mood::Honest,
    })
}

async fn fault_of(store: Arc<dyn Store>) -> Option<Fault> {
    match prove(&store).await {
        Ok(()) => None,
        Err(Unproven::Faulty { fault, .. }) => Some(fault),
        Err(other @ (Unproven::Misfit { .. } | Unproven::Untold { .. })) => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_fault_is_named() {
    let creating = |call: &Call| matches!(call, Call::Put(Expected::Absent));
    let replacing = |call: &Call| matches!(call, Call::Put(Expected::Tag(_)));
    let when = |is_it: fn(&Call) -> bool, mood| {
        but(move |call, _| if is_it(call) { mood } else { Mood::Honest })
    };
    let reading: fn(&Call) -> bool = |call| matches!(call, Call::Get);
    let listing: fn(&Call) -> bool = |call| matches!(call, Call::List);
    for (store, fault) in [
        (nth_put(99, Mood::Lie), None),
        (when(creating, Mood::Lie), Some(Fault::CreatesOver)),
        (when(replacing, Mood::Lie), Some(Fault::TakesForeignTag)),
        (nth_put(6, Mood::Lie), Some(Fault::TakesOldTag)),
        (nth_put(7, Mood::Lie), Some(Fault::ReplacesNothing)),
        (when(creating, Mood::LooksFirst), Some(Fault::CreatesTwice)),
        (
            when(replacing, Mood::LooksFirst),
            Some(Fault::TakesTagTwice),
        ),
        (nth_put(1, Mood::Conflict), Some(Fault::RefusesWhatHolds)),
        (nth_put(5, Mood::Conflict), Some(Fault::RefusesWhatHolds)),
        (when(reading, Mood::Stale), Some(Fault::ReadsAnother)),
        (when(reading, Mood::OtherTag), Some(Fault::TagsDiffer)),
        (when(listing, Mood::Stale), Some(Fault::ListsNot)),
    ] {
        assert_eq!(fault_of(store).await, fault);
    }
}

#[tokio::test]
async fn the_message_names_the_fault_and_what_to_do() {
    let error = prove(&nth_put(3, Mood::Lie)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store unruly takes a write whose condition does not hold: it creates an item that is there already. Two \
         members could write one repository, so leases do not run on it: name a store that holds its conditions"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_has_proved_nothing() {
    let error = prove(&but(|_, _| Mood::Lost)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store unruly has not proved that its conditions hold (reading an item: no answer in time): leases wait \
         until it has"
    );
    let puts = but(|call, _| match call {
        Call::Put(..) => Mood::Lost,
        Call::Get | Call::List => Mood::Honest,
    });
    let error = prove(&puts).await.unwrap_err();
    assert!(
        error.to_string().contains("(writing an item: no"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_proof_leaves_nothing_behind() {
    for store in [
        but(|_, _| Mood::Honest),
        nth_put(3, Mood::Lie),
        but(|_, number| {
            if number % 3 == 0 {
                Mood::Untold
            } else {
                Mood::Honest
            }
        }),
    ] {
        let _ = prove(&store).await;
        let probes: Key = "probe".parse().unwrap();
        // What is told of the list may be lost as well.
        let mut listed = store.list(&probes).await;
        while listed.is_err() {
            listed = store.list(&probes).await;
        }
        assert_eq!(listed.unwrap(), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, late or untold, as long as something gets through.
    #[test]
    fn an_honest_store_is_never_blamed(moods in prop::collection::vec(0..6_u8, 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let calls = AtomicU32::new(0);
        let store: Arc<dyn Store> = Arc::new(Unruly::new(move |_| {
            let call = calls.fetch_add(1, Ordering::SeqCst) as usize;
            match moods[call % moods.len()] {
                0 => Mood::Lost,
                1 => Mood::Untold,
                2 => Mood::Late(Duration::from_millis(300)),
                _ => Mood::Honest,
            }
        }));
        let proved = runtime.block_on(prove(&store));
        prop_assert!(!matches!(proved, Err(Unproven::Faulty { .. })), "{proved:?}");
    }
}
