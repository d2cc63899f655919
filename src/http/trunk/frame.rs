//! What is said on a trunk, as bytes.
//!
//! ```text
//! kind (1 byte) · stream (1 byte) · length (2 bytes, the high one first) · so many bytes
//! ```
//!
//! Both ends are members of one version or of two that follow each other: what is not understood ends the
//! trunk, and another protocol would have another name.

/// What comes before the bytes of a frame.
pub(super) const HEAD: usize = 4;
/// The most bytes that a frame carries: with its head, a TLS record's worth.
pub(super) const MOST: usize = 16 * 1024 - HEAD;

/// One frame's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Bytes of a stream, of which the first open it.
    Data(&'a [u8]),
    /// So many more may be sent on it.
    Credit(u32),
    /// Nothing more comes on it, and nothing more is read.
    End,
}

/// Bytes that are no frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl<'a> Frame<'a> {
    /// The first frame of these bytes with its stream and its length in all, once it is there.
    ///
    /// # Errors
    /// What no member of ours says.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Option<(u8, Self, usize)>, Invalid> {
        let Some((&[kind, stream, high, low], rest)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MOST {
            return Err(Invalid);
        }
        let Some(content) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = match (kind, content) {
            (0, [_, ..]) => Self::Data(content),
            (1, &[a, b, c, d]) => Self::Credit(u32::from_be_bytes([a, b, c, d])),
            (2, []) => Self::End,
            _ => return Err(Invalid),
        };
        Ok(Some((stream, frame, HEAD + length)))
    }
}

/// What stands before so many bytes of a stream, [`MOST`] of them at most.
pub(super) fn data_head(stream: u8, length: usize) -> [u8; HEAD] {
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [0, stream, high, low]
}

/// A frame that lets the other end send so many more bytes.
pub(super) fn credit(stream: u8, more: u32) -> [u8; HEAD + 4] {
    let [a, b, c, d] = more.to_be_bytes();
    [1, stream, 0, 4, a, b, c, d]
}

/// A frame that ends a stream.
pub(super) fn end(stream: u8) -> [u8; HEAD] {
    [2, stream, 0, 0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut data = data_head(7, 3).to_vec();
        data.extend(b"abc");
        let all: [(&[u8], u8, Frame<'_>); 3] = [
            (&data, 7, Frame::Data(b"abc")),
            (&credit(255, 70_000), 255, Frame::Credit(70_000)),
            (&end(0), 0, Frame::End),
        ];
        for (bytes, stream, frame) in all {
            for short in 0..bytes.len() {
                assert_eq!(Frame::first(&bytes[..short]), Ok(None));
            }
            let length = bytes.len();
            let with_more = [bytes, b"\xff"].concat();
            assert_eq!(Frame::first(&with_more), Ok(Some((stream, frame, length))));
        }
    }

    #[test]
    fn what_no_member_says_is_refused() {
        let [high, low] = (MOST as u16 + 1).to_be_bytes();
        for bytes in [
            &[3, 0, 0, 0][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 3, 0, 0, 0],
            &[2, 0, 0, 1, 0],
            &[0, 0, high, low],
        ] {
            assert_eq!(Frame::first(bytes), Err(Invalid), "{bytes:?}");
        }
        assert_eq!(data_head(1, MOST)[2..], [high, low - 1]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes: Vec<u8>) {
            if let Ok(Some((_, _, length))) = Frame::first(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
