//! Keeps the hash key out of every message, and credentials that do not belong into the file.
//!
//! Two nets. In a file that parses, every value under a key that looks like `hash_key`, misspelled
//! too, or like a credential, is marked in the tree. In a file that does not parse there is no tree: then a line is shown
//! only if it certainly stands outside of such a value.

use std::ops::Range;

use super::yaml::{Kind, Node};

/// How many edits may turn a key into `hashkey` for its value to be taken for a secret.
const MAX_EDITS: usize = 3;

/// Marks all nodes that may hold a secret, and returns the bytes of the file that they take.
pub(super) fn mark(root: &mut Node, text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    visit(root, text, false, &mut hidden);
    hidden
}

fn visit(node: &mut Node, text: &str, secret: bool, hidden: &mut Vec<Range<usize>>) {
    let tells = |text: &str| holds_assignment(text) || holds_password(text);
    let secret = secret || matches!(&node.kind, Kind::Scalar(text) if tells(text));
    node.secret = secret;
    if secret {
        hidden.push(node.defined.clone());
    }
    match &mut node.kind {
        Kind::Null | Kind::Scalar(_) => {}
        Kind::Sequence(items) => items
            .iter_mut()
            .for_each(|item| visit(item, text, secret, hidden)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                visit(key, text, secret, hidden);
                let named = matches!(&key.kind, Kind::Scalar(name) if names_secret(name));
                let value_secret = secret || key.secret || named;
                visit(value, text, value_secret, hidden);
                if value_secret {
                    hidden.push(between(text, key.mark.bytes.end, value.mark.bytes.start));
                }
            }
        }
    }
}

/// What stands between a key and its value, after the colon: a tag or an anchor there may be a hash
/// key that lacks its quotes.
fn between(text: &str, from: usize, to: usize) -> Range<usize> {
    let gap = text.get(from..to).unwrap_or_default();
    let after = gap.trim_start();
    let after = after.strip_prefix(':').unwrap_or(after).trim_start();
    to - after.len()..to
}

/// `hash_key`, `hashKey`, `hash-kye` … but not `hash_key_file`, whose value is a path.
pub(super) fn names_secret(key: &str) -> bool {
    let key = letters(key);
    if key.ends_with("file") {
        return false;
    }
    // Credentials of a store do not belong into the file; who writes them there has them hidden.
    if ["accesskey", "secret", "password", "token"]
        .iter()
        .any(|word| key.contains(word))
    {
        return true;
    }
    key.contains("hashkey") || strsim::damerau_levenshtein(&key, "hashkey") <= MAX_EDITS
}

/// A value such as `hash_key:abc`, where the space after the colon was forgotten.
fn holds_assignment(text: &str) -> bool {
    letters(text).contains("hashkey") && text.contains([':', '='])
}

/// A URL with credentials in it.
fn holds_password(text: &str) -> bool {
    let authority = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

fn letters(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Whether a line (from 1) of a file that does not parse may be shown.
pub(crate) fn may_show(text: &str, line: usize) -> bool {
    let mut inside: Option<usize> = None;
    for (index, content) in text.lines().enumerate() {
        let indent = content.len() - content.trim_start().len();
        // A value ends before the next key that is not deeper than its own.
        if inside.is_some_and(|secret| indent <= secret && begins_key(content)) {
            inside = None;
        }
        if looks_secret(content) {
            inside = Some(indent);
        }
        if index + 1 == line {
            return inside.is_none();
        }
    }
    // Beyond the last line there is nothing to show.
    false
}

fn begins_key(line: &str) -> bool {
    let word = line
        .trim_start()
        .trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
    word.starts_with(':') && word.len() < line.trim_start().len()
}

fn looks_secret(line: &str) -> bool {
    let words = letters(line).replace("hashkeyfile", "");
    // Whatever is called a key, and keys whose name is misspelled.
    words.contains("hash")
        || words.contains("key:")
        || line
            .split([':', '{', ',', '"', '\'', ' '])
            .any(names_secret)
}
