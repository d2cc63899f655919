//! What we tell: peers our account of ourselves and of others, and the process after us what it has to
//! know.

use std::time::Duration;

use super::Ownership;
use super::claim::{Claim, Extent, Moment, ProcessId, ReplicaId, Unknown};
use super::omit::{Rule, omits};
use super::party::{LEAST_UNANSWERED, Party, PartyAddress, PartyId, Untold};
use super::report::{
    Asker, Memory, Report, Seen, UnderWay, Unheard, WITNESS_VIEWS, Witness, millis,
};
use crate::shard::members::MemberId;
use crate::shard::view::{Fingerprint, OtherView};

impl Ownership {
    /// Our account of ourselves, for one that asks. Made under the lock that retires ledgers, so it
    /// names every write that goes on under another view than the one in force.
    #[must_use]
    pub fn report(&self, asker: &Asker, now: Moment) -> Report {
        let knows =
            |view: &Fingerprint| asker.view.as_ref() == Some(view) || asker.knows.contains(view);
        let own = self.view.fingerprint();
        let replica = self.ledger.replica();
        let told = !omits(Rule::TellWritesUnderWay);
        let past = self
            .past
            .iter()
            .filter(|ledger| told && ledger.is_writing(now));
        let past = past
            .filter(|ledger| ledger.view.fingerprint() != Some(own) || ledger.replica != *replica);
        let also = past.filter_map(|ledger| {
            under_way(&ledger.view, &ledger.replica, ledger.repositories(now))
        });
        Report {
            view: own.to_string(),
            start: self.process.as_str().to_owned(),
            up_ms: millis(now.saturating_sub(self.began)),
            replica: replica.as_str().to_owned(),
            description: (!knows(own)).then(|| self.view.describe()),
            also: also.collect(),
            vouches: self.vouches(),
            seen: asker.wants_witness.then(|| self.testify(asker, now)),
        }
    }

    fn vouches(&self) -> bool {
        self.complete || self.recalled
    }

    /// What the process after this one has to know, to be kept before anything else is done.
    #[must_use]
    pub fn memory(&self, now: Moment) -> Memory {
        let claim = |extent: &Extent, replica: &ReplicaId| {
            let Extent::View(view) = extent else {
                return None;
            };
            under_way(view, replica, None)
        };
        let past = self.past.iter().filter(|ledger| ledger.is_writing(now));
        let ledgers = past.chain([&self.ledger]);
        let own = ledgers.map(|ledger| under_way(&ledger.view, &ledger.replica, None));
        let earlier = self.own_past.iter();
        let earlier = earlier.map(|timed| claim(&timed.claim.extent, &timed.claim.replica));
        let all: Vec<_> = own.chain(earlier).collect();
        Memory {
            // What cannot be told in words is not known to the next.
            complete: self.vouches() && all.iter().all(Option::is_some),
            own: all.into_iter().flatten().collect(),
            parties: self
                .parties
                .keys()
                .map(|id| (id.member.to_string(), id.address.as_str().to_owned()))
                .collect(),
        }
    }

    /// Takes what the process before has left, which ended `away` ago. It says nothing of what
    /// others did meanwhile, unless that was too short for anything to happen.
    pub(super) fn recall(&mut self, memory: &Memory, away: Duration, now: Moment) {
        let aftermath = self.rules.aftermath;
        if !memory.complete || away > aftermath / 2 {
            return;
        }
        let until = now.saturating_add(aftermath);
        let before = ProcessId::new("before");
        for own in &memory.own {
            let view = self
                .views
                .told(&self.view, &own.fingerprint, Some(&own.description));
            let extent = view.map_or(Extent::Any(Unknown::NotDescribed), Extent::View);
            let replica = ReplicaId::new(own.replica.clone());
            self.own_past
                .add(before.clone(), Claim { extent, replica }, until);
        }
        for (member, address) in &memory.parties {
            let Ok(member) = member.parse::<MemberId>() else {
                return;
            };
            let address = PartyAddress::told(address);
            let id = PartyId { member, address };
            // A peer is asked. Who is listed no more may have had any view.
            if !self.parties.contains_key(&id) {
                let party = self.parties.entry(id).or_insert_with(|| Party::new(false));
                let any = Claim::of_somebody(Extent::Any(Unknown::NotDescribed));
                party.timed.add(before.clone(), any, until);
            }
        }
        self.recalled = true;
    }

    /// What we have seen of others that the asker's own view does not allow for, and of processes
    /// of the asker before this one.
    fn testify(&self, asker: &Asker, now: Moment) -> Witness {
        let mut witness = Witness {
            complete: self.complete,
            ..Witness::default()
        };
        for (id, party) in &self.parties {
            let is_asker = asker.member.as_ref() == Some(&id.member);
            let aftermath = self.rules.aftermath;
            let silence = party.unanswered.filter(|_| !party.listed);
            // At first a death may look like a lost question, and is told again as what it is.
            let silence = silence.filter(|silence| silence.count >= LEAST_UNANSWERED);
            let left = match silence {
                Some(silence) => silence.ends(aftermath).saturating_sub(now),
                None => aftermath,
            };
            let told = party.told.iter().flat_map(|told| {
                let claims = told.claims.iter();
                claims.map(move |claim| (&told.process, claim, left))
            });
            let timed = party.timed.iter();
            let timed = timed.map(|timed| {
                (
                    &timed.process,
                    &timed.claim,
                    timed.until.saturating_sub(now),
                )
            });
            if let Some(since) = party.unheard_since {
                witness.unheard.push(Unheard {
                    member: id.member.to_string(),
                    address: id.address.as_str().to_owned(),
                    for_ms: millis(now.saturating_sub(since).min(aftermath)),
                });
            }
            if let Some(untold) = &party.untold
                && !omits(Rule::TestifyUntoldView)
            {
                witness.add_untold(id, party, untold, aftermath);
            }
            for (process, claim, left) in told.chain(timed) {
                let known =
                    !is_asker && asker.view.is_some() && claim.extent.view() == asker.view.as_ref();
                if known || is_asker && *process == asker.process {
                    continue;
                }
                witness.add(&id.member, id.address.as_str(), process, claim, left);
            }
        }
        let members = self.view.members();
        let own = members.get(members.local());
        for timed in self.own_past.iter() {
            let left = timed.until.saturating_sub(now);
            let address = own.address.to_string();
            witness.add(&own.id, &address, &timed.process, &timed.claim, left);
        }
        witness
    }
}

impl Witness {
    fn add(
        &mut self,
        member: &MemberId,
        address: &str,
        process: &ProcessId,
        claim: &Claim,
        left: Duration,
    ) {
        let view = claim.extent.view().map(ToString::to_string);
        if let (Extent::View(described), Some(view)) = (&claim.extent, &view) {
            self.describe(view, described);
        }
        let repositories = match &claim.extent {
            Extent::Repositories(names) => Some(names.iter().map(ToString::to_string).collect()),
            Extent::View(_) | Extent::Any(_) => None,
        };
        self.claims.push(Seen {
            member: member.to_string(),
            address: address.to_owned(),
            start: process.as_str().to_owned(),
            replica: claim.replica.as_str().to_owned(),
            view,
            repositories,
            left_ms: millis(left),
        });
    }

    /// What a request has shown: of the process that is known, or of one after it.
    fn add_untold(&mut self, id: &PartyId, party: &Party, untold: &Untold, left: Duration) {
        let Some(told) = &party.told else { return };
        let replica = untold.replica.as_ref().or(party.told_replica());
        self.claims.push(Seen {
            member: id.member.to_string(),
            address: id.address.as_str().to_owned(),
            start: told.process.as_str().to_owned(),
            replica: replica.map_or_else(String::new, |id| id.as_str().to_owned()),
            view: untold.view.map(|view| view.to_string()),
            repositories: None,
            left_ms: millis(left),
        });
    }

    fn describe(&mut self, fingerprint: &str, view: &OtherView) {
        let known = self.views.iter().any(|(known, _)| known == fingerprint);
        if let (false, Some(description)) = (
            known || self.views.len() >= WITNESS_VIEWS,
            view.description(),
        ) {
            self.views
                .push((fingerprint.to_owned(), description.clone()));
        }
    }
}

fn under_way(
    view: &OtherView,
    replica: &ReplicaId,
    repositories: Option<Vec<Box<str>>>,
) -> Option<UnderWay> {
    Some(UnderWay {
        fingerprint: view.fingerprint()?.to_string(),
        description: view.description()?.clone(),
        replica: replica.as_str().to_owned(),
        repositories: repositories.map(|names| names.into_iter().map(String::from).collect()),
    })
}
