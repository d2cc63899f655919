//! The name of a configuration, for messages, and the folder that its relative paths start from.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a configuration's text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceName {
    /// A file, by the path that the operator gave.
    File(PathBuf),
    /// Standard input; relative paths start from the working folder.
    Stdin,
}

impl SourceName {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin => None,
        }
    }

    /// The folder that relative paths start from; empty for the working folder.
    pub fn folder(&self) -> &Path {
        self.path().and_then(Path::parent).unwrap_or(Path::new(""))
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("<stdin>"),
        }
    }
}
