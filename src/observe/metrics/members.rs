//! The metrics that follow the view: it is swapped at run time, and members come and go with it.
//!
//! Series belong to ids, handles to a view. A handle of an old view goes on counting for members
//! that stayed, and counts nowhere for members that are gone.

use super::Held;
use super::cells::{Maker, series};
use super::labels::WaitFor;
use super::table::{self, COARSE_SECONDS};
use crate::observe::recent::Traffic;
use crate::observe::waits::Waits;
use crate::shard::members::MemberIndex;
use crate::shard::route::Operation;
use crate::shard::view::View;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The labels of a metric without labels.
const NONE: [&str; 0] = [];

/// The metrics of the members of one view. Every index must be one of that view.
pub(crate) struct MemberMetrics {
    cluster: Arc<Cluster>,
    /// In the order of the view; `None` only if a series could not be made.
    members: Box<[Option<Series>]>,
}

/// What is counted for one member from the start, so that an alert sees the step from 0 to 1.
struct Series {
    id: String,
    traffic: Arc<Traffic>,
    circuit_open: IntGauge,
    circuit_opened: IntCounter,
    /// By operation and what for; each made when it is first used.
    waits: OnceLock<Box<[OnceLock<Histogram>]>>,
    /// None for the local member.
    peer: Option<PeerSeries>,
}

struct PeerSeries {
    in_flight: IntGauge,
    queue_depth: IntGauge,
    resolve_errors: IntCounter,
}

/// Members and the view, as registered.
pub(super) struct Cluster {
    /// Whose series there are now.
    present: Mutex<Present>,
    // Facts that would be wrong as 0 wait for their first value.
    up: IntGaugeVec,
    view_same: IntGaugeVec,
    draining: IntGaugeVec,
    in_flight: IntGaugeVec,
    queue_depth: IntGaugeVec,
    resolve_errors: IntCounterVec,
    circuit_open: IntGaugeVec,
    circuit_opened: IntCounterVec,
    waits: HistogramVec,
    info: IntGaugeVec,
    fingerprint: IntGauge,
    count: IntGauge,
    share: Gauge,
}

#[derive(Default)]
struct Present {
    members: BTreeSet<String>,
    peers: BTreeSet<String>,
    placement: Option<&'static str>,
    /// Of members that stay it goes on.
    traffic: BTreeMap<String, Arc<Traffic>>,
}

impl MemberMetrics {
    /// What a member did lately, and its id.
    pub(crate) fn traffic(&self, member: MemberIndex) -> Option<&Traffic> {
        Some(&*self.series(member)?.traffic)
    }

    /// A peer's verdict changed.
    pub(crate) fn peer_up(&self, peer: MemberIndex, up: bool) {
        self.tell(peer, &self.cluster.up, up);
    }

    /// A peer told its view's fingerprint.
    pub(crate) fn peer_view_same(&self, peer: MemberIndex, same: bool) {
        self.tell(peer, &self.cluster.view_same, same);
    }

    /// A peer told whether it drains.
    pub(crate) fn peer_draining(&self, peer: MemberIndex, draining: bool) {
        self.tell(peer, &self.cluster.draining, draining);
    }

    /// A peer's host name did not resolve.
    pub(crate) fn resolve_error(&self, peer: MemberIndex) {
        if let Some(peer) = self.peer(peer) {
            peer.resolve_errors.inc();
        }
    }

    /// A peer works on a request of ours; hold the result until it is done. `None` for the local
    /// member, whose replica has metrics of its own.
    pub(crate) fn peer_works(&self, peer: MemberIndex) -> Option<Held> {
        Some(Held::hold(&self.peer(peer)?.in_flight))
    }

    /// A request waits for a place at a peer; hold the result while it does.
    pub(crate) fn peer_queued(&self, peer: MemberIndex) -> Option<Held> {
        Some(Held::hold(&self.peer(peer)?.queue_depth))
    }

    /// A circuit is no longer closed; the local member's is that of its replica.
    pub(crate) fn circuit_opens(&self, member: MemberIndex) {
        if let Some(member) = self.series(member) {
            member.circuit_open.set(1);
            member.circuit_opened.inc();
        }
    }

    /// A circuit is closed again.
    pub(crate) fn circuit_closes(&self, member: MemberIndex) {
        if let Some(member) = self.series(member) {
            member.circuit_open.set(0);
        }
    }

    /// A request to this member, or one that was meant for it, has waited.
    pub(crate) fn waited(&self, member: MemberIndex, operation: Operation, waits: &Waits) {
        let Some(series) = self.series(member) else {
            return;
        };
        for (what, time) in waits.each() {
            if !time.is_zero()
                && let Some(histogram) = self.wait_histogram(series, operation, what)
            {
                histogram.observe(time.as_secs_f64());
            }
        }
    }

    fn wait_histogram<'s>(
        &self,
        of: &'s Series,
        operation: Operation,
        what: WaitFor,
    ) -> Option<&'s Histogram> {
        let cells = of
            .waits
            .get_or_init(|| every_wait().map(|_| OnceLock::new()).collect());
        let cell = cells.get(operation as usize * WaitFor::ALL.len() + what as usize)?;
        if let Some(histogram) = cell.get() {
            return Some(histogram);
        }
        // As in `tell`: a request of an old view must not bring back a member that is gone.
        let present = self.cluster.present();
        if !present.members.contains(&of.id) {
            return None;
        }
        let labels = [of.id.as_str(), operation.as_str(), what.as_str()];
        let histogram = series(&self.cluster.waits, labels).ok()?;
        drop(present);
        Some(cell.get_or_init(|| histogram))
    }

    fn series(&self, member: MemberIndex) -> Option<&Series> {
        self.members.get(member.get())?.as_ref()
    }

    fn peer(&self, peer: MemberIndex) -> Option<&PeerSeries> {
        self.series(peer)?.peer.as_ref()
    }

    fn tell(&self, peer: MemberIndex, vec: &IntGaugeVec, value: bool) {
        let Some(member) = self.series(peer) else {
            return;
        };
        // Under the lock, lest the probe of an old view brings back the series of a member that is gone.
        let present = self.cluster.present();
        if present.peers.contains(&member.id)
            && let Ok(gauge) = series(vec, [member.id.as_str()])
        {
            gauge.set(i64::from(value));
        }
    }
}

impl Cluster {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        Ok(Self {
            present: Mutex::default(),
            up: make.int_gauge(table::PEER_UP)?,
            view_same: make.int_gauge(table::PEER_VIEW_SAME)?,
            draining: make.int_gauge(table::PEER_DRAINING)?,
            in_flight: make.int_gauge(table::PEER_IN_FLIGHT)?,
            queue_depth: make.int_gauge(table::PEER_QUEUE_DEPTH)?,
            resolve_errors: make.int_counter(table::RESOLVE_ERRORS)?,
            circuit_open: make.int_gauge(table::CIRCUIT_OPEN)?,
            circuit_opened: make.int_counter(table::CIRCUIT_OPENED)?,
            waits: make.histogram_of(table::WAIT_SECONDS, &COARSE_SECONDS)?,
            info: make.int_gauge(table::VIEW_INFO)?,
            fingerprint: series(&make.int_gauge(table::VIEW_FINGERPRINT)?, NONE)?,
            count: series(&make.int_gauge(table::VIEW_MEMBERS)?, NONE)?,
            share: series(&make.gauge(table::VIEW_SHARE)?, NONE)?,
        })
    }

    /// Shows this view and no other.
    pub(super) fn show(self: &Arc<Self>, view: &View) -> MemberMetrics {
        let members = view.members();
        let local = members.local();
        let present = Present {
            members: members
                .iter()
                .map(|(_, member)| member.id.to_string())
                .collect(),
            peers: members
                .peers()
                .map(|(_, peer)| peer.id.to_string())
                .collect(),
            placement: Some(view.placement().as_str()),
            traffic: BTreeMap::new(),
        };
        let mut before = self.present();
        let mut known = std::mem::take(&mut before.traffic);
        self.show_view(view);
        for gone in before.members.difference(&present.members) {
            forget(&self.circuit_open, gone);
            forget(&self.circuit_opened, gone);
            for (operation, what) in every_wait() {
                let labels = [gone, operation.as_str(), what.as_str()];
                let _ = self.waits.remove_label_values(&labels);
            }
        }
        for gone in before.peers.difference(&present.peers) {
            for gauge in [
                &self.up,
                &self.view_same,
                &self.draining,
                &self.in_flight,
                &self.queue_depth,
            ] {
                forget(gauge, gone);
            }
            forget(&self.resolve_errors, gone);
        }
        if let Some(other) = before
            .placement
            .filter(|was| Some(*was) != present.placement)
        {
            forget(&self.info, other);
        }
        *before = present;
        // Still under the lock: who shows another view in between must not find half of this one.
        let members = members
            .iter()
            .map(|(index, member)| {
                let id = member.id.to_string();
                let traffic = known.remove(&id).unwrap_or_default();
                before.traffic.insert(id.clone(), traffic.clone());
                self.series_of(id, traffic, index == local).ok()
            })
            .collect();
        drop(before);
        MemberMetrics {
            cluster: self.clone(),
            members,
        }
    }

    fn show_view(&self, view: &View) {
        let members = view.members();
        if let Ok(info) = series(&self.info, [view.placement().as_str()]) {
            info.set(1);
        }
        self.fingerprint
            .set(fingerprint_number(view.fingerprint().as_bytes()));
        self.count
            .set(i64::try_from(members.len()).unwrap_or(i64::MAX));
        let local = view.shares().find(|(member, _)| *member == members.local());
        self.share.set(local.map_or(0.0, |(_, share)| share));
    }

    fn series_of(&self, id: String, traffic: Arc<Traffic>, local: bool) -> Result<Series> {
        let label = [id.as_str()];
        let peer = if local {
            None
        } else {
            Some(PeerSeries {
                in_flight: series(&self.in_flight, label)?,
                queue_depth: series(&self.queue_depth, label)?,
                resolve_errors: series(&self.resolve_errors, label)?,
            })
        };
        Ok(Series {
            circuit_open: series(&self.circuit_open, label)?,
            circuit_opened: series(&self.circuit_opened, label)?,
            waits: OnceLock::new(),
            peer,
            traffic,
            id,
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every operation with everything that is waited for, in the order of their index.
fn every_wait() -> impl Iterator<Item = (Operation, WaitFor)> {
    let whats = |operation| WaitFor::ALL.iter().map(move |what| (operation, *what));
    Operation::ALL.iter().copied().flat_map(whats)
}

/// Takes one series out of the export; most often it is there.
fn forget<B: MetricVecBuilder>(vec: &MetricVec<B>, label: &str)
where
    MetricVec<B>: Collector,
{
    let _ = vec.remove_label_values(&[label]);
}

/// The first 48 bits, so that the number is exact in the 64-bit floats of the text format.
fn fingerprint_number(bytes: &[u8; 16]) -> i64 {
    bytes
        .iter()
        .take(48 / 8)
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}
