//! What members tell each other of their leases, for people: nothing is decided by it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::shard::MemberId;

/// A member's lease, as it tells it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenure {
    /// Of which of its incarnations.
    pub(crate) incarnation: u64,
    /// The view that it has acknowledged last.
    pub(crate) acked: u64,
    /// For how long it lasts without another renewal.
    pub(crate) left_ms: u64,
    /// What it wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wish: Option<Wish>,
}

/// Where a member is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wish {
    /// To be a member.
    Join,
    /// To be none any more.
    Leave,
    /// To come back with the lease that it has.
    Restart,
    /// What a later version has.
    #[serde(other)]
    Unknown,
}

impl Wish {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Restart => "restart",
            Self::Unknown => "unknown",
        }
    }
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    told: BTreeMap<MemberId, (Tenure, Instant)>,
    /// Who asks and is no member: since when, and when last.
    guests: BTreeMap<MemberId, (Instant, Instant)>,
}

/// So many guests are remembered.
const GUESTS: usize = 32;
/// One that has not asked for so long is there no more.
const SILENT: Duration = Duration::from_secs(5);
/// One that asks for so long is no member that the view was only late to know.
const STAYS: Duration = Duration::from_secs(1);

impl Hearsay {
    pub(super) fn tells(&mut self, member: &MemberId, tenure: Tenure, now: Instant) {
        self.told.insert(member.clone(), (tenure, now));
    }

    /// Only what these have told is kept.
    pub(super) fn keep(&mut self, is_member: impl Fn(&MemberId) -> bool) {
        self.told.retain(|id, _| is_member(id));
        self.guests.retain(|id, _| !is_member(id));
    }

    pub(super) fn told(&self, member: &MemberId) -> Option<(Tenure, Instant)> {
        self.told.get(member).copied()
    }

    pub(super) fn asked(&mut self, guest: &MemberId, now: Instant) {
        self.guests
            .retain(|_, (_, last)| now.saturating_duration_since(*last) < SILENT);
        let has_room = self.guests.len() < GUESTS;
        match self.guests.get_mut(guest) {
            Some((_, last)) => *last = now,
            None if has_room => {
                self.guests.insert(guest.clone(), (now, now));
            }
            None => {}
        }
    }

    /// Those that ask and are no members.
    pub(super) fn guests(&self, now: Instant) -> Vec<MemberId> {
        let is_there = |(since, last): &(Instant, Instant)| {
            now.saturating_duration_since(*last) < SILENT
                && last.saturating_duration_since(*since) >= STAYS
        };
        let guests = self.guests.iter().filter(|(_, asked)| is_there(asked));
        guests.map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    #[test]
    fn a_wish_of_a_later_version_is_no_reason_to_understand_nothing() {
        let text = r#"{"incarnation":2,"acked":7,"left_ms":900,"wish":"sleep","later":1}"#;
        let tenure: Tenure = serde_json::from_str(text).unwrap();
        assert_eq!(tenure.wish, Some(Wish::Unknown));
    }

    #[test]
    fn guests_are_those_that_go_on_asking_and_only_so_many() {
        let (mut heard, start) = (Hearsay::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        heard.asked(&id("late"), after(0));
        heard.asked(&id("zot-4"), after(0));
        heard.asked(&id("zot-4"), after(1000));
        assert_eq!(heard.guests(after(1500)), [id("zot-4")]);
        heard.keep(|member| member.as_str() == "zot-4");
        assert_eq!(heard.guests(after(1500)), []);
        for number in 0..100 {
            heard.asked(&id(&format!("m-{number}")), after(2000));
            heard.asked(&id(&format!("m-{number}")), after(4000));
        }
        assert_eq!(heard.guests(after(4000)).len(), GUESTS - 1);
        assert_eq!(heard.guests(after(20_000)), []);
    }
}
