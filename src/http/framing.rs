//! Where one HTTP/2 frame ends and the next begins (RFC 9113 §4.1), in bytes that pass by.
//!
//! Payloads are skipped by their length, so following them costs next to nothing.

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 §3.4)
pub(super) const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
/// The first bit of a stream's number is reserved.
const STREAM_BITS: u32 = u32::MAX >> 1;

// Kinds of frames, and what is said of them (RFC 9113 §6).
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const CONTINUATION: u8 = 0x9;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

/// What one direction of a connection consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A frame begins.
    Frame(Frame),
    /// More of its payload.
    Payload(&'a [u8]),
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) length: usize,
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub(super) struct Framing(At);

/// Where the next byte stands.
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

impl Framing {
    /// What a client sends begins with its preface.
    pub(super) fn of_client() -> Self {
        let left = PREFACE_BYTES;
        Self(At::Preface { left })
    }

    /// What a server sends begins with a frame.
    pub(super) fn of_server() -> Self {
        Self(At::next())
    }

    /// Takes the next piece off `bytes`; none once they are used up.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        while !bytes.is_empty() {
            match &mut self.0 {
                At::Preface { left } => {
                    let passed = bytes.len().min(*left);
                    *left -= passed;
                    *bytes = &bytes[passed..];
                    if *left == 0 {
                        self.0 = At::next();
                    }
                }
                At::Payload { left } => {
                    let (payload, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= payload.len();
                    *bytes = rest;
                    if *left == 0 {
                        self.0 = At::next();
                    }
                    return Some(Piece::Payload(payload));
                }
                At::Head { bytes: head, read } => {
                    let taken = bytes.len().min(HEAD_BYTES - *read);
                    head[*read..*read + taken].copy_from_slice(&bytes[..taken]);
                    *read += taken;
                    *bytes = &bytes[taken..];
                    if *read == HEAD_BYTES {
                        let frame = Frame::read(*head);
                        self.0 = match frame.length {
                            0 => At::next(),
                            left => At::Payload { left },
                        };
                        return Some(Piece::Frame(frame));
                    }
                }
            }
        }
        None
    }

    /// At least so many bytes more belong to what has begun; none between two frames.
    pub(super) fn owes(&self) -> usize {
        match self.0 {
            At::Preface { left } | At::Payload { left } => left,
            At::Head { read: 0, .. } => 0,
            At::Head { read, .. } => HEAD_BYTES - read,
        }
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

impl Frame {
    fn read(head: [u8; HEAD_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_BITS,
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
        }
    }
}

/// A GOAWAY (RFC 9113 §6.8): nothing after stream `last` was looked at, for this reason.
pub(super) fn goaway(last: u32, code: u32, debug: &str) -> Vec<u8> {
    let length = u32::try_from(8 + debug.len()).unwrap_or_default();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([GOAWAY, 0, 0, 0, 0, 0]);
    frame.extend(last.to_be_bytes());
    frame.extend(code.to_be_bytes());
    frame.extend(debug.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9113 §4.1 for the frame, RFC 9113 §6.8 for what a GOAWAY says.
    #[test]
    fn a_frame_is_followed_byte_by_byte() {
        let bytes = goaway(7, 11, "why");
        let mut framing = Framing::of_server();
        let (mut heads, mut payload) = (Vec::new(), Vec::new());
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(framing.owes() == 0, at == 0, "{at}");
            let mut byte = std::slice::from_ref(byte);
            while let Some(piece) = framing.next(&mut byte) {
                match piece {
                    Piece::Frame(frame) => heads.push(frame),
                    Piece::Payload(more) => payload.extend_from_slice(more),
                }
            }
        }
        assert_eq!(framing.owes(), 0);
        let frame = Frame {
            kind: GOAWAY,
            flags: 0,
            stream: 0,
            length: 11,
        };
        assert_eq!(heads, [frame]);
        assert_eq!(payload, b"\0\0\0\x07\0\0\0\x0bwhy");
    }

    #[test]
    fn a_frame_without_payload_is_followed_by_another() {
        let empty = [0, 0, 0, DATA, END_HEADERS, 0x80, 0, 0, 3];
        let twice = empty.repeat(2);
        let mut bytes = &twice[..];
        let mut framing = Framing::of_server();
        for _ in 0..2 {
            let Some(Piece::Frame(frame)) = framing.next(&mut bytes) else {
                panic!("a frame");
            };
            assert_eq!((frame.kind, frame.flags), (DATA, END_HEADERS));
            assert_eq!((frame.stream, frame.length), (3, 0));
            assert_eq!(framing.owes(), 0);
        }
        assert_eq!(framing.next(&mut bytes), None);
    }
}
