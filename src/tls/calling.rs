//! The rustls configuration of those that we call.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::sign::SingleCertAndKey;

use super::{Authority, KeyPair};

/// TLS towards whoever shows a certificate by this authority, with ours where they ask for one. To be
/// made once for all connections: it remembers sessions, to resume them.
///
/// # Errors
/// A provider without the protocol versions we ask for.
pub(crate) fn caller(
    authority: &Authority,
    shown: Option<&KeyPair>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
        .with_root_certificates(authority.roots());
    let mut config = match shown {
        Some(pair) => {
            let shown = SingleCertAndKey::from(pair.certified());
            config.with_client_cert_resolver(Arc::new(shown))
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
