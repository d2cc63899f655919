//! A write on its hop to the owner, while who owns what may change.
//!
//! A body that was touched is never sent again. So a write whose body is too large to be kept goes with its
//! head alone, and says so (`x-shardlet-invite`). The owner invites the body, by a `100 Continue` with the
//! same field, once it has counted the write in and reached its replica. Until then no replica can have the
//! whole of the request: whatever the owner answers instead, and whatever becomes of it, the write may wait
//! and be planned anew, with nothing of its body read.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::attempt::Broken;
use super::{Exchange, client, hold};
use crate::http::Scratch;
use crate::http::client::{Sink, Source};
use crate::http::request::Method;
use crate::http::respond::{Failure, wire as fields};
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::peers::wire;
use crate::shard::{Arrival, Member, MemberIndex, Plan, Repository};

/// How long an answer may be on its way that an owner has given before it was out of the view; also one that
/// sends the write to the next owner.
const LAST_WORD: Duration = Duration::from_secs(5);

/// A write that is forwarded, and to whom.
pub(super) struct Hop<'a> {
    state: &'a State,
    generation: Arc<Generation>,
    owner: MemberIndex,
    repository: Repository<'a>,
    /// Whether the head goes alone.
    pub(super) asks: bool,
    /// Whether the body may follow it.
    invited: AtomicBool,
    invitation: Notify,
}

impl<'a> Hop<'a> {
    /// None for what is not forwarded, or reads.
    pub(super) fn of(state: &'a State, ctx: &Exchange<'a>) -> Option<Self> {
        let (false, Some(Plan::Forward(owner)), Some(repository)) =
            (ctx.reads, ctx.plan, ctx.repository)
        else {
            return None;
        };
        let generation = ctx.generation.clone();
        // Others may do with the head alone what is asked for.
        let writes_its_body = matches!(
            ctx.request.method(),
            Method::Put | Method::Patch | Method::Post
        );
        let asks = writes_its_body
            && !Source::keeps(ctx.request.body())
            && generation.peer_state(owner).invites();
        Some(Self {
            state,
            generation,
            owner,
            repository,
            asks,
            invited: AtomicBool::new(!asks),
            invitation: Notify::new(),
        })
    }

    /// Whether the owner was last known by our view, and so takes the repository for its own. If it does not all the
    /// same, it turns the write away, which waits here.
    pub(super) fn is_agreed(&self) -> bool {
        let ours = self.generation.view.fingerprint();
        self.generation.peer_state(self.owner).has_view(ours)
    }

    /// The owner takes the body.
    pub(super) fn invite(&self) {
        self.invited.store(true, Ordering::Relaxed);
        self.invitation.notify_one();
    }

    /// Whether nothing of the body was sent, nor will be.
    pub(super) fn is_uninvited(&self) -> bool {
        !self.invited.load(Ordering::Relaxed)
    }

    /// Waits until the body may be sent.
    ///
    /// # Errors
    /// The client has left; or it is of no use to wait for this owner.
    pub(super) async fn invited(&self, source: &mut Source<'_>) -> Result<(), Broken> {
        let owner = self.generation.peer_state(self.owner);
        let mut news = owner.changes();
        let mut leaves = pin!(client::leaves(self.state, source));
        let mut was_asked = false;
        while self.is_uninvited() {
            if !owner.invites() {
                // It is of a release that takes bodies as they come.
                self.invite();
            } else if !owner.health().is_usable() || self.has_moved() {
                return Err(Broken::OwnerGone);
            } else {
                tokio::select! {
                    biased;
                    () = self.invitation.notified() => {}
                    failure = &mut leaves => return Err(Broken::Client(failure)),
                    _ = news.changed() => {}
                    () = hold::look(self.state) => {
                        // It may be silent, or another release by now.
                        if !std::mem::replace(&mut was_asked, true) {
                            owner.wake();
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the view in force gives the repository to another.
    fn has_moved(&self) -> bool {
        let now = self.state.generation();
        let members = now.view.members();
        !Arc::ptr_eq(&now, &self.generation)
            && !is_same(members.get(now.view.owner(&self.repository)), self.owner())
    }

    /// Returns when no answer is to be waited for any more: the owner's lease is over, and others own what
    /// it did. Never where members hold no leases: there only the owner can come back.
    pub(super) async fn lost(&self) {
        let mut generations = self.state.generations();
        let is_out = |now: &Arc<Generation>| {
            let mut members = now.view.members().owners();
            now.epoch.is_some() && !members.any(|(_, member)| is_same(member, self.owner()))
        };
        if generations.wait_for(is_out).await.is_err() {
            // The process ends.
            return std::future::pending().await;
        }
        tokio::time::sleep(LAST_WORD).await;
    }

    fn owner(&self) -> &Member {
        self.generation.view.members().get(self.owner)
    }
}

fn is_same(one: &Member, other: &Member) -> bool {
    one.id == other.id && one.address == other.address
}

/// Whether whoever has sent this may keep its body back, and send it or not behind our answer.
pub(super) fn may_keep_body(ctx: &Exchange<'_>) -> bool {
    ctx.request.expects_continue() || (asks(ctx) && !ctx.is_invited)
}

/// Whether a peer keeps the body back until it is invited.
pub(super) fn asks(ctx: &Exchange<'_>) -> bool {
    ctx.arrival == Arrival::Peer && ctx.request.internal(wire::INVITE).is_some()
}

/// Invites it, once: nothing that comes behind has the request sent again.
///
/// # Errors
/// The peer has left.
pub(super) async fn invite(sink: &mut Sink<'_>) -> Result<(), Failure> {
    let mut head = Scratch::take();
    head.extend_from_slice(b"HTTP/1.1 100 Continue\r\n");
    fields::write_field(&mut head, wire::INVITE, b"1");
    head.extend_from_slice(b"\r\n");
    sink.interim(&head).await
}
