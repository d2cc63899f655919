//! What an HTTP/2 client sends, frame by frame, and what it costs.
//!
//! Its library refuses what is wrong, and some of what is right and still abuse: header blocks without
//! end, small DATA frames that pile up, streams that are taken back before they were looked at. Here
//! is refused what it lets pass. Pure: bytes and the time in, verdict out.

use std::time::Duration;

use super::framing::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Framing, HEADERS, PUSH_PROMISE, Piece,
    RST_STREAM,
};

/// Streams that a client takes back at once, and how many more in each second. Each may cost a
/// request to the replica (CVE-2023-44487). Clients take a stream back for every transfer that
/// their user breaks off; a proxy before us, for those of all its users.
const RESETS: Budget = Budget {
    burst: 100,
    per_second: 50,
};
/// Frames that carry next to nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones
/// (CVE-2019-9512, -9515, -9517), and DATA with a few bytes. Of those the library refuses what piles
/// up with us; each that goes on at once is still a write to the replica.
const CHATTER: Budget = Budget {
    burst: 1000,
    per_second: 100,
};
/// So many bytes of a body, in either direction, are worth a frame of chatter: clients announce room
/// for what they have read, and send it in frames worth their heads. What a body has earned does not expire, since a client may have a window
/// of many megabytes, and say all at once what it has read of it.
const WORTH_A_FRAME: u64 = 64;
/// A frame of a body that we send may be answered for its stream and for the connection, however
/// small it is.
const WORTH_OF_A_FRAME_SENT: u64 = 2 * WORTH_A_FRAME;

/// What an HTTP/2 client does too much of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Abuse {
    /// It takes back streams while they are served.
    Resets,
    /// It sends frames that carry nothing.
    Chatter,
    /// A header block that it has begun did not come in time.
    SlowHeaderBlock,
    /// Something that the library does not take, and calls so.
    Library(Box<str>),
}

impl Abuse {
    /// In one word, for the client and for the log.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Resets => "too_many_resets_of_served_streams",
            Self::Chatter => "too_many_frames_without_content",
            Self::SlowHeaderBlock => "header_block_too_slow",
            Self::Library(said) => said,
        }
    }
}

/// Follows one client.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    in_header_block: bool,
    last_stream: u32,
    resets: Bucket,
    chatter: Bucket,
    /// What bodies have earned and chatter has not used up, in bytes.
    earned: u64,
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

impl Default for Frames {
    /// A client that has not said anything.
    fn default() -> Self {
        Self {
            framing: Framing::of_client(),
            in_header_block: false,
            last_stream: 0,
            resets: Bucket::full(RESETS),
            chatter: Bucket::full(CHATTER),
            earned: 0,
        }
    }
}

impl Frames {
    /// Looks at the next bytes of the client. `now` is the time since the connection began.
    ///
    /// # Errors
    /// The frame that was one too many.
    pub fn follow(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Abuse> {
        while let Some(piece) = self.framing.next(&mut bytes) {
            if let Piece::Frame(frame) = piece {
                self.take(frame, now)?;
            }
        }
        Ok(())
    }

    /// We have sent a frame with this many bytes of a body, for which the client may have something
    /// to say.
    pub fn sent_body(&mut self, bytes: usize) {
        self.earn((bytes as u64).max(WORTH_OF_A_FRAME_SENT));
    }

    /// Whether a header block has begun and not ended.
    pub fn in_header_block(&self) -> bool {
        self.in_header_block
    }

    /// The last stream that the client has opened.
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    fn take(&mut self, frame: Frame, now: Duration) -> Result<(), Abuse> {
        match frame.kind {
            DATA => {
                self.earn(frame.length as u64);
                if frame.flags & END_STREAM == 0 {
                    self.spend(now)?;
                }
            }
            HEADERS | PUSH_PROMISE | CONTINUATION => {
                self.in_header_block = frame.flags & END_HEADERS == 0;
                self.last_stream = self.last_stream.max(frame.stream);
            }
            RST_STREAM => {
                if !self.resets.spend(now) {
                    return Err(Abuse::Resets);
                }
            }
            _ => self.spend(now)?,
        }
        Ok(())
    }

    fn earn(&mut self, bytes: u64) {
        self.earned = self.earned.saturating_add(bytes);
    }

    fn spend(&mut self, now: Duration) -> Result<(), Abuse> {
        if let Some(rest) = self.earned.checked_sub(WORTH_A_FRAME) {
            self.earned = rest;
        } else if !self.chatter.spend(now) {
            return Err(Abuse::Chatter);
        }
        Ok(())
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
        let more = passed.as_secs_f64() * f64::from(self.budget.per_second);
        self.left = (self.left + more).min(f64::from(self.budget.burst));
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests;
