//! What is wrong with a configuration, told so that it can be mended without the manual.
//!
//! A problem carries its place, the line it stands on and a way out. It owns all of its text, with
//! secrets already blotted out, so that it can be logged, shown by the admin API and compared.

mod excerpt;
mod render;

use std::fmt;
use std::io;
use std::string::FromUtf8Error;

use super::source::SourceName;

pub use excerpt::Excerpt;

/// How much is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// There is no configuration.
    Problem,
    /// The configuration holds, but is probably not meant so.
    Remark,
}

/// Where a wrong value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A place in a file.
    Text {
        /// The file, as the operator named it.
        source: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// A file as a whole, or something that it lacks.
    Whole {
        /// The file, as the operator named it.
        source: String,
    },
    /// An environment variable.
    Variable(&'static str),
    /// An option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                source,
                line,
                column,
            } => write!(f, "{source}:{line}:{column}"),
            Self::Whole { source } => f.write_str(source),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much is wrong.
    pub severity: Severity,
    /// Where.
    pub place: Location,
    /// What, in one sentence, without secrets.
    pub message: String,
    /// The offending line, where there is one that may be shown.
    pub excerpt: Option<Excerpt>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// The problem for people, over several lines, with a line feed at the end.
    pub fn render(&self, color: bool) -> String {
        render::problem(self, color)
    }
}

/// `place: message`, in one line, for logs.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            place,
            message,
            excerpt: _,
            help,
        } = self;
        let word = match severity {
            Severity::Problem => "",
            Severity::Remark => "remark: ",
        };
        write!(f, "{place}: {word}{message}")?;
        help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// All that is wrong with one configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// In the order in which they are to be read.
    pub(crate) fn new(list: Vec<Problem>) -> Self {
        Self { list }
    }

    /// For a reader that failed without a word: a mistake of ours, yet no reason to panic.
    pub(super) fn silent(source: &SourceName) -> Self {
        let message = "not understood, for a reason that was lost; please report this";
        Self::whole(source, message.to_owned())
    }

    /// A file that cannot be read.
    pub fn unreadable(source: &SourceName, error: &io::Error) -> Self {
        Self::whole(source, format!("cannot be read: {error}"))
    }

    /// A file that is not UTF-8.
    pub fn no_text(source: &SourceName, error: &FromUtf8Error) -> Self {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(good);
        let line = 1 + before.filter(|&&byte| byte == b'\n').count();
        Self::whole(source, format!("is no text: line {line} is not UTF-8"))
    }

    fn whole(source: &SourceName, message: String) -> Self {
        let place = Location::Whole {
            source: source.to_string(),
        };
        let severity = Severity::Problem;
        Self {
            list: vec![Problem {
                severity,
                place,
                message,
                excerpt: None,
                help: None,
            }],
        }
    }

    /// Each problem, then the remarks.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many are problems, not remarks.
    pub fn count(&self) -> usize {
        self.list
            .iter()
            .filter(|problem| problem.severity == Severity::Problem)
            .count()
    }

    /// All of them for people.
    pub fn render(&self, color: bool) -> String {
        self.list
            .iter()
            .map(|problem| problem.render(color))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// One line each, for logs.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
