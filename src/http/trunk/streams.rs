//! The streams of one trunk as one of its ends knows them. Without I/O: what is to be sent is put down as
//! bytes, and what has come is taken in as bytes.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::frame::{self, Frame, MOST};
use crate::http::buffer::Buffer;
use crate::http::limit::Moment;

/// Bytes of one stream that may be on their way or unread at a time.
const WINDOW: u32 = 64 * 1024;
/// Who writes waits while so much is still to be sent.
const CROWDED: usize = 512 * 1024;

/// A trunk that brings nothing for so long, with something to answer, gets no new streams: the other end may
/// be gone without a word, and one connection says nothing of the next.
const SILENT: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Streams {
    /// Whether the other end opens them.
    accepts: bool,
    by_id: Vec<Option<Entry>>,
    open: usize,
    numbers: u64,
    /// Frames that are to be sent.
    going: Buffer,
    /// Those that wait until there are fewer of them.
    crowd: Vec<Waker>,
    /// Who carries them; none while it knows that there is something to do.
    carrier: Option<Waker>,
    /// Whether nobody will open another one here.
    is_left: bool,
    /// Why nothing can be carried any more.
    over: Option<ErrorKind>,
    /// When something was sent after which nothing has come yet.
    unanswered: Option<Moment>,
}

/// One stream, by the id it has for now. The number tells it from others that have had the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    id: u8,
    number: u64,
}

struct Entry {
    number: u64,
    /// Bytes that have come and were not read yet.
    came: Buffer,
    reader: Option<Waker>,
    /// So many may come before more is allowed.
    allowed: u32,
    /// So many have been read since the other end was told.
    untold: u32,
    /// So many may be sent.
    credit: u32,
    writer: Option<Waker>,
    /// Whether the other end knows of it.
    is_known: bool,
    /// Whether the other end has ended it.
    has_ended: bool,
    /// Whether we have.
    is_ended: bool,
}

impl Streams {
    pub(super) fn new(accepts: bool) -> Self {
        Self {
            accepts,
            by_id: Vec::new(),
            open: 0,
            numbers: 0,
            going: Buffer::default(),
            crowd: Vec::new(),
            carrier: None,
            is_left: false,
            over: None,
            unanswered: None,
        }
    }

    /// A new stream; none if there are too many, or the trunk is silent or over.
    pub(super) fn open(&mut self) -> Option<Key> {
        if self.over.is_some() || self.is_silent() {
            return None;
        }
        let free = self.by_id.iter().position(Option::is_none);
        let id = u8::try_from(free.unwrap_or(self.by_id.len())).ok()?;
        Some(self.enter(id, false))
    }

    fn enter(&mut self, id: u8, is_known: bool) -> Key {
        let place = usize::from(id);
        if self.by_id.len() <= place {
            self.by_id.resize_with(place + 1, || None);
        }
        self.numbers += 1;
        self.open += 1;
        self.by_id[place] = Some(Entry::new(self.numbers, is_known));
        Key {
            id,
            number: self.numbers,
        }
    }

    /// Whether it leaves open whether anybody is there.
    pub(super) fn is_silent(&self) -> bool {
        self.unanswered
            .is_some_and(|since| since.elapsed() > SILENT)
    }

    /// Whether there is any.
    pub(super) fn is_used(&self) -> bool {
        self.open > 0
    }

    /// Whether nobody will open another one here.
    pub(super) fn is_left(&self) -> bool {
        self.is_left
    }

    /// Nobody will.
    pub(super) fn leave(&mut self) -> Option<Waker> {
        self.is_left = true;
        self.carrier.take()
    }

    /// Reads what has come; nothing at the end of the stream. What is to be woken by it comes along.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
        mut give: impl FnMut(&[u8]) -> usize,
    ) -> (Poll<io::Result<()>>, Option<Waker>) {
        let over = self.over;
        let Some(entry) = self.entry(key) else {
            return (Poll::Ready(Ok(())), None);
        };
        if entry.came.is_empty() {
            let polled = match over {
                _ if entry.has_ended || entry.is_ended => Poll::Ready(Ok(())),
                Some(kind) => Poll::Ready(Err(kind.into())),
                None => {
                    wait(&mut entry.reader, cx);
                    Poll::Pending
                }
            };
            return (polled, None);
        }
        let given = give(&entry.came);
        entry.came.consume(given);
        entry.came.shrink();
        entry.untold += u32::try_from(given).unwrap_or(u32::MAX);
        if entry.untold < WINDOW / 2 || entry.has_ended || entry.is_ended {
            return (Poll::Ready(Ok(())), None);
        }
        let more = std::mem::take(&mut entry.untold);
        entry.allowed += more;
        self.going.join(&frame::credit(key.id, more));
        (Poll::Ready(Ok(())), self.carrier.take())
    }

    /// Takes as much of these as may be sent. What is to be woken by it comes along.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        key: Key,
        parts: &[IoSlice<'_>],
    ) -> (Poll<io::Result<usize>>, Option<Waker>) {
        let (over, is_crowded) = (self.over, self.going.len() > CROWDED);
        let Some(entry) = self.entry(key) else {
            return (Poll::Ready(Err(ErrorKind::BrokenPipe.into())), None);
        };
        if let Some(kind) =
            over.or((entry.has_ended || entry.is_ended).then_some(ErrorKind::BrokenPipe))
        {
            return (Poll::Ready(Err(kind.into())), None);
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let most = MOST.min(usize::try_from(entry.credit).unwrap_or(usize::MAX));
        let length = length.min(most);
        if is_crowded || most == 0 {
            wait(&mut entry.writer, cx);
            if is_crowded {
                self.crowd.push(cx.waker().clone());
            }
            return (Poll::Pending, None);
        }
        if length == 0 {
            return (Poll::Ready(Ok(0)), None);
        }
        entry.credit -= u32::try_from(length).unwrap_or(u32::MAX);
        entry.is_known = true;
        self.going.join(&frame::data_head(key.id, length));
        let mut left = length;
        for part in parts {
            let part = &part[..part.len().min(left)];
            self.going.join(part);
            left -= part.len();
        }
        self.unanswered.get_or_insert_with(Moment::now);
        (Poll::Ready(Ok(length)), self.carrier.take())
    }

    /// Whether the other end has ended it, or the trunk is over.
    pub(super) fn is_closed(&mut self, key: Key) -> bool {
        self.over.is_some() || self.entry(key).is_none_or(|entry| entry.has_ended)
    }

    /// Ends it: nothing more is sent, and what still comes is not read. Says whom to wake.
    pub(super) fn end(&mut self, key: Key) -> Option<Waker> {
        let entry = self.entry(key)?;
        if entry.is_ended {
            return None;
        }
        entry.is_ended = true;
        entry.came = Buffer::default();
        let (is_known, has_ended) = (entry.is_known, entry.has_ended);
        if has_ended || !is_known {
            self.forget(key.id);
        }
        if is_known && self.over.is_none() {
            self.going.join(&frame::end(key.id));
        }
        self.carrier.take()
    }

    /// Takes in what has come as far as it is whole, and tells of each stream that it opens.
    ///
    /// # Errors
    /// What no member of ours sends.
    pub(super) fn take_in(
        &mut self,
        came: &mut Buffer,
        woken: &mut Vec<Waker>,
        mut opened: impl FnMut(Key),
    ) -> Result<(), frame::Invalid> {
        self.unanswered = None;
        while let Some((id, frame, length)) = Frame::first(came)? {
            if let Some(key) = self.take(id, &frame, woken)? {
                opened(key);
            }
            came.consume(length);
        }
        Ok(())
    }

    fn take(
        &mut self,
        id: u8,
        frame: &Frame<'_>,
        woken: &mut Vec<Waker>,
    ) -> Result<Option<Key>, frame::Invalid> {
        let is_there = self.by_id.get(usize::from(id)).is_some_and(Option::is_some);
        let opens = matches!(frame, Frame::Data(_)) && !is_there && self.accepts;
        let opened = opens.then(|| self.enter(id, true));
        let entry = self.by_id.get_mut(usize::from(id)).and_then(Option::as_mut);
        let entry = entry
            .filter(|entry| !entry.has_ended)
            .ok_or(frame::Invalid)?;
        match *frame {
            Frame::Data(data) => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                entry.allowed = entry.allowed.checked_sub(length).ok_or(frame::Invalid)?;
                if !entry.is_ended {
                    entry.came.join(data);
                }
                woken.extend(entry.reader.take());
            }
            Frame::Credit(more) => {
                let credit = entry.credit.checked_add(more);
                entry.credit = credit.filter(|all| *all <= WINDOW).ok_or(frame::Invalid)?;
                woken.extend(entry.writer.take());
            }
            Frame::End => {
                entry.has_ended = true;
                woken.extend(entry.reader.take());
                woken.extend(entry.writer.take());
                if entry.is_ended {
                    self.forget(id);
                }
            }
        }
        Ok(opened)
    }

    /// What is to be sent now, and whom to wake because there is room again.
    pub(super) fn take_out(&mut self) -> (Buffer, Vec<Waker>) {
        (
            std::mem::take(&mut self.going),
            std::mem::take(&mut self.crowd),
        )
    }

    /// Has who carries them woken by what there is to do.
    pub(super) fn carry(&mut self, cx: &Context<'_>) {
        wait(&mut self.carrier, cx);
    }

    /// Nothing can be carried any more. Says whom to wake.
    pub(super) fn fail(&mut self, why: ErrorKind) -> Vec<Waker> {
        self.over = Some(why);
        self.going = Buffer::default();
        let mut woken = std::mem::take(&mut self.crowd);
        for entry in self.by_id.iter_mut().flatten() {
            woken.extend(entry.reader.take());
            woken.extend(entry.writer.take());
        }
        woken
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        let entry = self.by_id.get_mut(usize::from(key.id))?.as_mut()?;
        (entry.number == key.number).then_some(entry)
    }

    fn forget(&mut self, id: u8) {
        if let Some(place) = self.by_id.get_mut(usize::from(id)) {
            *place = None;
            self.open -= 1;
        }
    }
}

impl Entry {
    fn new(number: u64, is_known: bool) -> Self {
        Self {
            number,
            came: Buffer::default(),
            reader: None,
            allowed: WINDOW,
            untold: 0,
            credit: WINDOW,
            writer: None,
            is_known,
            has_ended: false,
            is_ended: false,
        }
    }
}

/// Has this one woken.
fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(before) => before.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Both ends, what is on its way to each, and all streams that there have been.
    struct Model {
        ends: [Streams; 2],
        coming: [Buffer; 2],
        pairs: Vec<Pair>,
        sent: u8,
    }

    /// One stream, as each end that knows it does.
    struct Pair {
        id: Option<u8>,
        keys: [Option<Key>; 2],
        is_accepted: bool,
        /// Bytes that were sent to this end and not read there yet.
        unread: [VecDeque<u8>; 2],
    }

    #[derive(Debug, Clone)]
    enum Step {
        Open,
        Write(usize, prop::sample::Index, usize),
        Read(usize, prop::sample::Index, usize),
        End(usize, prop::sample::Index),
        Carry(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let index = any::<prop::sample::Index>;
        let bytes = 1..40_000_usize;
        prop_oneof![
            2 => Just(Step::Open),
            8 => (0..2_usize, index(), bytes.clone()).prop_map(|(a, b, c)| Step::Write(a, b, c)),
            8 => (0..2_usize, index(), bytes.clone()).prop_map(|(a, b, c)| Step::Read(a, b, c)),
            1 => (0..2_usize, index()).prop_map(|(a, b)| Step::End(a, b)),
            8 => (0..2_usize, bytes).prop_map(|(a, b)| Step::Carry(a, b)),
        ]
    }

    impl Model {
        fn new() -> Self {
            Self {
                ends: [Streams::new(false), Streams::new(true)],
                coming: Default::default(),
                pairs: Vec::new(),
                sent: 0,
            }
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Open => {
                    let key = self.ends[0].open();
                    self.pairs.push(Pair {
                        id: key.map(|key| key.id),
                        keys: [key, None],
                        is_accepted: false,
                        unread: Default::default(),
                    });
                }
                Step::Carry(to, most) => self.carry(to, most),
                Step::Write(end, which, length) => {
                    self.write(end, which.index(self.pairs.len().max(1)), length)
                }
                Step::Read(end, which, most) => {
                    self.read(end, which.index(self.pairs.len().max(1)), most)
                }
                Step::End(end, which) => self.end(end, which.index(self.pairs.len().max(1))),
            }
        }

        fn key(&self, end: usize, at: usize) -> Option<Key> {
            self.pairs.get(at)?.keys[end]
        }

        fn write(&mut self, end: usize, at: usize, length: usize) {
            let Some(key) = self.key(end, at) else {
                return;
            };
            let mut cx = Context::from_waker(Waker::noop());
            let next = |_| {
                self.sent = self.sent.wrapping_add(1);
                self.sent
            };
            let bytes: Vec<u8> = (0..length).map(next).collect();
            let (head, rest) = bytes.split_at(length / 3);
            let parts = [IoSlice::new(head), IoSlice::new(rest)];
            let (polled, _) = self.ends[end].poll_write(&mut cx, key, &parts);
            if let Poll::Ready(Ok(taken)) = polled {
                self.pairs[at].unread[1 - end].extend(&bytes[..taken]);
            }
        }

        fn read(&mut self, end: usize, at: usize, most: usize) {
            let Some(key) = self.key(end, at) else {
                return;
            };
            let mut cx = Context::from_waker(Waker::noop());
            let unread = &mut self.pairs[at].unread[end];
            let (polled, _) = self.ends[end].poll_read(&mut cx, key, |came| {
                let count = came.len().min(most);
                assert!(unread.drain(..count).eq(came[..count].iter().copied()));
                count
            });
            assert!(!matches!(polled, Poll::Ready(Err(_))));
        }

        fn end(&mut self, end: usize, at: usize) {
            if let Some(key) = self.key(end, at) {
                self.ends[end].end(key);
                self.pairs[at].keys[end] = None;
            }
        }

        /// Has some of the bytes arrive that the other end has sent.
        fn carry(&mut self, to: usize, most: usize) {
            let (going, _) = self.ends[1 - to].take_out();
            let coming = &mut self.coming[to];
            coming.join(&going);
            let mut arrived = Buffer::of(&coming[..most.min(coming.len())]);
            let count = arrived.len();
            let pairs = &mut self.pairs;
            let taken = self.ends[to].take_in(&mut arrived, &mut Vec::new(), |key| {
                // Of those with this id all others have ended, or were never written to.
                let mut pairs = pairs.iter_mut();
                let pair = pairs.find(|pair| {
                    pair.id == Some(key.id) && !pair.is_accepted && !pair.unread[1].is_empty()
                });
                let pair = pair.unwrap();
                pair.is_accepted = true;
                pair.keys[1] = Some(key);
            });
            assert_eq!(taken, Ok(()));
            coming.consume(count - arrived.len());
        }
    }
    proptest! {
        /// Whatever both ends do, and however it is cut on the way: neither takes the other for one that
        /// does not know the rules, each reads what was sent to it, in order, and little is unread.
        #[test]
        fn both_ends_understand_each_other(steps in prop::collection::vec(step(), 0..300)) {
            let mut model = Model::new();
            for step in steps {
                model.take(step);
                for end in &model.ends {
                    let entries = end.by_id.iter().flatten();
                    prop_assert!(entries.clone().all(|one| one.came.len() <= WINDOW as usize));
                    prop_assert_eq!(entries.count(), end.open);
                }
            }
            // All of it arrives in the end.
            for _ in 0..2 {
                (0..2).for_each(|to| model.carry(to, usize::MAX));
                for at in 0..model.pairs.len() {
                    (0..2).for_each(|end| model.read(end, at, usize::MAX));
                }
            }
            for pair in &model.pairs {
                for end in 0..2 {
                    prop_assert!(pair.keys[end].is_none() || pair.unread[end].is_empty());
                }
            }
            // And once both have ended all streams, nothing is left of them.
            for at in 0..model.pairs.len() {
                (0..2).for_each(|end| model.end(end, at));
            }
            for _ in 0..2 {
                (0..2).for_each(|to| model.carry(to, usize::MAX));
            }
            prop_assert!(model.ends.iter().all(|end| !end.is_used()));
        }
    }
}
