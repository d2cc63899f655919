//! What an HTTP/2 client sends, frame by frame (RFC 9113 §4.1), and what it costs.
//!
//! Its library refuses what is wrong; here is refused what is right and still abuse: frames that
//! cost the receiver more than they are good for. The frames are followed in the bytes that pass
//! by, by their heads alone. Pure: bytes and the time in, verdict out.

use std::time::Duration;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 §3.4)
pub(super) const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

/// Streams that a client takes back at once, and how many more in each second. Each may cost a
/// request to the replica (CVE-2023-44487). Clients take a stream back for every transfer that
/// their user breaks off; a proxy before us, for those of all its users.
const RESETS: Budget = Budget {
    burst: 100,
    per_second: 50,
};
/// Frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without data, unknown
/// ones (CVE-2019-9512, -9515, -9517, -9518).
const CHATTER: Budget = Budget {
    burst: 1000,
    per_second: 100,
};
/// So many bytes of a body, in either direction, are worth a frame of chatter: clients announce
/// room for what they have read, and a frame with fewer bytes of a body is chatter itself, since it
/// costs more to remember than it holds.
const WORTH_A_FRAME: usize = 64;
/// A header block may take this many times the bytes of the header list: a list that is somewhat
/// too long is answered, not cut.
const BLOCK_SLACK: usize = 4;
/// The largest frame that we allow; a header block of the largest size fits into frames of it.
const FRAME_BYTES: usize = 16_384;
/// CONTINUATION frames that a header block may take in any case.
const CONTINUATIONS: usize = 5;

const END_HEADERS: u8 = 0x4;
const END_STREAM: u8 = 0x1;

/// What an HTTP/2 client does too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abuse {
    /// It takes back streams that it has just opened.
    Resets,
    /// It sends frames that carry nothing.
    Chatter,
    /// It spreads a header block over too many frames or bytes (CVE-2024-27316 and its kind).
    HeaderBlock,
    /// A header block that it has begun did not come in time.
    SlowHeaderBlock,
}

/// Follows one connection.
#[derive(Debug)]
pub struct Frames {
    at: At,
    header_bytes: usize,
    block: Option<Block>,
    resets: Bucket,
    chatter: Bucket,
}

/// Where in the stream of frames the next byte stands.
#[derive(Debug, Clone, Copy)]
enum At {
    Preface {
        left: usize,
    },
    Head {
        bytes: [u8; HEAD_BYTES],
        read: usize,
    },
    Payload {
        left: usize,
    },
}

/// A header block that is not whole yet.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    bytes: usize,
    continuations: usize,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    burst: u32,
    per_second: u32,
}

/// A budget and what is left of it.
#[derive(Debug)]
struct Bucket {
    budget: Budget,
    left: f64,
    at: Duration,
}

impl Frames {
    /// A connection that has not said anything. `header_bytes` is the longest header list.
    pub fn new(header_bytes: usize) -> Self {
        Self {
            at: At::Preface {
                left: PREFACE_BYTES,
            },
            header_bytes,
            block: None,
            resets: Bucket::full(RESETS),
            chatter: Bucket::full(CHATTER),
        }
    }

    /// Looks at the next bytes of the client. `now` is the time since the connection began.
    ///
    /// # Errors
    /// The frame that was one too many.
    pub fn follow(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Abuse> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Preface { left } | At::Payload { left } => {
                    let passed = bytes.len().min(*left);
                    *left -= passed;
                    bytes = &bytes[passed..];
                    if *left == 0 {
                        self.at = At::next();
                    }
                }
                At::Head { bytes: head, read } => {
                    let taken = bytes.len().min(HEAD_BYTES - *read);
                    head[*read..*read + taken].copy_from_slice(&bytes[..taken]);
                    *read += taken;
                    bytes = &bytes[taken..];
                    if *read == HEAD_BYTES {
                        let [l0, l1, l2, kind, flags, ..] = *head;
                        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
                        self.at = match length {
                            0 => At::next(),
                            left => At::Payload { left },
                        };
                        self.take(kind, flags, length, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// We have written this many bytes, for which the client may have something to say.
    pub fn wrote(&mut self, bytes: usize) {
        self.chatter.earn(bytes);
    }

    /// Whether a header block has begun and not ended.
    pub fn in_header_block(&self) -> bool {
        self.block.is_some()
    }

    fn take(&mut self, kind: u8, flags: u8, length: usize, now: Duration) -> Result<(), Abuse> {
        match kind {
            // DATA
            0x0 => {
                self.chatter.earn(length);
                if flags & END_STREAM == 0 && !self.chatter.spend(now) {
                    return Err(Abuse::Chatter);
                }
            }
            // HEADERS, PUSH_PROMISE, CONTINUATION
            0x1 | 0x5 | 0x9 => return self.take_headers(kind == 0x9, flags, length),
            // RST_STREAM
            0x3 => {
                if !self.resets.spend(now) {
                    return Err(Abuse::Resets);
                }
            }
            _ => {
                if !self.chatter.spend(now) {
                    return Err(Abuse::Chatter);
                }
            }
        }
        Ok(())
    }

    fn take_headers(&mut self, continues: bool, flags: u8, length: usize) -> Result<(), Abuse> {
        let mut block = self.block.take().unwrap_or_default();
        block.bytes = block.bytes.saturating_add(length);
        block.continuations += usize::from(continues);
        let ends = flags & END_HEADERS != 0;
        let frames = self.header_bytes.div_ceil(FRAME_BYTES) + CONTINUATIONS;
        if block.bytes > self.header_bytes.saturating_mul(BLOCK_SLACK)
            || block.continuations > frames
        {
            return Err(Abuse::HeaderBlock);
        }
        self.block = (!ends).then_some(block);
        Ok(())
    }
}

impl At {
    fn next() -> Self {
        Self::Head {
            bytes: [0; HEAD_BYTES],
            read: 0,
        }
    }
}

impl Bucket {
    fn full(budget: Budget) -> Self {
        Self {
            budget,
            left: f64::from(budget.burst),
            at: Duration::ZERO,
        }
    }

    /// Takes one away; false if there is none.
    fn spend(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at);
        self.at = now;
        self.add(passed.as_secs_f64() * f64::from(self.budget.per_second));
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }

    fn earn(&mut self, bytes: usize) {
        let frames = u32::try_from(bytes / WORTH_A_FRAME).unwrap_or(u32::MAX);
        self.add(f64::from(frames));
    }

    fn add(&mut self, frames: f64) {
        self.left = (self.left + frames).min(f64::from(self.budget.burst));
    }
}

#[cfg(test)]
mod tests;
