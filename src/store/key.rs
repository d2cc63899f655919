//! Names of items, of which every store can make names of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of an item: parts of 1 to 63 bytes of `a-z 0-9 . _ -` that begin and end with a letter or a digit, between
/// slashes. Every member id is such a part.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Arc<str>);

/// The name of an item that only a proof writes. It is made from nothing but a number, so that no other item is ever
/// thrown away.
#[derive(Debug)]
pub(crate) struct ProbeKey(Key);

/// Why a text is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyError {
    /// More than [`Key::MAX_LENGTH`] bytes.
    TooLong,
    /// A part is empty or has more than 63 bytes.
    Part,
    /// A character outside `a-z 0-9 . _ -`.
    Character,
    /// A part begins or ends with `.`, `_` or `-`.
    Edge,
}

impl Key {
    /// Longest key in bytes.
    pub(crate) const MAX_LENGTH: usize = 200;
    const MAX_PART: usize = 63;

    #[cfg_attr(
        not(any(feature = "s3", feature = "dynamodb", feature = "kubernetes")),
        allow(dead_code, reason = "stores over a network alone ask for it")
    )]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of this name below this one.
    ///
    /// # Errors
    /// A name that is no part of a key.
    pub(crate) fn child(&self, name: &str) -> Result<Self, KeyError> {
        format!("{self}/{name}").parse()
    }

    /// Its last part.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether the other one is below this one.
    pub(crate) fn is_above(&self, other: &Self) -> bool {
        let rest = other.0.strip_prefix(&*self.0);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }
}

impl ProbeKey {
    /// Below this all of them are.
    const FOLDER: &'static str = "probe";

    /// `number` is of this process alone; `of` is which of its items.
    pub(super) fn new(number: u128, of: u32) -> Self {
        Self(Key(format!("{}/{number:032x}-{of}", Self::FOLDER).into()))
    }

    pub(super) fn folder() -> Key {
        Key(Self::FOLDER.into())
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(KeyError::TooLong);
        }
        let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        for part in text.split('/') {
            let bytes = part.as_bytes();
            if bytes.is_empty() || bytes.len() > Self::MAX_PART {
                return Err(KeyError::Part);
            }
            let is_fit = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
            if !bytes.iter().all(is_fit) {
                return Err(KeyError::Character);
            }
            if !end(bytes.first()) || !end(bytes.last()) {
                return Err(KeyError::Edge);
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a key has at most {} bytes", Key::MAX_LENGTH),
            Self::Part => write!(
                f,
                "a part of a key has 1 to {} bytes between slashes",
                Key::MAX_PART
            ),
            Self::Character => f.write_str("a key is made of a-z, 0-9, '.', '_', '-' and '/'"),
            Self::Edge => f.write_str("a part of a key begins and ends with a letter or a digit"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::MemberId;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_what_all_stores_can_name() {
        let long = "a".repeat(63);
        for fit in ["view", "lease/zot-1", "lease/zot_1.a--b", &long, "0/1/2"] {
            assert_eq!(fit.parse::<Key>().unwrap().as_str(), fit);
        }
        let parts = [&*long; 4].join("/");
        for (text, why) in [
            ("", KeyError::Part),
            ("/view", KeyError::Part),
            ("lease/", KeyError::Part),
            ("a//b", KeyError::Part),
            (&"a".repeat(64), KeyError::Part),
            (&parts, KeyError::TooLong),
            ("View", KeyError::Character),
            ("a b", KeyError::Character),
            ("a%2fb", KeyError::Character),
            ("é", KeyError::Character),
            ("..", KeyError::Edge),
            ("lease/../view", KeyError::Edge),
            ("lease/-a", KeyError::Edge),
        ] {
            assert_eq!(text.parse::<Key>(), Err(why), "{text:?}");
        }
    }

    #[test]
    fn only_what_is_behind_a_slash_is_below() {
        let lease: Key = "lease".parse().unwrap();
        assert!(lease.is_above(&lease.child("a").unwrap()));
        for other in ["lease", "lease2/a", "view", "leas/e"] {
            assert!(!lease.is_above(&other.parse().unwrap()), "{other}");
        }
        assert_eq!(lease.child("a/"), Err(KeyError::Part));
    }

    #[test]
    fn a_probe_has_a_key_like_any_other() {
        for number in [0, 1, u128::MAX] {
            let probe = ProbeKey::new(number, u32::MAX);
            assert_eq!(probe.key().as_str().parse(), Ok(probe.key().clone()));
            assert!(ProbeKey::folder().is_above(probe.key()));
        }
    }

    proptest! {
        #[test]
        fn every_member_has_a_lease(text in "[a-z0-9._-]{1,63}") {
            if let Ok(id) = text.parse::<MemberId>() {
                let lease: Key = "lease".parse().unwrap();
                prop_assert!(lease.child(id.as_str()).is_ok());
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Key>();
        }
    }
}
