//! What of a request target does not go on.
//!
//! Clients that use a registry as a mirror say by `?ns=` which registry they mean (containerd always
//! does; the distribution specification, "Registry Proxying"). No registry behind us reads it today,
//! and one that did could keep `/v2/app?ns=docker.io` and `/v2/docker.io/app` as one repository, of
//! which we know two names and so perhaps two owners. So a repository is what the path names, and
//! the replica is not told of anything else.

/// Adds the question mark and this query without `ns`, every other byte as it was; nothing if there is
/// nothing else in it.
pub(super) fn push_without_namespace(out: &mut Vec<u8>, query: &[u8]) {
    if !query.split(is_end).any(is_namespace) {
        out.push(b'?');
        out.extend_from_slice(query);
        return;
    }
    let mut separator = b'?';
    for pair in query.split_inclusive(is_end) {
        let (pair, end) = match pair.split_last() {
            Some((last, before)) if is_end(last) => (before, *last),
            _ => (pair, b'&'),
        };
        if !is_namespace(pair) {
            out.push(separator);
            out.extend_from_slice(pair);
            separator = end;
        }
    }
}

/// Whether a parameter ends here. Some readers take a semicolon for a separator as well.
fn is_end(byte: &u8) -> bool {
    matches!(byte, b'&' | b';')
}

/// Whether this parameter's name is `ns`, however it is escaped.
fn is_namespace(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let mut rest = name;
    for wanted in *b"ns" {
        let Some((byte, behind)) = unescaped(rest) else {
            return false;
        };
        if byte != wanted {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// The first byte of an escaped text, and what follows it.
fn unescaped(text: &[u8]) -> Option<(u8, &[u8])> {
    if let [b'%', high, low, behind @ ..] = text {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = digit(high)? * 16 + digit(low)?;
        return Some((u8::try_from(byte).ok()?, behind));
    }
    text.split_first().map(|(byte, behind)| (*byte, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The target without `ns`.
    fn left(target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap();
        let mut out = path.as_bytes().to_vec();
        push_without_namespace(&mut out, query.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_namespace_goes_and_every_other_byte_stays() {
        let cases = [
            ("/v2/a/tags/list?ns=docker.io", "/v2/a/tags/list"),
            ("/v2/a/tags/list?ns", "/v2/a/tags/list"),
            (
                "/v2/a/tags/list?ns=docker.io&n=5&last=b",
                "/v2/a/tags/list?n=5&last=b",
            ),
            ("/v2/a/tags/list?n=5&ns=docker.io", "/v2/a/tags/list?n=5"),
            (
                "/v2/a/tags/list?n=5&ns=&last=b",
                "/v2/a/tags/list?n=5&last=b",
            ),
            (
                "/v2/a/tags/list?n=5;ns=a;last=b",
                "/v2/a/tags/list?n=5;last=b",
            ),
            (
                "/v2/a/tags/list?ns=a&ns=b&%6es=c&n%73=d&%6E%73=e",
                "/v2/a/tags/list",
            ),
            (
                "/v2/a/tags/list?a=%2f&ns=x&&b=?x",
                "/v2/a/tags/list?a=%2f&&b=?x",
            ),
        ];
        for (target, expected) in cases {
            assert_eq!(left(target), expected, "{target}");
        }
    }

    #[test]
    fn anything_else_is_not_touched() {
        for target in [
            "/v2/ns=a/tags/list?",
            "/v2/a/tags/list?",
            "/v2/a/tags/list?n=5",
            "/v2/a/tags/list?NS=a&nsx=b&xns=c&n%5s=d&n=ns&=ns&%",
            "/v2/a/blobs/uploads/x?_state=ns",
        ] {
            assert_eq!(left(target), target);
        }
    }

    proptest! {
        #[test]
        fn once_is_enough(query in "([ns%67e3=&;?a]|ns=|&ns=a){0,30}") {
            let once = left(&format!("/v2/a/tags/list?{query}"));
            prop_assert!(once.starts_with("/v2/a/tags/list"));
            if once.contains('?') {
                prop_assert_eq!(left(&once), once);
            }
        }
    }
}
