//! Header rules (design: "Routing semantics"). A client cannot say where it came from, which host
//! it meant in whose name, or that a member sent it: all of that is set here.
//!
//! CNCF distribution builds absolute `Location`s from `Forwarded`, else from `X-Forwarded-*`, else
//! from `Host`, and copies a list in `X-Forwarded-Proto` as it stands. So there is exactly one
//! value for each, always the client's own view of us.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::http::head::is_host;
use crate::peers::wire;
use crate::shard::View;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What is known of the other end of a client connection.
#[derive(Debug, Clone, Copy)]
pub struct Downstream {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Whether it speaks TLS to us.
    pub tls: bool,
    /// Whether it is one of `trusted_proxies`.
    pub trusted: bool,
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
pub fn set_forwarded(request: &mut RequestHeader, downstream: &Downstream) -> pingora::Result<()> {
    let own_proto = if downstream.tls { "https" } else { "http" };
    let told = if downstream.trusted {
        ProxyClaims::by(request)
    } else {
        ProxyClaims::default()
    };
    let proto = told.proto.unwrap_or(own_proto);
    let host = told.host.or_else(|| host_of(request));
    let client = downstream.address.map(|address| address.to_string());
    // For every request, so without the formatter.
    let mut forwarded = String::with_capacity(96);
    if let (Some(address), Some(client)) = (downstream.address, &client) {
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
    let chain = match (told.chain, client) {
        (Some(chain), Some(client)) => Some(format!("{chain}, {client}")),
        (chain, client) => chain.or(client),
    };
    request.remove_header(&X_FORWARDED_PORT);
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(proto))?;
    request.insert_header(FORWARDED, forwarded)?;
    set_or_remove(request, X_FORWARDED_HOST, host)?;
    set_or_remove(request, X_FORWARDED_FOR, chain)
}

/// The client before trusted proxies: the last address in `X-Forwarded-For` that is none of them.
pub(crate) fn forwarded_client(
    request: &RequestHeader,
    trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let lines = request.headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut addresses = lines
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','))
        .map_while(|address| address.trim().parse::<IpAddr>().ok());
    addresses.find(|address| !trusted(address.to_canonical()))
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

/// What a trusted proxy says of the client before it.
#[derive(Default)]
struct ProxyClaims {
    proto: Option<&'static str>,
    host: Option<String>,
    chain: Option<String>,
}

impl ProxyClaims {
    fn by(request: &RequestHeader) -> Self {
        // The last line is the one that the trusted proxy wrote, if the client wrote one before it.
        let first = |name: &HeaderName| {
            let value = request.headers.get_all(name).iter().next_back()?;
            let value = value.to_str().ok()?.split(',').next()?.trim();
            (!value.is_empty()).then_some(value)
        };
        let element = first(&FORWARDED).unwrap_or_default();
        let parameter = |name: &str| {
            element.split(';').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim_matches('"'))
            })
        };
        let proto = first(&X_FORWARDED_PROTO)
            .or_else(|| parameter("proto"))
            .and_then(|proto| {
                ["http", "https"]
                    .into_iter()
                    .find(|known| proto.eq_ignore_ascii_case(known))
            });
        let host = first(&X_FORWARDED_HOST).or_else(|| parameter("host"));
        let lines = request.headers.get_all(X_FORWARDED_FOR);
        let chain: Vec<&str> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
        Self {
            proto,
            host: host.filter(|host| is_host(host)).map(str::to_owned),
            chain: (!chain.is_empty()).then(|| chain.join(", ")),
        }
    }
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

/// The member that the sticky cookie names, if it names one of this view.
pub fn sticky_member(
    request: &RequestHeader,
    cookie: &str,
    view: &View,
) -> Option<crate::shard::MemberIndex> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == cookie)
        .and_then(|(_, value)| view.sticky_member(value))
}

/// Removes the sticky cookie from what the replica sees; it is between the client and us.
pub fn drop_cookie(request: &mut RequestHeader, cookie: &str) -> pingora::Result<()> {
    let kept: Vec<String> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .map(str::trim)
        .filter(|pair| pair.split_once('=').is_none_or(|(name, _)| name != cookie))
        .map(str::to_owned)
        .collect();
    let found = request.remove_header(&COOKIE).is_some();
    if found && !kept.is_empty() {
        request.insert_header(COOKIE, kept.join("; "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
