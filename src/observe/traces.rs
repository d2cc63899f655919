//! Traces: one span for each request that is sampled, on each member that it passes.
//!
//! Who sampled it is asked first: a peer, or a trusted proxy. Otherwise chance decides, whatever the
//! client says, or clients could fill the collector. The spans of a request have the same trace, and
//! each the one before as its parent, the client's first.
//!
//! A request never waits: spans go into a bounded queue, and a task of its own sends them
//! (`run::traces`). What finds the queue full is dropped and counted.

mod otlp;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::IntCounter;
use tokio::sync::{mpsc, oneshot};

use crate::config::Sample;
use crate::http::request_id::{SpanId, TraceParent, random_64};
use crate::observe::metrics::PlanKind;
use crate::observe::waits::Waits;
use crate::shard::plan::Arrival;
use crate::shard::route::Operation;

pub(crate) use otlp::encode;

/// Spans that may wait for a slow collector, some kilobytes each at most.
const QUEUE: usize = 4096;

/// What a request did here, for a collector.
#[derive(Debug)]
pub(crate) struct Span {
    /// Its trace and its own id, as they were sent on.
    pub trace: TraceParent,
    /// The span that it came from.
    pub parent: Option<SpanId>,
    /// When its head had come.
    pub start: SystemTime,
    /// To the end of its answer.
    pub total: Duration,
    /// Which listener it came in by.
    pub arrival: Arrival,
    /// What it asked for.
    pub operation: Operation,
    /// As sent.
    pub method: &'static str,
    /// In which repository.
    pub repository: Option<Arc<str>>,
    /// Whose that is.
    pub owner: Option<Box<str>>,
    /// What we did.
    pub plan: PlanKind,
    /// The peer that was asked, or `replica`.
    pub upstream: Option<Box<str>>,
    /// What the other end saw.
    pub status: u16,
    /// Why it ended early, if it did.
    pub failure: Option<&'static str>,
    /// The id in answer and log.
    pub request_id: Box<str>,
    /// What it waited for.
    pub waits: Waits,
    /// Further attempts.
    pub retries: u8,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
}

/// A request that is to have a span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    parent: Option<SpanId>,
}

/// What the exporting task is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// To be sent with others.
    Span(Box<Span>),
    /// Everything before is to be sent now.
    Flush(oneshot::Sender<()>),
}

/// The tracing of one member.
#[derive(Debug)]
pub(crate) struct Tracer {
    queue: mpsc::Sender<Told>,
    sample: Sample,
    dropped: IntCounter,
}

impl Tracer {
    /// With the end that the exporting task reads from. What is lost is counted in `dropped`.
    pub(crate) fn new(sample: Sample, dropped: IntCounter) -> (Self, mpsc::Receiver<Told>) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let tracer = Self {
            queue,
            sample,
            dropped,
        };
        (tracer, spans)
    }

    /// Decides on a request, by the `traceparent` that it came with. `is_trusted`: whether the sender's
    /// word on sampling counts. Returns what is sent on, and whether it is to have a span.
    pub(crate) fn begin(
        &self,
        sent: Option<TraceParent>,
        is_trusted: bool,
    ) -> (TraceParent, Option<Sampled>) {
        let is_sampled = match &sent {
            Some(sent) if is_trusted => sent.is_sampled(),
            Some(_) | None => self.sample.takes(random_64()),
        };
        let parent = sent.as_ref().map(TraceParent::parent);
        match sent {
            Some(sent) if !is_sampled && !sent.is_sampled() => (sent, None),
            // The next one would believe us.
            Some(sent) if !is_sampled => (sent.unsampled(), None),
            None if !is_sampled => (TraceParent::make(), None),
            sent => {
                let trace = sent.unwrap_or_else(TraceParent::make);
                (trace.child(SpanId::make()), Some(Sampled { parent }))
            }
        }
    }

    /// A request has ended; never waits.
    pub(crate) fn record(&self, sampled: Sampled, span: impl FnOnce(Option<SpanId>) -> Span) {
        let Ok(place) = self.queue.try_reserve() else {
            self.dropped.inc();
            return;
        };
        place.send(Told::Span(Box::new(span(sampled.parent))));
    }

    /// Waits until what was recorded so far has been sent, or lost.
    pub(crate) async fn flush(&self) {
        let (flushed, done) = oneshot::channel();
        if self.queue.send(Told::Flush(flushed)).await.is_ok() {
            let _ = done.await;
        }
    }
}

#[cfg(test)]
mod tests;
