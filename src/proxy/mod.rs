//! A request's story, and no policy: what to do with a request is decided by [`crate::shard::plan`], whom
//! to call is known to [`crate::upstream`], and what to answer when it fails stands in
//! [`crate::http::respond`]. This module carries it out.
//!
//! ```text
//! head ── intake: route, owner, plan ── writing: may it be written here? ──► answered here, or
//!   └► entry: a place, leave of the circuit ── attempt: connect, send, judge the answer's head
//!        │                                        └► relay: bodies both ways ──► record
//!        └── hold: waits for its owner, and is planned anew
//! ```

mod answer;
mod attempt;
pub(crate) mod back;
mod circuit;
mod client;
mod entry;
mod exchange;
mod hold;
mod hop;
mod intake;
pub(crate) mod onward;
mod record;
mod relay;
mod target;
mod times;
mod verdict;
mod writing;

use exchange::Exchange;

use std::sync::Arc;

use crate::http::client::Client;
use crate::http::request::RequestHead;
use crate::http::respond::Failure;
use crate::http::{Refused, Serve};
use crate::member::state::State;
use crate::shard::Arrival;
use entry::Shut;
use hold::{Awaited, Denied};
use intake::Taken;
use verdict::Setback;

/// The proxy behind one listener.
pub(crate) struct Proxy {
    arrival: Arrival,
    state: Arc<State>,
}

impl Proxy {
    /// Requests that come in by this listener are of this arrival, whatever they say.
    pub(crate) fn new(arrival: Arrival, state: Arc<State>) -> Self {
        Self { arrival, state }
    }
}

impl Serve for Proxy {
    async fn serve(&self, request: &RequestHead<'_>, client: &mut Client<'_>) {
        let state = &self.state;
        let _in_flight = state.metrics.request_begins(self.arrival);
        let mut exchange = Exchange::new(request, client.end, state.generation(), self.arrival);
        let ctx = &mut exchange;
        ctx.is_http2 = client.is_http2();
        intake::trace(state, ctx);
        // Here and below, what few requests come by is in a box: every request's task would be as large.
        let served = match self.receive(client, ctx).await {
            Ok(Taken::State) => return Box::pin(self.tell_state(client, ctx)).await,
            Ok(Taken::Planned) => {
                let carried_out = self.carry_out(client, ctx).await;
                carried_out.inspect_err(|failure| hold::fails(state, ctx, failure))
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = served {
            Box::pin(self.fail(client, ctx, failure)).await;
        }
        ctx.give_back();
        record::ended(state, client, ctx);
        if ctx
            .failure
            .as_ref()
            .is_none_or(|failure| !failure.is_of_a_lost_client())
        {
            answer::read_away(state, ctx, &mut client.source).await;
        }
    }

    fn refused(&self, refused: &Refused<'_>) {
        record::refused(self.arrival, &self.state, refused);
    }
}

impl Proxy {
    /// Finds out what a request is and what is to be done with it, as soon as that can be done.
    async fn receive(
        &self,
        client: &mut Client<'_>,
        ctx: &mut Exchange<'_>,
    ) -> Result<Taken, Failure> {
        match self.plan(ctx) {
            Ok(taken) => Ok(taken),
            Err(denied) => Box::pin(self.receive_after(client, ctx, denied)).await,
        }
    }

    /// The same, after it was denied.
    async fn receive_after(
        &self,
        client: &mut Client<'_>,
        ctx: &mut Exchange<'_>,
        mut denied: Denied,
    ) -> Result<Taken, Failure> {
        loop {
            let waited = hold::wait(&self.state, &mut client.source, ctx, denied).await;
            let _turn = waited.inspect_err(|_| hold::end(&self.state, ctx))?;
            ctx.begin_anew(self.state.next_generation());
            match self.plan(ctx) {
                Ok(taken) => return Ok(taken),
                Err(again) => denied = again,
            }
        }
    }

    fn plan(&self, ctx: &mut Exchange<'_>) -> Result<Taken, Denied> {
        let taken = intake::take_in(&self.state, ctx)?;
        if taken == Taken::Planned {
            writing::admit(&self.state, ctx)?;
        }
        Ok(taken)
    }

    /// Has the request served, by another upstream or later if need be.
    async fn carry_out(
        &self,
        client: &mut Client<'_>,
        ctx: &mut Exchange<'_>,
    ) -> Result<(), Failure> {
        let state = &self.state;
        let mut anew = false;
        loop {
            let unsent = match entry::enter(state, &mut client.source, ctx).await {
                Ok(route) => {
                    match attempt::attempt(state, client, ctx, &route, anew).await {
                        Ok(()) => return Ok(()),
                        Err(Setback::Over(failure)) => return Err(failure),
                        Err(Setback::Unsent(failure)) => failure,
                        Err(setback) => {
                            // The place and the leave are still good if it goes the same way.
                            anew = setback == Setback::Again;
                            ctx.retries += 1;
                            state.metrics.retry(verdict::upstream_of(ctx));
                            continue;
                        }
                    }
                }
                Err(Shut::Over(failure)) => return Err(failure),
                Err(Shut::For(_)) if verdict::divert(ctx) => continue,
                Err(Shut::For(failure)) => failure,
            };
            // Nothing was sent: it may wait, and be planned anew.
            anew = false;
            let called = entry::called(&ctx.generation, ctx.plan).map(|(member, ..)| member);
            let member = called.unwrap_or_else(|| ctx.generation.view.members().local());
            let awaited = if matches!(unsent, Failure::Handover | Failure::LeaseOver) {
                Awaited::lease(state)
            } else {
                Awaited::member(ctx, member)
            };
            ctx.step_back();
            let denied = Denied::Wait(unsent, awaited);
            Box::pin(self.receive_after(client, ctx, denied)).await?;
        }
    }
}
