//! What may go wrong in a run, and how often.

use std::time::Duration;

use super::super::Timing;
use crate::shard::placement::Placement;

/// A kind of run. Rates are per second and thousand.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) members: usize,
    /// Those of them that run from the start.
    pub(super) running: usize,
    pub(super) timing: Timing,
    pub(super) kills_replica: bool,
    /// So does something else, when the process has ended or stands still, and it takes so long at most.
    pub(super) replica_ends_with_us: bool,
    pub(super) watchdog: Duration,
    pub(super) lasts: Duration,
    pub(super) writes: u64,
    /// How long a body comes, and how long the replica works, at most.
    pub(super) body: Duration,
    pub(super) tail: Duration,
    /// How long a call to the store takes each way, at most.
    pub(super) latency: Duration,
    /// Of a thousand calls: lost before the store has them, carried out with the answer lost, late.
    pub(super) lost: u64,
    pub(super) answer_lost: u64,
    pub(super) late: u64,
    pub(super) crashes: u64,
    /// How long it takes at most until the next process of a member that crashed is there.
    pub(super) restart: Duration,
    pub(super) stops: u64,
    /// Of the machine, whose clock stands still meanwhile.
    pub(super) suspensions: u64,
    /// The time of day stands still with it, and is not set right.
    pub(super) wall_stands: bool,
    /// A stop between the last look and the last byte: nothing but a fence at the storage helps.
    pub(super) stops_at_last_byte: bool,
    pub(super) cuts: u64,
    pub(super) outages: u64,
    pub(super) leaves: u64,
    pub(super) restarts: u64,
    pub(super) clock_steps: u64,
    /// Of a machine's clocks, all but the raw one.
    pub(super) slews: u64,
    /// Of a thousand reads, those that are answered as if nothing were there, or nothing that can be read.
    pub(super) strays: u64,
    /// Of a thousand pokes, those that do not arrive.
    pub(super) pokes_lost: u64,
    /// Of a thousand steps in which a process is told to go, those between which and the first of whose
    /// effects a request is admitted.
    pub(super) races: u64,
    pub(super) policies: u64,
    /// Somebody deletes the leases of those who have left.
    pub(super) tidied: u64,
    /// Seen as down though it is up.
    pub(super) wrong_downs: u64,
    pub(super) clones: u64,
    /// A member by a file beside them.
    pub(super) statics: bool,
    /// A process after a crash knows that the one before is dead.
    pub(super) proves_death: bool,
    pub(super) placement: Placement,
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn timing() -> Timing {
    Timing {
        lease: Duration::from_secs(10),
        renew: Duration::from_millis(2500),
        margin: SECOND,
        grace: Duration::from_secs(5),
        killed: Duration::from_secs(5),
        handoff: Duration::from_secs(5),
        poll: Duration::from_millis(250),
        drift: 10,
    }
}

impl Plan {
    /// Nothing goes wrong.
    pub(super) fn calm() -> Self {
        Self {
            members: 3,
            running: 3,
            timing: timing(),
            kills_replica: false,
            replica_ends_with_us: false,
            watchdog: SECOND * 2,
            lasts: Duration::from_secs(120),
            writes: 6000,
            body: Duration::from_millis(400),
            tail: Duration::from_millis(800),
            latency: Duration::from_millis(60),
            lost: 0,
            answer_lost: 0,
            late: 0,
            crashes: 0,
            restart: SECOND * 30,
            stops: 0,
            suspensions: 0,
            wall_stands: false,
            stops_at_last_byte: false,
            cuts: 0,
            outages: 0,
            leaves: 0,
            restarts: 0,
            clock_steps: 0,
            slews: 0,
            strays: 0,
            pokes_lost: 0,
            races: 0,
            policies: 0,
            tidied: 0,
            wrong_downs: 0,
            clones: 0,
            statics: false,
            proves_death: false,
            placement: Placement::Rendezvous,
        }
    }

    /// No time to spare: a slow store, and little grace.
    pub(super) fn sharp() -> Self {
        let timing = Timing {
            margin: Duration::from_millis(100),
            grace: SECOND,
            ..timing()
        };
        Self {
            timing,
            latency: Duration::from_millis(450),
            body: SECOND,
            tail: Duration::from_millis(950),
            stops: 60,
            cuts: 60,
            answer_lost: 100,
            ..Self::calm()
        }
    }

    /// Much is written, slowly, by members that are stopped or cut off.
    pub(super) fn busy() -> Self {
        Self {
            writes: 40_000,
            body: SECOND * 3,
            tail: Duration::from_millis(4900),
            stops: 40,
            cuts: 40,
            ..Self::calm()
        }
    }

    /// A command kills the replica, and something else does when its process ends or is stopped. Alone
    /// it would go on for long.
    pub(super) fn killed() -> Self {
        let timing = Timing {
            grace: SECOND * 41,
            ..timing()
        };
        Self {
            timing,
            kills_replica: true,
            replica_ends_with_us: true,
            tail: SECOND * 40,
            ..Self::rough()
        }
    }

    /// A command kills the replica, and nobody does when its process ends or is stopped.
    pub(super) fn killed_by_itself_alone() -> Self {
        let timing = Timing {
            grace: SECOND * 30,
            ..timing()
        };
        Self {
            timing,
            kills_replica: true,
            tail: Duration::from_millis(29_500),
            ..Self::rough()
        }
    }

    /// Clocks are corrected by more than they may differ.
    pub(super) fn slewed() -> Self {
        Self {
            slews: 40,
            ..Self::sharp()
        }
    }

    /// The store answers some reads as if nothing were there.
    pub(super) fn strays() -> Self {
        Self {
            strays: 30,
            ..Self::rough()
        }
    }

    /// Machines stand still.
    pub(super) fn suspended() -> Self {
        Self {
            suspensions: 40,
            ..Self::busy()
        }
    }

    /// One is a member by a file.
    pub(super) fn beside_a_file() -> Self {
        Self {
            members: 4,
            running: 4,
            statics: true,
            ..Self::calm()
        }
    }

    /// The store goes away, and some are looked at when it does.
    pub(super) fn outages() -> Self {
        Self {
            members: 6,
            running: 6,
            outages: 30,
            wrong_downs: 100,
            ..Self::calm()
        }
    }

    /// Everything that the rules promise to bear.
    pub(super) fn rough() -> Self {
        Self {
            members: 4,
            body: Duration::from_secs(8),
            tail: Duration::from_millis(4500),
            lost: 20,
            answer_lost: 20,
            late: 30,
            crashes: 20,
            stops: 30,
            cuts: 20,
            outages: 10,
            leaves: 15,
            restarts: 20,
            clock_steps: 10,
            policies: 10,
            wrong_downs: 30,
            ..Self::calm()
        }
    }

    /// The same, and processes know that those before them are dead.
    pub(super) fn proofs() -> Self {
        Self {
            proves_death: true,
            ..Self::rough()
        }
    }

    /// Processes die one after the other, and the next one is there at once.
    pub(super) fn loops() -> Self {
        Self {
            crashes: 150,
            restart: SECOND * 2,
            ..Self::proofs()
        }
    }

    /// Nearly everything moves with each view.
    pub(super) fn zot() -> Self {
        Self {
            placement: Placement::Zot,
            members: 6,
            running: 6,
            ..Self::rough()
        }
    }

    /// Members leave one after the other, and what tells the others is lost.
    pub(super) fn lost_pokes() -> Self {
        Self {
            placement: Placement::Zot,
            members: 8,
            running: 8,
            leaves: 40,
            pokes_lost: 300,
            body: SECOND * 6,
            lasts: SECOND * 60,
            ..Self::calm()
        }
    }

    /// Requests come in beside a departure, and processes overlap.
    pub(super) fn races() -> Self {
        Self {
            members: 4,
            running: 4,
            leaves: 40,
            restarts: 40,
            clones: 30,
            races: 1000,
            body: Duration::from_millis(40),
            tail: Duration::from_millis(1500),
            ..Self::calm()
        }
    }

    /// Members come and go.
    pub(super) fn resizes() -> Self {
        Self {
            members: 6,
            running: 2,
            leaves: 30,
            ..Self::calm()
        }
    }

    /// Members come and go, and somebody deletes the leases of those who have left.
    pub(super) fn tidied() -> Self {
        Self {
            members: 4,
            running: 4,
            leaves: 60,
            tidied: 300,
            writes: 40_000,
            pokes_lost: 500,
            ..Self::calm()
        }
    }

    /// Two processes have one id.
    pub(super) fn clones() -> Self {
        Self {
            clones: 30,
            stops: 60,
            crashes: 20,
            ..Self::calm()
        }
    }

    /// Not borne: machines stand still, and no clock of theirs tells.
    pub(super) fn unnoticed_suspensions() -> Self {
        Self {
            wall_stands: true,
            ..Self::suspended()
        }
    }

    /// Not borne: a process stops between the last look and the last byte.
    pub(super) fn stopped_at_last_byte() -> Self {
        Self {
            stops_at_last_byte: true,
            crashes: 10,
            ..Self::calm()
        }
    }

    /// Not borne: a replica takes longer than its grace, and nobody kills it.
    pub(super) fn slow_replica() -> Self {
        Self {
            tail: SECOND * 60,
            ..Self::rough()
        }
    }

    /// Not borne: what is said to end the replica with its sidecar does so too late.
    pub(super) fn slow_watchdog() -> Self {
        Self {
            watchdog: SECOND * 20,
            writes: 40_000,
            crashes: 40,
            cuts: 60,
            wrong_downs: 600,
            body: SECOND,
            leaves: 0,
            outages: 0,
            ..Self::killed()
        }
    }
}
