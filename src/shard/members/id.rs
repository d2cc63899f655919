//! Member ids.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A member's name: 1 to [`MemberId::MAX_LENGTH`] bytes of `a-z 0-9 . _ -`.
///
/// It is also a name that a TLS client can verify a certificate against, so it follows the rules for DNS names:
/// labels between dots are not empty and neither begin nor end with `-`, and the last label is not a number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// Longest id in bytes.
    pub const MAX_LENGTH: usize = 63;

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, MemberIdError> {
        if text.is_empty() {
            return Err(MemberIdError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(MemberIdError::TooLong { length: text.len() });
        }
        if let Some(found) = text
            .chars()
            .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
        {
            return Err(MemberIdError::Character { found });
        }
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        if !alphanumeric(text.as_bytes().first()) || !alphanumeric(text.as_bytes().last()) {
            return Err(MemberIdError::Edge);
        }
        if !is_dns_name(text) {
            return Err(MemberIdError::NotAServerName);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for MemberId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is no member id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberIdError {
    /// Nothing is there.
    Empty,
    /// More than [`MemberId::MAX_LENGTH`] bytes.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character outside `a-z 0-9 . _ -`.
    Character {
        /// The first such character.
        found: char,
    },
    /// It begins or ends with `.`, `_` or `-`.
    Edge,
    /// It could not stand in a certificate as a DNS name.
    NotAServerName,
}

impl fmt::Display for MemberIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a member id must not be empty"),
            Self::TooLong { length } => {
                write!(f, "a member id has at most {} bytes, this one has {length}", MemberId::MAX_LENGTH)
            }
            Self::Character { found } => {
                write!(f, "a member id is made of a-z, 0-9, '.', '_' and '-', and {found:?} is none of them")
            }
            Self::Edge => f.write_str("a member id begins and ends with a letter or a digit"),
            Self::NotAServerName => f.write_str(
                "a member id must do as a DNS name in a certificate: no empty part between dots, no part that begins \
                 or ends with '-', no number as the last part",
            ),
        }
    }
}

impl std::error::Error for MemberIdError {}

/// Whether a TLS client would take the text as a DNS name (labels of letters, digits, `_` and `-`, at most 63 bytes
/// each and 253 together, the last not all digits, so that no address is taken for a name).
pub(super) fn is_dns_name(text: &str) -> bool {
    const MAX_LABEL: usize = 63;
    const MAX_NAME: usize = 253;
    let label_is_fine = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= MAX_NAME && text.split('.').all(label_is_fine) && !last_is_number
}
