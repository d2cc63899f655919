//! What another member tells of itself and of others, step by step.
#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shardlet::shard::ownership::{
    Asker, Effect, Event, Moment, NoAnswer, Ownership, PartyId, ProcessId, ReplicaId, Reply, Report, Rules, Snapshot,
    Verdict,
};
use shardlet::shard::{Repository, View};
use shardlet_fuzz::load_alone;

const CONFIG: &str = "member: a
cluster: { insecure: true, members: [ { id: a, address: a:1 }, { id: b, address: b:1 }, { id: c, address: c:1 } ] }";
const AFTERMATH: Duration = Duration::from_secs(30);
/// Reports of one input are separated by these bytes.
const NEXT: u8 = b'\n';

fn ours() -> &'static Arc<View> {
    static VIEW: OnceLock<Arc<View>> = OnceLock::new();
    VIEW.get_or_init(|| {
        Arc::new(load_alone(CONFIG).expect("a good configuration").view)
    })
}

/// What the fuzzer cannot guess is put in: our fingerprint, our key, our id.
fn known_to_insiders(mut report: Report) -> Report {
    let print = ours().fingerprint().to_string();
    if report.view.is_empty() {
        report.view.clone_from(&print);
    }
    if let Some(description) = &mut report.description
        && description.key.is_empty()
    {
        *description = ours().describe();
    }
    if let Some(witness) = &mut report.seen {
        for seen in &mut witness.claims {
            if seen.view.as_deref() == Some("") {
                seen.view = Some(print.clone());
            }
        }
    }
    report
}

struct Member {
    ownership: Ownership,
    snapshot: Arc<Snapshot>,
    now: Moment,
}

impl Member {
    fn new() -> Self {
        let rules = Rules { aftermath: AFTERMATH, patience: AFTERMATH };
        let (process, replica) = (ProcessId::new("ours"), ReplicaId::new("r"));
        let (ownership, snapshot) =
            Ownership::new(process, ours().clone(), replica, rules, None, Duration::ZERO);
        Self { ownership, snapshot, now: Duration::ZERO }
    }

    fn step(&mut self, event: Event) {
        for effect in self.ownership.step(event, self.now) {
            if let Effect::Publish(snapshot) = effect {
                self.snapshot = snapshot;
            }
        }
    }

    fn told(&mut self, party: &PartyId, reply: Reply) {
        let round = self.snapshot.round;
        let asked_at = self.now;
        let party = party.clone();
        self.step(Event::Told { party, round, asked_at, contradicted_at: None, reply });
    }

    fn verdict(&self) -> Verdict {
        let repository = Repository::parse("team/app").expect("a name");
        self.snapshot.may_write(&repository, self.now, self.now)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (mut member, mut knows) = (Member::new(), false);
    let parties: Vec<PartyId> = ours().members().peers().map(|(_, peer)| PartyId::of(peer)).collect();
    for (at, text) in bytes.split(|byte| *byte == NEXT).enumerate() {
        let Ok(report) = serde_json::from_slice::<Report>(text) else { continue };
        let report = known_to_insiders(report);
        let party = &parties[at % parties.len()];
        knows |= report.seen.as_ref().is_some_and(|seen| seen.complete) || member.now >= AFTERMATH;
        member.told(party, Reply::Report(Box::new(report)));
        assert!(knows || !member.snapshot.is_settled(), "a process that was told too little is settled");
        member.now += Duration::from_secs(1);
        member.step(Event::Unanswered {
            party: party.clone(),
            round: member.snapshot.round,
            asked_at: member.now,
            last_request: None,
            why: NoAnswer::Silent,
        });
    }
    // What we tell of it can be read again, by a member that knows nothing yet.
    let id = parties[0].member.clone();
    let asker = Asker { member: Some(id), wants_witness: true, ..Asker::default() };
    let told = serde_json::to_vec(&member.ownership.report(&asker, member.now)).expect("a report");
    let told: Report = serde_json::from_slice(&told).expect("what was written can be read");
    let mut other = Member::new();
    other.told(&parties[0], Reply::Report(Box::new(told)));

    // Whatever was told, it ends: who agrees with us is not in the way when the rest is over.
    for party in &parties {
        let agrees = Report { view: ours().fingerprint().to_string(), start: "new".into(), ..Report::default() };
        member.told(party, Reply::Report(Box::new(agrees)));
    }
    for _ in 0..=2 * AFTERMATH.as_secs() {
        member.now += Duration::from_secs(1);
        member.step(Event::Tick);
    }
    assert!(member.snapshot.is_settled());
    if member.ownership.asked_parties().count() == parties.len() {
        let verdict = member.verdict();
        assert!(verdict == Verdict::Admit || told_for_longer(bytes), "{verdict:?}");
    }
});

/// Witnesses say for how long something counts, and may say more than we can wait here.
fn told_for_longer(bytes: &[u8]) -> bool {
    bytes.windows(b"left_ms".len()).any(|word| word == b"left_ms")
}
