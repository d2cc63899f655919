//! Any text as proxy.yaml: answered with a configuration or with problems that can be shown.
#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use shardlet::config::{Environment, Files, SourceName, load};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fuzz_target!(|text: &str| {
    let env = Environment {
        member_flag: None,
        member_variable: None,
        hash_key: Some(b"loremipsumdolors"),
        files: &NoFiles,
        surroundings: None,
    };
    match load(text, &SourceName::Stdin, &env) {
        Ok(config) => assert!(config.view.members().len() > 0),
        Err(problems) => {
            assert!(problems.count() > 0);
            assert!(!problems.render(true).is_empty());
        }
    }
});
