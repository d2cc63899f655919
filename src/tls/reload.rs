//! Certificates that change on disk are taken without a restart: the files are compared every few
//! seconds by content.

use std::path::PathBuf;
use std::time::Duration;

use super::{Authority, KeyPair, TlsFileError};
use crate::config::{ClusterTls, Config};
use crate::tls::content_digest::content_digest_in_background;

/// How often the files are compared.
pub(crate) const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The TLS files of one member.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    /// Certificate and key of the client listener, when it speaks TLS.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Authority, certificate and key between members, unless the cluster is insecure.
    pub cluster: Option<(PathBuf, PathBuf, PathBuf)>,
}

/// What [`TlsFiles`] hold, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TlsMaterial {
    /// The client listener's pair.
    pub client: Option<KeyPair>,
    /// The cluster's authority and this member's pair.
    pub cluster: Option<(Authority, KeyPair)>,
}

impl TlsFiles {
    /// The files that a configuration names.
    pub(crate) fn of(config: &Config) -> Self {
        let clients = config.listen.clients.tls.as_ref();
        Self {
            client: clients.map(|tls| (tls.cert.clone(), tls.key.clone())),
            cluster: match &config.cluster {
                ClusterTls::Mutual { ca, cert, key } => {
                    Some((ca.clone(), cert.clone(), key.clone()))
                }
                ClusterTls::Insecure => None,
            },
        }
    }

    /// Reads and checks every file.
    ///
    /// # Errors
    /// The first file that is of no use, with its fault.
    pub(crate) fn load(&self) -> Result<TlsMaterial, TlsFileError> {
        let client = self
            .client
            .as_ref()
            .map(|(cert, key)| KeyPair::load(cert, key))
            .transpose()?;
        let cluster = match &self.cluster {
            Some((ca, cert, key)) => Some((Authority::load(ca)?, KeyPair::load(cert, key)?)),
            None => None,
        };
        Ok(TlsMaterial { client, cluster })
    }

    /// Every path among them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        let cluster = self
            .cluster
            .iter()
            .flat_map(|(ca, cert, key)| [ca, cert, key]);
        client.chain(cluster)
    }
}

/// Compares the files for ever and hands what has changed since `in_use` was read to `apply`: the
/// new material, or why the new files are of no use (then the old ones stay in force). Each change
/// is reported once.
pub(crate) async fn watch(
    files: TlsFiles,
    in_use: TlsMaterial,
    interval: Duration,
    mut apply: impl FnMut(Result<TlsMaterial, TlsFileError>),
) {
    let paths: Vec<PathBuf> = files.paths().cloned().collect();
    let mut seen = content_digest_in_background(paths.clone()).await;
    // They may have changed before the digest was taken.
    let now = files.load();
    if !matches!(&now, Ok(now) if *now == in_use) {
        apply(now);
    }
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = content_digest_in_background(paths.clone()).await;
        if now != seen {
            seen = now;
            apply(files.load());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_before_the_first_look_is_seen() {
        let gone = || PathBuf::from("/nowhere/at.all");
        let files = TlsFiles {
            client: Some((gone(), gone())),
            cluster: None,
        };
        let in_use = TlsMaterial {
            client: None,
            cluster: None,
        };
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watching = watch(files, in_use, Duration::from_secs(3600), |change| {
            tell.send(change.is_ok()).unwrap();
        });
        tokio::select! {
            () = watching => unreachable!("it watches for ever"),
            taken = told.recv() => assert_eq!(taken, Some(false)),
        }
    }
}
