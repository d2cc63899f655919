//! Whatever is in a file: reading it neither panics nor shows the key.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const EXAMPLE: &str = include_str!("../../../proxy.yaml");
const KEY: &str = "replace-this-key";

/// One edit of a text: cut out a piece, and put another one there.
fn edited(text: &str, at: Index, len: usize, piece: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let start = at.index(chars.len() + 1);
    let end = (start + len).min(chars.len());
    chars.splice(start..end, piece.chars());
    chars.into_iter().collect()
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[\\[\\]{}:,#&*!|>'\"%@`?\\-~\n\t\r \\\\]{0,3}",
        "[a-z_]{1,8}: ?",
        "\\PC{0,4}",
        any::<String>(),
        Just("\n---\n".to_owned()),
        Just("<<: *a".to_owned()),
        Just("99999999999999999999".to_owned()),
    ]
}

fn shown(text: &str) -> String {
    match read(text) {
        Ok(config) => format!("{config:?}"),
        Err(problems) => {
            assert!(problems.count() > 0);
            format!("{}\n{problems}\n{problems:?}", problems.render(true))
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        shown(&text);
    }

    #[test]
    fn any_yaml_like_text_is_answered(text in "([a-z_]{0,9}:? ?[\\[\\]{},&*!|>'\"\\-\n]{0,2}[ ]{0,4}){0,40}") {
        shown(&text);
    }

    #[test]
    fn edits_of_a_good_file_are_answered_without_the_key(
        edits in prop::collection::vec((any::<Index>(), 0..12_usize, piece()), 1..4)
    ) {
        let line = EXAMPLE.find("hash_key:").unwrap()..EXAMPLE.find(KEY).unwrap() + KEY.len();
        let secret = "hash_key: n0b0dySeesTh1s1";
        let mut text = format!("{}{secret}{}", &EXAMPLE[..line.start], &EXAMPLE[line.end..]);
        for (at, len, piece) in edits {
            text = edited(&text, at, len, &piece);
        }
        // An edit of `hash_key` itself may leave a text that nobody could take for a key.
        if text.contains(secret) {
            let shown = shown(&text);
            prop_assert!(!shown.contains("n0b0dySeesTh1s1"), "{text}\n{shown}");
        }
    }

    #[test]
    fn a_rate_is_taken_within_its_bounds(bytes in prop_oneof![0..4_u64, 0..3_000_000_000_u64]) {
        let text = minimal(&format!("limits: {{ download_rate: {bytes}B }}\n"));
        let taken = read(&text).ok().and_then(|config| config.limits.download_rate);
        let expected = u32::try_from(bytes).ok().filter(|bytes| *bytes <= 1 << 30);
        prop_assert_eq!(taken.map(u32::from), expected.filter(|bytes| *bytes > 0));
    }

    #[test]
    fn a_circuit_is_open_no_longer_than_its_limit(
        open in 100..4_000_000_u64, limit in 100..4_000_000_u64
    ) {
        let text = minimal(&format!("circuit: {{ open: {open}ms, open_limit: {limit}ms }}\n"));
        let hour = 3_600_000;
        let legal = open <= limit && limit <= hour;
        prop_assert_eq!(read(&text).is_ok(), legal);
    }
}
