//! Sends spans to the collector, many at a time, beside all requests.
//!
//! One attempt for each batch: a collector that is away costs spans, never memory or time. That it is
//! away is said once, and that it is back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::Collector;
use crate::member::state::State;
use crate::observe::metrics::SpanEnd;
use crate::observe::traces::{Span, Told, encode};
use crate::upstream::{Place, Question, Route};

/// Spans that go together at most.
const BATCH: usize = 512;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take over a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Spans that are about to be sent, and who waits for that.
#[derive(Default)]
struct Batch {
    spans: Vec<Span>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Sends what is recorded, until nobody can record any more.
pub(super) async fn export(mut told: Receiver<Told>, collector: Collector, state: Arc<State>) {
    let generation = state.generation();
    let members = generation.view.members();
    // It takes a restart to become another.
    let member = members.get(members.local()).id.to_string();
    drop(generation);
    let counted = [SpanEnd::Exported, SpanEnd::Dropped].map(|end| state.metrics.spans(end));
    let mut is_away = false;
    while let Some(batch) = next(&mut told).await {
        let count = batch.spans.len() as u64;
        if count > 0 {
            let sent = send(&collector, &encode(&member, &batch.spans)).await;
            counted[usize::from(sent.is_err())].inc_by(count);
            match &sent {
                Err(error) if !is_away => tracing::warn!(
                    %error, collector = %collector.address,
                    "the collector does not take spans: they are dropped until it does"
                ),
                Ok(()) if is_away => tracing::info!(
                    collector = %collector.address,
                    "the collector takes spans again"
                ),
                Ok(()) | Err(_) => {}
            }
            is_away = sent.is_err();
        }
        for waiting in batch.waiting {
            // Who waited may have had enough.
            let _ = waiting.send(());
        }
    }
}

/// What came within a moment, or is waited for; none when nothing comes any more.
async fn next(told: &mut Receiver<Told>) -> Option<Batch> {
    let mut batch = Batch::default();
    batch.take(told.recv().await?);
    let until = Instant::now() + GATHER;
    while batch.spans.len() < BATCH && batch.waiting.is_empty() {
        match tokio::time::timeout_at(until, told.recv()).await {
            Ok(Some(more)) => batch.take(more),
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}

impl Batch {
    fn take(&mut self, told: Told) {
        match told {
            Told::Span(span) => self.spans.push(*span),
            Told::Flush(waiting) => self.waiting.push(waiting),
        }
    }
}

/// Tries each address that the collector's name has.
async fn send(collector: &Collector, body: &[u8]) -> Result<(), String> {
    let trying = async {
        let address = collector.address.to_string();
        let question = Question::new("POST", &collector.path, &address)
            .field("Content-Type", "application/json")
            .body(body);
        let addresses = tokio::net::lookup_host(&address).await;
        let mut last = "its name has no address".to_owned();
        for at in addresses.map_err(|error| error.to_string())? {
            let route = Route::aside(Place::Address(at), None);
            match route.ask(&question, TIMEOUT).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) => last = format!("it answered {}", answer.status),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    };
    let sent = tokio::time::timeout(TIMEOUT, trying).await;
    sent.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}
