//! Memory to read into, lent by the thread that reads: whoever waits holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// A head, or a small body.
pub(crate) const SMALL: usize = 8 * 1024;
/// A part of a large body.
pub(crate) const LARGE: usize = 256 * 1024;

/// So many of each size wait on each thread for their next use: 1 MiB and 4 MiB.
const SMALL_KEPT: usize = 128;
const LARGE_KEPT: usize = 16;

thread_local! {
    static KEPT: RefCell<Kept> = const {
        RefCell::new(Kept { small: Vec::new(), large: Vec::new() })
    };
}

struct Kept {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

/// Bytes that were read and not yet used, and room for more behind them. Its memory goes back to the
/// thread on which it is dropped. The default one has no memory and no room.
#[derive(Default)]
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    begin: usize,
    end: usize,
}

impl Buffer {
    /// An empty one of the smallest size that holds `room` bytes, or of the largest there is.
    pub(crate) fn take(room: usize) -> Self {
        let size = if room <= SMALL { SMALL } else { LARGE };
        let kept = KEPT.try_with(|kept| kept.borrow_mut().of(size).0.pop());
        let memory = kept.ok().flatten();
        Self {
            // Zeroed this once; what an earlier use has left is overwritten before it is shown.
            memory: memory.unwrap_or_else(|| vec![0; size].into_boxed_slice()),
            begin: 0,
            end: 0,
        }
    }

    /// One that holds a copy of these, however many.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut buffer = if bytes.is_empty() {
            Self::default()
        } else {
            Self::take(bytes.len())
        };
        buffer.join(bytes);
        buffer
    }

    /// Adds a copy of these, in more memory if there is no room for them.
    pub(crate) fn join(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.append(bytes);
    }

    /// Has room for so many more, in more memory if need be.
    pub(crate) fn make_room(&mut self, room: usize) {
        if self.spare_mut().len() < room {
            self.compact();
        }
        if self.spare_mut().len() < room {
            let length = self.len() + room;
            let mut larger = if length <= LARGE {
                Self::take(length)
            } else {
                Self::with_memory(length.next_power_of_two())
            };
            larger.append(self);
            *self = larger;
        }
    }

    /// Gives back memory that its bytes do not need, as whoever is to wait does.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        } else if self.capacity() > SMALL && self.capacity() / 2 > self.len() {
            let mut smaller = if self.len() <= SMALL {
                Self::take(SMALL)
            } else {
                Self::with_memory(self.len())
            };
            smaller.append(self);
            *self = smaller;
        }
    }

    /// An empty one with memory that no thread keeps.
    fn with_memory(size: usize) -> Self {
        Self {
            memory: vec![0; size].into_boxed_slice(),
            begin: 0,
            end: 0,
        }
    }

    /// Bytes that it may hold in all.
    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// The room behind its bytes.
    pub(crate) fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// The first `count` bytes of the room are filled now.
    pub(crate) fn fill(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.memory.len());
    }

    /// Copies as many of these as there is room for, and says how many those are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let count = bytes.len().min(spare.len());
        spare[..count].copy_from_slice(&bytes[..count]);
        self.fill(count);
        count
    }

    /// The first `count` bytes have been used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.begin = self.begin.saturating_add(count).min(self.end);
        if self.begin == self.end {
            self.clear();
        }
    }

    /// Keeps the first `count` bytes only.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.begin.saturating_add(count));
    }

    /// Moves what is left to the front, so that the room is one piece.
    pub(crate) fn compact(&mut self) {
        self.memory.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
    }

    pub(crate) fn clear(&mut self) {
        self.begin = 0;
        self.end = 0;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.begin..self.end]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..self.end]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if ![SMALL, LARGE].contains(&memory.len()) {
            return;
        }
        // The thread may be ending.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let (of_size, most) = kept.of(memory.len());
            if of_size.len() < most {
                of_size.push(memory);
            }
        });
    }
}

impl std::fmt::Debug for Buffer {
    /// What was read may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} of {})", self.len(), self.capacity())
    }
}

impl Kept {
    /// Those of this size, and how many of them are kept.
    fn of(&mut self, size: usize) -> (&mut Vec<Box<[u8]>>, usize) {
        if size <= SMALL {
            (&mut self.small, SMALL_KEPT)
        } else {
            (&mut self.large, LARGE_KEPT)
        }
    }
}

/// How many of this size wait on this thread.
#[cfg(test)]
pub(crate) fn kept(size: usize) -> usize {
    KEPT.with_borrow_mut(|kept| kept.of(size).0.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_back_to_the_thread_it_is_dropped_on() {
        let (small, large) = (Buffer::take(1), Buffer::take(SMALL + 1));
        assert_eq!((small.capacity(), large.capacity()), (SMALL, LARGE));
        assert_eq!((kept(SMALL), kept(LARGE)), (0, 0));
        drop(small);
        assert_eq!((kept(SMALL), kept(LARGE)), (1, 0));
        let there = std::thread::spawn(move || {
            drop(large);
            (kept(SMALL), kept(LARGE))
        });
        assert_eq!(there.join().unwrap(), (0, 1));
        assert_eq!(kept(LARGE), 0);
        drop(Buffer::default());
        assert_eq!(kept(SMALL), 1, "one without memory has none to give");
    }

    #[test]
    fn no_thread_keeps_more_than_its_share() {
        for (size, most) in [(SMALL, SMALL_KEPT), (LARGE, LARGE_KEPT)] {
            let many: Vec<_> = (0..most + 3).map(|_| Buffer::take(size)).collect();
            drop(many);
            assert_eq!(kept(size), most);
        }
    }

    #[test]
    fn what_an_earlier_use_left_is_not_shown() {
        let mut buffer = Buffer::take(SMALL);
        buffer.append(b"secret");
        drop(buffer);
        assert_eq!(&*Buffer::take(SMALL), b"");
    }

    #[test]
    fn bytes_are_used_from_the_front() {
        let mut buffer = Buffer::take(SMALL);
        buffer.spare_mut()[..6].copy_from_slice(b"abcdef");
        buffer.fill(6);
        buffer.consume(2);
        assert_eq!(&*buffer, b"cdef");
        buffer.compact();
        assert_eq!(&*buffer, b"cdef");
        assert_eq!(buffer.spare_mut().len(), SMALL - 4);
        buffer.truncate(3);
        assert_eq!(buffer.append(&[b'x'; SMALL]), SMALL - 3);
        assert_eq!(buffer.append(b"y"), 0, "full");
        buffer.consume(usize::MAX);
        assert_eq!((buffer.len(), buffer.spare_mut().len()), (0, SMALL));
    }

    #[test]
    fn what_finds_no_room_gets_more() {
        let mut buffer = Buffer::of(b"abc");
        assert_eq!((&*buffer, buffer.capacity()), (&b"abc"[..], SMALL));
        let mut whole = b"abc".to_vec();
        for (length, capacity) in [(SMALL, LARGE), (2 * LARGE, 4 * LARGE)] {
            let more = vec![length as u8; length];
            buffer.join(&more);
            whole.extend(more);
            assert!(*buffer == *whole, "{length}");
            assert_eq!(buffer.capacity(), capacity);
        }
        drop(buffer);
        assert_eq!(kept(LARGE), 1, "that of another size is not kept");
    }
}
