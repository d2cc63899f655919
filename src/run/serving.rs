//! What the listeners show, and how it is swapped when the files change.

use std::sync::Arc;

use rustls::ServerConfig;

use super::StartError;
use crate::config::Config;
use crate::observe::metrics::Certificate;
use crate::shard::Members;
use crate::tls::{self, Knock, MemberVerifier, ServingKey, TlsMaterial};

/// TLS of the listeners, made once.
pub(super) struct Serving {
    pub(super) clients: Option<Arc<ServerConfig>>,
    pub(super) peers: Option<Arc<ServerConfig>>,
    pub(super) swaps: Swaps,
}

/// The parts of it that change with the files.
pub(super) struct Swaps {
    clients: Option<Arc<ServingKey>>,
    peers: Option<(Arc<ServingKey>, Arc<MemberVerifier>)>,
}

impl Serving {
    pub(super) fn new(material: &TlsMaterial, config: &Config) -> Result<Self, StartError> {
        let clients = material.client.as_ref().map(ServingKey::new);
        let peers = match &material.cluster {
            Some((authority, pair)) => {
                let members = config.view.members();
                let verifier =
                    MemberVerifier::new(authority, members, config.coordination.is_some())
                        .map_err(StartError::TlsSetup)?;
                Some((ServingKey::new(pair), Arc::new(verifier)))
            }
            None => None,
        };
        let setup = |error: rustls::Error| StartError::TlsSetup(error.to_string());
        Ok(Self {
            clients: clients
                .clone()
                .map(tls::client_listener)
                .transpose()
                .map_err(setup)?,
            peers: peers
                .clone()
                .map(|(key, verifier)| tls::peer_listener(key, verifier))
                .transpose()
                .map_err(setup)?,
            swaps: Swaps { clients, peers },
        })
    }
}

impl Swaps {
    /// Shows and trusts what the files hold now.
    pub(super) fn apply(&self, material: &TlsMaterial, members: &Members) -> Result<(), String> {
        if let (Some((key, verifier)), Some((authority, pair))) = (&self.peers, &material.cluster) {
            verifier.replace(authority, members)?;
            key.replace(pair);
        }
        if let (Some(key), Some(pair)) = (&self.clients, &material.client) {
            key.replace(pair);
        }
        Ok(())
    }

    /// Tells of members of earlier lists that are turned away.
    pub(super) fn on_knock(&self, knock: Knock) {
        if let Some((_, verifier)) = &self.peers {
            verifier.on_knock(knock);
        }
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = Certificate> {
        let clients = self.clients.is_some().then_some(Certificate::Clients);
        let member = self.peers.is_some().then_some(Certificate::Member);
        clients.into_iter().chain(member)
    }
}
