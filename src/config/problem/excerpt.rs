//! The line that a problem stands on, fit to be shown.

use std::ops::Range;

use crate::config::yaml::Mark;
use crate::shard::text::shown;

/// Most characters of a line that are shown.
const MAX_SHOWN: usize = 120;

/// The line that a problem stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, without secrets, control characters and the comment at its end, cut to a window
    /// if it is long.
    pub line: String,
    /// How many characters of `line` come before the offending text.
    pub before: usize,
    /// How many characters of `line` are the offending text; at least 1.
    pub width: usize,
}

impl Excerpt {
    /// The line of `mark`, with every hidden byte of the text blotted out.
    pub(in crate::config) fn of(text: &str, mark: &Mark, hidden: &[Range<usize>]) -> Option<Self> {
        let line = text.lines().nth(mark.line - 1)?;
        let start = line.as_ptr() as usize - text.as_ptr() as usize;
        let marked = text
            .get(mark.bytes.clone())
            .unwrap_or_default()
            .lines()
            .next();
        let width = marked.map_or(0, |marked| marked.chars().count());
        let before = mark.column - 1;
        let first = before.saturating_sub(MAX_SHOWN / 2);
        let visible: String = without_comment(line, before + width)
            .char_indices()
            .skip(first)
            .take(MAX_SHOWN)
            .map(|(at, c)| match c {
                _ if hidden.iter().any(|range| range.contains(&(start + at))) => '*',
                // A tab would put the caret elsewhere than the reader expects.
                '\t' => ' ',
                c => shown(c),
            })
            .collect();
        let visible = visible.trim_end().to_owned();
        let count = visible.chars().count();
        let before = (before - first).min(count);
        Some(Self {
            line: visible,
            before,
            width: width.min(count - before).max(1),
        })
    }
}

/// A comment may hold what was commented out, a hash key too. It begins after the offending text.
fn without_comment(line: &str, characters: usize) -> &str {
    let after = line
        .char_indices()
        .nth(characters)
        .map_or(line.len(), |(at, _)| at);
    let begins = |at: &usize| line[..*at].ends_with([' ', '\t']);
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| *at >= after && begins(at));
    comment.map_or(line, |at| &line[..at])
}
