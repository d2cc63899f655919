//! Certificates that change on disk are taken without a restart: the files are compared every few
//! seconds by content.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::check::{self, Verdict};
use super::{Authority, KeyPair, TlsFault, TlsFaults};
use crate::config::{ClusterTls, Config, Identified, Registry};
use crate::shard::Member;
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
    /// Whose certificate the cluster's is: the local member's; where nobody knows which that is, one
    /// of these.
    pub whose: Vec<Member>,
}

/// What [`TlsFiles`] hold, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TlsMaterial {
    /// The client listener's pair.
    pub client: Option<KeyPair>,
    /// The cluster's authority and this member's pair.
    pub cluster: Option<(Authority, KeyPair)>,
}

/// What a look at the files has brought.
pub(crate) struct Look {
    /// What they hold, if all of it can be used; else all that is wrong.
    pub material: Result<TlsMaterial, TlsFaults>,
    /// What is odd about them.
    pub remarks: Vec<TlsFault>,
}

/// Which certificates are taken although they have expired, or are not valid yet.
#[derive(Debug, Clone)]
pub(crate) enum Lapsed {
    /// None.
    Refused,
    /// That for clients: a member that does not start would also be missing to its peers.
    ForClients,
    /// Those of this material: they are shown anyway, whatever is said of them.
    InUse(TlsMaterial),
}

impl Lapsed {
    fn takes_for_clients(&self, pair: &KeyPair) -> bool {
        match self {
            Self::Refused => false,
            Self::ForClients => true,
            Self::InUse(in_use) => in_use.client.as_ref() == Some(pair),
        }
    }

    /// With the authority, since an expiry hides what else a new one would find.
    fn takes_for_peers(&self, pair: &(Authority, KeyPair)) -> bool {
        match self {
            Self::Refused | Self::ForClients => false,
            Self::InUse(in_use) => in_use.cluster.as_ref() == Some(pair),
        }
    }
}

impl TlsFiles {
    /// The files that a configuration names.
    pub(crate) fn of(config: &Config) -> Self {
        let clients = config.listen.clients.tls.as_ref();
        let members = config.view.members();
        Self {
            client: clients.map(|tls| (tls.cert.clone(), tls.key.clone())),
            cluster: match &config.cluster {
                ClusterTls::Mutual { ca, cert, key } => {
                    Some((ca.clone(), cert.clone(), key.clone()))
                }
                ClusterTls::Insecure => None,
            },
            whose: if config.identified == Identified::Assumed {
                // Nobody knows the members' names where a store does.
                let members = members.iter().filter(|_| config.coordination.is_none());
                members.map(|(_, member)| member.clone()).collect()
            } else {
                vec![members.get(members.local()).clone()]
            },
        }
    }

    /// Reads every file, and checks whether those who will be shown them would take them now. May
    /// block.
    pub(crate) fn look(&self, now: UnixTime, may_lapse: &Lapsed) -> Look {
        let (mut faults, mut remarks) = (Vec::new(), Vec::new());
        let mut judge = |cert: &Path, verdict: Verdict, may_lapse: bool| {
            let named = |what: Vec<String>| what.into_iter().map(|what| TlsFault::new(cert, what));
            remarks.extend(named(verdict.remarks));
            let lapsed = named(verdict.lapsed).filter(|_| !may_lapse);
            TlsFaults(lapsed.chain(named(verdict.faults)).collect())
        };
        let mut keep = |found: TlsFaults| faults.extend(found.0);
        let mut material = TlsMaterial {
            client: None,
            cluster: None,
        };
        if let Some((cert, key)) = &self.client {
            match KeyPair::load(cert, key) {
                Ok(pair) => {
                    let may_lapse = may_lapse.takes_for_clients(&pair);
                    keep(judge(cert, check::for_clients(&pair, now), may_lapse));
                    material.client = Some(pair);
                }
                Err(found) => keep(found),
            }
        }
        if let Some((ca, cert, key)) = &self.cluster {
            match (Authority::load(ca), KeyPair::load(cert, key)) {
                (Ok(authority), Ok(pair)) => {
                    let verdict = check::for_peers(&pair, &authority, &self.whose, now);
                    let cluster = (authority, pair);
                    keep(judge(cert, verdict, may_lapse.takes_for_peers(&cluster)));
                    material.cluster = Some(cluster);
                }
                (authority, pair) => {
                    keep(TlsFaults(authority.err().into_iter().collect()));
                    keep(pair.err().unwrap_or_default());
                }
            }
        }
        let material = if faults.is_empty() {
            Ok(material)
        } else {
            Err(TlsFaults(faults))
        };
        Look { material, remarks }
    }

    /// The same away from the tasks that serve requests, for those who only want to use them.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) async fn load_in_background(
        &self,
        may_lapse: Lapsed,
    ) -> Result<TlsMaterial, TlsFaults> {
        let files = self.clone();
        let look =
            tokio::task::spawn_blocking(move || files.look(UnixTime::now(), &may_lapse).material);
        look.await.unwrap_or_else(|_| {
            let paths = self.paths().take(1);
            let fault =
                |path: &PathBuf| TlsFault::new(path, "or another of them is not understood");
            Err(TlsFaults(paths.map(fault).collect()))
        })
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

/// What the replica's certificate must be signed by. May block.
///
/// # Errors
/// A file that cannot be read, or that holds no authority.
pub(crate) fn replica_authority(registry: &Registry) -> Result<Option<Authority>, TlsFault> {
    let tls = registry.tls.as_ref();
    tls.map(|tls| Authority::load(&tls.ca)).transpose()
}

/// Compares the files for ever and hands what has changed since `in_use` was read to `apply`: the
/// new material, or why the new files are of no use (then the old ones stay in force). Each change
/// is reported once. Files that were refused are looked at again and again: a certificate may
/// become valid without any change.
pub(crate) async fn watch(
    files: TlsFiles,
    mut in_use: TlsMaterial,
    interval: Duration,
    mut apply: impl FnMut(Result<TlsMaterial, TlsFaults>),
) {
    let paths: Vec<PathBuf> = files.paths().cloned().collect();
    let mut seen = None;
    let mut refused = None;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let digest = content_digest_in_background(paths.clone()).await;
        if seen == Some(digest) && refused.is_none() {
            continue;
        }
        let has_changed = seen.replace(digest) != Some(digest);
        let may_lapse = Lapsed::InUse(in_use.clone());
        match files.load_in_background(may_lapse).await {
            Ok(material) => {
                if material != in_use || refused.is_some() {
                    apply(Ok(material.clone()));
                }
                (in_use, refused) = (material, None);
            }
            Err(faults) => {
                if has_changed || refused.as_ref() != Some(&faults) {
                    apply(Err(faults.clone()));
                }
                refused = Some(faults);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_refused_is_taken_once_it_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let now = Duration::from_secs(UnixTime::now().as_secs());
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_secs(2);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(path("a.crt"), certificate.pem()).unwrap();
        std::fs::write(path("a.key"), key.serialize_pem()).unwrap();
        let files = TlsFiles {
            client: Some((path("a.crt"), path("a.key"))),
            ..TlsFiles::default()
        };
        let in_use = TlsMaterial {
            client: None,
            cluster: None,
        };
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let watching = watch(files, in_use, Duration::from_millis(20), |change| {
            tell.send(change.map(drop).map_err(|faults| faults.to_string()))
                .unwrap();
        });
        let listening = async {
            let refused = told.recv().await.unwrap().unwrap_err();
            assert!(refused.contains("a.crt is not valid before "), "{refused}");
            // Said once, however often it is looked at.
            assert_eq!(told.recv().await, Some(Ok(())));
        };
        tokio::select! {
            () = watching => unreachable!("it watches for ever"),
            () = listening => {}
        }
    }

    #[test]
    fn what_is_shown_already_may_lapse_and_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        let authority = params.self_signed(&key).unwrap();
        std::fs::write(path("a.crt"), authority.pem()).unwrap();
        std::fs::write(path("a.key"), key.serialize_pem()).unwrap();
        let pair = || (path("a.crt"), path("a.key"));
        let clients = TlsFiles {
            client: Some(pair()),
            ..TlsFiles::default()
        };
        let member = TlsFiles {
            cluster: Some((path("a.crt"), path("a.crt"), path("a.key"))),
            ..TlsFiles::default()
        };
        let long_after = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
        let taken = |files: &TlsFiles, now, may_lapse: &Lapsed| {
            let look = files.look(now, may_lapse);
            look.material.map_err(|faults| faults.to_string())
        };
        let other = TlsMaterial {
            client: None,
            cluster: None,
        };
        for (files, for_clients) in [(&clients, true), (&member, false)] {
            let in_use = taken(files, UnixTime::now(), &Lapsed::Refused).unwrap();
            for (may_lapse, expected) in [
                (Lapsed::Refused, false),
                (Lapsed::ForClients, for_clients),
                (Lapsed::InUse(in_use), true),
                (Lapsed::InUse(other.clone()), false),
            ] {
                let found = taken(files, long_after, &may_lapse);
                assert_eq!(found.is_ok(), expected, "{may_lapse:?}");
                let said = found.err().unwrap_or_else(|| "expired on".to_owned());
                assert!(said.contains("expired on"), "{said}");
            }
        }
        std::fs::write(path("a.key"), "garbage").unwrap();
        assert!(taken(&clients, long_after, &Lapsed::ForClients).is_err());
    }

    #[tokio::test]
    async fn a_change_before_the_first_look_is_seen() {
        let gone = || PathBuf::from("/nowhere/at.all");
        let files = TlsFiles {
            client: Some((gone(), gone())),
            ..TlsFiles::default()
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
