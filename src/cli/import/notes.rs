//! What a reader of the result has to know, one line each.

use crate::config::SourceName;
use crate::shard::text::printable;

/// Notes on a file, each with the line that it is about, if it is about one.
#[derive(Debug, Default)]
pub(in crate::cli) struct Notes(Vec<(Option<usize>, String)>);

impl Notes {
    /// A note on a line.
    pub(in crate::cli) fn at(&mut self, line: usize, text: impl Into<String>) {
        self.0.push((Some(line), text.into()));
    }

    /// A note on the file.
    pub(in crate::cli) fn whole(&mut self, text: impl Into<String>) {
        self.0.push((None, text.into()));
    }

    /// One note alone.
    pub(in crate::cli) fn one(line: Option<usize>, text: impl Into<String>) -> Self {
        Self(vec![(line, text.into())])
    }

    /// `FILE:LINE: what and why`, in the order of the file.
    pub(in crate::cli) fn render(&self, source: &SourceName) -> String {
        let mut notes: Vec<_> = self.0.iter().collect();
        // Stable: those of one line stay as they came.
        notes.sort_by_key(|(line, _)| *line);
        let line = |(line, text): &(Option<usize>, String)| {
            let place = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{source}{place}: {}\n", printable(text))
        };
        notes.into_iter().map(line).collect()
    }
}
