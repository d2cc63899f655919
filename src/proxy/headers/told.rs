//! What trusted proxies say of the client before them.
//!
//! Each proxy appends what it knows of the hop before it, or replaces what it was sent. So the last
//! word is that of the proxy that we see ourselves; only if that names another trusted proxy does the
//! word before it count, which that one has written. What stands further left is the client's own, and
//! counts for nothing.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderName};
use pingora::http::RequestHeader;

use super::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::http::head::is_host;

/// What is believed.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The scheme that the client spoke.
    pub(super) proto: Option<&'static str>,
    /// The host that it meant.
    pub(super) host: Option<String>,
    /// Who sent it on, from the hop before the proxy that we see to the client.
    pub(super) hops: Vec<IpAddr>,
}

/// What one proxy has written.
#[derive(Debug, Default)]
struct Word<'r> {
    from: Option<&'r str>,
    proto: Option<&'r str>,
    host: Option<&'r str>,
}

impl Told {
    /// What `proxy` says, whom we trust and see ourselves, and those whom it names and we trust too.
    pub(super) fn by(
        request: &RequestHeader,
        proxy: IpAddr,
        trusts: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let lists = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];
        // Who speaks of one kind of field has not seen to the other, so that may be the client's.
        if lists.iter().any(|name| request.headers.contains_key(name)) {
            // A member that is no text ends its list: what stands before it may be the client's.
            let [mut from, mut proto, mut host] = [&lists[0], &lists[1], &lists[2]].map(|name| {
                from_the_right(request, name).map_while(|member| str::from_utf8(member).ok())
            });
            let words = std::iter::from_fn(|| {
                let word = Word {
                    from: from.next(),
                    proto: proto.next(),
                    host: host.next(),
                };
                let is_last = word.from.is_none() && word.proto.is_none() && word.host.is_none();
                (!is_last).then_some(word)
            });
            return Self::along(words, proxy, trusts);
        }
        let words = from_the_right(request, &FORWARDED).map(Word::of_element);
        Self::along(words, proxy, trusts)
    }

    /// Goes from word to word for as long as we trust who has written it.
    fn along<'r>(
        words: impl Iterator<Item = Word<'r>>,
        proxy: IpAddr,
        trusts: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let mut told = Self::default();
        let mut writer = proxy;
        for word in words {
            if !trusts(writer) {
                break;
            }
            let known = |proto: &str| {
                ["http", "https"]
                    .into_iter()
                    .find(|known| proto.eq_ignore_ascii_case(known))
            };
            told.proto = word.proto.and_then(known).or(told.proto);
            let host = word.host.filter(|host| is_host(host));
            told.host = host.map(str::to_owned).or(told.host);
            let Some(from) = word.from.and_then(address) else {
                break;
            };
            told.hops.push(from);
            writer = from;
        }
        told
    }
}

impl<'r> Word<'r> {
    /// One element of `Forwarded` (RFC 7239 §4).
    fn of_element(element: &'r [u8]) -> Self {
        let mut word = Self::default();
        for pair in element.split(|byte| *byte == b';') {
            let pair = str::from_utf8(pair).unwrap_or_default();
            let Some((key, value)) = pair.trim().split_once('=') else {
                continue;
            };
            let value = Some(value.trim_matches('"'));
            match key.to_ascii_lowercase().as_str() {
                "for" => word.from = value,
                "proto" => word.proto = value,
                "host" => word.host = value,
                _ => {}
            }
        }
        word
    }
}

/// The members of a list, over all lines of its field, from the last to the first. As bytes, since a
/// proxy may append to what a client has sent in any. A quoted comma would be taken apart; none stands
/// in what counts, and a quotation mark that a client leaves open hides nothing.
fn from_the_right<'r>(
    request: &'r RequestHeader,
    name: &HeaderName,
) -> impl Iterator<Item = &'r [u8]> {
    let lines = request.headers.get_all(name).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// An address, with or without a port, as IPv4 where it is one; IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = bare.unwrap_or(text).parse().ok().or_else(with_port)?;
    Some(address.to_canonical())
}
