//! Where members keep what they agree on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;

use crate::shard::{Host, MemberAddress};

/// Which store, and where in it. Credentials are none of it: each store looks for its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// Objects of S3, or of what speaks like it.
    S3(S3Settings),
    /// Items of a DynamoDB table.
    DynamoDb(DynamoDbSettings),
    /// Lease objects of the Kubernetes that the member runs in.
    Kubernetes(KubernetesSettings),
    /// In this process, for all who name it alike. Not for files: tests set it.
    Memory(String),
}

/// Where the objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// In front of every key, without a slash at its end. Default `shardlet`.
    pub prefix: String,
    /// Its region. Default, where an endpoint is written: `us-east-1`.
    pub region: String,
    /// That of AWS in the region if none.
    pub endpoint: Option<ServiceUrl>,
    /// Whether the bucket is named in the path rather than in the host. Default: where an endpoint is written.
    pub path_style: bool,
    /// The authorities that the endpoint's certificate is by, if not one that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The profile in AWS's own files, if not the usual one.
    pub profile: Option<String>,
}

/// Where the items are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoDbSettings {
    /// The table.
    pub table: String,
    /// Sets the items of one fleet apart. Default `shardlet`.
    pub fleet: String,
    /// Its region. Default, where an endpoint is written: `us-east-1`.
    pub region: String,
    /// That of AWS in the region if none.
    pub endpoint: Option<ServiceUrl>,
    /// The authorities that the endpoint's certificate is by, if not one that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The profile in AWS's own files, if not the usual one.
    pub profile: Option<String>,
}

/// Where the objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// Sets the objects of one fleet apart. Default `shardlet`.
    pub fleet: String,
    /// The pod's own if none.
    pub namespace: Option<String>,
}

impl fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(settings) => write!(f, "{settings}"),
            Self::DynamoDb(settings) => write!(f, "{settings}"),
            Self::Kubernetes(settings) => write!(f, "{settings}"),
            Self::Memory(name) => write!(f, "memory {name}"),
        }
    }
}

impl fmt::Display for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} at ", self.bucket, self.prefix)?;
        at(self.endpoint.as_ref(), &self.region, f)
    }
}

impl fmt::Display for DynamoDbSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb table {} ({}) at ", self.table, self.fleet)?;
        at(self.endpoint.as_ref(), &self.region, f)
    }
}

impl fmt::Display for KubernetesSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kubernetes leases {} in ", self.fleet)?;
        f.write_str(self.namespace.as_deref().unwrap_or("the pod's namespace"))
    }
}

fn at(endpoint: Option<&ServiceUrl>, region: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match endpoint {
        Some(endpoint) => write!(f, "{endpoint}"),
        None => f.write_str(region),
    }
}

/// `https://HOST[:PORT][/PATH]`, or `http://…`: nothing in it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl {
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// Its host and port.
    pub address: MemberAddress,
    /// In front of every path; empty, or with a slash at its beginning and none at its end.
    pub path: String,
}

impl ServiceUrl {
    /// As the Host field has it: without the scheme's own port.
    #[must_use]
    pub fn authority(&self) -> String {
        let text = self.address.to_string();
        let own = if self.tls { ":443" } else { ":80" };
        match text.strip_suffix(own) {
            Some(host) => host.to_owned(),
            None => text,
        }
    }

    /// Its scheme.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Not told what it is: it may hold a password.
        let uri: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            Some(_) | None => return Err("write http://HOST:PORT or https://HOST".to_owned()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("credentials do not belong into a URL".to_owned());
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("nothing belongs behind its path".to_owned());
        }
        let host: Host = authority
            .host()
            .parse()
            .map_err(|error| format!("{error}"))?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") | None => port,
            Some(_) => authority
                .port_u16()
                .filter(|port| *port > 0)
                .ok_or("the port is not a number from 1 to 65535")?,
        };
        Ok(Self {
            tls,
            address: MemberAddress { host, port },
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}
