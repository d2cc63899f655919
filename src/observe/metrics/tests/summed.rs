//! What threads count for themselves, and what is told of it.

use std::sync::{Barrier, Mutex};
use std::thread;

use prometheus::{Registry, TextEncoder};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::cells::{Maker, series};
use super::super::summed::{Counts, Holders, Times, Value, times_width};
use super::super::table::{COARSE_SECONDS, DOWNSTREAM_BYTES, HOLD_SECONDS, IN_FLIGHT, SECONDS};
use super::*;

/// More than have lanes of their own.
const THREADS: usize = 80;

fn on_all(work: impl Fn(usize) + Sync) {
    let begin = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (begin, work) = (&begin, &work);
            scope.spawn(move || {
                begin.wait();
                work(thread);
            });
        }
    });
}

#[test]
fn nothing_that_threads_count_is_lost() {
    let counts: Counts<4> = Counts::default();
    let times: Times<{ 2 * times_width(&COARSE_SECONDS) }> = Times::new(&COARSE_SECONDS);
    // Twice, so that numbers of threads that have ended are used again.
    for _ in 0..2 {
        on_all(|thread| {
            for n in 0..500 {
                counts.add(thread % 2, 1);
                counts.add_each([(2, n), (3, 2)]);
                times.observe(1, Duration::from_millis(if n % 2 == 0 { 1 } else { 5_000 }));
            }
        });
    }
    let each = 2 * THREADS as u64 * 500;
    let totals = [0, 1, 2, 3].map(|at| counts.total(at));
    assert_eq!(totals, [each / 2, each / 2, 499 * each / 2, 2 * each]);
    assert_eq!((times.count(0), times.count(1)), (0, each));
    let Value::Histogram {
        buckets,
        count,
        sum,
    } = times.value(1)
    else {
        panic!("no histogram");
    };
    assert_eq!((buckets[0], count), ((0.005, each / 2), each));
    assert!((sum - 5.001 * each as f64 / 2.0).abs() < 1e-3, "{sum}");
    // Out of range, and nowhere.
    counts.add(4, 1);
    times.observe(2, Duration::ZERO);
    assert_eq!(counts.total(4), 0);
}

#[test]
fn who_is_held_by_one_thread_and_let_go_by_another_is_counted_once() {
    let holders = Holders::default();
    let held = Mutex::new(Vec::new());
    on_all(|_| held.lock().unwrap().push(holders.hold()));
    assert_eq!(holders.held(), THREADS as u64);
    let mut held = held.into_inner().unwrap();
    held.truncate(3);
    assert_eq!(holders.held(), 3);
    on_all(|_| drop(holders.hold()));
    drop(held);
    assert_eq!(holders.held(), 0);
}

/// The same samples, kept by the library and by us, as text.
fn told(samples: &[(bool, u64, Duration)]) -> [String; 2] {
    let (library, ours) = (Registry::new(), Registry::new());
    let (make, make_ours) = (Maker(&library), Maker(&ours));
    let bytes = make.int_counter(DOWNSTREAM_BYTES).unwrap();
    let seconds = make.histogram(HOLD_SECONDS).unwrap();
    let gauge = make.int_gauge(IN_FLIGHT).unwrap();
    let counts: Arc<Counts<2>> = Arc::default();
    let times = Arc::new(Times::<{ 2 * times_width(&SECONDS) }>::new(&SECONDS));
    let holders: Arc<[Holders; 2]> = Arc::default();
    let names = ["z \"quoted\"", "a"];
    let (read_counts, read_times, read_holders) = (counts.clone(), times.clone(), holders.clone());
    let told = [
        make_ours.summed(DOWNSTREAM_BYTES, move |take| {
            for (at, name) in names.iter().enumerate() {
                take(&[name, "x"], Value::Counter(read_counts.total(at)));
            }
        }),
        make_ours.summed(HOLD_SECONDS, move |take| {
            for (at, name) in names.iter().enumerate() {
                take(&[name], read_times.value(at));
            }
        }),
        make_ours.summed(IN_FLIGHT, move |take| {
            for (name, holders) in names.iter().zip(&*read_holders) {
                take(&[name], Value::Gauge(holders.held()));
            }
        }),
    ];
    assert!(told.iter().all(Result::is_ok));
    let mut held = Vec::new();
    for name in names {
        // As all series are that are there from the start.
        series(&bytes, [name, "x"]).unwrap();
        series(&seconds, [name]).unwrap();
        series(&gauge, [name]).unwrap();
    }
    for (first, number, time) in samples {
        let at = usize::from(*first);
        series(&bytes, [names[at], "x"]).unwrap().inc_by(*number);
        series(&seconds, [names[at]])
            .unwrap()
            .observe(time.as_secs_f64());
        series(&gauge, [names[at]]).unwrap().inc();
        counts.add(at, *number);
        times.observe(at, *time);
        held.push(holders[at].hold());
    }
    let text = |registry: &Registry| TextEncoder::new().encode_to_string(&registry.gather());
    [text(&library).unwrap(), text(&ours).unwrap()]
}

proptest! {
    #[test]
    fn the_library_would_tell_the_same(
        samples in vec((any::<bool>(), 0..1_000_000_000_u64, 0..2_000_000_000_u64), 0..30),
        bounds in any::<bool>(),
    ) {
        // At the bounds, and anywhere.
        let time = |n: u64| if bounds {
            Duration::from_secs_f64(SECONDS[n as usize % SECONDS.len()])
        } else {
            Duration::from_micros(n)
        };
        let samples: Vec<_> = samples.into_iter().map(|(at, n, t)| (at, n, time(t))).collect();
        let [library, ours] = told(&samples);
        prop_assert_eq!(library, ours);
    }
}
