//! What the listeners, the probes and the admin page of one member share.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;

use crate::access_log::AccessLog;
use crate::admin::status::CertificateStatus;
use crate::config::{Sticky, Timeouts};
use crate::metrics::Metrics;
use crate::shard::{Fingerprint, Health, MemberIndex, Policy, View};
use crate::upstream::{Admission, Upstreams};

/// One member at run time.
pub struct State {
    /// Members, placement and pins.
    pub view: View,
    /// The operator's choices about reads.
    pub policy: Policy,
    /// The cookie for routes without a repository.
    pub sticky: Sticky,
    /// Deadlines and idle limits.
    pub timeouts: Timeouts,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whom we call.
    pub upstreams: Upstreams,
    /// The door to the local replica.
    pub admission: Admission,
    /// Verdicts on the replica and the peers.
    pub health: HealthTable,
    /// What we count.
    pub metrics: Metrics,
    /// Where requests are logged, if the operator wants it.
    pub access_log: AccessLog,
    /// Whether this member takes no new work.
    pub draining: AtomicBool,
    /// The certificates in use.
    pub certificates: ArcSwap<Vec<CertificateStatus>>,
}

impl State {
    /// Whether this member takes no new work.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The verdict on one member; for the local one, on its replica.
    pub fn health_of(&self, member: MemberIndex) -> Health {
        self.health.get(member)
    }
}

/// The latest verdict on every member, and what each peer last told of its view. Written by the
/// probes, read by every request.
#[derive(Debug)]
pub struct HealthTable {
    verdicts: Box<[AtomicU8]>,
    views: Box<[ArcSwapOption<Fingerprint>]>,
}

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

impl HealthTable {
    /// Nothing is known of `members` members.
    pub fn new(members: usize) -> Self {
        Self {
            verdicts: (0..members).map(|_| AtomicU8::new(UNKNOWN)).collect(),
            views: (0..members).map(|_| ArcSwapOption::empty()).collect(),
        }
    }

    /// The verdict on a member.
    pub fn get(&self, member: MemberIndex) -> Health {
        match self
            .verdicts
            .get(member.get())
            .map(|verdict| verdict.load(Ordering::Relaxed))
        {
            Some(UP) => Health::Up,
            Some(DOWN) => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Records a verdict.
    pub fn set(&self, member: MemberIndex, health: Health) {
        let value = match health {
            Health::Unknown => UNKNOWN,
            Health::Up => UP,
            Health::Down => DOWN,
        };
        if let Some(verdict) = self.verdicts.get(member.get()) {
            verdict.store(value, Ordering::Relaxed);
        }
    }

    /// The view that a peer last told of.
    pub fn view_of(&self, member: MemberIndex) -> Option<Fingerprint> {
        let told = self.views.get(member.get())?.load_full()?;
        Some(*told)
    }

    /// Records the view that a peer told of.
    pub fn set_view(&self, member: MemberIndex, view: Fingerprint) {
        if let Some(told) = self.views.get(member.get()) {
            told.store(Some(std::sync::Arc::new(view)));
        }
    }
}
