//! Numbers as people read them, the same on the status page, in the banner and in the terminal.

mod time;

pub(crate) use time::{day, rfc3339, rfc3339_bytes};

use std::fmt::{self, Display, Formatter};

/// A number of bytes: `1.4 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in UNITS {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        write!(f, "{value:.1} {unit}")
    }
}

/// A time in its two greatest units: `3d 4h`, `2m 5s`.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        (..) => format!("{days}d {hours}h"),
    }
}

/// A share between 0 and 1: `33.3%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// So many names are told one by one.
pub(crate) const NAMED: usize = 3;

/// Some of many names: `a, b and c`, or `a, b, c and 9 more`.
pub(crate) fn names(all: &[impl AsRef<str>]) -> String {
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    match all.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if all.len() <= NAMED => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", all[..NAMED].join(", "), all.len() - NAMED),
    }
}

/// Rows as columns that line up, two spaces apart and without trailing ones.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let count = rows.iter().map(|row| row.as_ref().len()).max();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count.unwrap_or(0)).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}  "));
        out.push_str(cells.collect::<String>().trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let shown = |bytes| Bytes(bytes).to_string();
        assert_eq!(
            [shown(0), shown(1023), shown(1024)],
            ["0 B", "1023 B", "1.0 KiB"]
        );
        assert_eq!([shown(300 << 20), shown(5 << 40)], ["300.0 MiB", "5.0 TiB"]);
    }

    #[test]
    fn times_and_shares() {
        let shown = [59, 60, 3_599, 3_600, 90_061].map(duration);
        assert_eq!(shown, ["59s", "1m 0s", "59m 59s", "1h 0m", "1d 1h"]);
        assert_eq!([percent(1.0 / 3.0), percent(1.0)], ["33.3%", "100.0%"]);
    }
}
