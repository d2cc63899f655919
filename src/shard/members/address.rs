//! Where a member is reached: a host and a port.
//!
//! Names are kept as names. They are resolved elsewhere and later, because a peer that does not resolve yet must not
//! stop a start.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use super::id::is_dns_name;

/// A DNS name or an IP address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Host {
    /// A DNS name in lower case, without a dot at the end.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

impl FromStr for Host {
    type Err = AddressError;

    /// Reads `zot-1.example`, `10.0.0.1`, `::1` or `[::1]`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let ip: Option<Ipv6Addr> = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
            return ip.map(|ip| Self::Ip(ip.into())).ok_or(AddressError::Host);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        if !is_dns_name(text) {
            return Err(AddressError::Host);
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The host and port of a member's peer listener.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberAddress {
    /// The host.
    pub host: Host,
    /// The TCP port, 1 to 65535.
    pub port: u16,
}

impl FromStr for MemberAddress {
    type Err = AddressError;

    /// Reads `zot-1:5443`, `10.0.0.1:5443` or `[::1]:5443`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        if host.ends_with(':') || (host.contains(':') && !host.starts_with('[')) {
            return Err(AddressError::Brackets);
        }
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::Port);
        }
        let port: NonZeroU16 = port.parse().map_err(|_| AddressError::Port)?;
        Ok(Self {
            host: host.parse()?,
            port: port.get(),
        })
    }
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host @ (Host::Ip(IpAddr::V4(_)) | Host::Name(_)) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Why a text is no host or no member address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressError {
    /// The host is neither a DNS name nor an IP address.
    Host,
    /// There is no `:port`.
    NoPort,
    /// The port is not a number from 1 to 65535.
    Port,
    /// An IPv6 address with a port needs brackets.
    Brackets,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host is neither a DNS name nor an IP address",
            Self::NoPort => "the port is missing: write host:port",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Brackets => "an IPv6 address with a port is written in brackets: [::1]:5443",
        })
    }
}

impl std::error::Error for AddressError {}
