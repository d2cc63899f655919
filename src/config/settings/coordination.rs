//! Members that agree over a store who may write.

use std::time::Duration;

use super::StoreSettings;
use crate::shard::leases::Timing;
use crate::shard::leases::record::Policy;
use crate::shard::{MemberAddress, MemberId, Weight};

/// How members agree over a store who may write, instead of by a list in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordination {
    /// Where leases and the view are kept.
    pub store: StoreSettings,
    /// How long leases last, and what is waited for.
    pub timing: Timing,
    /// Kills the replica's process: a program and its arguments.
    pub replica_kill: Option<Vec<String>>,
    /// Whether something outside ends the replica when this process ends, or is stopped.
    pub replica_ends_with_sidecar: bool,
    /// Where other members reach our peer listener.
    pub address: MemberAddress,
    /// Our share of the repositories.
    pub weight: Weight,
    /// What the file says of placement, hash key and pins.
    pub policy: Policy,
    /// The other members of `cluster.members`: they may still work by that list.
    pub listed: Vec<MemberId>,
}

/// What it rests on that a replica writes nothing any more for a member whose lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// L0: on time alone. It is waited for `timeouts.aftermath`.
    Timing,
    /// L1: the replica is killed, by our command and, where we cannot give it, by what ends it with us.
    Killed,
}

impl Coordination {
    /// The level: a process that is gone or stopped gives no command, so the command alone is not L1.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::of(self.replica_kill.is_some(), self.replica_ends_with_sidecar)
    }

    /// How long others wait for our replica after our lease is over.
    #[must_use]
    pub fn grace(&self) -> Duration {
        match self.level() {
            Level::Timing => self.timing.grace,
            Level::Killed => self.timing.killed,
        }
    }
}

impl Level {
    pub(in crate::config) fn of(kills: bool, ends_with_sidecar: bool) -> Self {
        if kills && ends_with_sidecar {
            Self::Killed
        } else {
            Self::Timing
        }
    }

    /// As docs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timing => "L0",
            Self::Killed => "L1",
        }
    }
}
