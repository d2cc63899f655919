//! Texts and verdicts as HTML.

use crate::operate::status::{CircuitStatus, HealthStatus};
use std::fmt::{self, Write as _};

/// A verdict with its colour, and in words for those who do not see it.
pub(super) struct Dot(pub(super) HealthStatus);

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0.as_str();
        write!(f, "<span class=\"dot {word}\">{word}</span>")
    }
}

/// The state of a circuit; loud unless it is closed.
pub(super) struct Circuit(pub(super) CircuitStatus);

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.0 {
            CircuitStatus::Closed => "soft",
            CircuitStatus::HalfOpen => "warn",
            CircuitStatus::Open => "down",
        };
        write!(f, "<span class={class}>{}</span>", self.0.as_str())
    }
}

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
