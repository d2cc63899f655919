//! Durations as people write them: `500ms`, `1m30s`, `0.5s`, `1d`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::findings::Wrong;
use super::schema::nearest;

/// Units in milliseconds, the largest first, which is the order of `1m30s` as well.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// Digits after a point; more would be finer than a millisecond in every unit but days.
const MOST_DECIMALS: usize = 9;

/// Numbers with their units, within bounds.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&str) -> Result<Duration, Wrong> {
    move |text| {
        let duration = Duration::from_millis(millis(text)?);
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (from, to) = (spelled(*range.start()), spelled(*range.end()));
        Err(Wrong::expected(format!("a duration from {from} to {to}")))
    }
}

/// A duration as it would be written in the file. In one unit, and never in days: `24h` is the limit
/// that people know.
pub(crate) fn spelled(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut units = UNITS.iter().skip(1);
    let whole = units.find(|(_, factor)| millis.is_multiple_of(*factor));
    let (name, factor) = whole.unwrap_or(&("ms", 1));
    format!("{}{name}", millis / factor)
}

fn wrong() -> Wrong {
    Wrong::expected("a duration such as `500ms`, `2s`, `1m30s` or `1h`")
}

fn millis(text: &str) -> Result<u64, Wrong> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.as_slice();
    loop {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start();
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor = factor(number, unit, &mut units)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        // The smaller units are there to be used: `1.5m30s` is one that somebody has mistyped.
        if number.contains('.') && !after.is_empty() {
            return Err(wrong().help("only the last number may have a point"));
        }
        let part = part(whole, decimals, factor)?;
        total = total
            .checked_add(part)
            .ok_or_else(|| Wrong::expected("a smaller number"))?;
        if after.is_empty() {
            return Ok(total);
        }
        rest = after;
    }
}

/// What a unit stands for; leaves the smaller ones, which alone may follow it.
fn factor(number: &str, unit: &str, units: &mut &[(&str, u64)]) -> Result<u64, Wrong> {
    if number.is_empty() {
        return Err(wrong());
    }
    let all = || UNITS.iter().map(|(name, _)| *name).rev();
    if unit.is_empty() {
        let list = all().collect::<Vec<_>>().join(", ");
        return Err(wrong().help(format!("write the unit: `{number}s`? Units are {list}")));
    }
    if let Some(at) = units.iter().position(|(name, _)| *name == unit) {
        let factor = units[at].1;
        *units = &units[at + 1..];
        return Ok(factor);
    }
    if all().any(|name| name == unit) {
        return Err(wrong().help("each unit once, the larger ones first"));
    }
    let alike = all().find(|name| name.eq_ignore_ascii_case(unit));
    Err(match alike.or_else(|| nearest(unit, all())) {
        Some(name) => wrong().help(format!("did you mean `{number}{name}`?")),
        None => wrong().help(format!(
            "units are {}",
            all().collect::<Vec<_>>().join(", ")
        )),
    })
}

/// Whole milliseconds of a number with a point.
fn part(whole: &str, decimals: &str, factor: u64) -> Result<u64, Wrong> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > MOST_DECIMALS {
        return Err(wrong().help("a point stands between digits, at most nine after it"));
    }
    let too_large = || Wrong::expected("a smaller number");
    let whole = whole.parse::<u64>().ok();
    let whole = whole.and_then(|whole| whole.checked_mul(factor));
    let scale = decimals.bytes().fold(1_u64, |scale, _| scale * 10);
    // At most nine digits times a day in milliseconds: no overflow.
    let decimals = decimals.parse::<u64>().map_err(|_| too_large())? * factor;
    if !decimals.is_multiple_of(scale) {
        return Err(wrong().help("nothing is finer than a millisecond"));
    }
    let sum = whole.and_then(|whole| whole.checked_add(decimals / scale));
    sum.ok_or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<u64, Wrong> {
        let any = Duration::ZERO..=Duration::from_secs(u64::MAX / 1000);
        duration(any)(text).map(|duration| u64::try_from(duration.as_millis()).unwrap())
    }

    #[test]
    fn what_people_write() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("2s", 2000),
            ("2 s", 2000),
            ("0.5s", 500),
            ("1.25s", 1250),
            ("1.50s", 1500),
            ("0.001s", 1),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1m0s", 60_000),
            ("0s500ms", 500),
            ("1m1.5s", 61_500),
            ("1h", 3_600_000),
            ("1.5h", 5_400_000),
            ("1h0.5m", 3_630_000),
            ("1d", 86_400_000),
            ("1d12h", 129_600_000),
            ("1d1h1m1s1ms", 90_061_001),
            ("0.5d", 43_200_000),
        ] {
            assert_eq!(read(text).unwrap(), millis, "{text}");
        }
    }

    #[test]
    fn nonsense_is_told_with_a_way_out() {
        for (text, help) in [
            ("", ""),
            ("s", ""),
            ("-1s", ""),
            ("+1s", ""),
            ("1e3s", "units are ms, s, m, h, d"),
            ("1s-1ms", ""),
            ("1s ", ""),
            ("1s 1ms", ""),
            ("1,5s", "write the unit: `1s`? Units are ms, s, m, h, d"),
            ("60", "write the unit: `60s`? Units are ms, s, m, h, d"),
            ("1m30", "write the unit: `30s`? Units are ms, s, m, h, d"),
            ("60S", "did you mean `60s`?"),
            ("1D", "did you mean `1d`?"),
            ("2w", "units are ms, s, m, h, d"),
            ("30s1m", "each unit once, the larger ones first"),
            ("1s1s", "each unit once, the larger ones first"),
            ("1.5m30s", "only the last number may have a point"),
            (
                "1.2.3s",
                "a point stands between digits, at most nine after it",
            ),
            (
                ".5s",
                "a point stands between digits, at most nine after it",
            ),
            (
                "5.s",
                "a point stands between digits, at most nine after it",
            ),
            (
                "0.0000000001d",
                "a point stands between digits, at most nine after it",
            ),
            ("0.5ms", "nothing is finer than a millisecond"),
            ("1.0001s", "nothing is finer than a millisecond"),
        ] {
            let Wrong {
                expected,
                help: told,
            } = read(text).unwrap_err();
            assert!(expected.starts_with("a duration such as"), "{text}");
            assert_eq!(told.unwrap_or_default(), help, "{text}");
        }
        for text in [
            "99999999999999999999s",
            "18446744073709551615ms1",
            "999999999999999999d",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_we_spell_is_read_back(millis in 0..100_000_000_000_u64) {
            let text = spelled(Duration::from_millis(millis));
            prop_assert_eq!(read(&text).unwrap(), millis);
        }

        #[test]
        fn no_text_is_too_much(text in "[0-9a-z. ]{0,40}") {
            let _ = read(&text);
        }
    }
}
