//! What libraries complain of because of what others send: counted, not logged.
//!
//! Anybody who can connect can make them complain, as often as they like: by a server name that is an
//! address, by an acknowledgement of a PING that was never sent, by leaving in the middle of an upload.
//! What it means for a request is told by its line in the access log, and for a connection by
//! `shardlet_connections_refused_total`.

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::observe::metrics::{Library, library_warned};

/// Where the lines come from, and whom they are counted for.
const COUNTED: [(&str, Library); 4] = [
    ("rustls", Library::Rustls),
    ("h2", Library::H2),
    ("pingora_core::protocols", Library::Pingora),
    ("pingora_core::apps", Library::Pingora),
];

/// In the notation of a filter: not logged.
pub(super) fn silence() -> String {
    COUNTED.map(|(target, _)| format!("{target}=off")).join(",")
}

/// Counts them.
pub(super) fn counted<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let targets = COUNTED.map(|(target, _)| (target, LevelFilter::WARN));
    Counter.with_filter(Targets::new().with_targets(targets))
}

struct Counter;

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut origin = Origin(None);
        event.record(&mut origin);
        let target = event.metadata().target();
        let library = origin.0.or_else(|| library_of(target));
        if let Some(library) = library {
            library_warned(library);
        }
    }
}

/// Records of the `log` crate carry their target as a field.
struct Origin(Option<Library>);

impl Visit for Origin {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.0 = library_of(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn library_of(target: &str) -> Option<Library> {
    let of = COUNTED
        .iter()
        .find(|(prefix, _)| target.starts_with(prefix));
    of.map(|(_, library)| *library)
}
