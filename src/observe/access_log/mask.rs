//! Request targets as they may be written down.
//!
//! Upload URLs carry a signed `_state`, storage redirects a signature, login callbacks a code. A
//! list of bad names is never complete, so this is a list of good ones: everything else is masked.

use crate::shard::text::all_marked;

/// Query parameters of the distribution specification and of our own, whose values are no secrets.
const SHOWN: [&str; 10] = [
    "n",
    "last",
    "digest",
    "mount",
    "from",
    "artifactType",
    "service",
    "scope",
    "repo",
    "verbose",
];
/// Parameters whose values are secrets, but whose presence helps to see what a client does.
const NAMED: [&str; 8] = [
    "_state",
    "account",
    "client_id",
    "code",
    "query",
    "state",
    "token",
    "X-Amz-Signature",
];
/// What stands for a hidden text.
const MASK: &str = "***";
/// Longest path or value that is written out, in bytes.
const MAX_SHOWN: usize = 1024;

/// Whether this target is written as it came: a short path of plain characters and no more, as most are.
pub(super) fn is_shown_as_it_is(target: &[u8]) -> bool {
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            plain[byte] = (byte as u8).is_ascii_alphanumeric()
                || matches!(
                    byte as u8,
                    b'/' | b'.' | b'_' | b'-' | b'~' | b':' | b'@' | b'%' | b'+'
                );
            byte += 1;
        }
        plain
    };
    target.first() == Some(&b'/') && target.len() <= MAX_SHOWN && all_marked(target, &PLAIN)
}

/// Appends the request target, with everything masked that may be a secret.
pub(super) fn mask_target(target: &[u8], out: &mut String) {
    let target = String::from_utf8_lossy(target);
    let end = target.find(['?', ';', '#']).unwrap_or(target.len());
    let (path, rest) = target.split_at(end);
    push_path(path, out);
    match rest.strip_prefix('?') {
        Some(query) => push_query(query, out),
        None if rest.is_empty() => {}
        None => {
            out.extend(rest.chars().take(1));
            out.push_str(MASK);
        }
    }
}

/// Origin form as it is; of the absolute form only the path, since the rest can hold a password.
fn push_path(path: &str, out: &mut String) {
    if path.starts_with('/') || path == "*" {
        return push_short(path, out);
    }
    out.push_str(MASK);
    if let Some((_, authority)) = path.split_once("://")
        && let Some(slash) = authority.find('/')
    {
        push_short(&authority[slash..], out);
    }
}

fn push_query(query: &str, out: &mut String) {
    let mut separator = '?';
    for pair in query.split('&') {
        out.push(separator);
        separator = '&';
        match pair.split_once('=') {
            Some((name, value)) => {
                let known = SHOWN.contains(&name);
                out.push_str(if known || NAMED.contains(&name) {
                    name
                } else {
                    MASK
                });
                out.push('=');
                out.push_str(if known && is_plain_value(value) {
                    value
                } else {
                    MASK
                });
            }
            // Nothing tells what it is.
            None if !pair.is_empty() => out.push_str(MASK),
            None => {}
        }
        if out.len() > 2 * MAX_SHOWN {
            return out.push('…');
        }
    }
}

/// A value that cannot hide another parameter, not even for a reader who decodes it.
fn is_plain_value(value: &str) -> bool {
    let decoded = ["%2F", "%2f", "%3A", "%3a", "%2B", "%2b"]
        .iter()
        .fold(value.to_owned(), |text, escape| text.replace(escape, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+,-".contains(&byte);
    value.len() <= MAX_SHOWN && decoded.bytes().all(plain)
}

fn push_short(text: &str, out: &mut String) {
    let short = shortened(text, MAX_SHOWN);
    out.push_str(short);
    if short.len() < text.len() {
        out.push('…');
    }
}

/// The beginning of a text, at most `limit` bytes and only whole characters.
pub(super) fn shortened(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(target: &str) -> String {
        let mut out = String::new();
        mask_target(target.as_bytes(), &mut out);
        out
    }

    #[test]
    fn what_is_known_is_shown_and_the_rest_is_not() {
        for (target, wanted) in [
            (
                "/v2/a/tags/list?n=10&last=v1.2",
                "/v2/a/tags/list?n=10&last=v1.2",
            ),
            (
                "/v2/a/blobs/uploads/?mount=sha256:ab&from=x/y",
                "/v2/a/blobs/uploads/?mount=sha256:ab&from=x/y",
            ),
            (
                "/v2/a/blobs/uploads/1?digest=sha256%3Aab",
                "/v2/a/blobs/uploads/1?digest=sha256%3Aab",
            ),
            (
                "/v2/a/blobs/uploads/1?_state=abc&digest=sha256:ab",
                "/v2/a/blobs/uploads/1?_state=***&digest=sha256:ab",
            ),
            (
                "/zot/auth/callback/github?code=abc&state=def",
                "/zot/auth/callback/github?code=***&state=***",
            ),
            ("/v2/?%5Fstate=abc", "/v2/?***=***"),
            ("/v2/?n=1;token=abc", "/v2/?n=***"),
            ("/v2/?n=1%26token%3Dabc", "/v2/?n=***"),
            ("/v2/?abc", "/v2/?***"),
            ("/v2/?", "/v2/?"),
            ("/v2/a;token=abc/x", "/v2/a;***"),
            ("/v2/a#abc", "/v2/a#***"),
            ("http://user:abc@host/v2/?token=abc", "***/v2/?token=***"),
            ("user:abc@host:443", "***"),
            ("*", "*"),
        ] {
            assert_eq!(masked(target), wanted);
        }
    }

    #[test]
    fn a_long_path_is_cut() {
        let shown = masked(&format!("/{}ä", "x".repeat(MAX_SHOWN - 2)));
        assert_eq!(shown, format!("/{}…", "x".repeat(MAX_SHOWN - 2)));
    }

    proptest! {
        /// Wherever a client or registry puts a secret, it does not reach the log.
        #[test]
        fn no_secret_survives(
            path in "(/[a-z0-9]{1,8}){1,4}/?",
            before in proptest::collection::vec("(n|last|digest|from)=[a-z0-9:]{0,8}", 0..3),
            place in prop_oneof![
                Just("_state=@"), Just("token=@"), Just("X-Amz-Signature=@"), Just("n2=@"),
                Just("@"), Just("@=1"), Just("n=1;t=@"), Just("n=1%3Bt=@"), Just("N=@"),
                Just("n=a?t=@"), Just("n=a#@"), Just("%6e=@"), Just("=@"), Just("n==@"),
            ],
            secret in "S3CR3T[a-zA-Z0-9+/=]{8,300}",
        ) {
            let mut query = before;
            query.push(place.replace('@', &secret));
            let joined = query.join("&");
            for target in [
                format!("{path}?{joined}"),
                format!("{path};t={secret}?{joined}"),
                format!("{path}#{secret}"),
                format!("https://u:{secret}@host{path}?{joined}"),
                format!("u:{secret}@host:443"),
            ] {
                let shown = masked(&target);
                prop_assert!(!shown.contains("S3CR3T"), "{target} became {shown}");
            }
        }

        #[test]
        fn anything_is_masked_without_panic(target in any::<Vec<u8>>()) {
            let mut out = String::new();
            mask_target(&target, &mut out);
            prop_assert!(out.len() <= 6 * MAX_SHOWN);
        }
    }
}
