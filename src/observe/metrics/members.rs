//! The metrics that follow the view: it is swapped at run time, and members come and go with it.
//!
//! Series belong to ids, handles to a view. A handle of an old view goes on counting for members
//! that stayed, and counts nowhere for members that are gone.

use super::cells::{Maker, series};
use super::labels::WaitFor;
use super::summed::{Held, Holders, Take, Times, Value, times_width};
use super::table::{self, COARSE_SECONDS, Spec};
use crate::observe::recent::Traffic;
use crate::observe::waits::Waits;
use crate::shard::members::MemberIndex;
use crate::shard::route::Operation;
use crate::shard::view::View;
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Result};
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
    requests: Arc<Requests>,
    circuit_open: IntGauge,
    circuit_opened: IntCounter,
    /// None for the local member, whose replica has metrics of its own.
    resolve_errors: Option<IntCounter>,
}

/// What requests to one member touch; a member that stays keeps it.
#[derive(Default)]
struct Requests {
    traffic: Traffic,
    in_flight: Holders,
    queue_depth: Holders,
    /// By operation; each made when it is first used.
    waits: OnceLock<Box<[OnceLock<OperationWaits>]>>,
}

/// By what for.
type OperationWaits = Box<Times<{ WaitFor::ALL.len() * times_width(&COARSE_SECONDS) }>>;

/// Members and the view, as registered.
pub(super) struct Cluster {
    /// Whose series there are now.
    present: Arc<Mutex<Present>>,
    // Facts that would be wrong as 0 wait for their first value.
    up: IntGaugeVec,
    view_same: IntGaugeVec,
    draining: IntGaugeVec,
    resolve_errors: IntCounterVec,
    circuit_open: IntGaugeVec,
    circuit_opened: IntCounterVec,
    info: IntGaugeVec,
    fingerprint: IntGauge,
    count: IntGauge,
    share: Gauge,
}

#[derive(Default)]
struct Present {
    members: BTreeMap<String, Arc<Requests>>,
    peers: BTreeSet<String>,
    placement: Option<&'static str>,
}

impl MemberMetrics {
    /// What a member did lately, and its id.
    pub(crate) fn traffic(&self, member: MemberIndex) -> Option<&Traffic> {
        Some(&self.series(member)?.requests.traffic)
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
        if let Some(Some(errors)) = self.series(peer).map(|series| &series.resolve_errors) {
            errors.inc();
        }
    }

    /// A peer works on a request of ours; hold the result until it is done. `None` for the local
    /// member, whose replica has metrics of its own.
    pub(crate) fn peer_works(&self, peer: MemberIndex) -> Option<Held> {
        Some(self.peer(peer)?.in_flight.hold())
    }

    /// A request waits for a place at a peer; hold the result while it does.
    pub(crate) fn peer_queued(&self, peer: MemberIndex) -> Option<Held> {
        Some(self.peer(peer)?.queue_depth.hold())
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
                && let Some(histograms) = series.requests.waits_of(operation)
            {
                histograms.observe(what as usize, time);
            }
        }
    }

    fn series(&self, member: MemberIndex) -> Option<&Series> {
        self.members.get(member.get())?.as_ref()
    }

    fn peer(&self, peer: MemberIndex) -> Option<&Requests> {
        let series = self.series(peer)?;
        series.resolve_errors.as_ref().map(|_| &*series.requests)
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

impl Requests {
    fn waits_of(&self, operation: Operation) -> Option<&OperationWaits> {
        let all = || Operation::ALL.iter().map(|_| OnceLock::new()).collect();
        let of = self.waits.get_or_init(all).get(operation as usize)?;
        Some(of.get_or_init(|| Box::new(Times::new(&COARSE_SECONDS))))
    }

    /// Tells those that there were.
    fn tell_waits(&self, id: &str, take: &mut Take<'_>) {
        let cells = self.waits.get().into_iter().flatten();
        for (cell, operation) in cells.zip(Operation::ALL) {
            let Some(times) = cell.get() else {
                continue;
            };
            for what in WaitFor::ALL {
                if times.count(*what as usize) > 0 {
                    let labels = [id, operation.as_str(), what.as_str()];
                    take(&labels, times.value(*what as usize));
                }
            }
        }
    }
}

impl Cluster {
    pub(super) fn register(make: &Maker<'_>) -> Result<Self> {
        let present: Arc<Mutex<Present>> = Arc::default();
        let of_peers = |spec: Spec, gauge: fn(&Requests) -> &Holders| {
            let present = present.clone();
            make.summed(spec, move |take| {
                let present = locked(&present);
                let peers = present.members.iter();
                for (id, requests) in peers.filter(|(id, _)| present.peers.contains(*id)) {
                    take(&[id], Value::Gauge(gauge(requests).held()));
                }
            })
        };
        of_peers(table::PEER_IN_FLIGHT, |peer| &peer.in_flight)?;
        of_peers(table::PEER_QUEUE_DEPTH, |peer| &peer.queue_depth)?;
        let of_waits = present.clone();
        make.summed(table::WAIT_SECONDS, move |take| {
            for (id, requests) in &locked(&of_waits).members {
                requests.tell_waits(id, take);
            }
        })?;
        Ok(Self {
            present,
            up: make.int_gauge(table::PEER_UP)?,
            view_same: make.int_gauge(table::PEER_VIEW_SAME)?,
            draining: make.int_gauge(table::PEER_DRAINING)?,
            resolve_errors: make.int_counter(table::RESOLVE_ERRORS)?,
            circuit_open: make.int_gauge(table::CIRCUIT_OPEN)?,
            circuit_opened: make.int_counter(table::CIRCUIT_OPENED)?,
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
        let mut before = self.present();
        let kept = |id: String| {
            let requests = before.members.get(&id).cloned().unwrap_or_default();
            (id, requests)
        };
        let present = Present {
            members: members
                .iter()
                .map(|(_, member)| kept(member.id.to_string()))
                .collect(),
            peers: members
                .peers()
                .map(|(_, peer)| peer.id.to_string())
                .collect(),
            placement: Some(view.placement().as_str()),
        };
        self.show_view(view);
        let stays = |id: &&String| present.members.contains_key(*id);
        for gone in before.members.keys().filter(|id| !stays(id)) {
            forget(&self.circuit_open, gone);
            forget(&self.circuit_opened, gone);
        }
        for gone in before.peers.difference(&present.peers) {
            for gauge in [&self.up, &self.view_same, &self.draining] {
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
                let requests = before.members.get(&id)?.clone();
                self.series_of(id, requests, index == local).ok()
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

    fn series_of(&self, id: String, requests: Arc<Requests>, local: bool) -> Result<Series> {
        let label = [id.as_str()];
        let resolve_errors = (!local).then(|| series(&self.resolve_errors, label));
        Ok(Series {
            circuit_open: series(&self.circuit_open, label)?,
            circuit_opened: series(&self.circuit_opened, label)?,
            resolve_errors: resolve_errors.transpose()?,
            requests,
            id,
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        locked(&self.present)
    }
}

fn locked(present: &Mutex<Present>) -> MutexGuard<'_, Present> {
    present.lock().unwrap_or_else(PoisonError::into_inner)
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
