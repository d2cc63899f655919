//! Which of the threads that serve requests this is: what is kept for each of them (connections to
//! upstreams, buffers) is found by its index, without a lock.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// The index of the worker whose thread this is, from 0; 0 on every other thread.
pub(crate) fn index() -> usize {
    INDEX.get()
}

/// This thread is that of a worker from now on.
pub(crate) fn enter(index: usize) {
    INDEX.set(index);
}
