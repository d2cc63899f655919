//! The certificates in use, and how changed ones are taken.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::pki_types::UnixTime;

use super::serving::Swaps;
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::observe::metrics::Certificate;
use crate::shard::Members;
use crate::tls::check::{lapsed, near_end};
use crate::tls::{KeyPair, TlsFaults, TlsMaterial};
use crate::upstream::{Credentials, DialError, Trust};

/// What is shown on both sides of this member.
pub(super) struct Certificates {
    /// What our listeners show.
    swaps: Swaps,
    /// What we show to peers.
    trust: Arc<Trust>,
    in_use: Mutex<TlsMaterial>,
    /// Why what the files hold now is not in use.
    refused: ArcSwapOption<String>,
}

/// What peers are shown of these.
pub(super) fn credentials(material: &TlsMaterial) -> Option<Credentials> {
    material
        .cluster
        .as_ref()
        .map(|(authority, pair)| Credentials::new(authority, pair))
}

impl Certificates {
    pub(super) fn new(swaps: Swaps, trust: Arc<Trust>, material: TlsMaterial) -> Arc<Self> {
        Arc::new(Self {
            swaps,
            trust,
            in_use: Mutex::new(material),
            refused: ArcSwapOption::empty(),
        })
    }

    pub(super) fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// What is shown now.
    pub(super) fn in_use(&self) -> TlsMaterial {
        let in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.clone()
    }

    /// Which of them is shown although it is not valid now.
    pub(super) fn lapsed(&self) -> Vec<String> {
        let (in_use, now) = (self.in_use(), UnixTime::now());
        let shown = shown(&in_use);
        let lapsed = shown.filter_map(|(certificate, pair)| {
            let (name, lapsed) = (certificate.as_str(), lapsed(pair, now)?);
            Some(format!("the certificate ({name}) {lapsed}"))
        });
        lapsed.collect()
    }

    /// Has the listeners show these, and let in the members of this list.
    ///
    /// # Errors
    /// An authority that is of no use; then nothing changes.
    pub(super) fn admit(&self, material: &TlsMaterial, members: &Members) -> Result<(), String> {
        self.swaps.apply(material, members)
    }

    /// Shows these to the peers of a generation from the next connection on.
    ///
    /// # Errors
    /// A certificate that the framework cannot read.
    pub(super) fn show(
        &self,
        material: &TlsMaterial,
        generation: &Generation,
    ) -> Result<(), DialError> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_use != *material {
            self.trust.replace(credentials(material));
            *in_use = material.clone();
        }
        self.refused.store(None);
        generation.take_credentials()
    }

    /// Uses no connection again that was made before.
    pub(super) fn forget_connections(&self) {
        self.trust.renew();
    }

    /// Why the files' certificates are not those in use, if they are not.
    pub(super) fn refused(&self) -> Option<Arc<String>> {
        self.refused.load_full()
    }

    /// Certificates have changed on disk: all of them are taken, or none.
    pub(super) fn take(&self, state: &State, change: Result<TlsMaterial, TlsFaults>) {
        let taken = change
            .map_err(|error| error.to_string())
            .and_then(|material| {
                let mut generation = state.generation();
                loop {
                    self.admit(&material, generation.view.members())?;
                    self.show(&material, &generation)
                        .map_err(|error| error.to_string())?;
                    // A reload may have come in between.
                    let now = state.generation();
                    if Arc::ptr_eq(&generation, &now) {
                        break;
                    }
                    generation = now;
                }
                report_expiry(state, &material);
                Ok(())
            });
        for certificate in self.swaps.certificates() {
            state.metrics.tls_reload(certificate, taken.is_ok());
        }
        match taken {
            Ok(()) => tracing::info!("certificates reloaded"),
            Err(error) => {
                tracing::error!(%error, "changed certificates are not taken; the old ones stay in use");
                self.refused.store(Some(Arc::new(error)));
            }
        }
    }
}

/// The pairs in these, by their names.
fn shown(material: &TlsMaterial) -> impl Iterator<Item = (Certificate, &KeyPair)> {
    let clients = material.client.iter();
    let member = material.cluster.iter();
    clients
        .map(|pair| (Certificate::Clients, pair))
        .chain(member.map(|(_, pair)| (Certificate::Member, pair)))
}

/// Says when the certificates in use expire.
pub(super) fn report_expiry(state: &State, material: &TlsMaterial) {
    let now = UnixTime::now();
    let in_use = shown(material).map(|(certificate, pair)| {
        state.metrics.tls_expiry(certificate, pair.not_after());
        if let Some(what) = lapsed(pair, now).or_else(|| near_end(pair.not_after(), now)) {
            let certificate = certificate.as_str();
            tracing::warn!(certificate, "the certificate {what}");
        }
        (certificate, pair.not_after())
    });
    state.certificates.store(Arc::new(in_use.collect()));
}
