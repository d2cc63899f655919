//! The time as `Date` has it (RFC 9110 §5.6.7). Pure: the caller has the clock.

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const LENGTH: usize = 29;

/// The last moment that was asked for, so that the text is made once a second.
#[derive(Debug)]
pub(crate) struct Date {
    second: u64,
    text: [u8; LENGTH],
}

impl Default for Date {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"Thu, 01 Jan 1970 00:00:00 GMT",
        }
    }
}

impl Date {
    /// The text for so many seconds after 1970 began.
    pub(crate) fn at(&mut self, second: u64) -> &[u8] {
        if second != self.second {
            self.second = second;
            self.text = text(second);
        }
        &self.text
    }
}

thread_local! {
    static NOW: std::cell::RefCell<Date> = std::cell::RefCell::default();
}

/// The time now, made once a second and thread. By the C library's clock, which can be set for one process.
pub(crate) fn now() -> [u8; LENGTH] {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    NOW.with_borrow_mut(|now| {
        now.at(since.unwrap_or_default().as_secs());
        now.text
    })
}

/// The same as the value of a field.
pub(crate) fn value() -> http::HeaderValue {
    http::HeaderValue::from_bytes(&now()).unwrap_or(http::HeaderValue::from_static("-"))
}

fn text(second: u64) -> [u8; LENGTH] {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let days = second / 86_400;
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut put = |at: usize, number: u64| {
        text[at] = b'0' + (number / 10 % 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    };
    put(5, day);
    put(12, year / 100);
    put(14, year);
    put(17, second / 3600 % 24);
    put(20, second / 60 % 60);
    put(23, second % 60);
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[month as usize]);
    text
}

/// Year, month from 0 and day from 1. Years are counted from March, so that a leap day ends one.
fn civil(days: u64) -> (u64, u64, u64) {
    // From the 1st of March of the year 0; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let next = u64::from(month >= 10);
    (era * 400 + year + next, (month + 2) % 12, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §5.6.7: its own example, ends of days, months, years and leap years.
    #[test]
    fn a_moment_has_one_text() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ];
        let mut date = Date::default();
        for (second, expected) in cases {
            let text = String::from_utf8(date.at(second).to_vec()).unwrap();
            assert_eq!(text, expected, "{second}");
        }
    }
}
