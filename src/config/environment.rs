//! What a configuration depends on besides its text.
//!
//! Handed in, so that this room does no I/O and its tests need neither disk nor network.

use std::io;
use std::path::Path;

use super::identity::Surroundings;

/// Names the local member.
pub const MEMBER_VARIABLE: &str = "SHARDLET_MEMBER";
/// Says where other members reach the local one, where no list does.
pub const ADDRESS_VARIABLE: &str = "SHARDLET_ADDRESS";
/// Holds the hash key.
pub const HASH_KEY_VARIABLE: &str = "SHARDLET_HASH_KEY";
/// Names the configuration file.
pub const CONFIG_VARIABLE: &str = "SHARDLET_CONFIG";

/// Everything outside of the text.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    /// The value of `--member`.
    pub member_flag: Option<&'e str>,
    /// The value of [`MEMBER_VARIABLE`], unless empty.
    pub member_variable: Option<&'e str>,
    /// The value of [`ADDRESS_VARIABLE`], unless empty.
    pub address: Option<&'e str>,
    /// The value of [`HASH_KEY_VARIABLE`], unless empty.
    pub hash_key: Option<&'e [u8]>,
    /// Reads the files that the text names.
    pub files: &'e dyn Files,
    /// Looks for the local member on this machine. Without it, a command works offline: if nothing
    /// names the local member, the first one stands in.
    pub surroundings: Option<&'e dyn Surroundings>,
    /// Whether another machine will run it: the hash key may be missing here, and another stands in.
    pub elsewhere: bool,
}

/// Reads files.
pub trait Files {
    /// The whole of a file.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::FileTooLarge`] beyond `limit` bytes.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
}
