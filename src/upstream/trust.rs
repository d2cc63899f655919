//! What we show to peers and whom we believe, swappable while connections are open.

use std::sync::{Mutex, PoisonError};

use super::target::{Credentials, DialError};

/// The credentials in force. One for the process: certificates change apart from the rest of the
/// configuration.
pub struct Trust {
    inner: Mutex<Inner>,
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
}
