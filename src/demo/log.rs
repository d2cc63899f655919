//! Access logs of several members on one output: each line says whose it is.

use std::io::{self, Write};

/// Puts a member's name before each of its lines. Takes whole lines only, as
/// [`crate::observe::telemetry::LineWriter`] writes them.
pub(super) struct Named<W> {
    name: String,
    out: W,
}

impl<W: Write> Named<W> {
    pub(super) fn new(name: &str, out: W) -> Self {
        Self {
            name: format!("{name} "),
            out,
        }
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut named = Vec::with_capacity(lines.len() + 1024);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            named.extend_from_slice(self.name.as_bytes());
            named.extend_from_slice(line);
        }
        // In one go, so that the lines of two members do not mix.
        self.out.write_all(&named)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_named() {
        let mut out = Vec::new();
        Named::new("member-1", &mut out)
            .write_all(b"one\ntwo\n")
            .unwrap();
        assert_eq!(out, b"member-1 one\nmember-1 two\n");
    }
}
