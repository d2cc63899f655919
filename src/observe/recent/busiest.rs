//! The repositories that are asked for most, in bounded memory: space-saving sketches (Metwally,
//! Agrawal, El Abbadi 2005) whose counts fade, one for each thread. Who looks adds them up.

use super::traffic::Sample;
use crate::observe::lanes::Lanes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Repositories that a thread counts at a time.
const COUNTERS: usize = 64;
/// How often counts fade, in seconds, and in what time by a factor of e: a steady rate shows as so
/// many seconds of it.
const FADE: u64 = 5;
const MEMORY: f64 = 60.0;

/// Counts by repository. A request that would have to wait, because somebody looks, is not counted.
#[derive(Default)]
pub(crate) struct Busiest {
    threads: Lanes<Mutex<Sketch>>,
}

/// One repository and its rates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Busy {
    pub(crate) repository: Arc<str>,
    pub(crate) requests_per_second: f64,
    pub(crate) errors_per_second: f64,
    pub(crate) bytes_per_second: f64,
}

#[derive(Default)]
struct Sketch {
    faded: u64,
    /// Of the names in the order of `counters`; scanned for each request.
    ends: Vec<Ends>,
    counters: Vec<Counter>,
}

/// How long a name is, how it begins and how it ends: what tells most names apart in a few instructions. Where somebody
/// chooses names that are alike in it, no more than [`COUNTERS`] of them are compared.
type Ends = (usize, [u8; 8], [u8; 8]);

struct Counter {
    repository: Arc<str>,
    requests: f64,
    /// What it took over from the one whose place it has: its own may be as few as the rest.
    inherited: f64,
    errors: f64,
    bytes: f64,
}

impl Busiest {
    pub(super) fn count(&self, now: Duration, repository: &str, sample: &Sample) {
        let Ok(mut sketch) = self.threads.mine().lane.try_lock() else {
            return;
        };
        sketch.fade(now);
        let at = sketch.place_of(repository);
        if let Some(counter) = sketch.counters.get_mut(at) {
            counter.requests += 1.0;
            counter.errors += f64::from(u8::from(sample.failed));
            counter.bytes += sample.bytes as f64;
        }
    }

    /// The busiest ones, busiest first.
    pub(crate) fn shown(&self, now: Duration, most: usize) -> Vec<Busy> {
        let mut sums: BTreeMap<Arc<str>, Busy> = BTreeMap::new();
        for thread in self.threads.each() {
            let mut sketch = thread.lock().unwrap_or_else(PoisonError::into_inner);
            sketch.fade(now);
            for counter in &sketch.counters {
                let name = counter.repository.clone();
                let sum = sums.entry(name).or_insert_with_key(Busy::none);
                let own = (counter.requests - counter.inherited).max(0.0);
                sum.requests_per_second += own / MEMORY;
                sum.errors_per_second += counter.errors / MEMORY;
                sum.bytes_per_second += counter.bytes / MEMORY;
            }
        }
        // Less than one request in ten minutes is no rate.
        let is_rate = |busy: &Busy| busy.requests_per_second > 1.0 / 600.0;
        let mut shown: Vec<Busy> = sums.into_values().filter(is_rate).collect();
        shown.sort_by(|a, b| b.requests_per_second.total_cmp(&a.requests_per_second));
        shown.truncate(most);
        shown
    }
}

impl Busy {
    fn none(repository: &Arc<str>) -> Self {
        Self {
            repository: repository.clone(),
            requests_per_second: 0.0,
            errors_per_second: 0.0,
            bytes_per_second: 0.0,
        }
    }
}

impl Sketch {
    fn fade(&mut self, now: Duration) {
        let turn = now.as_secs() / FADE;
        let passed = turn.saturating_sub(self.faded);
        if passed == 0 {
            return;
        }
        self.faded = turn;
        let rest = (-((passed * FADE) as f64) / MEMORY).exp();
        for counter in &mut self.counters {
            counter.requests *= rest;
            counter.inherited *= rest;
            counter.errors *= rest;
            counter.bytes *= rest;
        }
    }

    /// Its own place, a free one, or that of the least busy.
    fn place_of(&mut self, repository: &str) -> usize {
        let ends = ends_of(repository);
        let mut known = self.ends.iter().zip(&self.counters);
        let is_its = |(known, counter): (&Ends, &Counter)| {
            *known == ends && *counter.repository == *repository
        };
        if let Some(at) = known.position(is_its) {
            return at;
        }
        let least =
            |a: &(usize, &Counter), b: &(usize, &Counter)| a.1.requests.total_cmp(&b.1.requests);
        let taken = match self.counters.len() {
            COUNTERS => self.counters.iter().enumerate().min_by(least),
            _ => None,
        };
        let at = taken.map_or(self.counters.len(), |(at, _)| at);
        let inherited = taken.map_or(0.0, |(_, counter)| counter.requests);
        let counter = Counter {
            repository: repository.into(),
            requests: inherited,
            inherited,
            errors: 0.0,
            bytes: 0.0,
        };
        if at < self.counters.len() {
            (self.ends[at], self.counters[at]) = (ends, counter);
        } else {
            self.ends.push(ends);
            self.counters.push(counter);
        }
        at
    }
}

fn ends_of(name: &str) -> Ends {
    let name = name.as_bytes();
    let (first, last) = (name.first_chunk(), name.last_chunk());
    let short = || {
        let mut whole = [0; 8];
        whole[..name.len()].copy_from_slice(name);
        whole
    };
    let first = first.copied().unwrap_or_else(short);
    (name.len(), first, last.copied().unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Sample = Sample {
        failed: false,
        bytes: 10,
        latency: None,
    };

    #[test]
    fn a_busy_repository_is_found_among_thousands() {
        let busiest = Busiest::default();
        let names: Vec<String> = (0..5_000).map(|n| format!("team/app-{n}")).collect();
        let busy = "library/busy";
        for second in 0..600 {
            let now = Duration::from_secs(second);
            for nth in 0..20 {
                busiest.count(now, busy, &OK);
                let other = (second as usize * 20 + nth) % names.len();
                busiest.count(now, &names[other], &OK);
            }
        }
        let shown = busiest.shown(Duration::from_secs(600), 10);
        assert_eq!(&*shown[0].repository, "library/busy");
        let rate = shown[0].requests_per_second;
        assert!((18.0..22.0).contains(&rate), "{rate}");
        assert!(shown.len() <= 10);
        let kept = |sketch: &Mutex<Sketch>| sketch.lock().unwrap().counters.len();
        assert!(
            busiest
                .threads
                .each()
                .all(|thread| kept(thread) <= COUNTERS)
        );
    }

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let busiest = Busiest::default();
        let names = [
            "",
            "a",
            "a/b",
            "team-one/app-1/web-one",
            "team-one/app-2/web-one",
        ];
        for (requests, name) in (1..).zip(names) {
            for _ in 0..requests * 10 {
                busiest.count(Duration::ZERO, name, &OK);
            }
        }
        let shown = busiest.shown(Duration::ZERO, 10);
        let found: Vec<_> = shown.iter().map(|busy| &*busy.repository).collect();
        assert!(found.iter().eq(names.iter().rev()), "{found:?}");
    }

    #[test]
    fn what_several_threads_have_counted_is_added_up() {
        let busiest = Busiest::default();
        let names: Vec<String> = (0..200).map(|n| format!("team/app-{n}")).collect();
        let busy = "library/busy";
        // One after the other, so that none leaves a count out.
        let turn = Mutex::new(());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let (_turn, now) = (turn.lock().unwrap(), Duration::from_secs(1));
                    for nth in 0..1_500 {
                        busiest.count(now, busy, &OK);
                        busiest.count(now, &names[nth % names.len()], &OK);
                    }
                });
            }
        });
        let shown = busiest.shown(Duration::from_secs(2), 10);
        let first = &shown[0];
        assert_eq!(&*first.repository, "library/busy");
        assert!(
            (first.requests_per_second - 100.0).abs() < 0.01,
            "{first:?}"
        );
        assert!((first.bytes_per_second - 1_000.0).abs() < 0.1, "{first:?}");
    }

    #[test]
    fn rates_fade_and_the_quiet_are_not_shown() {
        let busiest = Busiest::default();
        let name = "a/b";
        let failed = Sample { failed: true, ..OK };
        for _ in 0..60 {
            busiest.count(Duration::from_secs(1), name, &failed);
        }
        let soon = busiest.shown(Duration::from_secs(2), 10);
        assert!((soon[0].requests_per_second - 1.0).abs() < 0.01, "{soon:?}");
        assert!((soon[0].errors_per_second - 1.0).abs() < 0.01, "{soon:?}");
        assert_eq!(busiest.shown(Duration::from_secs(900), 10), []);
    }
}
