//! Who asked, and for which scheme and host: what a client cannot say itself.
//!
//! CNCF distribution builds absolute `Location`s from `Forwarded`, else from `X-Forwarded-*`, else from
//! `Host`, and copies a list in `X-Forwarded-Proto` as it stands. So there is exactly one value for
//! each, always the client's own view of us: as it is seen from here, or from the outermost of the
//! trusted proxies between.
//!
//! Each of those appends what it knows of the hop before it, or replaces what it was sent. So the last
//! word is that of the proxy that we see ourselves; only if that names another trusted proxy does the
//! word before it count, which that one has written. What stands further left is the client's own, and
//! counts for nothing.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Host, write_address};
use crate::http::field::Name;
use crate::http::head::is_host;
use crate::http::request::RequestHead;
use crate::http::respond::wire::write_field;

/// What is known of the other end of a client connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Downstream<'a> {
    /// Its address.
    pub(crate) address: Option<IpAddr>,
    /// Whether it speaks TLS to us.
    pub(crate) tls: bool,
    /// Who is believed about the clients before it.
    pub(crate) trusted_proxies: &'a [IpNet],
}

/// The client before all trusted proxies, or the first of them where all are; none, if they name nobody.
pub(crate) fn client(head: &RequestHead<'_>, downstream: &Downstream<'_>) -> Option<IpAddr> {
    let end = downstream.address?;
    if !downstream.trusts(end) {
        return Some(end);
    }
    Told::of(head, downstream).hops.last().copied()
}

/// Says, with one value each, who asked and for which scheme and host.
pub(super) fn write(
    out: &mut Vec<u8>,
    head: &RequestHead<'_>,
    downstream: &Downstream<'_>,
    meant: Option<Host<'_>>,
) {
    let told = Told::of(head, downstream);
    let own_proto = if downstream.tls { "https" } else { "http" };
    let proto = told.proto.unwrap_or(own_proto).as_bytes();
    let host = told.host.map(Host::Named).or(meant);
    let client = told.hops.last().copied().or(downstream.address);

    out.extend_from_slice(b"Forwarded: ");
    let mut written = 0..0;
    if let Some(client) = client {
        // RFC 7239 §6: an IPv6 address is bracketed and quoted.
        let (before, after): (&[u8], &[u8]) = match client {
            IpAddr::V4(_) => (b"for=", b";"),
            IpAddr::V6(_) => (b"for=\"[", b"]\";"),
        };
        out.extend_from_slice(before);
        let begin = out.len();
        write_address(out, client);
        written = begin..out.len();
        out.extend_from_slice(after);
    }
    out.extend_from_slice(b"proto=");
    out.extend_from_slice(proto);
    if let Some(host) = host {
        out.extend_from_slice(b";host=\"");
        host.write(out);
        out.push(b'"');
    }
    out.extend_from_slice(b"\r\n");
    write_field(out, "X-Forwarded-Proto", proto);
    if let Some(host) = host {
        out.extend_from_slice(b"X-Forwarded-Host: ");
        host.write(out);
        out.extend_from_slice(b"\r\n");
    }
    if !written.is_empty() {
        out.extend_from_slice(b"X-Forwarded-For: ");
        out.extend_from_within(written);
        // Those between the client and us, ourselves not included.
        let nearer = told.hops.iter().rev().skip(1).copied();
        let nearest = downstream.address.filter(|_| !told.hops.is_empty());
        for hop in nearer.chain(nearest) {
            out.extend_from_slice(b", ");
            write_address(out, hop);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Downstream<'_> {
    /// Whether it is one of those itself.
    pub(crate) fn is_trusted(&self) -> bool {
        self.address.is_some_and(|address| self.trusts(address))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }
}

/// What is believed.
#[derive(Debug, Default)]
struct Told<'r> {
    /// The scheme that the client spoke.
    proto: Option<&'static str>,
    /// The host that it meant.
    host: Option<&'r str>,
    /// Who sent it on, from the hop before the proxy that we see to the client.
    hops: Vec<IpAddr>,
}

/// What one proxy has written.
#[derive(Debug, Default)]
struct Word<'r> {
    from: Option<&'r str>,
    proto: Option<&'r str>,
    host: Option<&'r str>,
}

impl<'r> Told<'r> {
    /// What is believed of a request.
    fn of(head: &RequestHead<'r>, downstream: &Downstream<'_>) -> Self {
        match downstream.address {
            Some(proxy) if downstream.trusts(proxy) => {
                Self::by(|name| head.all(name), proxy, |hop| downstream.trusts(hop))
            }
            Some(_) | None => Self::default(),
        }
    }

    /// What `proxy` says, whom we trust and see ourselves, and those whom it names and we trust too.
    /// `lines` has the values of a field, in order.
    fn by<L>(lines: impl Fn(Name) -> L, proxy: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> Self
    where
        L: DoubleEndedIterator<Item = &'r [u8]>,
    {
        let lists = [
            Name::XForwardedFor,
            Name::XForwardedProto,
            Name::XForwardedHost,
        ];
        // Who speaks of one kind of field has not seen to the other, so that may be the client's.
        if lists.iter().any(|name| lines(*name).next().is_some()) {
            // A member that is no text ends its list: what stands before it may be the client's.
            let [mut from, mut proto, mut host] = lists.map(|name| {
                from_the_right(lines(name)).map_while(|member| str::from_utf8(member).ok())
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
        let words = from_the_right(lines(Name::Forwarded)).map(Word::of_element);
        Self::along(words, proxy, trusts)
    }

    /// Goes from word to word for as long as we trust who has written it.
    fn along(
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
            told.host = word.host.filter(|host| is_host(host)).or(told.host);
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
    lines: impl DoubleEndedIterator<Item = &'r [u8]>,
) -> impl Iterator<Item = &'r [u8]> {
    lines
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
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

#[cfg(test)]
mod tests;
