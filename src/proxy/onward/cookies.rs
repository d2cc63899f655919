//! Cookies, of which one is ours: it keeps a browser on one member, and is between the client and us.

use crate::http::field::Name;
use crate::http::request::{RequestHead, Version};
use crate::shard::{MemberIndex, View};

/// The member that the sticky cookie names, if it names one of this view.
pub(crate) fn sticky_member(
    head: &RequestHead<'_>,
    cookie: &str,
    view: &View,
) -> Option<MemberIndex> {
    if !head.has(Name::Cookie) {
        return None;
    }
    let value = head
        .all(Name::Cookie)
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .find_map(|pair| value_of(pair, cookie))?;
    view.sticky_member(std::str::from_utf8(value).ok()?)
}

/// What becomes of the cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookies<'a> {
    AsTheyAre,
    /// Without this one.
    Without(&'a str),
    /// All in one line, without this one if there is one.
    Joined(Option<&'a str>),
}

impl<'a> Cookies<'a> {
    pub(super) fn of(head: &RequestHead<'_>, hidden: Option<&'a str>) -> Self {
        if !head.has(Name::Cookie) {
            return Self::AsTheyAre;
        }
        // RFC 9113 §8.2.3: HTTP/2 may send each by itself, HTTP/1.1 may not.
        if head.version() == Version::Http2 && head.all(Name::Cookie).nth(1).is_some() {
            return Self::Joined(hidden);
        }
        match hidden {
            Some(hidden) if head.all(Name::Cookie).any(|line| is_in(line, hidden)) => {
                Self::Without(hidden)
            }
            _ => Self::AsTheyAre,
        }
    }

    /// Adds those that are no longer what they were. The client's own stay so, byte for byte.
    pub(super) fn write(self, out: &mut Vec<u8>, head: &RequestHead<'_>) {
        let hidden = match self {
            Self::AsTheyAre => return,
            Self::Without(hidden) => Some(hidden),
            Self::Joined(hidden) => hidden,
        };
        let is_joined = matches!(self, Self::Joined(_));
        let mut is_open = false;
        for line in head.all(Name::Cookie) {
            let before = out.len();
            out.extend_from_slice(if is_open { b"; " } else { b"Cookie: " });
            let begin = out.len();
            match hidden {
                Some(hidden) => push_without(out, line, hidden),
                None => out.extend_from_slice(line),
            }
            if out.len() == begin {
                out.truncate(before);
            } else if is_joined {
                is_open = true;
            } else {
                out.extend_from_slice(b"\r\n");
            }
        }
        if is_open {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether the line has this cookie.
fn is_in(line: &[u8], cookie: &str) -> bool {
    let mut pairs = line.split(|byte| *byte == b';');
    pairs.any(|pair| value_of(pair, cookie).is_some())
}

/// Adds the line without this cookie.
fn push_without(out: &mut Vec<u8>, line: &[u8], cookie: &str) {
    let pairs = line.split(|byte| *byte == b';');
    let kept = pairs.filter(|pair| value_of(pair, cookie).is_none());
    for (number, pair) in kept.enumerate() {
        if number == 0 {
            out.extend_from_slice(pair.trim_ascii_start());
        } else {
            out.push(b';');
            out.extend_from_slice(pair);
        }
    }
}

/// The value of a pair of this name.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    pair.trim_ascii()
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"=")
}
