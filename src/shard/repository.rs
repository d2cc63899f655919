//! Repository names.
//!
//! The name is what gets hashed, so it must mean the same to us and to every registry. The grammar is that of the
//! OCI distribution spec ("Pulling manifests", `<name>`), which CNCF distribution and zot share for the part without
//! a host name in front.

use std::fmt;

/// A repository name that obeys the grammar, borrowed from the request path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Repository<'p>(&'p str);

impl<'p> Repository<'p> {
    /// Longest name in bytes. CNCF distribution refuses longer ones, and clients cannot write them.
    pub const MAX_LENGTH: usize = 255;

    /// Reads a whole name: `component ("/" component)*` with
    /// `component = [a-z0-9]+ (("." | "_" | "__" | "-"+) [a-z0-9]+)*`.
    ///
    /// # Errors
    /// A [`NameError`] that says which rule is broken and where.
    pub fn parse(name: &'p str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_LENGTH {
            return Err(NameError::TooLong { length: name.len() });
        }
        let mut at = Within::ComponentStart;
        for (position, byte) in name.bytes().enumerate() {
            at = at.after(byte, position)?;
        }
        match at {
            Within::Word => Ok(Self(name)),
            Within::ComponentStart => Err(NameError::EmptyComponent {
                position: name.len(),
            }),
            Within::Dot | Within::Underscore | Within::TwoUnderscores | Within::Dashes => {
                Err(NameError::Separator {
                    position: name.len() - 1,
                })
            }
        }
    }

    /// The name, byte for byte as it stood in the path.
    #[must_use]
    pub fn as_str(&self) -> &'p str {
        self.0
    }
}

impl fmt::Display for Repository<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why a name is no repository name. Positions count bytes from the start of the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameError {
    /// There is no name.
    Empty,
    /// The name has more than [`Repository::MAX_LENGTH`] bytes.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Two slashes meet, or the name begins or ends with one.
    EmptyComponent {
        /// Where the component should have begun.
        position: usize,
    },
    /// A separator begins or ends a component, or separators stand together that may not.
    Separator {
        /// Where the offending separator is.
        position: usize,
    },
    /// An upper-case letter.
    Uppercase {
        /// Where it is.
        position: usize,
    },
    /// A byte that never occurs in names.
    Byte {
        /// The byte.
        byte: u8,
        /// Where it is.
        position: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the repository name is empty"),
            Self::TooLong { length } => {
                write!(
                    f,
                    "the repository name has {length} bytes, the limit is {}",
                    Repository::MAX_LENGTH
                )
            }
            Self::EmptyComponent { position } => {
                write!(
                    f,
                    "the repository name has an empty component at byte {position}"
                )
            }
            Self::Separator { position } => {
                write!(
                    f,
                    "the repository name has a misplaced separator at byte {position}"
                )
            }
            Self::Uppercase { position } => {
                write!(
                    f,
                    "the repository name has an upper-case letter at byte {position}"
                )
            }
            Self::Byte { byte, position } => {
                write!(
                    f,
                    "the repository name has the forbidden byte 0x{byte:02x} at byte {position}"
                )
            }
        }
    }
}

impl std::error::Error for NameError {}

/// Where in the grammar the reader stands.
#[derive(Clone, Copy)]
enum Within {
    ComponentStart,
    Word,
    Dot,
    Underscore,
    TwoUnderscores,
    Dashes,
}

impl Within {
    fn after(self, byte: u8, position: usize) -> Result<Self, NameError> {
        match (byte, self) {
            (b'a'..=b'z' | b'0'..=b'9', _) => Ok(Self::Word),
            (b'/', Self::Word) => Ok(Self::ComponentStart),
            (b'.', Self::Word) => Ok(Self::Dot),
            (b'_', Self::Word) => Ok(Self::Underscore),
            (b'_', Self::Underscore) => Ok(Self::TwoUnderscores),
            (b'-', Self::Word | Self::Dashes) => Ok(Self::Dashes),
            (b'/', Self::ComponentStart) => Err(NameError::EmptyComponent { position }),
            (b'/', _) => Err(NameError::Separator {
                position: position.saturating_sub(1),
            }),
            (b'.' | b'_' | b'-', _) => Err(NameError::Separator { position }),
            (b'A'..=b'Z', _) => Err(NameError::Uppercase { position }),
            (byte, _) => Err(NameError::Byte { byte, position }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_the_spec_are_taken() {
        for name in [
            "a",
            "0",
            "library/alpine",
            "a/b/c/d",
            "my-org/my_app.web",
            "team--x/y__z",
            "a---b",
            "manifests",
            "blobs/uploads",
            "tags/list/x",
            "v2",
            "a.b-c_d__e---f",
        ] {
            assert_eq!(Repository::parse(name).map(|r| r.as_str()), Ok(name));
        }
    }

    #[test]
    fn every_broken_rule_is_named_with_its_place() {
        use NameError::*;
        for (name, error) in [
            ("", Empty),
            ("/a", EmptyComponent { position: 0 }),
            ("a/", EmptyComponent { position: 2 }),
            ("a//b", EmptyComponent { position: 2 }),
            (".a", Separator { position: 0 }),
            ("_catalog", Separator { position: 0 }),
            ("a..b", Separator { position: 2 }),
            ("a___b", Separator { position: 3 }),
            ("a-.b", Separator { position: 2 }),
            ("a_-b", Separator { position: 2 }),
            ("a.", Separator { position: 1 }),
            ("a/b-/c", Separator { position: 3 }),
            ("a/.", Separator { position: 2 }),
            ("Library", Uppercase { position: 0 }),
            (
                "a b",
                Byte {
                    byte: b' ',
                    position: 1,
                },
            ),
            (
                "a%2fb",
                Byte {
                    byte: b'%',
                    position: 1,
                },
            ),
            (
                "localhost:5000/a",
                Byte {
                    byte: b':',
                    position: 9,
                },
            ),
            (
                "a\u{e9}",
                Byte {
                    byte: 0xc3,
                    position: 1,
                },
            ),
        ] {
            assert_eq!(Repository::parse(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn the_length_limit_is_exact() {
        let longest = "x".repeat(Repository::MAX_LENGTH);
        assert!(Repository::parse(&longest).is_ok());
        let longer = format!("{longest}x");
        assert_eq!(
            Repository::parse(&longer),
            Err(NameError::TooLong { length: 256 })
        );
    }
}
