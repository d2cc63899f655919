//! What several targets begin with: a configuration that touches no file.

use std::io;
use std::path::Path;

use shardlet::config::{Config, Environment, Files, Problems, SourceName, load};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Reads a configuration; there are no files, no variables, and the key is known.
pub fn load_alone(text: &str) -> Result<Config, Problems> {
    let env = Environment {
        member_flag: None,
        member_variable: None,
        address: None,
        hash_key: Some(b"loremipsumdolors"),
        files: &NoFiles,
        surroundings: None,
        elsewhere: false,
    };
    load(text, &SourceName::Stdin, &env)
}
