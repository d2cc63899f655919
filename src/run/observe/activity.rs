//! What happened lately, as the admin listener shows it.

use std::time::Duration;

use crate::member::state::State;
use crate::observe::human;
use crate::observe::recent::{Busy, CURVE_SECONDS, Change, ErrorLine, Traffic};
use crate::operate::activity::{
    Activity, ChangeEntry, ErrorEntry, MemberActivity, RepositoryActivity,
};
use crate::shard::{Repository, View};

/// Repositories that are shown.
const BUSIEST: usize = 10;

pub(super) fn shown(state: &State) -> Activity {
    let (recent, generation) = (&state.metrics.recent, state.generation());
    let (now, view) = (recent.now(), &generation.view);
    let members = view.members().iter().filter_map(|(index, member)| {
        let traffic = generation.metrics.traffic(index)?;
        Some(curve(member.id.to_string(), traffic, now))
    });
    let repositories = recent.repositories.shown(now, BUSIEST);
    let errors = recent.errors.shown();
    let changes = recent.changes.shown();
    Activity {
        members: members.collect(),
        repositories: repositories.iter().map(|one| busy(one, view)).collect(),
        errors: errors.iter().map(error).collect(),
        changes: changes.iter().map(change).collect(),
    }
}

fn curve(id: String, traffic: &Traffic, now: Duration) -> MemberActivity {
    let curve = traffic.shown(now).curve;
    MemberActivity {
        id,
        slot_seconds: CURVE_SECONDS / curve.len().max(1) as u64,
        requests: curve.iter().map(|slot| slot.0).collect(),
        errors: curve.iter().map(|slot| slot.1).collect(),
    }
}

fn busy(busy: &Busy, view: &View) -> RepositoryActivity {
    let owner = Repository::parse(&busy.repository).map(|name| view.owner(&name));
    let owner = owner.map(|owner| view.members().get(owner).id.to_string());
    RepositoryActivity {
        repository: busy.repository.to_string(),
        owner: owner.unwrap_or_default(),
        requests_per_second: busy.requests_per_second,
        errors_per_second: busy.errors_per_second,
        bytes_per_second: busy.bytes_per_second,
    }
}

fn error(line: &ErrorLine) -> ErrorEntry {
    ErrorEntry {
        at: human::rfc3339(line.at),
        request_id: line.request_id.to_string(),
        operation: line.operation.to_owned(),
        repository: line.repository.as_deref().map(str::to_owned),
        member: line.member.to_string(),
        status: line.status,
        reason: line.reason.to_owned(),
    }
}

fn change(change: &Change) -> ChangeEntry {
    ChangeEntry {
        at: human::rfc3339(change.at),
        kind: change.kind.as_str().to_owned(),
        text: change.text.clone(),
    }
}
