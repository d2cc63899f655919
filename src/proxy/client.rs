//! Who the client is, and whether it still waits for its answer.

use super::{Exchange, hold, onward};
use crate::http::client::Source;
use crate::http::respond::Failure;
use crate::http::transfers;
use crate::member::state::State;

/// Whom a transfer is counted for. Many clients stand behind a trusted proxy: they count by the
/// address that it tells.
pub(crate) fn whose<'r>(ctx: &Exchange<'r>) -> transfers::Client<'r> {
    transfers::Client {
        address: onward::client(ctx.request, &downstream(ctx)),
        connection: &ctx.end.transfers,
        is_multiplexed: ctx.is_http2,
    }
}

/// Who is at the other end of a client connection.
pub(crate) fn downstream<'g>(ctx: &'g Exchange<'_>) -> onward::Downstream<'g> {
    onward::Downstream {
        address: ctx.end.address.map(|end| end.ip().to_canonical()),
        tls: ctx.end.tls.is_some(),
        // Its address is the proxy's, what it says its own.
        trusted_proxies: if ctx.end.is_unknown {
            &[]
        } else {
            &ctx.generation.trusted_proxies
        },
    }
}

/// Returns when nobody waits for the answer any more, and why.
pub(crate) async fn leaves(state: &State, source: &mut Source<'_>) -> Failure {
    if source.notices() {
        return source.gone().await;
    }
    // To see the end of the connection, the body before it would have to be read: the kernel knows
    // without.
    while !source.looks_gone() {
        hold::look(state).await;
    }
    Failure::ClientGone
}
