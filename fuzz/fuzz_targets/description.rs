//! Another member's view, as it tells it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use shardlet::shard::{Description, Repository, View};
use shardlet_fuzz::load_alone;

const CONFIG: &str = "member: a
cluster: { insecure: true, members: [ { id: a, address: a:1 }, { id: b, address: b:1 } ] }";

fn ours() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        load_alone(CONFIG).expect("a good configuration").view
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
