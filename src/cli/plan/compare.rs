//! Owners before and after, counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::Names;
use crate::shard::{MemberId, Placement, Repository, View};

/// Two views over the same names.
pub(super) struct Comparison<'n> {
    names: Vec<&'n str>,
    made_up: bool,
    same_key: bool,
    placements: [Placement; 2],
    /// Members before, and then those that join.
    members: Vec<MemberId>,
    as_configured: Outcome,
    /// The same change, had both sides this placement.
    had_placement: Vec<(Placement, Outcome)>,
}

/// Who owns what, and what that comes to. Members are numbers in the comparison's list.
struct Outcome {
    moves: Vec<Move>,
    before: Side,
    after: Side,
}

/// One repository that changes its owner.
struct Move {
    /// Its number in the list of names.
    name: usize,
    from: usize,
    to: usize,
}

/// One side of an outcome, by member.
struct Side {
    owned: Vec<usize>,
    /// The part of all repositories that it should have by its weight; none if it is no member.
    expected: Vec<Option<f64>>,
}

/// A view whose members have their numbers in the comparison's list.
struct Numbered<'v> {
    view: &'v View,
    numbers: Vec<usize>,
}

/// One member's part.
pub(super) struct Share<'c> {
    pub(super) member: &'c MemberId,
    /// Before and after; none where it is no member.
    pub(super) owned: [Option<usize>; 2],
}

/// What a placement would have made of the change.
pub(super) struct Verdict {
    pub(super) placement: Placement,
    pub(super) moved: usize,
    pub(super) fullest: [f64; 2],
}

impl<'n> Comparison<'n> {
    /// Compares two views.
    pub(super) fn new(before: &View, after: &View, names: &'n Names) -> Self {
        let listed: Vec<&'n str> = names.repositories().collect();
        let mut members: Vec<MemberId> = Vec::new();
        for view in [before, after] {
            for (_, member) in view.members().iter() {
                if !members.contains(&member.id) {
                    members.push(member.id.clone());
                }
            }
        }
        let had = |placement| {
            let with = |view: &View| {
                view.with_same_key(view.members().clone(), placement, view.pins().clone())
            };
            let outcome = Outcome::new(&with(before), &with(after), &members, &listed);
            (placement, outcome)
        };
        Self {
            made_up: names.are_made_up(),
            same_key: before.has_key_of(after),
            placements: [before.placement(), after.placement()],
            as_configured: Outcome::new(before, after, &members, &listed),
            had_placement: Placement::ALL.into_iter().map(had).collect(),
            members,
            names: listed,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.names.len()
    }

    pub(super) fn are_made_up(&self) -> bool {
        self.made_up
    }

    pub(super) fn has_same_key(&self) -> bool {
        self.same_key
    }

    /// The kinds of placement, before and after.
    pub(super) fn placements(&self) -> [Placement; 2] {
        self.placements
    }

    /// Each repository that moves: name, owner before, owner after.
    pub(super) fn moves(&self) -> impl ExactSizeIterator<Item = (&str, &MemberId, &MemberId)> {
        let told = |Move { name, from, to }: &Move| {
            (self.names[*name], &self.members[*from], &self.members[*to])
        };
        self.as_configured.moves.iter().map(told)
    }

    /// How many go from which member to which, the most first.
    pub(super) fn flows(&self) -> Vec<(&MemberId, &MemberId, usize)> {
        let mut counted: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for Move { from, to, .. } in &self.as_configured.moves {
            *counted.entry((*from, *to)).or_default() += 1;
        }
        let mut flows: Vec<_> = counted
            .into_iter()
            .map(|((from, to), count)| (&self.members[from], &self.members[to], count))
            .collect();
        flows.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        flows
    }

    /// Each member's part, in the order of the lists.
    pub(super) fn shares(&self) -> impl ExactSizeIterator<Item = Share<'_>> {
        let Outcome { before, after, .. } = &self.as_configured;
        let owned = |side: &Side, number: usize| side.expected[number].map(|_| side.owned[number]);
        self.members
            .iter()
            .enumerate()
            .map(move |(number, member)| Share {
                member,
                owned: [owned(before, number), owned(after, number)],
            })
    }

    /// How full the fullest member is, before and after: 1 is what its weight gives it.
    pub(super) fn fullest(&self) -> [f64; 2] {
        self.as_configured.fullest()
    }

    /// The same change under each placement.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        let verdict = |(placement, outcome): &(Placement, Outcome)| Verdict {
            placement: *placement,
            moved: outcome.moves.len(),
            fullest: outcome.fullest(),
        };
        self.had_placement.iter().map(verdict)
    }

    /// A part of all repositories; of none, nothing.
    pub(super) fn part(&self, count: usize) -> f64 {
        count as f64 / self.total().max(1) as f64
    }

    /// Everything, for programs.
    pub(super) fn document(&self) -> Document<'_> {
        let share = |side: usize| {
            let member = |share: Share<'_>| {
                let owned = share.owned[side]?;
                Some((share.member.to_string(), self.part(owned)))
            };
            self.shares().filter_map(member).collect()
        };
        let moves = self.moves().map(|(repository, from, to)| MoveLine {
            repository,
            from: from.as_str(),
            to: to.as_str(),
        });
        let placements = self.verdicts().map(|verdict| {
            let told = PlacementLine {
                moved: verdict.moved,
                share_moved: self.part(verdict.moved),
                fullest_before: verdict.fullest[0],
                fullest_after: verdict.fullest[1],
            };
            (verdict.placement.as_str(), told)
        });
        let [fullest_before, fullest_after] = self.fullest();
        Document {
            total: self.total(),
            made_up: self.made_up,
            moved: self.as_configured.moves.len(),
            share_moved: self.part(self.as_configured.moves.len()),
            share_before: share(0),
            share_after: share(1),
            fullest_before,
            fullest_after,
            placements: placements.collect(),
            moves: moves.collect(),
        }
    }
}

/// The plan as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Document<'c> {
    total: usize,
    made_up: bool,
    moved: usize,
    share_moved: f64,
    share_before: BTreeMap<String, f64>,
    share_after: BTreeMap<String, f64>,
    fullest_before: f64,
    fullest_after: f64,
    placements: BTreeMap<&'static str, PlacementLine>,
    moves: Vec<MoveLine<'c>>,
}

#[derive(Debug, Serialize)]
struct MoveLine<'c> {
    repository: &'c str,
    from: &'c str,
    to: &'c str,
}

#[derive(Debug, Serialize)]
struct PlacementLine {
    moved: usize,
    share_moved: f64,
    fullest_before: f64,
    fullest_after: f64,
}

impl Outcome {
    fn new(before: &View, after: &View, members: &[MemberId], names: &[&str]) -> Self {
        let [before, after] = [before, after].map(|view| Numbered::new(view, members));
        let [mut owned_before, mut owned_after] = [vec![0; members.len()], vec![0; members.len()]];
        let mut moves = Vec::new();
        // Names were parsed before; one that cannot be is not counted.
        for (name, text) in names.iter().enumerate() {
            let Ok(repository) = Repository::parse(text) else {
                continue;
            };
            let (from, to) = (before.owner(&repository), after.owner(&repository));
            owned_before[from] += 1;
            owned_after[to] += 1;
            if from != to {
                moves.push(Move { name, from, to });
            }
        }
        Self {
            moves,
            before: before.side(owned_before),
            after: after.side(owned_after),
        }
    }

    fn fullest(&self) -> [f64; 2] {
        [self.before.fullest(), self.after.fullest()]
    }
}

impl Side {
    fn fullest(&self) -> f64 {
        let total = self.owned.iter().sum::<usize>().max(1) as f64;
        let fullness = self.owned.iter().zip(&self.expected);
        fullness
            .filter_map(|(owned, expected)| Some(*owned as f64 / total / (*expected)?))
            .fold(0.0, f64::max)
    }
}

impl<'v> Numbered<'v> {
    fn new(view: &'v View, members: &[MemberId]) -> Self {
        let number = |id: &MemberId| members.iter().position(|listed| listed == id);
        let listed = view.members().iter();
        // The list has the members of both views.
        let numbers = listed
            .filter_map(|(_, member)| number(&member.id))
            .collect();
        Self { view, numbers }
    }

    fn owner(&self, repository: &Repository<'_>) -> usize {
        self.numbers[self.view.owner(repository).get()]
    }

    fn side(&self, owned: Vec<usize>) -> Side {
        let mut expected = vec![None; owned.len()];
        for (member, share) in self.view.shares() {
            expected[self.numbers[member.get()]] = Some(share);
        }
        Side { owned, expected }
    }
}
