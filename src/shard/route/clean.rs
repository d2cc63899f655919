//! Refuses paths that decoding or cleaning could turn into other paths.

use std::borrow::Cow;

use super::RouteError;
use crate::shard::text::{hex_byte, letters_digits_and};

/// Takes a path in origin form whose components are neither empty (but for the last), nor `.` or `..`, and whose
/// bytes are all ones that may stand in a path as they are. Says whether there are escapes.
///
/// Escapes are judged by [`check_escapes_under_v2`] and [`check_escapes_beside_v2`].
pub(super) fn check(path: &str) -> Result<bool, RouteError> {
    if !path.starts_with('/') {
        return Err(RouteError::NotOriginForm);
    }
    let (mut has_escapes, mut is_doubtful) = (false, false);
    for (position, byte) in path.bytes().enumerate() {
        match byte {
            _ if PLAIN[usize::from(byte)] => {}
            b'/' => {
                let next = path.as_bytes().get(position + 1);
                is_doubtful |= matches!(next, Some(b'/' | b'.'));
            }
            b'%' => has_escapes = true,
            _ => return Err(RouteError::ForbiddenByte { byte, position }),
        }
    }
    if is_doubtful {
        check_components(path)?;
    }
    Ok(has_escapes)
}

/// Under `/v2/` nothing is escaped but the `:` and `+` of digests, which some clients escape, in the last component.
/// Neither ends a component or begins one, and no name contains them.
pub(super) fn check_escapes_under_v2(rest: &str) -> Result<(), RouteError> {
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    for (position, _) in rest.match_indices('%') {
        let code = rest.as_bytes().get(position + 1..position + 3);
        if position < last || !matches!(code, Some(b"3A" | b"3a" | b"2B" | b"2b")) {
            return Err(RouteError::PercentEncoded);
        }
    }
    Ok(())
}

/// Elsewhere an escape may stand for a byte that needs one (a space, UTF-8), or for a slash behind the first
/// component, as the UI writes repository names into page addresses. The first component, which decides that the path
/// is not under `/v2`, has none, and with the slashes decoded the path must still be clean.
pub(super) fn check_escapes_beside_v2(path: &str) -> Result<(), RouteError> {
    let first_end = path[1..].find('/').map_or(path.len(), |slash| slash + 1);
    for (position, _) in path.match_indices('%') {
        let decoded = decode(path.as_bytes().get(position + 1..position + 3))
            .ok_or(RouteError::PercentEncoded)?;
        let ambiguous = matches!(decoded, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
            || matches!(decoded, b'\\' | b'%' | b';' | b'?' | b'#')
            || decoded.is_ascii_control();
        if position < first_end || ambiguous {
            return Err(RouteError::PercentEncoded);
        }
    }
    check_components(&with_slashes(path))
}

/// The path with its escaped slashes decoded.
pub(super) fn with_slashes(path: &str) -> Cow<'_, str> {
    if path.contains('%') {
        path.replace("%2F", "/").replace("%2f", "/").into()
    } else {
        path.into()
    }
}

fn check_components(path: &str) -> Result<(), RouteError> {
    let is_slash = |byte: &u8| *byte == b'/';
    let mut components = path.as_bytes()[1..].split(is_slash).peekable();
    while let Some(component) = components.next() {
        match component {
            b"" if components.peek().is_some() => return Err(RouteError::EmptyComponent),
            b"." | b".." => return Err(RouteError::DotComponent),
            _ => {}
        }
    }
    Ok(())
}

/// The byte that two hexadecimal digits stand for.
fn decode(digits: Option<&[u8]>) -> Option<u8> {
    match digits? {
        &[high, low] => hex_byte(high, low),
        _ => None,
    }
}

/// The bytes of RFC 3986's `pchar`, but not `;`, which some servers cut a component at. Beside them there are `/` and
/// `%`.
///
/// Anything else makes Go's `URL.EscapedPath` throw the bytes of the wire away and escape the decoded path anew, so
/// one stray `"` would turn a `%2F` elsewhere in the path into a slash.
const PLAIN: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,=:@");
