//! A view in words, so that a member whose view differs can tell on which repositories.
//!
//! Two members that disagree on one owner would be two writers of that repository, each certain of its right. The
//! fingerprint says that views differ; this says where, so that only those repositories stand still.

use serde::{Deserialize, Serialize};

use super::{Fingerprint, View};
use crate::shard::members::{Host, Member, MemberAddress, MemberId, Members, Weight};
use crate::shard::pins::{Pin, Pins};
use crate::shard::placement::{HashKey, Placement};
use crate::shard::repository::Repository;
use crate::shard::text;

/// Everything that a view's owners depend on; of the hash key only a check value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Differs when the hash key differs, and tells nothing else about it.
    pub key: String,
    /// The kind of placement.
    pub placement: String,
    /// The version of its hash.
    pub version: u8,
    /// Ids and weights, in list order.
    pub members: Vec<(String, u16)>,
    /// Prefixes and the ids of their members.
    pub pins: Vec<(String, String)>,
}

/// A view as somebody told it, made ready to compute its owners. Shared by all who told the same.
#[derive(Debug)]
pub struct OtherView {
    /// What it was told by.
    fingerprint: Option<Fingerprint>,
    description: Option<Description>,
    /// None if its owners cannot be computed here: another hash key, a version that we do not know.
    view: Option<View>,
}

impl View {
    /// This view in words.
    #[must_use]
    pub fn describe(&self) -> Description {
        let members = self.members.owners();
        let pins = self.pins.iter();
        Description {
            key: Fingerprint::of_key(&self.key).to_string(),
            placement: self.placement.as_str().to_owned(),
            version: self.placement.version(),
            members: members
                .map(|(_, member)| (member.id.to_string(), member.weight.get()))
                .collect(),
            pins: pins
                .map(|(prefix, member)| {
                    let id = self.members.get(member).id.to_string();
                    (prefix.as_str().to_owned(), id)
                })
                .collect(),
        }
    }

    /// Makes a told view ready. Its owners can be computed if its hash key is ours and it is what
    /// its fingerprint says.
    #[must_use]
    pub fn rebuild(&self, fingerprint: Fingerprint, told: Description) -> OtherView {
        let same_key = Fingerprint::of_key(&self.key).to_string() == told.key;
        let view = if same_key {
            rebuild(&told, &self.key)
        } else {
            None
        };
        OtherView {
            fingerprint: Some(fingerprint),
            view: view.filter(|view| view.fingerprint == fingerprint),
            description: Some(told),
        }
    }

    /// Whether another view gives this repository to another member than ours does.
    #[must_use]
    pub fn is_disputed(&self, repository: &Repository<'_>, other: &OtherView) -> bool {
        // An owner that cannot be computed may be any: when in doubt, there is a dispute.
        other
            .owner(repository)
            .is_none_or(|owner| *owner != self.members.get(self.owner(repository)).id)
    }

    /// In which way a told view differs from this one, for an operator.
    #[must_use]
    pub fn difference(&self, other: &OtherView) -> String {
        other.description.as_ref().map_or_else(
            || "a view that it does not describe".to_owned(),
            |description| difference(&self.describe(), description),
        )
    }
}

impl OtherView {
    /// A view of our own.
    #[must_use]
    pub fn of(view: &View) -> Self {
        Self {
            fingerprint: Some(view.fingerprint),
            description: Some(view.describe()),
            view: Some(view.clone()),
        }
    }

    /// A view of which nothing is known but that it is not ours.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            fingerprint: None,
            description: None,
            view: None,
        }
    }

    /// Its fingerprint; none if it was not told.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.fingerprint.as_ref()
    }

    /// The same view in words; none if it was not told.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// Whether its owners can be computed here.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        self.view.is_some()
    }

    /// The owner by this view; none if that cannot be computed here.
    #[must_use]
    pub fn owner(&self, repository: &Repository<'_>) -> Option<&MemberId> {
        let view = self.view.as_ref()?;
        Some(&view.members.get(view.owner(repository)).id)
    }
}

/// What is shown of another view: so many members.
const SHOWN_MEMBERS: usize = 32;

/// None for anything that is not a view as this release knows them.
fn rebuild(description: &Description, key: &HashKey) -> Option<View> {
    let placement: Placement = description.placement.parse().ok()?;
    if placement.version() != description.version {
        return None;
    }
    let member = |(id, weight): &(String, u16)| {
        let id: MemberId = id.parse().ok()?;
        // Owners do not depend on addresses, but a list of members has them.
        let host = Host::Name(id.as_str().into());
        let address = MemberAddress { host, port: 1 };
        let weight = Weight::new(*weight).ok()?;
        Some(Member {
            id,
            address,
            weight,
        })
    };
    let list: Vec<Member> = description
        .members
        .iter()
        .map(member)
        .collect::<Option<_>>()?;
    let local = list.first()?.id.clone();
    let members = Members::new(list, &local).ok()?;
    let pin = |(prefix, id): &(String, String)| {
        Some(Pin {
            prefix: prefix.parse().ok()?,
            member: members.find(&id.parse().ok()?)?,
        })
    };
    let pins: Vec<Pin> = description.pins.iter().map(pin).collect::<Option<_>>()?;
    let pins = Pins::new(pins).ok()?;
    Some(View::new(members, placement, key, pins))
}

fn difference(ours: &Description, other: &Description) -> String {
    let Description {
        key,
        placement,
        version,
        members,
        pins,
    } = other;
    let mut parts = Vec::new();
    if *key != ours.key {
        parts.push("another hash key".to_owned());
    }
    if *placement != ours.placement || *version != ours.version {
        parts.push(format!(
            "placement {} version {version}",
            text::foreign_name(placement)
        ));
    }
    if *members != ours.members {
        let ids = members.iter().take(SHOWN_MEMBERS);
        let ids: Vec<String> = ids.map(|(id, _)| text::foreign_name(id)).collect();
        parts.push(format!(
            "members {} (or their order or weights)",
            ids.join(", ")
        ));
    }
    if *pins != ours.pins {
        parts.push(format!("{} pins that are not ours", pins.len()));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::members::tests::{id, weighted_members};

    const KEY: [u8; 16] = *b"loremipsumdolors";

    fn view(key: [u8; 16], list: &[(&str, u16)], placement: Placement, pinned: &[&str]) -> View {
        let members = weighted_members(list, list[0].0);
        let first = members.find(&id(list[0].0)).unwrap();
        let pin = |prefix: &&str| Pin {
            prefix: prefix.parse().unwrap(),
            member: first,
        };
        let pins = Pins::new(pinned.iter().map(pin).collect()).unwrap();
        View::new(members, placement, &HashKey::from(key), pins)
    }

    fn disputed(ours: &View, theirs: &View) -> usize {
        let wire = serde_json::to_string(&theirs.describe()).unwrap();
        let other = ours.rebuild(*theirs.fingerprint(), serde_json::from_str(&wire).unwrap());
        let names: Vec<String> = (0..1000)
            .map(|number| format!("team/app-{number}"))
            .collect();
        let disputed = |name: &&String| {
            let repository = Repository::parse(name).unwrap();
            let differs = ours.members.get(ours.owner(&repository)).id
                != theirs.members.get(theirs.owner(&repository)).id;
            let found = ours.is_disputed(&repository, &other);
            assert!(found || !differs, "an unseen dispute over {name}");
            found
        };
        names.iter().filter(disputed).count()
    }

    const THREE: &[(&str, u16)] = &[("a", 1), ("b", 1), ("c", 1)];

    #[test]
    fn only_what_two_views_disagree_on_is_disputed() {
        let ours = view(KEY, THREE, Placement::Rendezvous, &[]);
        let four = [("a", 1), ("b", 1), ("c", 1), ("d", 1)];
        let grown = disputed(&ours, &view(KEY, &four, Placement::Rendezvous, &[]));
        assert!(
            (150..350).contains(&grown),
            "a fourth of all moves, not {grown}"
        );
        let pinned = view(KEY, THREE, Placement::Rendezvous, &["team/app-7", "other"]);
        assert!(disputed(&ours, &pinned) <= 1);
        let turned = [("c", 1), ("b", 1), ("a", 1)];
        assert_eq!(
            disputed(&ours, &view(KEY, &turned, Placement::Rendezvous, &[])),
            0
        );
    }

    #[test]
    fn what_cannot_be_computed_is_disputed_whole() {
        let ours = view(KEY, THREE, Placement::Rendezvous, &[]);
        let other_key = view(*b"another key here", THREE, Placement::Rendezvous, &[]);
        assert_eq!(disputed(&ours, &other_key), 1000);
        let repository = Repository::parse("a").unwrap();
        assert!(ours.is_disputed(&repository, &OtherView::unknown()));
        let mut later = ours.describe();
        later.version += 1;
        let print = *ours.fingerprint();
        assert!(ours.is_disputed(&repository, &ours.rebuild(print, later)));
        let mut broken = ours.describe();
        broken.members.push(("NOT AN ID".into(), 1));
        assert!(ours.is_disputed(&repository, &ours.rebuild(print, broken)));
        // It describes another view than the one that its fingerprint names.
        let print = *other_key.fingerprint();
        assert!(ours.is_disputed(&repository, &ours.rebuild(print, ours.describe())));
    }

    #[test]
    fn a_difference_is_told_without_the_key() {
        let ours = view(KEY, THREE, Placement::Rendezvous, &[]);
        let theirs = view(
            *b"another key here",
            &[("a", 2), ("x", 1)],
            Placement::Zot,
            &["p"],
        );
        let told = ours.rebuild(*theirs.fingerprint(), theirs.describe());
        let told = ours.difference(&told);
        assert_eq!(
            told,
            "another hash key; placement zot version 1; members a, x (or their order or weights); 1 pins that are not ours"
        );
        assert!(!format!("{:?}", theirs.describe()).contains("another key here"));
    }
}
