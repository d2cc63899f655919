//! Reads the hash key from the one place that has it, and shows it to nobody.

use std::io::ErrorKind;
use std::path::Path;

use super::environment::{Environment, HASH_KEY_VARIABLE};
use super::findings::Findings;
use super::problem::Location;
use super::section::Section;
use super::values::path;
use super::yaml::{Kind, Node};
use crate::shard::HashKey;
use crate::shard::text::hex_byte;

/// Bytes of a hash key, as SipHash wants them.
const KEY_BYTES: usize = HashKey::LENGTH;
/// Largest file that is read in search of a key, in bytes.
const MAX_FILE_BYTES: usize = 64;
/// The key of the shipped example.
const EXAMPLE: [u8; KEY_BYTES] = *b"replace-this-key";
const EXAMPLE_KEY: &str = "the hash key is the one of the example, which everybody knows";
const OWN_KEY: &str = "make a key of your own, the same for all members";

const EXPECTED: &str = "expected exactly 16 bytes, or 32 hexadecimal digits";

/// A hash key.
pub(super) struct Key {
    pub(super) key: HashKey,
    /// False for one that stands in for a key that another machine has.
    pub(super) known: bool,
}

/// The key from `hash_key`, `hash_key_file` or the environment: exactly one of them.
pub(super) fn read(
    cluster: &Section<'_>,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<Key> {
    let inline = cluster.node("hash_key");
    let file = cluster.node("hash_key_file");
    match (inline, file, env.hash_key) {
        (Some(node), None, None) => written(node, out),
        (None, Some(node), None) => {
            let path = cluster.value("hash_key_file", out, path)?;
            let path = out.file(&path);
            from_file(&path, node, env, out)
        }
        (None, None, Some(bytes)) => {
            let place = Location::Variable(HASH_KEY_VARIABLE);
            let key = decode(bytes);
            match key {
                None => {
                    let message = wrong("the hash key", Some(bytes.len()));
                    out.elsewhere(place, message, None);
                }
                Some(EXAMPLE) => {
                    out.remark_elsewhere(place, EXAMPLE_KEY.into(), Some(OWN_KEY.into()));
                }
                Some(_) => {}
            }
            key.map(known)
        }
        (None, None, None) if env.elsewhere => {
            let message =
                format!("no hash key: it must come from the variable {HASH_KEY_VARIABLE}");
            out.whole_remark(message, None);
            Some(stand_in())
        }
        (None, None, None) => {
            let help = format!("or `cluster.hash_key_file`, or the variable {HASH_KEY_VARIABLE}");
            cluster.lacks("hash_key", out, Some(help));
            None
        }
        (_, _, variable) => {
            let mut sources = Vec::new();
            sources.extend(inline.map(|_| "`cluster.hash_key`"));
            sources.extend(file.map(|_| "`cluster.hash_key_file`"));
            sources.extend(variable.map(|_| HASH_KEY_VARIABLE));
            let message = format!(
                "the hash key is given more than once: {}",
                sources.join(" and ")
            );
            if let Some(node) = file.or(inline) {
                out.problem(&node.mark, message, Some("keep one of them".into()));
            }
            None
        }
    }
}

fn known(bytes: [u8; KEY_BYTES]) -> Key {
    Key {
        key: HashKey::from(bytes),
        known: true,
    }
}

/// What lets the rest of a configuration be read where its key is not.
fn stand_in() -> Key {
    Key {
        key: HashKey::from([0; KEY_BYTES]),
        known: false,
    }
}

fn written(node: &Node, out: &mut Findings<'_>) -> Option<Key> {
    let text = match &node.kind {
        Kind::Scalar(text) => Some(text.as_bytes()),
        Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => None,
    };
    let key = text.and_then(decode);
    if key.is_none() {
        let message = wrong("`cluster.hash_key`", text.map(<[u8]>::len));
        out.problem(&node.mark, message, None);
    }
    remark_example(key.as_ref(), node, out);
    key.map(known)
}

fn from_file(
    file: &Path,
    node: &Node,
    env: &Environment<'_>,
    out: &mut Findings<'_>,
) -> Option<Key> {
    let name = file.display();
    let bytes = match out.files().read(file, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("cannot read the hash key from {name}: {error}");
            if env.elsewhere && error.kind() != ErrorKind::FileTooLarge {
                out.remark(&node.mark, message, None);
                return Some(stand_in());
            }
            out.problem(&node.mark, message, None);
            return None;
        }
    };
    // Sixteen bytes are the key even if the last one is a line feed; longer files may end in one.
    let key = decode(&bytes).or_else(|| {
        let line = bytes.strip_suffix(b"\n")?;
        decode(line.strip_suffix(b"\r").unwrap_or(line))
    });
    if key.is_none() {
        let message = wrong(&format!("the hash key in {name}"), Some(bytes.len()));
        out.problem(&node.mark, message, None);
    }
    remark_example(key.as_ref(), node, out);
    key.map(known)
}

fn remark_example(key: Option<&[u8; KEY_BYTES]>, node: &Node, out: &mut Findings<'_>) {
    if key == Some(&EXAMPLE) {
        out.remark(&node.mark, EXAMPLE_KEY.into(), Some(OWN_KEY.into()));
    }
}

fn wrong(what: &str, len: Option<usize>) -> String {
    match len {
        Some(len) => format!("{what} has {len} bytes: {EXPECTED}"),
        None => format!("{what} is not text: {EXPECTED}"),
    }
}

/// Sixteen bytes as they are, or 32 hexadecimal digits. No text is both.
fn decode(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) {
        return Some(key);
    }
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let decoded: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| hex_byte(*high, *low))
        .collect();
    decoded?.try_into().ok()
}
