//! Views that others have told, each built once: building one is the dear part of a probe's answer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::shard::view::{Description, Fingerprint, OtherView, View};

#[derive(Clone, Debug, Default)]
pub(super) struct Views {
    known: HashMap<Fingerprint, Arc<OtherView>>,
}

impl Views {
    /// Our own view, and which others know now.
    pub(super) fn own(&mut self, view: &View) -> Arc<OtherView> {
        // Views under another key could not be computed before, and those of now can.
        self.known.retain(|_, other| other.is_computed());
        let own = self.known.entry(*view.fingerprint());
        own.or_insert_with(|| Arc::new(OtherView::of(view))).clone()
    }

    /// The view of this fingerprint, if it is known or described.
    pub(super) fn told(
        &mut self,
        ours: &View,
        fingerprint: &str,
        description: Option<&Description>,
    ) -> Option<Arc<OtherView>> {
        let fingerprint: Fingerprint = fingerprint.parse().ok()?;
        if let Some(known) = self.known.get(&fingerprint) {
            return Some(known.clone());
        }
        let built = Arc::new(ours.rebuild(fingerprint, description?.clone()));
        self.known.insert(fingerprint, built.clone());
        Some(built)
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Arc<OtherView>> {
        self.known.get(fingerprint).cloned()
    }

    /// Forgets those that nobody holds.
    pub(super) fn forget_unused(&mut self) {
        self.known.retain(|_, view| Arc::strong_count(view) > 1);
    }
}
