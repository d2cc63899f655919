//! A member of a large fleet that knows all others, without a network between them.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shardlet::shard::ownership::{
    Asker, Effect, Event, Moment, Ownership, PartyId, ProcessId, ReplicaId, Reply, Report, Rules,
    Snapshot, Verdict, WriteEnd,
};
use shardlet::shard::{Member, Members, Pin, Pins, Placement, Repository, View, Weight};

/// The members of a fleet.
const MEMBERS: usize = 1000;
/// Views that differ, in a rollout that has gone wrong.
pub const VIEWS: usize = 512;

/// One member, and what it knows.
pub struct Fleet {
    ownership: Ownership,
    snapshot: Arc<Snapshot>,
    parties: Vec<PartyId>,
    now: Moment,
    repository: Arc<str>,
}

/// A member's answer as it crosses the wire.
#[derive(Serialize, Deserialize)]
struct Answer {
    member: String,
    replica_up: bool,
    draining: bool,
    closing: bool,
    #[serde(flatten)]
    report: Report,
}

fn members() -> Members {
    let member = |n: usize| Member {
        id: format!("registry-{n}").parse().unwrap(),
        address: format!("registry-{n}.registry.svc:5443").parse().unwrap(),
        weight: Weight::new(1).unwrap(),
    };
    let list = (0..MEMBERS).map(member).collect();
    Members::new(list, &"registry-0".parse().unwrap()).unwrap()
}

/// One of the views: view 0 is ours.
fn view(number: usize) -> View {
    let members = members();
    let pin = |prefix: String| Pin {
        prefix: prefix.parse().unwrap(),
        member: members.local(),
    };
    let moved = (number > 0).then(|| pin(format!("moved-{number}/")));
    let pins = Pins::new(moved.into_iter().collect()).unwrap();
    View::new(
        members,
        Placement::Rendezvous,
        &(*b"loremipsumdolors").into(),
        pins,
    )
}

fn report(member: usize, view: &View, describes: bool) -> Answer {
    Answer {
        member: format!("registry-{member}"),
        replica_up: true,
        draining: false,
        closing: false,
        report: Report {
            view: view.fingerprint().to_string(),
            start: format!("process-{member}"),
            up_ms: 3_600_000,
            replica: format!("10.0.{}.{}:5000", member / 256, member % 256),
            description: describes.then(|| view.describe()),
            ..Report::default()
        },
    }
}

/// What a member answers that has just taken this view.
pub fn answer_with_view(member: usize, number: usize) -> Vec<u8> {
    serde_json::to_vec(&report(member, &view(number), true)).unwrap()
}

impl Fleet {
    /// All members have told their views, of which there are so many.
    pub fn new(views: usize) -> Self {
        let rules = Rules {
            aftermath: Duration::from_secs(30),
            patience: Duration::from_secs(20),
        };
        let ours = Arc::new(view(0));
        // In dispute by none of the views.
        let names = (0..).map(|number| format!("library/app-{number}"));
        let is_ours =
            |name: &String| ours.owner(&Repository::parse(name).unwrap()) == ours.members().local();
        let repository = names.into_iter().find(is_ours).unwrap().into();
        let peers = ours.members().peers();
        let parties = peers.map(|(_, member)| PartyId::of(member)).collect();
        let (process, replica) = (ProcessId::new("process-0"), ReplicaId::new("10.0.0.0:5000"));
        let (ownership, snapshot) =
            Ownership::new(process, ours, replica, rules, None, Duration::ZERO);
        let mut fleet = Self {
            ownership,
            snapshot,
            parties,
            now: Duration::from_secs(1),
            repository,
        };
        let views: Vec<View> = (0..views).map(view).collect();
        for member in 1..MEMBERS {
            // As a probe has it: a view is described once.
            let told = report(member, &views[member % views.len()], member <= views.len());
            fleet.take(member, &serde_json::to_vec(&told).unwrap());
        }
        // Nobody has been silent meanwhile, so this process knows all after `aftermath`.
        while fleet.now < Duration::from_secs(60) {
            fleet.step(Event::Tick);
            fleet.now += Duration::from_secs(1);
        }
        assert!(fleet.snapshot.is_settled());
        fleet
    }

    /// What this member answers when nothing has changed.
    pub fn answer(&self, member: usize) -> Vec<u8> {
        let party = &self.parties[member - 1];
        let known = self.ownership.known_views(party);
        let mut told = report(member, &view(0), false);
        told.report.view = known[0].to_string();
        serde_json::to_vec(&told).unwrap()
    }

    /// Takes an answer, as a probe does.
    pub fn take(&mut self, member: usize, answer: &[u8]) {
        let told: Answer = serde_json::from_slice(answer).unwrap();
        let event = Event::Told {
            party: self.parties[member - 1].clone(),
            round: self.snapshot.round,
            asked_at: Moment::ZERO,
            contradicted_at: None,
            reply: Reply::Report(Box::new(told.report)),
        };
        self.step(event);
    }

    fn step(&mut self, event: Event) {
        for effect in self.ownership.step(event, self.now) {
            if let Effect::Publish(snapshot) = effect {
                self.snapshot = snapshot;
            }
        }
    }

    /// What the request path reads.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// Has a write checked, and ends it.
    pub fn write(&self, snapshot: &Snapshot) {
        let write = snapshot.ledger.begin(&self.repository, false).unwrap();
        let repository = Repository::parse(&self.repository).unwrap();
        let verdict = snapshot.may_write(&repository, self.now, self.now);
        assert_eq!(verdict, Verdict::Admit);
        snapshot.ledger.end(write, WriteEnd::Done);
    }

    /// One that asks.
    pub fn asker(&self, knows_our_view: bool, wants_witness: bool) -> Asker {
        let view = view(usize::from(!knows_our_view));
        Asker {
            member: Some("registry-7".parse().unwrap()),
            process: ProcessId::new("process-7"),
            view: Some(*view.fingerprint()),
            knows: Vec::new(),
            wants_witness,
        }
    }

    /// The answer that it gets.
    pub fn report(&self, asker: &Asker) -> Vec<u8> {
        serde_json::to_vec(&Answer {
            member: "registry-0".into(),
            replica_up: true,
            draining: false,
            closing: false,
            report: self.ownership.report(asker, self.now),
        })
        .unwrap()
    }
}
