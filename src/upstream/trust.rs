//! What we show to peers and whom we believe, swappable while connections are open.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::pool::Pool;
use super::target::{Credentials, DialError};

/// The credentials in force. One for the process: certificates change apart from the rest of the
/// configuration.
pub struct Trust {
    inner: Mutex<Inner>,
    /// All that were made under it, for as long as somebody has them.
    pools: Mutex<Vec<Weak<Pool>>>,
}

struct Inner {
    credentials: Option<Credentials>,
    /// Part of every connection pool key: connections made under other credentials are not reused.
    generation: u64,
}

impl Trust {
    /// Begins with these; none between members without TLS.
    pub fn new(credentials: Option<Credentials>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                credentials,
                generation: 0,
            }),
            pools: Mutex::default(),
        }
    }

    /// Takes others. Targets that are made from now on show them; connections made before are used
    /// up by the requests on them and not reused.
    pub fn replace(&self, credentials: Option<Credentials>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.credentials = credentials;
        inner.generation += 1;
    }

    /// Keeps them, and makes connections anew.
    pub fn renew(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.generation += 1;
    }

    /// Makes something of the credentials in force, one caller at a time: or one could put back
    /// what another has just replaced.
    pub(super) fn with(
        &self,
        make: impl FnOnce(Option<&Credentials>, u64) -> Result<(), DialError>,
    ) -> Result<(), DialError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        make(inner.credentials.as_ref(), inner.generation)
    }

    /// Sweeps this pool from now on.
    pub(super) fn watch(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push(Arc::downgrade(pool));
    }

    /// Closes idle connections that are of no more use. To be called every few seconds.
    pub(crate) fn sweep(&self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        let in_use: Vec<Arc<Pool>> = pools.iter().filter_map(Weak::upgrade).collect();
        drop(pools);
        in_use.iter().for_each(|pool| pool.sweep());
    }
}
