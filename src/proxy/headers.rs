//! Header rules (design: "Routing semantics"). A client cannot say where it came from, which host
//! it meant in whose name, or that a member sent it: all of that is set here.
//!
//! CNCF distribution builds absolute `Location`s from `Forwarded`, else from `X-Forwarded-*`, else
//! from `Host`, and copies a list in `X-Forwarded-Proto` as it stands. So there is exactly one
//! value for each, always the client's own view of us: as it is seen from here, or from the outermost
//! of the trusted proxies between.

mod cookies;
mod told;

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING,
    UPGRADE,
};
use ipnet::IpNet;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::http::head::is_host;
use crate::peers::wire;

pub use cookies::{drop_cookie, sticky_member};
use told::Told;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What is known of the other end of a client connection.
#[derive(Debug, Clone, Copy)]
pub struct Downstream<'a> {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Whether it speaks TLS to us.
    pub tls: bool,
    /// Who is believed about the clients before it.
    pub trusted_proxies: &'a [IpNet],
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

/// Drops what only members (and zot's own cluster mode) may say.
pub fn drop_internal(request: &mut RequestHeader) {
    request.remove_header(wire::ZOT_HOP_COUNT);
    for name in internal(&request.headers) {
        request.remove_header(&name);
    }
}

/// The same for a response that a replica has no business to put such headers on.
pub fn drop_internal_response(response: &mut ResponseHeader) {
    for name in internal(&response.headers) {
        response.remove_header(&name);
    }
}

fn internal(headers: &http::HeaderMap) -> Vec<HeaderName> {
    let internal = headers
        .keys()
        .filter(|name| name.as_str().starts_with(wire::PREFIX));
    internal.cloned().collect()
}

/// Says, with one value each, who asked and for which scheme and host.
///
/// # Errors
/// A host that cannot be a header value; the gate lets none through.
pub fn set_forwarded(
    request: &mut RequestHeader,
    downstream: &Downstream<'_>,
) -> pingora::Result<()> {
    let own_proto = if downstream.tls { "https" } else { "http" };
    let told = match downstream.address {
        Some(proxy) if downstream.trusts(proxy) => {
            Told::by(request, proxy, |hop| downstream.trusts(hop))
        }
        Some(_) | None => Told::default(),
    };
    let proto = told.proto.unwrap_or(own_proto);
    let host = told.host.or_else(|| host_of(request));
    let address = told.hops.last().copied().or(downstream.address);
    let client = address.map(|address| address.to_string());
    // For every request, so without the formatter.
    let mut forwarded = String::with_capacity(96);
    if let (Some(address), Some(client)) = (address, &client) {
        // RFC 7239 §6: an IPv6 address is bracketed and quoted.
        let (before, after) = match address {
            IpAddr::V4(_) => ("for=", ";"),
            IpAddr::V6(_) => ("for=\"[", "]\";"),
        };
        forwarded.extend([before, client, after]);
    }
    forwarded.extend(["proto=", proto]);
    if let Some(host) = &host {
        forwarded.extend([";host=\"", host, "\""]);
    }
    let chain = client.map(|mut chain| {
        // Those between the client and us, ourselves not included.
        let nearer = told.hops.iter().rev().skip(1);
        let nearest = downstream.address.filter(|_| !told.hops.is_empty());
        for hop in nearer.copied().chain(nearest) {
            chain.extend([", ", &hop.to_string()]);
        }
        chain
    });
    request.remove_header(&X_FORWARDED_PORT);
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(proto))?;
    request.insert_header(FORWARDED, forwarded)?;
    set_or_remove(request, X_FORWARDED_HOST, host)?;
    set_or_remove(request, X_FORWARDED_FOR, chain)
}

/// The client before all trusted proxies, or the first of them where all are; none, if they name nobody.
pub(crate) fn client(request: &RequestHeader, downstream: &Downstream<'_>) -> Option<IpAddr> {
    let end = downstream.address?;
    if !downstream.trusts(end) {
        return Some(end);
    }
    let told = Told::by(request, end, |hop| downstream.trusts(hop));
    told.hops.last().copied()
}

fn set_or_remove(
    request: &mut RequestHeader,
    name: HeaderName,
    value: Option<String>,
) -> pingora::Result<()> {
    match value {
        Some(value) => request.insert_header(name, value),
        None => {
            request.remove_header(&name);
            Ok(())
        }
    }
}

fn host_of(request: &RequestHeader) -> Option<String> {
    let host = request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    // An HTTP/2 request names its host in `:authority`.
    host.or_else(|| request.uri.authority().map(|authority| authority.as_str()))
        .filter(|host| is_host(host))
        .map(str::to_owned)
}

/// Drops what was meant for us alone of a response (RFC 9110 §7.6.1); the framework does so for
/// requests only. `Transfer-Encoding` stays: the framework needs it for its own framing.
pub fn drop_hop_by_hop(response: &mut ResponseHeader) {
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A registry that names its own framing here would have us take the message apart.
        .filter(|name| ![CONTENT_LENGTH, TRANSFER_ENCODING].contains(name))
        .collect();
    for name in nominated
        .iter()
        .chain(&[CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, UPGRADE])
    {
        response.remove_header(name);
    }
}

#[cfg(test)]
mod tests;
