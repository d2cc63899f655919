//! From single probe results to a verdict.
//!
//! One lost probe must not take a member out, and one lucky probe must not bring it back, so a verdict changes only
//! after several equal results in a row.

use std::num::NonZeroU8;

/// The verdict on a member or on the local replica.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Health {
    /// Not enough results yet. Counts as up, since an attempt tells more than a guess.
    Unknown,
    /// It answers.
    Up,
    /// It answers, and is about to go: it serves what only it can serve, and is spared the rest.
    Draining,
    /// It does not answer.
    Down,
}

impl Health {
    /// Whether requests may be sent there: anything but [`Health::Down`].
    #[must_use]
    pub fn is_usable(self) -> bool {
        match self {
            Self::Unknown | Self::Up | Self::Draining => true,
            Self::Down => false,
        }
    }

    /// Whether requests that another could serve as well may be sent there.
    #[must_use]
    pub fn is_preferred(self) -> bool {
        match self {
            Self::Unknown | Self::Up => true,
            Self::Draining | Self::Down => false,
        }
    }

    /// The verdict on a member that answers probes like this and says whether it is draining.
    #[must_use]
    pub fn when_draining(self, draining: bool) -> Self {
        match self {
            Self::Unknown | Self::Up | Self::Draining if draining => Self::Draining,
            Self::Draining => Self::Up,
            Self::Unknown | Self::Up | Self::Down => self,
        }
    }
}

/// How many equal results in a row change the verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thresholds {
    /// Good results that bring a member that was down up again.
    pub rise: NonZeroU8,
    /// Bad results that take a member down.
    pub fall: NonZeroU8,
}

/// Counts results and holds the verdict.
#[derive(Clone, Debug)]
pub struct Tracker {
    thresholds: Thresholds,
    health: Health,
    /// Results in a row that speak against the verdict.
    contrary: u8,
    /// Whether a bad result came, or none, since it was last seen to be back.
    missed: bool,
    back: bool,
}

impl Tracker {
    /// Starts with [`Health::Unknown`].
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            health: Health::Unknown,
            contrary: 0,
            missed: true,
            back: false,
        }
    }

    /// Takes one result. Gives the new verdict if it changed.
    ///
    /// The first good result ends `Unknown` at once: a replica that has just started should not wait for more.
    pub fn record(&mut self, ok: bool) -> Option<Health> {
        let changed = self.judge(ok);
        self.back = ok && self.missed && self.health.is_usable();
        self.missed = !ok || self.missed && !self.back;
        changed
    }

    fn judge(&mut self, ok: bool) -> Option<Health> {
        let (verdict, needed) = match (self.health, ok) {
            (Health::Up | Health::Draining, true) | (Health::Down, false) => {
                self.contrary = 0;
                return None;
            }
            (Health::Unknown, true) => (Health::Up, NonZeroU8::MIN),
            (Health::Down, true) => (Health::Up, self.thresholds.rise),
            (Health::Unknown | Health::Up | Health::Draining, false) => {
                (Health::Down, self.thresholds.fall)
            }
        };
        self.contrary = self.contrary.saturating_add(1);
        if self.contrary < needed.get() {
            return None;
        }
        self.contrary = 0;
        self.health = verdict;
        Some(verdict)
    }

    /// Goes on from a verdict that was reached before.
    #[must_use]
    pub fn resumed(thresholds: Thresholds, health: Health) -> Self {
        Self {
            health,
            ..Self::new(thresholds)
        }
    }

    /// Takes a verdict from one who knows. Gives it if it is new.
    pub fn conclude(&mut self, health: Health) -> Option<Health> {
        self.contrary = 0;
        self.missed = true;
        self.back = false;
        let new = self.health != health;
        self.health = health;
        new.then_some(health)
    }

    /// Whether the last result was the good one after bad ones: whoever left it alone because of requests that failed
    /// may try again. A short outage changes no verdict, so this is told apart from that.
    #[must_use]
    pub fn is_back(&self) -> bool {
        self.back
    }

    /// Whether the last results speak against the verdict.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.contrary > 0
    }

    /// The verdict so far.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(rise: u8, fall: u8) -> Tracker {
        let count = |n| NonZeroU8::new(n).unwrap();
        Tracker::new(Thresholds {
            rise: count(rise),
            fall: count(fall),
        })
    }

    /// What is to be seen after each result: `+` is a good one, `-` a bad one.
    fn after_each(
        tracker: &mut Tracker,
        results: &str,
        shown: impl Fn(&Tracker) -> char,
    ) -> String {
        let seen = results.chars().map(|result| {
            let before = tracker.health();
            let changed = tracker.record(result == '+');
            assert_eq!(changed.is_some(), tracker.health() != before, "{results}");
            shown(tracker)
        });
        seen.collect()
    }

    /// The verdicts: `?`, `U`, `D`.
    #[test]
    fn verdicts_follow_results_in_a_row() {
        for (rise, fall, results, verdicts) in [
            (2, 3, "+", "U"),
            (2, 3, "---", "??D"),
            (2, 3, "--+", "??U"),
            (2, 3, "+--+---", "UUUUUUD"),
            (2, 3, "---+-++", "??DDDDU"),
            (2, 3, "---++---", "??DDUUUD"),
            (1, 1, "-+-+", "DUDU"),
            (255, 1, "-+", "DD"),
        ] {
            let mut tracker = tracker(rise, fall);
            let seen = after_each(&mut tracker, results, |tracker| match tracker.health() {
                Health::Unknown => '?',
                Health::Up => 'U',
                Health::Draining => 'd',
                Health::Down => 'D',
            });
            assert_eq!(seen, verdicts, "rise {rise} fall {fall} results {results}");
        }
    }

    /// `*` where it is seen to be back.
    #[test]
    fn the_end_of_an_outage_is_seen_once_whether_it_took_the_member_down_or_not() {
        for (rise, fall, results, back) in [
            (2, 3, "++", "*."),
            (2, 3, "+-++", "*.*."),
            (2, 3, "+--+-+", "*..*.*"),
            (2, 3, "+---++", "*....*"),
            (2, 3, "---+-++", "......*"),
        ] {
            let mut tracker = tracker(rise, fall);
            let seen = after_each(&mut tracker, results, |tracker| {
                if tracker.is_back() { '*' } else { '.' }
            });
            assert_eq!(seen, back, "rise {rise} fall {fall} results {results}");
        }
        let mut tracker = tracker(1, 1);
        tracker.record(true);
        tracker.conclude(Health::Down);
        assert!(!tracker.is_back());
        tracker.record(true);
        assert!(tracker.is_back());
    }

    #[test]
    fn a_member_that_is_going_is_used_only_where_it_must_be() {
        use Health::{Down, Draining, Unknown, Up};
        for (verdict, usable, preferred, stays, goes) in [
            (Unknown, true, true, Unknown, Draining),
            (Up, true, true, Up, Draining),
            (Draining, true, false, Up, Draining),
            (Down, false, false, Down, Down),
        ] {
            assert_eq!(verdict.is_usable(), usable, "{verdict:?}");
            assert_eq!(verdict.is_preferred(), preferred, "{verdict:?}");
            assert_eq!(verdict.when_draining(false), stays, "{verdict:?}");
            assert_eq!(verdict.when_draining(true), goes, "{verdict:?}");
        }
    }

    #[test]
    fn the_largest_threshold_is_reached() {
        let mut tracker = tracker(1, 255);
        let changes: Vec<_> = (1..=300)
            .filter(|_| tracker.record(false).is_some())
            .collect();
        assert_eq!(changes, [255]);
    }
}
