//! Where the members of a fleet keep what they agree on: a few small items, each read and replaced as one, by whoever
//! names what it read.
//!
//! Leases rest on one thing here: a [`Store::put`] takes effect only while its [`Expected`] holds, whoever else writes
//! at the same time. Not every store does that though it says so, so each proves it at the start ([`prove`]).
//!
//! A call is one attempt within [`CALL`], and is never repeated in here: what is known of a lease counts from before
//! the one attempt. What may have been done and may not is [`Put::Unknown`]. It may even be done later, when nobody waits
//! for it any more, for as long as its condition holds: so every value carries a number that no other has, and who writes
//! remembers those of all attempts that it does not know the end of.

#[cfg(any(feature = "s3", feature = "dynamodb"))]
mod aws;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(any(feature = "s3", feature = "dynamodb", feature = "kubernetes"))]
mod endpoint;
mod key;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod memory;
mod prove;
#[cfg(feature = "s3")]
mod s3;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::config::StoreSettings;
pub(crate) use key::{Key, KeyError, ProbeKey};
pub(crate) use prove::{Unproven, prove};

/// How long one call may take.
pub(crate) const CALL: Duration = Duration::from_secs(1);

/// See the module.
#[async_trait]
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// What people call it, for messages: its kind and its place, never a credential.
    fn place(&self) -> &str;

    /// Why no lease can be kept in it however well it answers, if it can tell that of itself.
    async fn misfit(&self) -> Result<Option<String>, Trouble> {
        Ok(None)
    }

    /// The value as the last put left it, that of any member; none if there never was one.
    async fn get(&self, key: &Key) -> Result<Option<Item>, Trouble>;

    /// Writes the value if that is what is there now.
    async fn put(&self, key: &Key, expected: &Expected, value: &[u8]) -> Put;

    /// All keys below this one, in no order.
    async fn list(&self, below: &Key) -> Result<Vec<Key>, Trouble>;

    /// Throws away what a proof wrote. Nothing else is ever removed: whoever comes back has to see that it was
    /// there before.
    async fn forget(&self, probe: &ProbeKey) -> Result<(), Trouble>;
}

/// A value, and which writing of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Bytes,
    pub(crate) tag: Tag,
}

/// Names one writing of one item, in the store's own words. Two writings of the same bytes may have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag(Arc<str>);

/// What has to be there for a put to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Absent,
    /// The writing of this tag, and none since.
    Tag(Tag),
}

/// What became of a put.
#[derive(Debug)]
#[must_use = "only Done is known to be written"]
pub(crate) enum Put {
    /// Written, with this tag.
    Done(Tag),
    /// The store says that something else is there. With anything between it and us that repeats requests, it may be
    /// this very write.
    Conflict,
    /// Written, or not, or still to be written.
    Unknown(Trouble),
}

/// A store that cannot be asked at all, as it is set up.
#[derive(Debug)]
pub(crate) struct Unopened {
    place: String,
    why: String,
}

/// Why a store has not said what it was asked. What it quotes of an answer is a status and a code, nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    what: String,
}

#[cfg_attr(
    not(any(feature = "s3", feature = "dynamodb", feature = "kubernetes")),
    allow(dead_code, reason = "stores over a network alone know them")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// No answer within [`CALL`].
    Slow,
    /// No connection, or one that broke off.
    Unreachable,
    /// It is overloaded, throttles us, or fails.
    Failing,
    /// Another request for the same item is under way. It does not say which of both it did.
    Contended,
    /// It will refuse the next one too, until somebody mends the configuration, the credentials or their permissions.
    Refused,
    /// An answer that means nothing to us.
    Odd,
}

/// Opens a store. Nothing is asked yet; its name is looked up from now on, so it is opened within a runtime.
///
/// # Errors
/// What somebody has to mend first: another try would end the same way.
pub(crate) fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, Unopened> {
    let opened: Result<Arc<dyn Store>, String> = match settings {
        #[cfg(feature = "s3")]
        StoreSettings::S3(settings) => s3::S3::open(settings).map(|store| Arc::new(store) as _),
        #[cfg(feature = "dynamodb")]
        StoreSettings::DynamoDb(settings) => {
            dynamodb::DynamoDb::open(settings).map(|store| Arc::new(store) as _)
        }
        #[cfg(feature = "kubernetes")]
        StoreSettings::Kubernetes(settings) => {
            kubernetes::Kubernetes::open(settings).map(|store| Arc::new(store) as _)
        }
        #[cfg(not(feature = "s3"))]
        StoreSettings::S3(_) => Err(not_built("s3")),
        #[cfg(not(feature = "dynamodb"))]
        StoreSettings::DynamoDb(_) => Err(not_built("dynamodb")),
        #[cfg(not(feature = "kubernetes"))]
        StoreSettings::Kubernetes(_) => Err(not_built("kubernetes")),
        StoreSettings::Memory(name) => Ok(memory::named(name)),
    };
    opened.map_err(|why| Unopened {
        place: settings.to_string(),
        why,
    })
}

#[cfg(not(all(feature = "s3", feature = "dynamodb", feature = "kubernetes")))]
fn not_built(feature: &str) -> String {
    format!("this build is without it: take a release, or build with the feature `{feature}`")
}

impl Tag {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TroubleKind {
    /// For metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Unreachable => "unreachable",
            Self::Failing => "failing",
            Self::Contended => "contended",
            Self::Refused => "refused",
            Self::Odd => "odd",
        }
    }
}

impl Trouble {
    pub(crate) fn new(kind: TroubleKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }

    /// No answer in time.
    pub(crate) fn slow() -> Self {
        let what = format!("no answer within {} s", CALL.as_secs());
        Self::new(TroubleKind::Slow, what)
    }

    /// What is there means nothing to us.
    pub(crate) fn odd(what: impl Into<String>) -> Self {
        Self::new(TroubleKind::Odd, what)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Trouble {}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, why } = self;
        write!(f, "the store {place} cannot be used: {why}")
    }
}

impl std::error::Error for Unopened {}

/// A number that nobody else has.
pub(crate) fn random_number() -> Result<u128, Trouble> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| Trouble::new(TroubleKind::Odd, format!("no random number: {error}")))?;
    Ok(u128::from_ne_bytes(bytes))
}
