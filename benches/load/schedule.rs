//! When requests are due, whatever the answers do: at a constant rate, from a beginning on.
//!
//! A load that waits for an answer before it asks again asks a slow server less, and so leaves out the very requests
//! that would have waited (coordinated omission). Here latency counts from when a request was due.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    per_second: f64,
    taken: u32,
    end: Option<Instant>,
}

impl Schedule {
    pub(crate) fn new(start: Instant, per_second: f64) -> Self {
        Self {
            start,
            per_second,
            taken: 0,
            end: None,
        }
    }

    /// When the next one was due, if it is now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next();
        let open = self.end.is_none_or(|end| due < end);
        (open && due <= now).then(|| {
            self.taken += 1;
            due
        })
    }

    /// How many are due that nobody has taken yet.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "more than 2^32 requests are never due"
    )]
    pub(crate) fn waiting(&self, now: Instant) -> u32 {
        match now.checked_duration_since(self.next()) {
            None => 0,
            Some(late) => (late.as_secs_f64() * self.per_second) as u32 + 1,
        }
    }

    /// Nothing is due from this time on.
    pub(crate) fn end(&mut self, at: Instant) {
        self.end = Some(at);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.next() >= end)
    }

    fn next(&self) -> Instant {
        self.start + Duration::from_secs_f64(f64::from(self.taken) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_at_its_time_however_late_it_is_taken() {
        let start = Instant::now();
        let ms = |count| start + Duration::from_millis(count);
        let mut schedule = Schedule::new(start, 1000.0);
        assert_eq!(schedule.take(ms(0)), Some(ms(0)));
        assert_eq!(schedule.take(ms(0)), None, "the next one is due in 1 ms");
        assert_eq!(schedule.waiting(ms(0)), 0);
        assert_eq!(schedule.waiting(ms(3)), 3);
        assert_eq!(schedule.take(ms(3)), Some(ms(1)));
        assert_eq!(schedule.take(ms(3)), Some(ms(2)));
        assert_eq!(schedule.take(ms(3)), Some(ms(3)));
        assert_eq!(schedule.take(ms(3)), None);
        assert_eq!(schedule.waiting(ms(3)), 0);
    }

    #[test]
    fn what_was_due_before_the_end_is_taken_after_it() {
        let start = Instant::now();
        let ms = |count| start + Duration::from_millis(count);
        let mut schedule = Schedule::new(start, 1000.0);
        schedule.end(ms(2));
        assert!(!schedule.is_over());
        assert_eq!(schedule.take(ms(9)), Some(ms(0)));
        assert_eq!(schedule.take(ms(9)), Some(ms(1)));
        assert_eq!(schedule.take(ms(9)), None);
        assert!(schedule.is_over());
    }
}
