//! The lines of one head, read as they come in: each byte is looked at once, whoever sent it.

use super::field::{EACH, Field, Name, find};
use super::scratch::FieldRoom;

/// The fields of one head, as far as it has come in. A new one for each head.
#[derive(Debug)]
pub(crate) struct Fields {
    scanned: usize,
    line_start: usize,
    /// Where the first line has ended; 0 until it has.
    begin: usize,
    is_whole: bool,
    /// The line that is looked at has a control character.
    has_control: bool,
    list: FieldRoom,
    /// A bit for each name that occurs.
    names: u32,
    flaw: Option<Flaw>,
}

/// What comes next in a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    FirstLine,
    Field,
    /// A line that begins with white space: some readers take it for more of the one before (RFC 9112 §5.2).
    Folded,
    /// The empty line.
    End,
    /// A line that ends in LF alone. RFC 9112 §2.2 lets a reader take it for a line end, and some do not.
    BareLineFeed,
    /// More bytes are wanted.
    More,
}

/// Why a line is no field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It begins with CR, which may stand before LF alone.
    LineEnd,
    /// It begins with no name and colon.
    Name,
    /// Its value has a control character (RFC 9110 §5.5).
    Value,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self {
            scanned: 0,
            line_start: 0,
            begin: 0,
            is_whole: false,
            has_control: false,
            list: FieldRoom::take(),
            names: 0,
            flaw: None,
        }
    }

    /// Reads the next line of `buffer`, which may have grown since the last call.
    pub(super) fn next(&mut self, buffer: &[u8]) -> Next {
        while let Some(at) = control(buffer, self.scanned) {
            self.scanned = at + 1;
            match (buffer[at], buffer.get(at + 1)) {
                (b'\r', Some(b'\n')) => {
                    self.scanned += 1;
                    return self.take(buffer, at);
                }
                (b'\r', None) => {
                    self.scanned = at;
                    return Next::More;
                }
                (b'\n', _) => return Next::BareLineFeed,
                (byte, _) => self.has_control |= is_control(byte),
            }
        }
        self.scanned = buffer.len();
        Next::More
    }

    /// Takes the line that ends there.
    fn take(&mut self, buffer: &[u8], end: usize) -> Next {
        let start = std::mem::replace(&mut self.line_start, self.scanned);
        let has_control = std::mem::take(&mut self.has_control);
        if self.begin == 0 {
            self.begin = self.scanned;
            return Next::FirstLine;
        }
        if start == end {
            self.is_whole = true;
            return Next::End;
        }
        let flaw = match Field::read(buffer, start, end) {
            Some(field) => {
                self.names |= bit(field.name);
                self.list.push(field);
                has_control.then_some(Flaw::Value)
            }
            None if buffer[start] == b'\r' => Some(Flaw::LineEnd),
            None => Some(Flaw::Name),
        };
        self.flaw = self.flaw.or(flaw);
        if matches!(buffer[start], b' ' | b'\t') {
            Next::Folded
        } else {
            Next::Field
        }
    }

    /// Reads what has not been read of these bytes. Whether they are one head and nothing more.
    pub(super) fn are_all_of(&mut self, bytes: &[u8]) -> bool {
        while !self.is_whole {
            if matches!(self.next(bytes), Next::BareLineFeed | Next::More) {
                return false;
            }
        }
        self.scanned == bytes.len()
    }

    /// Up to where the bytes have been read.
    pub(super) fn scanned(&self) -> usize {
        self.scanned
    }

    /// Where they begin, behind the CRLF of the first line; 0 until that has come.
    pub(super) fn begin(&self) -> usize {
        self.begin
    }

    /// What is wrong with the first line that is no field.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// All of them, in order.
    pub(crate) fn list(&self) -> &[Field] {
        &self.list
    }

    pub(super) fn list_mut(&mut self) -> &mut [Field] {
        &mut self.list
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: Name) -> bool {
        self.names & bit(name) != 0
    }

    /// Those of this name, in order.
    pub(crate) fn named(&self, name: Name) -> impl DoubleEndedIterator<Item = &Field> + use<'_> {
        let among = if self.has(name) { self.list() } else { &[] };
        among.iter().filter(move |field| field.name == name)
    }

    /// Their values.
    pub(crate) fn values<'f, 'h>(
        &'f self,
        head: &'h [u8],
        name: Name,
    ) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'f, 'h> {
        self.named(name).map(move |field| field.value(head))
    }

    /// The value of the first internal field of this name, which is written in lower case.
    pub(crate) fn internal<'h>(&self, head: &'h [u8], name: &str) -> Option<&'h [u8]> {
        let named = |field: &&Field| {
            // As every member writes it.
            let (sent, name) = (field.name(head), name.as_bytes());
            sent == name || sent.eq_ignore_ascii_case(name)
        };
        let field = self.named(Name::Internal).find(named)?;
        Some(field.value(head))
    }
}

fn bit(name: Name) -> u32 {
    1 << name as u32
}

/// What stands in no value and in no reason phrase (RFC 9110 §5.5). A tab may.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Where the first control character is, at `from` or behind; now and then another byte.
fn control(bytes: &[u8], from: usize) -> Option<usize> {
    let found = find(bytes.get(from..)?, |word| {
        // Subtracting 32 takes the highest bit from the byte behind one below, adding 1 sets that of 127. Either may
        // spill over to the byte behind.
        (word.wrapping_sub(EACH * 32) | word.wrapping_add(EACH)) & !word
    })?;
    Some(from + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::head::MAX_HEADER_COUNT;

    /// Bytes that heads are made of, and others.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        const KNOWN: &[&str] = &[
            "X-A: 1\r\n",
            "Host:r\r\n",
            "A:\r\n",
            "B: \t b\tb \t\r\n",
            "\r\n",
            " ",
            "\t",
            ":",
            "\r",
            "C",
            "caf\u{e9}\u{ff}~\x7f",
            "a long name-of-a-field: \0",
        ];
        prop_oneof![
            6 => prop::sample::select(KNOWN).prop_map(|known| known.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>().prop_filter("an LF alone", |byte| *byte != b'\n'), 1..3),
        ]
    }

    proptest! {
        #[test]
        fn no_control_character_is_passed_over(
            bytes in prop::collection::vec(prop_oneof![Just(31), Just(32), Just(126), Just(127), Just(255), any::<u8>()], 0..40),
            from in 0_usize..40,
        ) {
            let first = bytes.iter().skip(from).position(u8::is_ascii_control).map(|at| from + at);
            let mut found = control(&bytes, from);
            while let Some(at) = found && !bytes[at].is_ascii_control() {
                found = control(&bytes, at + 1);
            }
            prop_assert_eq!(found, first);
        }

        /// RFC 9112 §5: names, values and faults are those that others find. They take an LF for a line end, so there is
        /// none alone.
        #[test]
        fn fields_are_what_others_read(parts in prop::collection::vec(part(), 0..12), cut in 0_usize..99) {
            let lines = [&*parts.concat(), b"\r\n\r\n"].concat();
            let end = lines.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(0) + 4;
            let lines = if lines.starts_with(b"\r\n") { b"\r\n" } else { &lines[..end] };
            let head = [b"GET / HTTP/1.1\r\n", lines].concat();
            let mut room = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
            let theirs = httparse::parse_headers(lines, &mut room);
            let mut fields = Fields::new();
            // In two parts, too.
            while fields.next(&head[..cut.min(head.len() - 1)]) != Next::More {}
            prop_assert!(fields.are_all_of(&head));
            match theirs {
                Ok(httparse::Status::Complete((length, theirs))) => {
                    prop_assert_eq!((length, fields.flaw()), (lines.len(), None));
                    let ours = fields.list().iter().map(|field| (field.name(&head), field.value(&head)));
                    let theirs = theirs.iter().map(|field| (field.name.as_bytes(), field.value));
                    prop_assert!(ours.eq(theirs));
                }
                Ok(httparse::Status::Partial) => prop_assert!(false, "{:?}", lines.escape_ascii()),
                Err(error) => {
                    let flaw = if error == httparse::Error::HeaderName {
                        Flaw::Name
                    } else if error == httparse::Error::HeaderValue {
                        Flaw::Value
                    } else {
                        Flaw::LineEnd
                    };
                    prop_assert_eq!(fields.flaw(), Some(flaw));
                }
            }
        }
    }
}
