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

/// The one crypto provider of this process.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
