//! What requests tell the circuit of their upstream.

use super::{Exchange, entry};
use crate::http::respond::Failure;
use crate::shard::{CircuitState, Outcome};

/// The upstream has answered, whatever: it is there.
pub(crate) fn succeeded(ctx: &mut Exchange<'_>) {
    record(ctx, Outcome::Success);
}

/// The upstream could not be reached, broke off or was silent for too long, all before the head of
/// its answer. Anything else that went wrong says nothing of it.
pub(crate) fn failed(ctx: &mut Exchange<'_>, failure: &Failure) {
    let counts = matches!(
        failure,
        Failure::UpstreamRefused
            | Failure::UpstreamConnectTimeout
            | Failure::UpstreamTls
            | Failure::UpstreamTimeout
            | Failure::UpstreamReset
    );
    if counts {
        record(ctx, Outcome::Failure);
    }
}

fn record(ctx: &mut Exchange<'_>, outcome: Outcome) {
    let Some(pass) = ctx.pass.take() else {
        return;
    };
    let changed = pass.record(outcome);
    if changed.is_none() && outcome != Outcome::Failure {
        return;
    }
    let generation = &ctx.generation;
    let Some((index, peer_state, _)) = entry::called(generation, ctx.plan) else {
        return;
    };
    if outcome == Outcome::Failure {
        // The probes are to find out what it is.
        peer_state.wake();
    }
    let Some(changed) = changed else {
        return;
    };
    let member = &generation.view.members().get(index).id;
    match changed {
        CircuitState::Closed => {
            generation.metrics.circuit_closes(index);
            peer_state.note_change();
            tracing::info!(upstream = %member, "circuit closed: requests go there again");
        }
        CircuitState::Open | CircuitState::HalfOpen => {
            generation.metrics.circuit_opens(index);
            tracing::warn!(upstream = %member, "circuit opened: requests are answered or sent elsewhere at once");
        }
    }
}
