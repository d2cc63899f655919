//! The rustls configurations of our listeners.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{KeyPair, MemberVerifier};
use crate::http::trunk;

/// The key pair that a listener shows, swappable between handshakes.
#[derive(Debug)]
pub(crate) struct ServingKey {
    current: ArcSwap<CertifiedKey>,
}

impl ServingKey {
    /// Serves this pair until [`ServingKey::replace`].
    pub(crate) fn new(pair: &KeyPair) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::new(pair.certified()),
        })
    }

    /// Serves another pair from the next handshake on.
    pub(crate) fn replace(&self, pair: &KeyPair) {
        self.current.store(pair.certified());
    }
}

impl ResolvesServerCert for ServingKey {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// TLS for clients: no client certificate, HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
/// A provider without the protocol versions we ask for.
pub(crate) fn client_listener(key: Arc<ServingKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(key);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// mTLS for members: a certificate that the verifier takes, or no connection. TLS 1.3 only, since
/// both ends are ours.
///
/// # Errors
/// A provider without the protocol versions we ask for.
pub(crate) fn peer_listener(
    key: Arc<ServingKey>,
    members: Arc<MemberVerifier>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(members)
        .with_cert_resolver(key);
    config.alpn_protocols = vec![trunk::PROTOCOL.to_vec(), b"http/1.1".to_vec()];
    // A resumed session would skip the verifier, and with it a member list that has changed since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
