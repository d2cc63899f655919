//! The cookie that keeps a browser on one member; it is between the client and us.

use http::header::{COOKIE, HeaderValue};
use pingora::http::RequestHeader;

use crate::shard::{MemberIndex, View};

/// The member that the sticky cookie names, if it names one of this view.
pub fn sticky_member(request: &RequestHeader, cookie: &str, view: &View) -> Option<MemberIndex> {
    let lines = request.headers.get_all(COOKIE).iter();
    let value = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| value_of(pair, cookie))?;
    view.sticky_member(std::str::from_utf8(value).ok()?)
}

/// Takes the sticky cookie away from what the replica sees. Its other cookies are the client's affair,
/// and stay as they are, byte for byte.
pub fn drop_cookie(request: &mut RequestHeader, cookie: &str) -> pingora::Result<()> {
    let is_ours = |line: &HeaderValue| {
        let mut pairs = line.as_bytes().split(|byte| *byte == b';');
        pairs.any(|pair| value_of(pair, cookie).is_some())
    };
    let lines = request.headers.get_all(COOKIE);
    if !lines.iter().any(is_ours) {
        return Ok(());
    }
    let kept: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| without(line.as_bytes(), cookie))
        .collect();
    request.remove_header(&COOKIE);
    for line in kept.into_iter().filter(|line| !line.is_empty()) {
        request.append_header(COOKIE, line)?;
    }
    Ok(())
}

fn without(line: &[u8], cookie: &str) -> Vec<u8> {
    let pairs = line.split(|byte| *byte == b';');
    let kept: Vec<&[u8]> = pairs
        .filter(|pair| value_of(pair, cookie).is_none())
        .collect();
    kept.join(&b';').trim_ascii_start().to_vec()
}

/// The value of a pair of this name.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    pair.trim_ascii()
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"=")
}
