//! Diagnostics on stderr: what happened to the service, as opposed to what happened to a request.
//!
//! Text on a terminal, JSON otherwise, as for the access log. Records of libraries that use the
//! `log` crate (pingora) come the same way; libraries speak from `warn` up unless a filter says
//! otherwise, and those that others can make speak are only counted ([`libraries`]). Output goes
//! through a [`LineWriter`], so a stopped terminal never stops a request.

mod json;
mod libraries;
pub(crate) mod lines;

#[cfg(test)]
pub(crate) use json::BASE;
pub(crate) use lines::LineSender;
pub use lines::LineWriter;

use json::JsonLines;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, registry};

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
/// `level` is a level for shardlet (`debug`), or a list of `target=level` for everything. `member` is whose
/// process this is, if it is one member's.
///
/// # Errors
/// See [`TelemetryError`].
pub(crate) fn init(
    level: &str,
    format: Format,
    member: Option<String>,
) -> Result<Telemetry, TelemetryError> {
    let filter = filter(level).map_err(TelemetryError::Filter)?;
    let writer = LineWriter::start(io::stderr()).map_err(TelemetryError::Thread)?;
    let colour = format == Format::Text && io::stderr().is_terminal();
    // This also takes in the records of the log crate.
    let look = Look {
        format,
        colour,
        member,
    };
    subscriber(filter, look, writer.sender())
        .try_init()
        .map_err(|_| TelemetryError::AlreadySet)?;
    if format == Format::Json {
        // Lines like all others: what collects them reads nothing else.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    Ok(Telemetry { writer })
}

/// How events look.
struct Look {
    format: Format,
    colour: bool,
    member: Option<String>,
}

fn subscriber(filter: EnvFilter, look: Look, sender: LineSender) -> Dispatch {
    let Look {
        format,
        colour,
        member,
    } = look;
    let lines = fmt::layer().with_writer(Lines(sender)).with_ansi(colour);
    let lines = match format {
        Format::Text => lines.with_target(false).boxed(),
        Format::Json => lines.event_format(JsonLines { member }).boxed(),
    };
    let lines = lines.with_filter(filter);
    registry().with(libraries::counted()).with(lines).into()
}

/// Reads a level, beside which libraries speak as far as it is fit for every log, or a list of
/// `target=level`, which holds for them too.
///
/// # Errors
/// If it is neither.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    if level.contains(['=', ',']) {
        return EnvFilter::builder().parse(level);
    }
    let silence = libraries::silence();
    EnvFilter::builder().parse(format!("warn,{silence},shardlet={level}"))
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
    use crate::observe::metrics::{Library, library_warnings};

    fn look(format: Format) -> Look {
        Look {
            format,
            colour: false,
            member: Some("zot-1".into()),
        }
    }

    fn said(level: &str, format: Format) -> String {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let subscriber = subscriber(filter(level).unwrap(), look(format), writer.sender());
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::debug!("a detail");
            tracing::info!(peer = "zot-2", "a peer is up");
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
            lines[0].ends_with("INFO a peer is up peer=\"zot-2\""),
            "{text}"
        );
        assert!(lines[1].ends_with("WARN library trouble"), "{text}");
    }

    #[test]
    fn what_others_make_libraries_say_is_counted_and_not_logged() {
        let counted = || Library::ALL.iter().map(|one| library_warnings(*one));
        let before: Vec<_> = counted().collect();
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let filter = filter("debug").unwrap();
        let subscriber = subscriber(filter, look(Format::Text), writer.sender());
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::warn!(target: "rustls::msgs::handshake", "a strange server name");
            tracing::warn!(target: "h2::proto::ping_pong", "a strange PING");
            tracing::warn!(target: "pingora_core::protocols::http", "a body that broke off");
            tracing::error!(target: "pingora_core::apps", "a strange preface");
            // As records of the log crate come.
            tracing::warn!(target: "rustls", { log.target = "rustls::check" }, "a strange message");
            tracing::info!(target: "rustls::server", "chatter");
            tracing::error!(target: "pingora_core::server", "library trouble");
        });
        drop(writer);
        let more: Vec<_> = counted()
            .zip(before)
            .map(|(now, then)| now - then)
            .collect();
        assert_eq!(more, [2, 1, 2]);
        assert_eq!(kept.text().lines().count(), 1, "{}", kept.text());
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
        let time = first["time"].as_str().unwrap().to_owned();
        let expected = serde_json::json!({
            "time": time, "level": "INFO", "kind": "event", "member": "zot-1", "message": "a peer is up",
            "target": module_path!(), "peer": "zot-2",
        });
        assert_eq!(first, expected);
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn no_field_takes_the_place_of_one_that_every_line_has() {
        let kept = Kept::default();
        let writer = LineWriter::start(kept.clone()).unwrap();
        let subscriber = subscriber(
            filter("trace").unwrap(),
            look(Format::Json),
            writer.sender(),
        );
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::error!(member = "zot-2", time = 7, level = true, "all\nat \"once\"");
            // As records of the log crate come.
            let line = 7;
            tracing::error!(target: "log", { log.target = "a::library", log.line = line }, "trouble");
        });
        drop(writer);
        let text = kept.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        for (line, more) in lines.iter().zip([
            r#""target":"shardlet::observe::telemetry::tests","event_member":"zot-2","event_time":7,"event_level":true}"#,
            r#""target":"a::library"}"#,
        ]) {
            let beginnings = BASE.map(|key| line.find(&format!("\"{key}\":")).unwrap());
            assert!(beginnings.is_sorted(), "{line}");
            assert!(line.ends_with(more), "{line}");
        }
        assert!(
            lines[0].contains(r#""message":"all\nat \"once\"","#),
            "{text}"
        );
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
