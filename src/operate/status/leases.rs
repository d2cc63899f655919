//! How the leases stand, as a part of the status: never a credential, a key or an address of the store's.

use serde::{Deserialize, Serialize};

use crate::observe::human::{duration, names};

/// How the leases stand, as this member knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasesStatus {
    /// Where they are kept.
    pub store: String,
    /// `L0` or `L1`: what ends the writes of a replica whose member's lease is over.
    pub level: String,
    /// Whether it is a member of the view in force.
    pub member: bool,
    /// Whether its own lease lasts.
    pub lasts: bool,
    /// The number of the view in force.
    pub epoch: u64,
    /// How many earlier views may still be written by.
    pub unsettled: u64,
    /// Who has not acknowledged the one in force, where there are any.
    pub awaited: Vec<String>,
    /// Those earlier views, the last settled one first.
    #[serde(default)]
    pub chain: Vec<EarlierViewStatus>,
    /// What others wish that are no members. What members wish stands with their leases.
    #[serde(default)]
    pub wishes: Vec<WishStatus>,
    /// The last views that were put in force here, newest first.
    #[serde(default)]
    pub history: Vec<ViewChangeStatus>,
    /// Whose file keeps the view from taking the placement and pins of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_waits_for: Option<String>,
    /// What the store has not done that it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_trouble: Option<String>,
    /// Why it writes nothing any more, if it cannot go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A view that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierViewStatus {
    /// Its number.
    pub epoch: u64,
    /// How many members it has.
    pub members: u64,
}

/// What somebody wishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishStatus {
    /// Its id.
    pub member: String,
    /// `join`.
    pub wish: String,
}

/// One member's lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// `live`, `over` (not renewed in time, and not taken yet), `parked`, `released` or `fenced`.
    pub state: String,
    /// Of which of the member's incarnations.
    pub incarnation: u64,
    /// The number of the view that it has acknowledged last.
    pub acked: u64,
    /// For how many milliseconds it lasts without another renewal, where the member tells that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// After how many milliseconds others may take it, where it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub falls_in_ms: Option<u64>,
    /// What it wishes, if something: `join`, `leave`, or `restart`, which keeps its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// Who says so: the `member` itself, or the `store` when it was read last.
    pub told_by: String,
    /// How old that is.
    pub age_ms: u64,
}

/// What a view has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChangeStatus {
    /// Its number.
    pub epoch: u64,
    /// When it was put in force here, in RFC 3339.
    pub at: String,
    /// How many members it has.
    pub members: u64,
    /// Whether this process had none before it.
    #[serde(default)]
    pub first: bool,
    /// Who came.
    #[serde(default)]
    pub came: Vec<String>,
    /// Who left of their own accord.
    #[serde(default)]
    pub left: Vec<String>,
    /// Whose lease was taken, since nobody renewed it.
    #[serde(default)]
    pub fenced: Vec<String>,
    /// Who is there no more, where it was not seen why.
    #[serde(default)]
    pub went: Vec<String>,
    /// Who began anew.
    #[serde(default)]
    pub anew: Vec<String>,
    /// Who has another address or weight.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Whether it has another placement or other pins.
    #[serde(default)]
    pub policy: bool,
}

impl ViewChangeStatus {
    /// What has changed, in words.
    pub(crate) fn text(&self) -> String {
        if self.first {
            return match self.members {
                1 => "found with 1 member".to_owned(),
                members => format!("found with {members} members"),
            };
        }
        let told = [
            (&self.came, "came"),
            (&self.left, "left"),
            (&self.fenced, "taken out: nobody renewed the lease"),
            (&self.went, "there no more"),
            (&self.anew, "began anew"),
            (&self.changed, "with another address or weight"),
        ];
        let told = told.iter().filter(|(who, _)| !who.is_empty());
        let mut told: Vec<String> = told
            .map(|(who, what)| format!("{} {what}", names(who)))
            .collect();
        if self.policy {
            told.push("another placement or other pins".to_owned());
        }
        if told.is_empty() {
            return "nothing that owners depend on".to_owned();
        }
        told.join("; ")
    }
}

impl LeaseStatus {
    /// How it stands, in a few words.
    pub(crate) fn text(&self) -> String {
        let seconds = |millis: u64| duration(millis / 1000);
        match (self.state.as_str(), self.left_ms, self.falls_in_ms) {
            ("live", Some(left), _) => format!("{} left", seconds(left)),
            ("live" | "over", _, Some(0)) => "to be taken".to_owned(),
            ("live" | "over", _, Some(falls)) => format!("taken in {}", seconds(falls)),
            ("live", None, None) => format!("live {} ago", seconds(self.age_ms)),
            (state, _, _) => state.to_owned(),
        }
    }

    /// Whether its member may not write by it.
    pub(crate) fn is_over(&self) -> bool {
        self.state != "live" || self.falls_in_ms.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("zot-{number}")).collect()
    }

    #[test]
    fn a_change_is_told_in_words() {
        let change = ViewChangeStatus::default;
        for (change, text) in [
            (
                ViewChangeStatus {
                    first: true,
                    members: 3,
                    ..change()
                },
                "found with 3 members",
            ),
            (
                ViewChangeStatus {
                    came: ids(1),
                    ..change()
                },
                "zot-1 came",
            ),
            (
                ViewChangeStatus {
                    came: ids(30),
                    left: vec!["a".into()],
                    fenced: vec!["b".into(), "c".into()],
                    policy: true,
                    ..change()
                },
                "zot-1, zot-2, zot-3 and 27 more came; a left; b and c taken out: nobody renewed the lease; \
                 another placement or other pins",
            ),
            (change(), "nothing that owners depend on"),
        ] {
            assert_eq!(change.text(), text);
        }
    }

    #[test]
    fn a_lease_is_told_in_words() {
        let lease = |state: &str, left_ms, falls_in_ms| LeaseStatus {
            state: state.into(),
            left_ms,
            falls_in_ms,
            age_ms: 3500,
            ..LeaseStatus::default()
        };
        for (lease, text, is_over) in [
            (lease("live", Some(8200), None), "8s left", false),
            (lease("live", None, None), "live 3s ago", false),
            (lease("live", None, Some(12_900)), "taken in 12s", true),
            (lease("over", None, Some(0)), "to be taken", true),
            (lease("over", None, None), "over", true),
            (lease("fenced", None, None), "fenced", true),
            (lease("parked", None, None), "parked", true),
        ] {
            assert_eq!((lease.text().as_str(), lease.is_over()), (text, is_over));
        }
    }
}
