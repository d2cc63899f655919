//! Another configuration, without a restart: checked whole, then taken whole or not at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::pki_types::UnixTime;

use super::certificates::{self, Certificates};
use super::fixed::Fixed;
use super::supervisor::Supervisor;
use crate::config::{Config, Problems};
use crate::member::generation::Generation;
use crate::member::state::{Phase, State};
use crate::observe::human;
use crate::observe::recent::ChangeKind;
use crate::operate::Reloaded;
use crate::operate::status::{ConfigurationStatus, ReloadStatus};
use crate::shard::View;
use crate::shard::leases::Wishes;
use crate::shard::ownership::PartyId;
use crate::tls::content_digest::{content_digest, content_digest_in_background};
use crate::tls::{Authority, Lapsed, TlsFiles, TlsMaterial, replica_authority};
use crate::upstream::Upstreams;

/// Reads the configuration anew, as at the start; may block.
pub type Loader = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// How often the files are compared. A change is taken when it stands still for that long: an
/// editor may be half-way through it.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

const CLOSING: &str = "this member is closing: it takes no other configuration";

/// Takes configurations.
pub(super) struct Reloader {
    pub(super) state: Arc<State>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) loader: Option<Loader>,
    /// What the generation in force is made of.
    pub(super) in_force: Mutex<InForce>,
    pub(super) fixed: Fixed,
    pub(super) report: ArcSwap<Report>,
    /// What the watched files held at the last attempt.
    pub(super) seen: Mutex<[u8; 32]>,
    /// One reload at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Who is told of each.
    pub(super) supervisor: ArcSwapOption<Supervisor>,
}

/// What a generation is made of.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) config: Config,
    /// The number of its view, where members hold leases.
    pub(super) epoch: Option<u64>,
    pub(super) replica_authority: Option<Authority>,
}

/// What is in force, and how the last reload went.
pub(super) struct Report {
    /// The configuration in force, as far as it is shown.
    pub(super) shown: super::observe::Shown,
    /// Since when.
    pub(super) loaded_at: SystemTime,
    /// Keys that have changed since the start and wait for a restart.
    pub(super) needs_restart: Vec<String>,
    /// The last attempt: when, and what was wrong if it was not taken.
    pub(super) last: Option<(SystemTime, Vec<String>)>,
}

/// All that can fail, done.
struct Ready {
    config: Config,
    material: TlsMaterial,
    replica_authority: Option<Authority>,
    needs_restart: Vec<String>,
}

impl Report {
    /// The same as the status has it.
    pub(super) fn status(&self) -> ConfigurationStatus {
        let last_reload = self.last.as_ref().map(|(at, problems)| ReloadStatus {
            at: human::rfc3339(*at),
            taken: problems.is_empty(),
            problems: problems.clone(),
        });
        ConfigurationStatus {
            source: self.shown.source.clone(),
            loaded_at: human::rfc3339(self.loaded_at),
            last_reload,
            needs_restart: self.needs_restart.clone(),
        }
    }
}

impl Reloader {
    /// Reads the configuration and takes it, if nothing is wrong with it. Requests in flight end
    /// under the one that they began under; no connection is closed.
    pub(super) async fn reload(&self) -> Reloaded {
        let _turn = self.turn.lock().await;
        let Some(supervisor) = self.supervisor.load_full() else {
            return self.attempt().await;
        };
        supervisor.reloading().await;
        let reloaded = self.attempt().await;
        supervisor.reloaded(&reloaded.problems).await;
        reloaded
    }

    async fn attempt(&self) -> Reloaded {
        let content_digest = self.digest_now().await;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = content_digest;
        let outcome = match self.read().await {
            // Its requests in flight keep their generation, and no other would ever serve one. To change
            // its view in its last second would only confuse its peers.
            Ok(_) if self.state.phase() >= Phase::Closing => Err(vec![CLOSING.to_owned()]),
            Ok(ready) => self.take(ready),
            Err(problems) => Err(problems),
        };
        let now = SystemTime::now();
        let before = self.report.load_full();
        let (report, reloaded) = match outcome {
            Ok((shown, needs_restart)) => {
                tracing::info!("configuration reloaded");
                for key in &needs_restart {
                    tracing::warn!(%key, "this key has changed and takes a restart");
                }
                let report = Report {
                    shown,
                    loaded_at: now,
                    needs_restart: needs_restart.clone(),
                    last: Some((now, Vec::new())),
                };
                (
                    report,
                    Reloaded {
                        taken: true,
                        problems: Vec::new(),
                        needs_restart,
                    },
                )
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(%problem, "the changed configuration is not taken; the old one stays in force");
                }
                let report = Report {
                    shown: before.shown.clone(),
                    loaded_at: before.loaded_at,
                    needs_restart: before.needs_restart.clone(),
                    last: Some((now, problems.clone())),
                };
                (
                    report,
                    Reloaded {
                        taken: false,
                        problems,
                        needs_restart: Vec::new(),
                    },
                )
            }
        };
        self.state.metrics.config_reload(reloaded.taken);
        self.keep_change(&reloaded);
        self.report.store(Arc::new(report));
        reloaded
    }

    fn keep_change(&self, reloaded: &Reloaded) {
        let first = reloaded
            .problems
            .iter()
            .find_map(|problem| problem.lines().next());
        let text = match first {
            None => "the configuration was taken".to_owned(),
            Some(first) => format!("the changed configuration was refused: {first}"),
        };
        self.state.metrics.recent.changed(ChangeKind::Reload, text);
    }

    /// Reads the configuration whenever its files have changed, for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = self.digest_now().await;
        loop {
            ticks.tick().await;
            if !self.report.load().shown.watches {
                continue;
            }
            let now = self.digest_now().await;
            let stands_still = now == std::mem::replace(&mut before, now);
            let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if stands_still && now != seen {
                self.reload().await;
            }
        }
    }

    /// What the configuration's files hold now. Certificates have a watch of their own.
    pub(super) fn content_digest(&self) -> [u8; 32] {
        content_digest(&self.report.load().shown.files)
    }

    async fn digest_now(&self) -> [u8; 32] {
        let files = self.report.load().shown.files.clone();
        content_digest_in_background(files).await
    }

    async fn read(&self) -> Result<Ready, Vec<String>> {
        let Some(loader) = self.loader.clone() else {
            return Err(vec![
                "this member was not started from a file that can be read again".to_owned(),
            ]);
        };
        let in_use = self.certificates.in_use();
        // Files and names may take their time.
        let read = tokio::task::spawn_blocking(move || {
            let config = loader().map_err(|problems| {
                let each = problems.iter().map(ToString::to_string);
                each.collect::<Vec<_>>()
            })?;
            let look = TlsFiles::of(&config).look(UnixTime::now(), &Lapsed::InUse(in_use));
            let authority = replica_authority(&config.registry);
            match (look.material, authority) {
                (Ok(material), Ok(authority)) => Ok((config, material, authority)),
                (material, authority) => {
                    let faults = material.err().unwrap_or_default().0;
                    let faults = faults.into_iter().chain(authority.err());
                    let problems: Vec<String> = faults.map(|fault| fault.to_string()).collect();
                    Err(problems)
                }
            }
        });
        let read = read.await.map_err(|error| vec![error.to_string()])?;
        let (config, material, replica_authority) = read?;
        let needs_restart = self.fixed.compare(&config)?;
        Ok(Ready {
            config,
            material,
            replica_authority,
            needs_restart,
        })
    }

    fn take(&self, ready: Ready) -> Result<(super::observe::Shown, Vec<String>), Vec<String>> {
        let Ready {
            mut config,
            material,
            replica_authority,
            needs_restart,
        } = ready;
        let replica_tls = config.registry.tls.is_some();
        let mut in_force = self.in_force();
        let wishes = config.coordination.as_ref().map(|leases| Wishes {
            policy: leases.policy.clone(),
            weight: leases.weight,
        });
        if self.state.writes.leases().is_some() {
            // That of the store, whatever the file says.
            config.view = in_force.config.view.clone();
            // Others count on what the lease says of it.
            config.timeouts.aftermath = in_force.config.timeouts.aftermath;
        }
        let next = InForce {
            config,
            epoch: in_force.epoch,
            replica_authority,
        };
        let config = self.swap(&mut in_force, next, &material, replica_tls)?;
        certificates::report_expiry(&self.state, &material);
        super::log_remarks(config);
        if let (Some(leases), Some(wishes)) = (self.state.writes.leases(), wishes) {
            leases.tell(|news| news.wishes = Some(wishes));
        }
        Ok((super::observe::Shown::of(config), needs_restart))
    }

    /// Puts another view in force, with the rest of the configuration as it is.
    ///
    /// # Errors
    /// A member that cannot be called.
    pub(super) fn adopt(&self, view: &Arc<View>, epoch: u64) -> Result<(), String> {
        let mut in_force = self.in_force();
        let mut next = in_force.clone();
        next.config.view = view.clone();
        next.epoch = Some(epoch);
        let material = self.certificates.in_use();
        let swapped = self.swap(&mut in_force, next, &material, false);
        swapped.map(drop).map_err(|problems| problems.join("; "))
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swap<'f>(
        &self,
        in_force: &'f mut InForce,
        next: InForce,
        material: &TlsMaterial,
        renews_replica: bool,
    ) -> Result<&'f Config, Vec<String>> {
        let InForce {
            config,
            epoch,
            replica_authority,
        } = &next;
        let before = self.state.generation();
        let upstreams = Upstreams::new(
            (&config.registry, replica_authority.as_ref()),
            config.view.members(),
            &config.timeouts,
            self.certificates.trust(),
            Some(&before.upstreams),
        );
        let upstreams = upstreams.map_err(|error| vec![error.to_string()])?;
        let metrics = &self.state.metrics;
        let checked = self.certificates.admit(material, config.view.members());
        checked.map_err(|error| vec![error])?;
        if renews_replica {
            // Its authority may have changed.
            self.certificates.forget_connections();
        }
        let counts = |party: &PartyId| self.state.writes.rules().is_party(party);
        let generation =
            Generation::new((config, *epoch), upstreams, metrics, Some(&before), counts);
        let generation = Arc::new(generation);
        if let Err(error) = self.certificates.show(material, &generation) {
            // Read and checked a moment ago.
            tracing::error!(%error, "a certificate cannot be shown to peers");
        }
        self.state.replace_generation(generation);
        // Once more: the watch over the certificates may have admitted the members of before.
        if let Err(error) = self.certificates.admit(material, config.view.members()) {
            tracing::error!(%error, "the members' certificates cannot be checked");
        }
        *in_force = next;
        Ok(&in_force.config)
    }
}
