//! Values that travel between members and to clients, derived from the hash key with HMAC-SHA256.
//!
//! Each use has its own domain string, so that one value says nothing about another, and none says anything about the
//! key.

use std::fmt;
use std::str::FromStr;

use ring::hmac;

use crate::shard::members::{MemberId, Members};
use crate::shard::pins::Pins;
use crate::shard::placement::{HashKey, Placement};
use crate::shard::text::hex;

const FINGERPRINT_DOMAIN: &[u8] = b"shardlet view fingerprint v1";
const KEY_DOMAIN: &[u8] = b"shardlet hash key check v1";
const STICKY_DOMAIN: &[u8] = b"shardlet sticky token v1";

/// What a view's owners depend on, in 16 bytes: two members with one fingerprint agree on every owner.
///
/// The first half of an HMAC-SHA256, keyed by the hash key, over these fields, where `text` is preceded by its length
/// and every number is a little-endian u64:
///
/// ```text
/// text domain · text placement · hash version
/// number of members · for each, in list order: text id · weight
/// number of pins    · for each, ordered by prefix: text prefix · position of its member in the list
/// ```
///
/// Addresses and the local member are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; Self::LENGTH]);

impl Fingerprint {
    /// Its length in bytes; written out it has twice as many digits.
    pub const LENGTH: usize = 16;

    pub(super) fn of(key: &HashKey, placement: Placement, members: &Members, pins: &Pins) -> Self {
        let mut message = Message::new(key, FINGERPRINT_DOMAIN);
        message.text(placement.as_str().as_bytes());
        message.number(u64::from(placement.version()));
        message.number(members.owners().len() as u64);
        for (_, member) in members.owners() {
            message.text(member.id.as_str().as_bytes());
            message.number(u64::from(member.weight.get()));
        }
        message.number(pins.len() as u64);
        for (prefix, member) in pins.iter() {
            message.text(prefix.as_str().as_bytes());
            message.number(member.get() as u64);
        }
        Self(message.finish())
    }

    /// The same for the hash key alone.
    pub(super) fn of_key(key: &HashKey) -> Self {
        Self(Message::new(key, KEY_DOMAIN).finish())
    }

    /// Its digits, as they are sent.
    pub(crate) fn digits(&self) -> [[u8; 2]; Self::LENGTH] {
        hex(&self.0)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        f.write_str(str::from_utf8(digits.as_flattened()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads what `Display` writes, and nothing else: 32 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(FingerprintError),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(FingerprintError);
        };
        let mut bytes = [0; Self::LENGTH];
        if pairs.len() != bytes.len() {
            return Err(FingerprintError);
        }
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(bytes))
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FingerprintError;

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a view fingerprint has 32 lower-case hexadecimal digits")
    }
}

impl std::error::Error for FingerprintError {}

/// A member's name in cookies: 16 hexadecimal digits that tell clients nothing about the cluster.
///
/// The first 8 bytes of an HMAC-SHA256, keyed by the hash key, over the domain and the member's id, each preceded by
/// its length as a little-endian u64.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StickyToken(String);

impl StickyToken {
    /// How many bytes of the HMAC it shows.
    const BYTES: usize = 8;

    pub(super) fn of(key: &HashKey, id: &MemberId) -> Self {
        let mut message = Message::new(key, STICKY_DOMAIN);
        message.text(id.as_str().as_bytes());
        let bytes: [u8; Self::BYTES] = message.finish();
        Self(format!("{:016x}", u64::from_be_bytes(bytes)))
    }

    /// The cookie value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StickyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message under a domain whose parts cannot run into each other.
struct Message(hmac::Context);

impl Message {
    fn new(key: &HashKey, domain: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let mut message = Self(hmac::Context::with_key(&key));
        message.text(domain);
        message
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// The first `N` bytes of the tag; `N` is at most 32.
    fn finish<const N: usize>(self) -> [u8; N] {
        const { assert!(N <= ring::digest::SHA256_OUTPUT_LEN) };
        let tag = self.0.sign();
        std::array::from_fn(|index| tag.as_ref()[index])
    }
}
