//! Each rule left out is missed: by runs, or by a directed schedule. `docs/safety.md` says by which.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::super::omit::{OMITTED, Rule};
use super::plan::Plan;
use super::search::{Outcome, number_of, run, run_all};

/// The page is written with the shortest traces of so many seeds.
const SEEDS: u64 = 400;

const BEGIN: &str = "<!-- mutants -->\n";
const END: &str = "<!-- end of mutants -->";

pub(super) struct Without;

impl Without {
    pub(super) fn rules(rules: &'static [Rule]) -> Self {
        OMITTED.set(rules);
        Self
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        OMITTED.set(&[]);
    }
}

/// Rules that are left out, or something else that the rules rest on.
struct Mutant {
    /// None where rules are left out, which say it themselves.
    what: Option<&'static str>,
    rules: &'static [Rule],
    kind: &'static str,
    plan: Plan,
}

impl Mutant {
    fn name(&self) -> String {
        let names: Vec<String> = self.rules.iter().map(|rule| format!("{rule:?}")).collect();
        self.what.map_or_else(|| names.join(" and "), Into::into)
    }

    /// How its row begins.
    fn title(&self) -> String {
        match (self.what, self.rules) {
            (Some(what), _) => format!("| *{what}* | |"),
            (None, rules) => title(rules),
        }
    }

    fn seen_with(&self, seed: u64) -> Outcome {
        let _without = Without::rules(self.rules);
        run(&self.plan, seed)
    }

    /// The fault with the shortest trace.
    fn shortest(&self) -> Option<Outcome> {
        let seeds: Vec<u64> = (0..number_of("SHARDLET_SEEDS").unwrap_or(SEEDS)).collect();
        let all = run_all(&self.plan, &seeds, self.rules, false);
        let faults = all.into_iter().filter(|run| run.fault.is_some());
        faults.min_by_key(|run| run.steps)
    }

    fn row(&self, outcome: &Outcome) -> String {
        let (seed, steps) = (outcome.seed, outcome.steps);
        let fault = outcome.fault.as_deref().unwrap_or("nothing");
        format!(
            "{} {} | {seed} | {steps} | {fault} |\n",
            self.title(),
            self.kind
        )
    }
}

/// How the row of these rules begins.
fn title(rules: &[Rule]) -> String {
    let names: Vec<String> = rules.iter().map(|rule| format!("{rule:?}")).collect();
    let said: Vec<String> = names.iter().map(|name| said(name)).collect();
    format!("| {} | {} |", said.join(" "), names.join(" and "))
}

/// What a rule says, as the code has it.
fn said(name: &str) -> String {
    let lines: Vec<&str> = OMIT.lines().map(str::trim).collect();
    let at = lines
        .iter()
        .position(|line| line.strip_suffix(',') == Some(name));
    let before = &lines[..at.unwrap()];
    let begin = before
        .iter()
        .rposition(|line| line.ends_with(',') || line.ends_with('{'));
    let said = before[begin.unwrap()..].iter();
    let said: Vec<&str> = said.filter_map(|line| line.strip_prefix("/// ")).collect();
    said.join(" ")
}

const OMIT: &str = include_str!("../omit.rs");

fn mutants() -> Vec<Mutant> {
    let rules_left_out = left_out().into_iter().map(|(rules, kind, plan)| Mutant {
        what: None,
        rules,
        kind,
        plan,
    });
    let not_borne = not_borne().into_iter().map(|(what, kind, plan)| Mutant {
        what: Some(what),
        rules: &[],
        kind,
        plan,
    });
    rules_left_out.chain(not_borne).collect()
}

fn left_out() -> Vec<(&'static [Rule], &'static str, Plan)> {
    use Rule as R;
    let (rough, sharp, busy) = (Plan::rough, Plan::sharp, Plan::busy);
    let lost = Plan {
        answer_lost: 400,
        ..sharp()
    };
    let late = Plan {
        late: 300,
        crashes: 20,
        cuts: 60,
        ..rough()
    };
    let clones = Plan {
        clones: 60,
        stops: 80,
        ..Plan::clones()
    };
    let zot = Plan {
        leaves: 0,
        crashes: 40,
        ..Plan::zot()
    };
    let comings = Plan {
        members: 8,
        running: 3,
        leaves: 60,
        crashes: 30,
        ..busy()
    };
    vec![
        (&[R::CountFromSending], "sharp", sharp()),
        (&[R::CountFromFirstTry], "sharp, many answers lost", lost),
        (&[R::DoubtUnknown], "rough", rough()),
        (&[R::KnowOwnPut], "rough", rough()),
        (&[R::KnowClone], "clones", clones.clone()),
        (&[R::SeeRenewals], "rough", rough()),
        (&[R::WaitForGrace], "busy", busy()),
        (&[R::SkipFailures], "outages", Plan::outages()),
        (&[R::FenceWhatWasSeen], "rough, many late calls", late),
        (&[R::RemoveOnlyOver], "rough", rough()),
        (&[R::ReplaceWhatWasRead], "rough", rough()),
        (&[R::DoubtMissing], "strays", Plan::strays()),
        (
            &[R::DeclareLongGrace],
            "rough, L1",
            Plan::killed_by_itself_alone(),
        ),
        (&[R::GoBeyondForgotten], "tidied", Plan::tidied()),
        (&[R::BeginAnew], "rough", rough()),
        (&[R::ProveDeath], "clones", clones),
        (&[R::AwaitWrites], "rough", rough()),
        (&[R::AwaitAcknowledgement], "rough", rough()),
        (&[R::MindWholeChain], "zot placement, more crashes", zot),
        (
            &[R::JoinWhenSettled, R::MindWholeChain],
            "busy, comings and goings",
            comings,
        ),
        (&[R::AskAtLastByte], "busy", busy()),
        (&[R::MindClocks], "suspensions", Plan::suspended()),
        (&[R::MindOtherRules], "by a file", Plan::beside_a_file()),
    ]
}

/// What the rules rest on.
fn not_borne() -> Vec<(&'static str, &'static str, Plan)> {
    vec![
        (
            "a replica works on a write for up to 60 s, with a grace of 5 s",
            "rough",
            Plan::slow_replica(),
        ),
        (
            "a watchdog takes up to 20 s, instead of 2 s",
            "rough, L1 with a watchdog, much is written",
            Plan::slow_watchdog(),
        ),
        (
            "a process is stopped between the last look and the last byte",
            "calm",
            Plan::stopped_at_last_byte(),
        ),
        (
            "a machine stands still, and none of its clocks tells",
            "suspensions",
            Plan::unnoticed_suspensions(),
        ),
    ]
}

const DIRECTED_FILE: &str = include_str!("directed.rs");
const HEALING: &str = include_str!("healing.rs");
const JOINING: &str = include_str!("joining.rs");
const LIVENESS: &str = include_str!("liveness.rs");
const RULES: &str = include_str!("rules.rs");

/// Rules that a directed schedule misses: in which test, and its file.
static DIRECTED: [(Rule, &str, &str); 10] = [
    (
        Rule::WaitFromAnswer,
        "rules::the_waiting_begins_with_the_answer",
        RULES,
    ),
    (
        Rule::CountByBothClocks,
        "rules::a_clock_that_is_too_fast_is_not_believed",
        RULES,
    ),
    (
        Rule::NeverGoBack,
        "rules::a_store_that_went_back_freezes_who_has_seen_more",
        RULES,
    ),
    (
        Rule::AddOnlyRenewed,
        "joining::who_joins_does_not_add_the_dead",
        JOINING,
    ),
    (
        Rule::CountOnlyFenced,
        "joining::leaving_members_do_not_delay_the_removal_of_a_dead_one",
        JOINING,
    ),
    (
        Rule::GoBeyondDeleted,
        "joining::a_deleted_lease_is_followed_by_another_incarnation",
        JOINING,
    ),
    (
        Rule::GiveBackEarlyLease,
        "liveness::who_goes_early_is_gone",
        LIVENESS,
    ),
    (
        Rule::MindClocksOfLostAnswers,
        "directed::a_renewal_that_a_read_finds_done_has_its_own_clocks",
        DIRECTED_FILE,
    ),
    (
        Rule::EndLoops,
        "healing::who_crashes_again_and_again_keeps_no_view_open",
        HEALING,
    ),
    (Rule::TakeTurns, "healing::many_start_at_once", HEALING),
];

fn page() -> (PathBuf, String) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut pages = folder.ancestors().map(|at| at.join("docs/safety.md"));
    let path = pages.find(|page| page.is_file()).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The part of the page that is written.
fn part(page: &str) -> (usize, usize) {
    let begin = page.find(BEGIN).unwrap() + BEGIN.len();
    (begin, begin + page[begin..].find(END).unwrap())
}

/// The seed in the row of this mutant.
fn seed_of(mutant: &Mutant, table: &str) -> Option<u64> {
    let begin = format!("{} {} |", mutant.title(), mutant.kind);
    let row = table.lines().find(|row| row.starts_with(&begin))?;
    row.split('|').nth(4)?.trim().parse().ok()
}

fn table(mutants: &[Mutant], outcomes: &[Option<Outcome>]) -> String {
    let head = "| left out | name | kind of run | seed | steps | what is seen |";
    let mut table = format!("\n{head}\n|---|---|---|---|---|---|\n");
    for (mutant, outcome) in mutants.iter().zip(outcomes) {
        let outcome = outcome.as_ref();
        let outcome = outcome.unwrap_or_else(|| panic!("{} is not missed", mutant.name()));
        table += &mutant.row(outcome);
    }
    for (rule, test, _) in DIRECTED {
        let _ = writeln!(table, "{} directed: `{test}` | | | |", title(&[rule]));
    }
    table.push('\n');
    table
}

/// The page says how each is seen, by the shortest trace that was found; here that is replayed.
#[test]
fn each_rule_is_missed() {
    let (path, page) = page();
    let (begin, end) = part(&page);
    let mutants = mutants();
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let seen = |mutant: &Mutant| {
        if update {
            return mutant.shortest();
        }
        let seen = mutant.seen_with(seed_of(mutant, &page[begin..end])?);
        seen.fault.is_some().then_some(seen)
    };
    let outcomes: Vec<_> = mutants.iter().map(seen).collect();
    let wanted = format!(
        "{}{}{}",
        &page[..begin],
        table(&mutants, &outcomes),
        &page[end..]
    );
    if update {
        fs::write(path, &wanted).unwrap();
    }
    assert!(
        update || page == wanted,
        "write the page by UPDATE_DOCS=1 cargo test -p shardlet-simulation mutants: wanted\n{}",
        &wanted[begin..]
    );
}

/// One of them at work: `SHARDLET_WITHOUT=KnowClone SHARDLET_SEED=17`.
#[test]
fn one_is_replayed() {
    let Ok(name) = std::env::var("SHARDLET_WITHOUT") else {
        return;
    };
    let mutants = mutants();
    let mutant = mutants.iter().find(|mutant| mutant.name() == name);
    let mutant = mutant.unwrap_or_else(|| panic!("nothing is called {name}"));
    let seed = number_of("SHARDLET_SEED").unwrap_or(0);
    println!("{:?}", mutant.seen_with(seed));
}

/// No rule can be left out unseen.
#[test]
fn each_rule_has_its_row() {
    let mutants = mutants();
    let rules = mutants.iter().flat_map(|mutant| mutant.rules);
    let rules = rules.chain(DIRECTED.iter().map(|(rule, ..)| rule));
    let named: Vec<String> = rules.map(|rule| format!("{rule:?}")).collect();
    let (_, all) = OMIT.split_once("enum Rule {").unwrap();
    let (all, _) = all.split_once('}').unwrap();
    for line in all.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(',') {
            assert!(named.iter().any(|named| named == name), "{name}");
        }
    }
    for (rule, test, file) in DIRECTED {
        let (_, test) = test.split_once("::").unwrap();
        let (_, body) = file.split_once(&format!("fn {test}()")).unwrap();
        let body = body.split_once("#[test]").map_or(body, |(body, _)| body);
        assert!(body.contains(&format!("Rule::{rule:?}")), "{rule:?}");
    }
}
