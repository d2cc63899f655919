//! The last few of something, newest first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How long a text of somebody else's may be, in characters.
const TEXT: usize = 300;

/// A bounded list. A writer that would have to wait leaves its entry out.
pub(crate) struct History<T> {
    most: usize,
    list: Mutex<VecDeque<T>>,
}

/// A request that was answered with an error of ours or of a server's.
#[derive(Clone, Debug)]
pub(crate) struct ErrorLine {
    pub(crate) at: SystemTime,
    pub(crate) request_id: Arc<str>,
    pub(crate) operation: &'static str,
    pub(crate) repository: Option<Arc<str>>,
    /// The member that it went, or was to go, to.
    pub(crate) member: Arc<str>,
    pub(crate) status: u16,
    /// Ours, or `upstream` where a registry gave the status.
    pub(crate) reason: &'static str,
}

/// Something that an operator may have noticed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: SystemTime,
    pub(crate) kind: ChangeKind,
    pub(crate) text: String,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// A member or its replica came or went.
    Member,
    /// Members, weights, placement, pins or key.
    View,
    /// A reload.
    Reload,
}

impl<T: Clone> History<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            list: Mutex::new(VecDeque::with_capacity(most)),
        }
    }

    pub(crate) fn keep(&self, entry: T) {
        let Ok(mut list) = self.list.try_lock() else {
            return;
        };
        if list.len() == self.most {
            list.pop_back();
        }
        list.push_front(entry);
    }

    /// All that are kept, newest first.
    pub(crate) fn shown(&self) -> Vec<T> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().cloned().collect()
    }
}

impl Change {
    pub(super) fn now(kind: ChangeKind, text: String) -> Self {
        Self {
            at: SystemTime::now(),
            kind,
            text: bounded(&text),
        }
    }
}

impl ChangeKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::View => "view",
            Self::Reload => "reload",
        }
    }
}

/// As much of a text as is kept.
fn bounded(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_texts_are_cut() {
        let history = History::new(3);
        (0..5).for_each(|n| history.keep(n));
        assert_eq!(history.shown(), [4, 3, 2]);
        let change = Change::now(ChangeKind::View, "x".repeat(5_000));
        assert_eq!(change.text.len(), TEXT);
    }
}
