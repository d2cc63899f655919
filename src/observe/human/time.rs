//! Time stamps, without a calendar library for one format.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::shard::text::three_digits;

const SECONDS_A_DAY: u64 = 86_400;

/// A time stamp: `2026-11-22T11:06:40.123Z`.
type Stamp = [u8; 24];

/// A time as RFC 3339 in UTC with milliseconds. Once a request, so a thread makes each second once.
pub(crate) fn rfc3339_bytes(time: SystemTime) -> Stamp {
    thread_local! {
        static LAST: Cell<(u64, Stamp)> = const { Cell::new((u64::MAX, [0; 24])) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut stamp) = LAST.get();
    if second != since.as_secs() {
        second = since.as_secs();
        stamp = whole_second(second);
        LAST.set((second, stamp));
    }
    stamp[20..23].copy_from_slice(&three_digits(since.subsec_millis().into()));
    stamp
}

/// The same as text.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    rfc3339_bytes(time).map(char::from).iter().collect()
}

fn whole_second(since_1970: u64) -> Stamp {
    let (year, month, day) = date(since_1970 / SECONDS_A_DAY);
    let second = since_1970 % SECONDS_A_DAY;
    let mut stamp = *b"0000-00-00T00:00:00.000Z";
    for (at, number) in [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, second / 3600),
        (14..16, second / 60 % 60),
        (17..19, second % 60),
    ] {
        put(&mut stamp[at], number);
    }
    stamp
}

/// The last digits of a number, as many as there is room for.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The day of a Unix time, in UTC: `2026-11-22`. Days before 1970 are shown as its first.
pub(crate) fn day(unix_seconds: i64) -> String {
    let (year, month, day) = date(u64::try_from(unix_seconds).unwrap_or(0) / SECONDS_A_DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a day since 1970-01-01, by counting from March in eras of 400 years, so
/// that the leap day is the last day of a year.
fn date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_A_ERA: u64 = 146_097;
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    let days = days_since_1970 + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day) = (days / DAYS_A_ERA, days % DAYS_A_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_times() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199, "2024-02-29T23:59:59.007Z"),
            (1_767_225_599, "2025-12-31T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7);
            let text = rfc3339(time);
            assert_eq!(text, wanted);
        }
    }
    #[test]
    fn known_days() {
        assert_eq!(
            [day(-1), day(0), day(1_900_000_000)],
            ["1970-01-01", "1970-01-01", "2030-03-17"]
        );
        // Far beyond any certificate, and still no overflow.
        assert!(day(i64::MAX).ends_with("-04"), "{}", day(i64::MAX));
    }
}
