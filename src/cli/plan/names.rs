//! The repositories that a plan is made for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use crate::shard::Repository;

/// How many names are made up when none are given: shares are then right to a tenth of a percent or two.
const MADE_UP: usize = 100_000;
/// Most bytes of a list of names: ten million repositories.
const LIST_LIMIT: u64 = 1 << 30;
/// How many wrong names are told one by one.
const COMPLAINTS: usize = 20;

/// Valid names in order, each once, and those that are no names.
#[derive(Debug, Default)]
pub(super) struct Names {
    valid: Vec<String>,
    invalid: Vec<(String, String)>,
    made_up: bool,
}

impl Names {
    /// Takes names as they come.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut sorted = Self::default();
        for name in names {
            match Repository::parse(&name).map(|_| ()) {
                Ok(()) => sorted.valid.push(name),
                Err(error) => sorted.invalid.push((name, error.to_string())),
            }
        }
        sorted.valid.sort_unstable();
        sorted.valid.dedup();
        sorted
    }

    /// Names that nobody has, where nobody says which there are.
    pub(super) fn made_up() -> Self {
        let mut names = Self::new((0..MADE_UP).map(|number| format!("made-up/{number}")));
        names.made_up = true;
        names
    }

    /// Reads a file of names, one a line; `-` is standard input.
    pub(super) fn read(file: &OsStr) -> Result<Self, String> {
        let read = || -> io::Result<Self> {
            let source: Box<dyn Read> = if file == "-" {
                Box::new(io::stdin().lock())
            } else {
                Box::new(File::open(file)?)
            };
            let mut names = Vec::new();
            let mut source = BufReader::new(source.take(LIST_LIMIT + 1));
            let (mut line, mut bytes) = (String::new(), 0);
            loop {
                line.clear();
                let length = source.read_line(&mut line)?;
                if length == 0 {
                    return Ok(Self::new(names));
                }
                bytes += length as u64;
                if bytes > LIST_LIMIT {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                let name = line.trim();
                if !name.is_empty() {
                    names.push(name.to_owned());
                }
            }
        };
        read().map_err(|error| format!("cannot read names from {}: {error}", file.display()))
    }

    /// The names that repositories can have.
    pub(super) fn repositories(&self) -> impl ExactSizeIterator<Item = &str> {
        self.valid.iter().map(String::as_str)
    }

    /// Whether they stand in for names that nobody gave.
    pub(super) fn are_made_up(&self) -> bool {
        self.made_up
    }

    /// Whether all that were given can be names.
    pub(super) fn all_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// What is wrong with the others, one a line.
    pub(super) fn complaints(&self) -> String {
        let told = self.invalid.iter().take(COMPLAINTS);
        let mut lines: String = told
            .map(|(name, why)| format!("{} is no repository: {why}\n", name.escape_debug()))
            .collect();
        if let Some(more) = self
            .invalid
            .len()
            .checked_sub(COMPLAINTS)
            .filter(|more| *more > 0)
        {
            lines += &format!("and {more} more that are no repository\n");
        }
        lines
    }
}
