//! Texts, times and pictures as HTML.

use crate::observe::human::duration;
use crate::operate::activity::MemberActivity;
use std::fmt::{self, Write as _};

/// The curve's picture, in its own units.
const WIDTH: usize = 120;
const HEIGHT: u64 = 24;

/// Text inside HTML, in elements and in quoted attributes.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// How long something has been so.
pub(super) struct Since(pub(super) Option<u64>);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => write!(f, " <span class=soft>for {}</span>", duration(seconds)),
            None => Ok(()),
        }
    }
}

/// A share between 0 and 1 as a bar.
pub(super) struct Bar(pub(super) f64);

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = (self.0 * 100.0).clamp(0.0, 100.0);
        write!(
            f,
            "<svg class=bar viewBox=\"0 0 100 8\" preserveAspectRatio=none aria-hidden=true>\
             <rect class=rail width=100 height=8 /><rect class=fill width={width:.1} height=8 /></svg>"
        )
    }
}

/// Requests of five minutes, and the errors among them.
pub(super) struct Curve<'a>(pub(super) &'a MemberActivity);

impl fmt::Display for Curve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemberActivity {
            slot_seconds,
            requests,
            errors,
            ..
        } = self.0;
        // The last slot is not over yet, and would look like a fall.
        let whole = requests.len().saturating_sub(1);
        let (requests, errors) = (&requests[..whole], errors.get(..whole).unwrap_or_default());
        let most = requests.iter().copied().max().unwrap_or(0);
        let peak = most as f64 / (*slot_seconds).max(1) as f64;
        write!(
            f,
            "<svg class=curve viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=none role=img \
             aria-label=\"at most {peak:.1} requests a second in five minutes\">"
        )?;
        for (class, values) in [("requests", requests), ("errors", errors)] {
            if values.iter().all(|value| *value == 0) {
                continue;
            }
            write!(f, "<path class={class} d=\"M0 {HEIGHT}")?;
            for (at, value) in values.iter().enumerate() {
                let x = at as f64 * WIDTH as f64 / values.len().saturating_sub(1).max(1) as f64;
                let y = HEIGHT as f64 * (1.0 - *value as f64 / most.max(1) as f64 * 0.92);
                write!(f, "L{x:.1} {y:.1}")?;
            }
            write!(f, "L{WIDTH} {HEIGHT}z\"/>")?;
        }
        write!(f, "<path class=base d=\"M0 {HEIGHT}H{WIDTH}\"/></svg>")
    }
}
