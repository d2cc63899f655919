//! Events as JSON: the same base fields as a request's line ([`crate::observe::access_log`]), then what
//! belongs to the event.

use std::fmt;
use std::time::SystemTime;

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use crate::observe::human::rfc3339;

/// What a reader may expect in every line of ours, in this order.
pub(crate) const BASE: [&str; 5] = ["time", "level", "kind", "member", "message"];

/// One object a line.
pub(super) struct JsonLines {
    /// Whose process it is; none if several members share it.
    pub(super) member: Option<String>,
}

/// What an event carries.
#[derive(Default)]
struct Fields {
    message: String,
    /// Of a record of the `log` crate, which carries it as a field.
    origin: Option<String>,
    others: Vec<(String, Value)>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = self.line(event, &fields).map_err(|_| fmt::Error)?;
        let line = String::from_utf8(line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

impl JsonLines {
    fn line(&self, event: &Event<'_>, fields: &Fields) -> serde_json::Result<Vec<u8>> {
        let metadata = event.metadata();
        let target = fields.origin.as_deref().unwrap_or(metadata.target());
        let mut line = Vec::with_capacity(256);
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &rfc3339(SystemTime::now()))?;
        map.serialize_entry("level", metadata.level().as_str())?;
        map.serialize_entry("kind", "event")?;
        map.serialize_entry("member", &self.member)?;
        map.serialize_entry("message", &fields.message)?;
        map.serialize_entry("target", target)?;
        for (name, value) in &fields.others {
            map.serialize_entry(name, value)?;
        }
        map.end()?;
        Ok(line)
    }
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("log.target", Value::String(target)) => self.origin = Some(target),
            // Where in a library's source a record was made.
            (name, _) if name.starts_with("log.") => {}
            // No line has a key twice.
            (name, value) if BASE.contains(&name) || name == "target" => {
                self.others.push((format!("event_{name}"), value));
            }
            (name, value) => self.others.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }
}
