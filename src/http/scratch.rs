//! Room to write a head or to note its fields, lent by the thread: it is used again instead of made.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use super::field::Field;

/// So many of each kind wait on each thread for their next use.
const KEPT: usize = 32;
/// What has grown beyond this is not kept, in elements.
const LARGEST: usize = 16 * 1024;

/// A vector of the thread's, empty when it is taken. Goes back when dropped.
#[derive(Debug)]
pub(crate) struct Lent<T: Kept>(Vec<T>);

/// Room for bytes.
pub(crate) type Scratch = Lent<u8>;
/// Room for the fields of one head.
pub(crate) type FieldRoom = Lent<Field>;

type Shelf<T> = RefCell<Vec<Vec<T>>>;

/// What vectors are kept of.
pub(crate) trait Kept: Sized + 'static {
    fn shelf() -> &'static LocalKey<Shelf<Self>>;
}

macro_rules! kept {
    ($kind:ty) => {
        impl Kept for $kind {
            fn shelf() -> &'static LocalKey<Shelf<Self>> {
                thread_local! {
                    static SHELF: Shelf<$kind> = const { RefCell::new(Vec::new()) };
                }
                &SHELF
            }
        }
    };
}

kept!(u8);
kept!(Field);

impl<T: Kept> Lent<T> {
    pub(crate) fn take() -> Self {
        Self(T::shelf().with_borrow_mut(Vec::pop).unwrap_or_default())
    }
}

impl<T: Kept> Drop for Lent<T> {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        if room.capacity() == 0 || room.capacity() > LARGEST {
            return;
        }
        room.clear();
        // The thread may be ending.
        let _ = T::shelf().try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < KEPT {
                shelf.push(room);
            }
        });
    }
}

impl<T: Kept> Deref for Lent<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Kept> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}
