//! Repositories that an operator tied to a member.
//!
//! Pins replace the path rules of a load balancer. Those match `repo1` as a prefix of `repo10`; a pin is whole
//! components.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::members::MemberIndex;
use super::repository::{NameError, Repository};

/// One rule: these repositories belong to that member, whatever the placement says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Which repositories.
    pub prefix: PinPrefix,
    /// Whose they are.
    pub member: MemberIndex,
}

/// All pins; the longest prefix that matches wins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pins(BTreeMap<PinPrefix, MemberIndex>);

impl Pins {
    /// Most pins that there may be.
    pub const MAX: usize = 4096;

    /// Collects pins.
    ///
    /// # Errors
    /// If there are too many, or two have one prefix.
    pub fn new(list: Vec<Pin>) -> Result<Self, PinsError> {
        if list.len() > Self::MAX {
            return Err(PinsError::TooMany { count: list.len() });
        }
        let mut seen = BTreeMap::new();
        for (second, pin) in list.iter().enumerate() {
            if let Some(first) = seen.insert(&pin.prefix, second) {
                return Err(PinsError::Duplicate {
                    prefix: pin.prefix.clone(),
                    first,
                    second,
                });
            }
        }
        Ok(Self(
            list.into_iter()
                .map(|pin| (pin.prefix, pin.member))
                .collect(),
        ))
    }

    /// The member that a repository is tied to.
    #[must_use]
    pub fn owner(&self, repository: &Repository<'_>) -> Option<MemberIndex> {
        if self.0.is_empty() {
            return None;
        }
        let name = repository.as_str();
        // Longest first: the whole name, then without its last component, and so on.
        let shorter = name.rmatch_indices('/').map(|(slash, _)| &name[..slash]);
        std::iter::once(name)
            .chain(shorter)
            .find_map(|prefix| self.0.get(prefix).copied())
    }

    /// All pins, ordered by prefix.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&PinPrefix, MemberIndex)> {
        self.0.iter().map(|(prefix, member)| (prefix, *member))
    }

    /// How many pins there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The leading components of repository names: `team` matches `team` and `team/app`, never `teams`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PinPrefix(Arc<str>);

impl PinPrefix {
    /// The components, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PinPrefix {
    type Err = NameError;

    /// Reads `team`, or `team/`, which means the same.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let prefix = Repository::parse(text.strip_suffix('/').unwrap_or(text))?;
        Ok(Self(prefix.as_str().into()))
    }
}

impl fmt::Display for PinPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.0)
    }
}

impl std::borrow::Borrow<str> for PinPrefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a list of pins is refused. Positions count list entries from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinsError {
    /// More than [`Pins::MAX`].
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Two pins have one prefix.
    Duplicate {
        /// The prefix.
        prefix: PinPrefix,
        /// The earlier entry.
        first: usize,
        /// The later entry.
        second: usize,
    },
}

impl fmt::Display for PinsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { count } => {
                write!(f, "{count} pins are too many, the limit is {}", Pins::MAX)
            }
            Self::Duplicate {
                prefix,
                first,
                second,
            } => {
                write!(
                    f,
                    "pins {} and {} have the same prefix {prefix}",
                    first + 1,
                    second + 1
                )
            }
        }
    }
}

impl std::error::Error for PinsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::members::tests::{id, members};

    #[test]
    fn the_longest_run_of_whole_components_wins() {
        let members = members(&["zot-1", "zot-2", "zot-3"], "zot-1");
        let pin = |prefix: &str, member: &str| Pin {
            prefix: prefix.parse().unwrap(),
            member: members.find(&id(member)).unwrap(),
        };
        let pins = Pins::new(vec![
            pin("repo1/", "zot-1"),
            pin("team/app", "zot-2"),
            pin("team", "zot-3"),
        ])
        .unwrap();
        for (repository, owner) in [
            ("repo1", Some("zot-1")),
            ("repo1/a/b", Some("zot-1")),
            ("repo10", None),
            ("repo", None),
            ("team", Some("zot-3")),
            ("team/app", Some("zot-2")),
            ("team/app/x", Some("zot-2")),
            ("team/application", Some("zot-3")),
            ("other/team/app", None),
        ] {
            let found = pins.owner(&Repository::parse(repository).unwrap());
            assert_eq!(
                found.map(|index| members.get(index).id.as_str()),
                owner,
                "{repository}"
            );
        }
    }

    #[test]
    fn one_prefix_in_two_spellings_is_one_prefix() {
        let members = members(&["zot-1"], "zot-1");
        let pin = |prefix: &str| Pin {
            prefix: prefix.parse().unwrap(),
            member: members.local(),
        };
        let error = Pins::new(vec![pin("a/"), pin("b"), pin("a")]).unwrap_err();
        assert_eq!(
            error,
            PinsError::Duplicate {
                prefix: "a".parse().unwrap(),
                first: 0,
                second: 2
            }
        );
        assert_eq!(error.to_string(), "pins 1 and 3 have the same prefix a/");
    }

    #[test]
    fn a_prefix_is_made_of_whole_components() {
        for (text, error) in [
            ("", NameError::Empty),
            ("/", NameError::Empty),
            ("a//", NameError::EmptyComponent { position: 2 }),
            ("/a", NameError::EmptyComponent { position: 0 }),
            ("a-", NameError::Separator { position: 1 }),
            ("A/", NameError::Uppercase { position: 0 }),
        ] {
            assert_eq!(text.parse::<PinPrefix>(), Err(error), "{text:?}");
        }
        assert_eq!("a/b/".parse::<PinPrefix>().unwrap().to_string(), "a/b/");
    }
}
