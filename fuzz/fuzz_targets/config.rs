//! Any text as proxy.yaml: answered with a configuration or with problems that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet_fuzz::load_alone;

fuzz_target!(|text: &str| {
    match load_alone(text) {
        Ok(config) => assert!(config.view.members().len() > 0),
        Err(problems) => {
            assert!(problems.count() > 0);
            assert!(!problems.render(true).is_empty());
        }
    }
});
