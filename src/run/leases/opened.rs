//! From a configuration to leases: the store, who we are in it, and what the process before has left.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Driver;
use super::kill::ReplicaKill;
use crate::config::{Config, Coordination, Level, RegistryAddress};
use crate::member::leases::Leases;
use crate::member::replica::replica_id;
use crate::member::state::State;
use crate::member::state_folder::StateFolder;
use crate::run::StartError;
use crate::run::reload::Reloader;
use crate::run::start::open_folder;
use crate::shard::MemberId;
use crate::shard::leases::{Coordinator, Setup};
use crate::store::{self, Store};

/// What a member that holds a lease starts with.
pub(in crate::run) struct Leased {
    pub(in crate::run) leases: Arc<Leases>,
    store: Arc<dyn Store>,
    kill: Option<ReplicaKill>,
    setup: Setup,
    listed: BTreeSet<MemberId>,
    /// Proves to the process after this one that this is gone.
    folder: Option<StateFolder>,
}

impl Leased {
    /// None where members are listed in files. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// A store that cannot be called, a folder that cannot be used.
    pub(in crate::run) fn open(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(coordination) = &config.coordination else {
            return Ok(None);
        };
        let Coordination {
            store,
            timing,
            replica_kill,
            replica_ends_with_sidecar: _,
            address,
            weight,
            policy,
            listed,
        } = coordination;
        let store = store::open(store).map_err(|error| StartError::Store(error.to_string()))?;
        let folder = config.state.as_deref().map(open_folder).transpose()?;
        let members = config.view.members();
        let id = members.get(members.local()).id.clone();
        let process = store::random_number();
        let process = process.map_err(|error| StartError::Store(error.to_string()))? as u64;
        let dead_predecessor = folder
            .as_ref()
            .and_then(|folder| folder.succeed(id.as_str(), process));
        Ok(Some(Self {
            leases: Leases::new(timing.handoff),
            store,
            kill: replica_kill.as_deref().and_then(ReplicaKill::new),
            listed: listed.iter().cloned().collect(),
            setup: Setup {
                id,
                process,
                address: address.clone(),
                weight: *weight,
                replica: lasting_replica(&config.registry.address, process),
                policy: policy.clone(),
                like: config.view.clone(),
                dead_predecessor,
                timing: *timing,
                kills_replica: replica_kill.is_some(),
                // Where our own command is missing, nothing kills it while we run without a lease.
                replica_ends_with_us: coordination.level() == Level::Killed,
            },
            folder,
        }))
    }

    /// What drives it.
    pub(in crate::run) fn driver(self, state: &Arc<State>, reloader: &Arc<Reloader>) -> Driver {
        let Self {
            leases,
            store,
            kill,
            setup,
            listed,
            folder,
        } = self;
        Driver {
            state: state.clone(),
            leases,
            reloader: reloader.clone(),
            store,
            kill,
            us: setup.id.clone(),
            coordinator: Coordinator::new(setup),
            listed,
            differing: BTreeSet::new(),
            calls: JoinSet::new(),
            kills: JoinSet::new(),
            next: VecDeque::new(),
            layout: None,
            unadopted: None,
            epoch: 0,
            trouble: None,
            known: None,
            history: VecDeque::new(),
            _folder: folder,
        }
    }
}

/// Tells this replica from any other that may have been at the same name.
fn lasting_replica(address: &RegistryAddress, process: u64) -> String {
    let known = replica_id(address, None);
    match known.as_str() {
        // Who knows what its name leads to: it is another one after each start.
        "" => format!("unknown, of process {process:016x}"),
        known => known.to_owned(),
    }
}
