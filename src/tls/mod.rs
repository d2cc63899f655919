//! Certificates and trust: what we show on our listeners, whom we let in on the peer listener, and
//! how both change on disk without a restart.
//!
//! Everything TLS of this crate goes through rustls with the `ring` provider, named explicitly, so
//! that a second provider elsewhere in the dependency tree can never be picked up by accident.

mod calling;
pub(crate) mod check;
pub(crate) mod content_digest;
mod files;
mod members;
mod reload;
mod serving;

pub(crate) use calling::{caller, caller_of_anybody, system_roots};
pub(crate) use files::{Authority, KeyPair, TlsFault, TlsFaults};
pub(crate) use members::{Knock, MemberVerifier};
pub(crate) use reload::{Lapsed, RELOAD_INTERVAL, TlsFiles, TlsMaterial, replica_authority, watch};
pub(crate) use serving::{ServingKey, client_listener, peer_listener};

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// The one crypto provider of this process. Where we call, it asks for AES-128 first: that costs less than AES-256,
/// and the exchange of keys is no stronger.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let suites = &mut provider.cipher_suites;
    suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}
