//! Where a chunked body ends (RFC 9112 §7.1), seen in the bytes that pass by.
//!
//! The framework reads chunked bodies itself, leniently, and would swallow the beginning of a
//! request that is pipelined behind one. So they are followed here, strictly.

/// The largest chunk: what readers that count in signed numbers understand as we do.
const SIZE_LIMIT: u64 = u64::MAX >> 1;

/// Follows one chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
    at: At,
}

/// The bytes are not chunks as RFC 9112 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotChunks;

/// Where in the body the next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first digit of a chunk's size.
    #[default]
    SizeBegin,
    Size(u64),
    /// Behind the size: extensions, which end with the line.
    Extension(u64),
    /// Behind the CR of a size line.
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndLine,
    /// At the beginning of a trailer line, or of the empty line that ends it all.
    LineBegin,
    Line,
    LineEnd,
    /// Behind the CR of the empty line.
    LastLine,
    Ended,
    /// Not chunks as we know them.
    Lost,
}

impl Chunks {
    /// Looks at the next bytes: how many of them belong to the body, if it ends among them.
    ///
    /// # Errors
    /// [`NotChunks`] at the first byte that fits nowhere, and ever after.
    pub fn end_in(&mut self, bytes: &[u8]) -> Result<Option<usize>, NotChunks> {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            if let At::Data(left) = self.at {
                let take = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                passed += take;
                let left = left - take as u64;
                self.at = if left == 0 {
                    At::DataEnd
                } else {
                    At::Data(left)
                };
                continue;
            }
            self.at = self.at.after(rest[0]);
            passed += 1;
            if self.at == At::Ended {
                return Ok(Some(passed));
            }
            if self.at == At::Lost {
                return Err(NotChunks);
            }
        }
        Ok(None)
    }

    /// Whether bytes have come that are no chunks, so that nothing that follows means anything.
    pub fn are_lost(&self) -> bool {
        self.at == At::Lost
    }
}

impl At {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::SizeBegin, _) => hex(byte).map_or(Self::Lost, Self::Size),
            (Self::Size(size), b'\r') => Self::SizeEnd(size),
            (Self::Size(size), b';' | b' ' | b'\t') => Self::Extension(size),
            (Self::Size(size), _) => match hex(byte) {
                Some(digit) if size <= SIZE_LIMIT >> 4 => Self::Size(size << 4 | digit),
                _ => Self::Lost,
            },
            (Self::Extension(size), b'\r') => Self::SizeEnd(size),
            (Self::Extension(size), b'\t' | b' '..=b'~') => Self::Extension(size),
            (Self::SizeEnd(0), b'\n') | (Self::LineEnd, b'\n') => Self::LineBegin,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataEnd, b'\r') => Self::DataEndLine,
            (Self::DataEndLine, b'\n') => Self::SizeBegin,
            (Self::LineBegin, b'\r') => Self::LastLine,
            (Self::Line, b'\r') => Self::LineEnd,
            (Self::LineBegin | Self::Line, _) if byte != b'\n' => Self::Line,
            (Self::LastLine, b'\n') => Self::Ended,
            _ => Self::Lost,
        }
    }
}

fn hex(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [&str; 4] = [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "000A;name=\"v\"\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\nX-Checksum: 1\r\nX-Other: 2\r\n\r\n",
    ];

    #[test]
    fn the_end_is_found_however_the_bytes_are_cut() {
        for body in WHOLE {
            let followed = [body, "GET / HTTP/1.1\r\n"].concat();
            let followed = followed.as_bytes();
            for piece in [1, 2, 3, 7, followed.len()] {
                let mut chunks = Chunks::default();
                let mut passed = 0;
                let end = followed.chunks(piece).find_map(|bytes| {
                    let end = chunks.end_in(bytes).unwrap().map(|end| passed + end);
                    passed += bytes.len();
                    end
                });
                assert_eq!(end, Some(body.len()), "{piece} bytes at a time");
            }
        }
    }

    #[test]
    fn what_is_no_chunk_has_no_end() {
        let broken = [
            "\r\n\r\n",
            "g\r\n\r\n",
            ";x\r\n\r\n",
            "1;\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "0\r\n\n",
            "0\r\nX: 1\n\r\n",
            "-1\r\n\r\n",
            "ffffffffffffffff0\r\n\r\n0\r\n\r\n",
            "8000000000000000\r\n\r\n0\r\n\r\n",
        ];
        for body in broken {
            let mut chunks = Chunks::default();
            let end = chunks.end_in(body.as_bytes());
            assert_eq!(end, Err(NotChunks), "{body:?}");
            assert_eq!(chunks.end_in(b"0\r\n\r\n"), Err(NotChunks), "{body:?}");
            assert!(chunks.are_lost());
        }
    }
}
