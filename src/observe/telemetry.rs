//! Diagnostics on stderr: what happened to the service, as opposed to what happened to a request.
//!
//! Text on a terminal, JSON otherwise, as for the access log. Records of libraries that use the
//! `log` crate (pingora) come the same way; libraries speak from `warn` up unless a filter says
//! otherwise. Output goes through a [`LineWriter`], so a stopped terminal never stops a request.

pub(crate) mod lines;

pub(crate) use lines::LineSender;
pub use lines::LineWriter;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// What libraries may say when nothing is configured. pingora's pool calls it an error when a
/// connection that was released a moment ago is not free yet and a new one is made.
const LIBRARIES: &str = "warn,pingora_core::connectors=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

impl Format {
    /// Text if somebody watches, JSON if a machine collects.
    pub fn for_output(output: &impl IsTerminal) -> Self {
        if output.is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// Why diagnostics could not be set up.
#[derive(Debug)]
pub(crate) enum TelemetryError {
    /// The filter is no list of `target=level`.
    Filter(ParseError),
    /// The writing thread could not be started.
    Thread(io::Error),
    /// Somebody else has set up diagnostics for this process.
    AlreadySet,
}

impl std::fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "the log filter is not valid: {error}"),
            Self::Thread(error) => write!(f, "the log thread could not be started: {error}"),
            Self::AlreadySet => f.write_str("diagnostics are set up already"),
        }
    }
}

impl std::error::Error for TelemetryError {}

/// Keeps diagnostics going; dropping it writes what is left.
#[must_use = "dropping this ends the diagnostics log"]
pub(crate) struct Telemetry {
    writer: LineWriter,
}

/// Sets up diagnostics for the whole process, on stderr.
///
/// `level` is a level for shardlet (`debug`), or a list of `target=level` for everything.
///
/// # Errors
/// See [`TelemetryError`].
pub(crate) fn init(level: &str, format: Format) -> Result<Telemetry, TelemetryError> {
    let filter = filter(level).map_err(TelemetryError::Filter)?;
    let writer = LineWriter::start(io::stderr()).map_err(TelemetryError::Thread)?;
    let colour = format == Format::Text && io::stderr().is_terminal();
    // This also takes in the records of the log crate.
    subscriber(filter, format, colour, writer.sender())
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    Ok(Telemetry { writer })
}

fn subscriber(filter: EnvFilter, format: Format, colour: bool, sender: LineSender) -> Dispatch {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines(sender))
        .with_ansi(colour);
    match format {
        Format::Text => builder.with_target(false).into(),
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .into(),
    }
}

/// Reads a level or a list of `target=level`.
///
/// # Errors
/// If it is neither.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    if level.contains(['=', ',']) {
        return EnvFilter::builder().parse(level);
    }
    EnvFilter::builder().parse(format!("{LIBRARIES},shardlet={level}"))
}

impl Telemetry {
    /// Waits until everything said so far is written, for at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.writer.flush(limit)
    }
}

/// Gives the subscriber a place to write one event at a time.
struct Lines(LineSender);

/// One event; the subscriber hands it over whole.
struct Event<'a>(&'a LineSender);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Event(&self.0)
    }
}

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Dropped when the output is too slow, as every line is.
        self.0.send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::lines::tests::Kept;
    use super::*;

    fn said(level: &str, format: Format) -> String {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let subscriber = subscriber(filter(level).unwrap(), format, false, writer.sender());
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::debug!("a detail");
            tracing::info!(member = "zot-2", "a peer is up");
            tracing::info!(target: "pingora_core::server", "library chatter");
            tracing::warn!(target: "pingora_core::server", "library trouble");
        });
        drop(writer);
        kept.text()
    }

    #[test]
    fn libraries_speak_from_warn_up() {
        let text = said("info", Format::Text);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].ends_with("INFO a peer is up member=\"zot-2\""),
            "{text}"
        );
        assert!(lines[1].ends_with("WARN library trouble"), "{text}");
    }

    #[test]
    fn a_list_of_targets_is_taken_as_it_is() {
        let text = said("off,pingora_core=info", Format::Text);
        assert!(
            text.contains("chatter") && !text.contains("zot-2"),
            "{text}"
        );
        assert!(said("debug", Format::Text).contains("a detail"));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = said("info", Format::Json);
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["member"], &first["level"]),
            (&"zot-2".into(), &"INFO".into())
        );
        assert_eq!(first["message"], "a peer is up");
    }

    #[test]
    fn nonsense_is_no_filter() {
        assert!(filter("shardlet=loud").is_err());
        assert!(filter("loud").is_err());
    }

    #[test]
    fn a_file_gets_json() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Format::for_output(&file), Format::Json);
    }
}
