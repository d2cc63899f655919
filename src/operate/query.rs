//! Query strings of the admin listener, as forms send them.

use crate::shard::text::hex_byte;

/// The value of a parameter, decoded.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| decode(value))
    })
}

/// Whether a parameter is there, with or without a value.
pub(super) fn has(query: &str, name: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(name))
}

/// Decodes `%XX` and `+`; what is no escape stays as it is, and what is no UTF-8 becomes U+FFFD.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex_byte(*high, *low),
            _ => None,
        };
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_decoded() {
        for (query, wanted) in [
            ("repo=app/web", Some("app/web")),
            ("x=1&repo=app%2Fweb", Some("app/web")),
            ("repo=a+b%", Some("a b%")),
            ("repo=%zz%4", Some("%zz%4")),
            ("repo=", Some("")),
            ("repos=x", None),
            ("repo", None),
        ] {
            assert_eq!(value(query, "repo").as_deref(), wanted, "{query}");
        }
    }

    #[test]
    fn a_flag_needs_no_value() {
        assert!(has("a=1&verbose", "verbose") && has("verbose=1", "verbose"));
        assert!(!has("verboser", "verbose") && !has("", "verbose"));
    }

    proptest! {
        #[test]
        fn anything_decodes(text in any::<String>()) {
            prop_assert!(decode(&text).len() <= 3 * text.len());
        }
    }
}
