//! Another member's view, as it tells it.
#![no_main]

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use shardlet::config::{Environment, Files, SourceName, load};
use shardlet::shard::{Description, Repository, View};

const CONFIG: &str = "member: a
cluster: { insecure: true, members: [ { id: a, address: a:1 }, { id: b, address: b:1 } ] }";

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn ours() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        let env = Environment {
            member_flag: None,
            member_variable: None,
            hash_key: Some(b"loremipsumdolors"),
            files: &NoFiles,
            surroundings: None,
        };
        load(CONFIG, &SourceName::Stdin, &env).expect("a good configuration").view
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut told) = serde_json::from_slice::<Description>(bytes) else { return };
    let own = ours().describe();
    let repository = Repository::parse("team/app").expect("a name");
    // Nobody guesses the check value of a key; with it, the rest is looked at.
    for key in [told.key.clone(), own.key.clone()] {
        told.key = key;
        // Nor a fingerprint; ours alone can be right, and only for our own view.
        let other = ours().rebuild(*ours().fingerprint(), told.clone());
        assert!(!other.is_computed() || told.members == own.members, "another view under our fingerprint");
        let disputed = ours().is_disputed(&repository, &other);
        assert!(disputed != other.is_computed(), "what is not computed is in dispute, and ours is not");
        assert!(!ours().difference(&other).is_empty() || told == own);
    }
});
