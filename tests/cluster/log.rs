//! A member's access log, kept and watched.

use std::io::Write;
use std::sync::Arc;

use serde_json::Value;
use shardlet::run::{Format, LineWriter};
use tokio::sync::watch;

use super::within;

/// The lines so far.
pub struct Log {
    lines: watch::Receiver<Vec<String>>,
    writer: LineWriter,
}

struct Keep(Arc<watch::Sender<Vec<String>>>, Vec<u8>);

impl Log {
    pub fn start() -> Self {
        let (keep, lines) = watch::channel(Vec::new());
        let writer = LineWriter::start(Keep(Arc::new(keep), Vec::new())).unwrap();
        Self { lines, writer }
    }

    /// For [`shardlet::run::Server::start`].
    pub fn output(&self) -> shardlet::run::LogOutput {
        (self.writer.sender(), Format::Json)
    }

    /// Waits for a line that fits.
    pub async fn line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut lines = self.lines.clone();
        let find =
            |lines: &Vec<String>| lines.iter().map(|line| parse(line)).find(|line| fits(line));
        let found = within(what, lines.wait_for(|lines| find(lines).is_some())).await;
        find(&found.unwrap()).unwrap()
    }

    /// Waits for the line of one request.
    pub async fn of_request(&self, id: &str) -> Value {
        self.line(&format!("log line of request {id}"), |line| {
            line["request_id"] == id
        })
        .await
    }

    /// Everything so far, as text.
    pub fn text(&self) -> String {
        self.writer.flush(super::PATIENCE);
        self.lines.borrow().join("\n")
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in log line {line}"))
}

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            self.0
                .send_modify(|lines| lines.push(line.trim_end().to_owned()));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
