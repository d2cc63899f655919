//! One attempt to have a request served by one upstream.

use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use pingora::http::ResponseHeader;

use super::back::{self, Back};
use super::hop::{self, Hop};
use super::onward::{self, Onward, PeerFields};
use super::relay::{Download, Upload};
use super::verdict::{self, Setback};
use super::{Exchange, circuit, client, entry, hold, intake};
use crate::http::Scratch;
use crate::http::buffer::{Buffer, LARGE};
use crate::http::client::{Client, Framing, Piece, Sink, Source};
use crate::http::date;
use crate::http::fields::Fields;
use crate::http::limit::{Moment, within};
use crate::http::line::Line;
use crate::http::request::{Method, Version};
use crate::http::respond::Failure;
use crate::http::response::{self, ResponseBody, ResponseHead, Scanner};
use crate::member::state::{Phase, State};
use crate::member::writes::WriteGuard;
use crate::observe::metrics::Upstream;
use crate::peers::wire;
use crate::shard::{Arrival, Plan};
use crate::upstream::{ConnectError, Connection, PEER_GRACE, Route};

/// Who broke off.
#[derive(Debug)]
pub(super) enum Broken {
    Client(Failure),
    Upstream(io::Error),
    /// We did, before anything of it was sent: it must not be written here now.
    Withheld(Failure),
    /// Nobody did. The owner that it was forwarded to is the owner no more, or down.
    OwnerGone,
}

/// The head of an answer, with what has come behind it.
struct Answer {
    bytes: Buffer,
    head: usize,
    fields: Fields,
}

/// Sends a request and passes its answer on.
///
/// # Errors
/// Why there is no answer, and what is to become of the request. Once the answer has begun, it is over.
pub(super) async fn attempt(
    state: &State,
    client: &mut Client<'_>,
    ctx: &mut Exchange<'_>,
    route: &Arc<Route>,
    anew: bool,
) -> Result<(), Setback> {
    let began = ctx.times.asks(client.source.has_body());
    client.source.rewind();
    let write = ctx.write.as_ref();
    let connected = connect(state, &mut client.source, write, route, anew).await;
    let connected = connected.inspect_err(|_| ctx.times.answered())?;
    let connection = connected.map_err(|error| {
        ctx.times.answered();
        ctx.cause = Some(error.to_string());
        verdict::on_connect_error(route, ctx, &error)
    })?;
    let invites = client.source.has_body() && hop::asks(ctx) && !ctx.is_invited;
    if invites && ctx.write.as_ref().is_some_and(WriteGuard::is_cut) {
        ctx.times.answered();
        connection.give_back();
        return Err(Setback::Unsent(Failure::Handover));
    }
    // Only now: until there was a connection, it might have had to wait on.
    hold::end(state, ctx);
    if invites {
        let inviting = Box::pin(hop::invite(&mut client.sink));
        inviting.await.map_err(Setback::Over)?;
        ctx.is_invited = true;
    }
    let was_pooled = connection.is_reused();
    ctx.times.connected(was_pooled);
    if let Some(write) = &mut ctx.write {
        write.mark_sent();
    }
    let upstream = verdict::upstream_of(ctx);
    state.metrics.upstream_connection(upstream, was_pooled);
    let leases = state.writes.leases();
    let last_look = ctx.write.as_ref().and_then(|write| write.last_look(leases));
    let upload = Upload::new(began, last_look);
    let hop = Hop::of(state, ctx);
    let head = head_of(state, ctx, hop.as_ref());
    let mut conversation = Conversation {
        state,
        ctx,
        sink: &mut client.sink,
        line: &connection.line,
        route,
        upload: &upload,
        hop: hop.as_ref(),
        was_pooled,
    };
    let sending = upload.send(
        &head,
        conversation.ctx.request,
        &mut client.source,
        &connection.line,
        route.write_idle(),
        hop.as_ref(),
    );
    let outcome = conversation.hold(pin!(sending)).await;
    ctx.upstream_bytes.0 += upload.progress().moved();
    ctx.times.sent(&upload);
    if outcome? && upload.ended().is_some() {
        connection.give_back();
    }
    Ok(())
}

async fn connect(
    state: &State,
    source: &mut Source<'_>,
    write: Option<&WriteGuard>,
    route: &Route,
    anew: bool,
) -> Result<Result<Connection, ConnectError>, Setback> {
    if !anew && let Some(connection) = route.pooled() {
        return Ok(Ok(connection));
    }
    let dial = async {
        if anew {
            route.connect_anew().await
        } else {
            route.connect().await
        }
    };
    tokio::select! {
        biased;
        // Nothing of it was sent: the next owner may have it.
        () = entry::is_cut(write) => Err(Setback::Unsent(Failure::Handover)),
        connected = dial => Ok(connected),
        failure = client::leaves(state, source) => Err(Setback::Over(failure)),
    }
}

/// The head as this upstream gets it.
fn head_of(state: &State, ctx: &Exchange<'_>, hop: Option<&Hop<'_>>) -> Scratch {
    let mut out = Scratch::take();
    let generation = &ctx.generation;
    let view = &generation.view;
    let to_peer = verdict::upstream_of(ctx) == Upstream::Peer;
    let trace = intake::trace_for_upstream(state, ctx);
    let fingerprint = to_peer.then(|| view.fingerprint().digits());
    let peer = fingerprint.as_ref().map(|digits| PeerFields {
        view: digits.as_flattened(),
        member: view.members().get(view.members().local()).id.as_str(),
        // There, a read would only wait for what is served here at once.
        hold_ms: if verdict::has_second(ctx) {
            0
        } else {
            hold::time_left(ctx).as_millis()
        },
        fallback: matches!(ctx.plan, Some(Plan::PeerFallback { .. })),
        epoch: generation
            .epoch
            .filter(|_| !ctx.reads && !hop.is_some_and(Hop::is_agreed)),
        asks: hop.is_some_and(|hop| hop.asks),
    });
    let onward = Onward {
        client: (ctx.arrival == Arrival::Client).then(|| client::downstream(ctx)),
        via: &state.via,
        request_id: ctx.request_id.as_bytes(),
        trace: trace.as_ref().map(|trace| trace.as_bytes()),
        hide_cookie: (!to_peer).then_some(generation.sticky.cookie.as_str()),
        peer,
        without_namespace: ctx.repository.is_some(),
        own_address: ctx.end.local,
    };
    onward::write_head(&mut out, ctx.request, &onward);
    out
}

/// A request on its way over one connection.
struct Conversation<'a, 'c, 'r> {
    state: &'a State,
    ctx: &'a mut Exchange<'r>,
    sink: &'a mut Sink<'c>,
    line: &'a Line,
    route: &'a Route,
    upload: &'a Upload<'a>,
    /// Where it is a write that is forwarded.
    hop: Option<&'a Hop<'a>>,
    was_pooled: bool,
}

impl Conversation<'_, '_, '_> {
    /// Waits for the answer while the request is sent, and passes it on. Says whether the connection
    /// is good for another request, as far as the answer goes.
    async fn hold(
        &mut self,
        mut sending: Pin<&mut impl Future<Output = Broken>>,
    ) -> Result<bool, Setback> {
        let hop = self.hop;
        let answered = tokio::select! {
            biased;
            answer = self.answer() => answer,
            broken = &mut sending => Err(broken),
            () = lost(hop), if hop.is_some() => Err(Broken::OwnerGone),
        };
        let answer = answered.map_err(|broken| self.no_answer(broken))?;
        let mut download = self.begin(answer).await?;
        if download.is_done() {
            return Ok(download.is_clean);
        }
        let passed = tokio::select! {
            biased;
            passed = Box::pin(download.body.pass(self.line, self.sink, self.route.read_idle())) => passed,
            broken = by_client(sending) => Err(broken),
        };
        self.ctx.upstream_bytes.1 += download.body.received;
        match passed {
            Ok(()) => Ok(download.is_clean && !download.body.has_more),
            Err(broken) => Err(self.broke_off(broken)),
        }
    }

    /// The head of the answer. What comes before it (1xx) is passed on.
    async fn answer(&mut self) -> Result<Answer, Broken> {
        let idle = self.patience();
        let mut heard = None::<Moment>;
        let mut limit = idle;
        let mut bytes = Buffer::default();
        let scanner_of: fn() -> Scanner = match verdict::upstream_of(self.ctx) {
            Upstream::Peer => Scanner::of_peer,
            Upstream::Replica => Scanner::default,
        };
        let mut scanner = scanner_of();
        loop {
            if let Some(head) = scanner.scan(&bytes).map_err(Broken::of)? {
                let fields = scanner.fields;
                let mut answer = Answer {
                    bytes,
                    head,
                    fields,
                };
                if !response::looks_informational(&answer.bytes) {
                    return Ok(answer);
                }
                Box::pin(self.pass_interim(&mut answer)).await?;
                answer.bytes.consume(head);
                bytes = answer.bytes;
                scanner = scanner_of();
                heard = Some(Moment::now());
                limit = idle;
                continue;
            }
            match within(limit, self.line.read(LARGE, u64::MAX)).await {
                Ok(Ok(read)) if read.is_empty() => {
                    return Err(Broken::Upstream(ErrorKind::UnexpectedEof.into()));
                }
                Ok(Ok(read)) if bytes.is_empty() => bytes = read,
                Ok(Ok(read)) => bytes.join(&read),
                Ok(Err(error)) => return Err(Broken::Upstream(error)),
                Err(_) => {
                    // As long as it takes the body in, it is not silent.
                    let mut silent = self.upload.progress().silence();
                    if let Some(heard) = heard {
                        silent = silent.min(heard.elapsed());
                    }
                    limit = idle.saturating_sub(silent);
                    if limit.is_zero() {
                        return Err(Broken::Upstream(ErrorKind::TimedOut.into()));
                    }
                }
            }
        }
    }

    /// How long the upstream may be silent. A write may take its time, and a peer waits as long for its
    /// replica: it is to tell of it before we give it up.
    fn patience(&self) -> Duration {
        if self.ctx.reads {
            return self.route.read_idle();
        }
        let commit = self.ctx.generation.timeouts.commit;
        match self.ctx.plan {
            Some(Plan::Forward(_)) => commit + PEER_GRACE,
            _ => commit,
        }
    }

    /// Passes a 1xx on.
    async fn pass_interim(&mut self, answer: &mut Answer) -> Result<(), Broken> {
        let head = answer.parse(self.to_head()).map_err(Broken::of)?;
        if head.status() == 101 {
            // Nobody asked for it: upgrades are not passed on.
            return Err(Broken::of("it wants to speak another protocol"));
        }
        if let Some(hop) = self.hop
            && head.internal(wire::INVITE).is_some()
        {
            // It is between us and the owner. The client may wait for another, of the registry.
            hop.invite();
            if !self.ctx.request.expects_continue() {
                self.ctx.times.invited();
            }
            return Ok(());
        }
        self.ctx.times.invited();
        let mut out = Scratch::take();
        back::write_interim(&mut out, &head, self.ctx.request.version());
        if !out.is_empty() {
            self.sink.interim(&out).await.map_err(Broken::Client)?;
        }
        Ok(())
    }

    /// Judges the answer and begins to pass it on.
    async fn begin(&mut self, mut answer: Answer) -> Result<Begun, Setback> {
        let head = match answer.parse(self.to_head()) {
            Ok(head) => head,
            Err(broken) => return Err(self.no_answer(Broken::of(broken))),
        };
        let ctx = &mut *self.ctx;
        ctx.is_untouched = self.upload.is_untouched();
        ctx.is_whole = self.upload.is_whole();
        if self.hop.is_some_and(Hop::is_uninvited) {
            // So far nobody has waited for the client.
            ctx.times.invited();
        }
        ctx.times.sent(self.upload);
        ctx.times.answered();
        circuit::succeeded(ctx);
        if let Some(write) = &mut ctx.write {
            write.mark_answered();
        }
        verdict::on_response(&head, ctx)?;
        // From here on it is the client who takes its time.
        ctx.permit = None;
        entry::begin_transfer(self.state, ctx).map_err(Setback::Over)?;
        if is_last(self.state, ctx) {
            self.sink.closes = true;
        }
        let is_clean = head.keeps_connection();
        let mut body = Download::of(&head);
        let status = head.status();
        let out = self.head_out(&head)?;
        answer.bytes.consume(answer.head);
        body.take(&mut answer.bytes)
            .map_err(|broken| self.broke_off(broken))?;
        // Only now: what is wrong so far can still be answered.
        self.sink.status = Some(status);
        let sent = match out {
            HeadOut::Http1(mut out, framing) => {
                let data = &answer.bytes;
                self.sink.begin_http1(&mut out, data, framing).await
            }
            HeadOut::Http2(head) => {
                Box::pin(self.begin_http2(head, answer.bytes, body.is_done())).await
            }
        };
        sent.map_err(|failure| self.broke_off(Broken::Client(failure)))?;
        let mut begun = Begun { body, is_clean };
        if begun.is_done() {
            begun
                .end(self.sink)
                .await
                .map_err(|broken| self.broke_off(broken))?;
            self.ctx.upstream_bytes.1 += begun.body.received;
        }
        Ok(begun)
    }

    /// The head of the answer as the client gets it.
    fn head_out(&mut self, head: &ResponseHead<'_>) -> Result<HeadOut, Setback> {
        let cookie = cookie_for(self.ctx);
        let date = date::now();
        let back = Back {
            version: self.ctx.request.version(),
            request_id: self.ctx.request_id.as_bytes(),
            date: &date,
            cookie: cookie.as_deref(),
            close: self.sink.closes,
        };
        if back.version == Version::Http2 {
            let head = back::to_http2(head, &back);
            let head = head.map_err(|_| Setback::Over(Failure::UpstreamProtocol))?;
            return Ok(HeadOut::Http2(Box::new(head)));
        }
        let mut out = Scratch::take();
        let framing = match back::write_head(&mut out, head, &back) {
            ResponseBody::Chunked => Framing::Chunked,
            ResponseBody::None | ResponseBody::Length(_) => Framing::Plain,
            ResponseBody::ToClose => {
                self.sink.closes = true;
                Framing::Plain
            }
        };
        Ok(HeadOut::Http1(out, framing))
    }

    async fn begin_http2(
        &mut self,
        head: Box<ResponseHeader>,
        data: Buffer,
        is_done: bool,
    ) -> Result<(), Failure> {
        self.sink.begin_http2(head, is_done && data.is_empty())?;
        self.sink.write(Piece::Buffer(data)).await
    }

    fn to_head(&self) -> bool {
        self.ctx.request.method() == Method::Head
    }

    /// There is no answer.
    fn no_answer(&mut self, broken: Broken) -> Setback {
        self.ctx.times.sent(self.upload);
        self.ctx.times.answered();
        if let Broken::Withheld(failure) = broken {
            return Setback::Unsent(failure);
        }
        self.ctx.is_untouched = self.upload.is_untouched();
        let kept_back = self.hop.is_some_and(Hop::is_uninvited);
        if kept_back {
            self.ctx.times.invited();
        }
        if matches!(broken, Broken::OwnerGone) {
            let has_all = self.upload.ended().is_some();
            return verdict::on_owner_gone(self.ctx, kept_back, has_all);
        }
        let failure = match self.blame(broken) {
            Ok(client) => return Setback::Over(client),
            Err(upstream) => upstream,
        };
        if kept_back {
            return verdict::on_no_invitation(self.ctx, failure, self.was_pooled);
        }
        if failure == Failure::UpstreamTimeout && self.upload.ended().is_none() {
            // The upstream has taken all there was, and can only wait for the rest. Over HTTP/2 nobody
            // else has noticed; nothing is wrong with the upstream.
            return Setback::Over(Failure::BodyTimeout);
        }
        verdict::on_no_answer(self.ctx, failure, self.was_pooled)
    }

    /// The answer has begun, and will not end.
    fn broke_off(&mut self, broken: Broken) -> Setback {
        Setback::Over(self.blame(broken).unwrap_or_else(|upstream| upstream))
    }

    /// Whose fault it is: the client's, or as an error the upstream's.
    fn blame(&mut self, broken: Broken) -> Result<Failure, Failure> {
        let error = match broken {
            Broken::Client(failure) | Broken::Withheld(failure) => return Ok(failure),
            Broken::Upstream(error) => error,
            Broken::OwnerGone => return Err(Failure::UpstreamTimeout),
        };
        self.ctx.cause = Some(error.to_string());
        let kind = error.kind();
        Err(if kind == ErrorKind::TimedOut {
            Failure::UpstreamTimeout
        } else if kind == ErrorKind::InvalidData {
            Failure::UpstreamProtocol
        } else {
            Failure::UpstreamReset
        })
    }
}

/// The head of an answer as its client gets it.
enum HeadOut {
    Http1(Scratch, Framing),
    Http2(Box<ResponseHeader>),
}

/// An answer that has begun to go to the client.
struct Begun {
    body: Download,
    /// Whether its connection may carry another request afterwards.
    is_clean: bool,
}

impl Begun {
    fn is_done(&self) -> bool {
        self.body.is_done()
    }

    async fn end(&mut self, sink: &mut Sink<'_>) -> Result<(), Broken> {
        self.is_clean &= !self.body.has_more;
        self.body.end(sink).await
    }
}

impl Answer {
    fn parse(&mut self, to_head: bool) -> Result<ResponseHead<'_>, response::Broken> {
        ResponseHead::parse(&self.bytes[..self.head], &mut self.fields, to_head)
    }
}

impl Broken {
    /// The upstream does not speak HTTP as we can pass it on.
    fn of(why: impl ToString) -> Self {
        Self::Upstream(io::Error::new(ErrorKind::InvalidData, why.to_string()))
    }
}

/// Returns when nobody answers any more ([`Hop::lost`]).
async fn lost(hop: Option<&Hop<'_>>) {
    match hop {
        Some(hop) => Box::pin(hop.lost()).await,
        None => std::future::pending().await,
    }
}

/// While an answer comes, nothing but the client ends it: who owns what by now is no matter.
async fn by_client(sending: Pin<&mut impl Future<Output = Broken>>) -> Broken {
    match sending.await {
        Broken::OwnerGone => std::future::pending().await,
        broken @ (Broken::Client(_) | Broken::Upstream(_) | Broken::Withheld(_)) => broken,
    }
}

/// Whether the answer is to be the last of its connection. Clients are sent to other members, one answer
/// after the other. Peers come to the owner to the end.
pub(super) fn is_last(state: &State, ctx: &Exchange<'_>) -> bool {
    let phase = state.phase();
    match ctx.arrival {
        Arrival::Client => phase > Phase::Serving,
        Arrival::Peer => phase == Phase::Closing,
    }
}

/// What keeps a browser on this member.
fn cookie_for(ctx: &Exchange<'_>) -> Option<String> {
    if !ctx.hand_out_cookie {
        return None;
    }
    let view = &ctx.generation.view;
    let token = view.sticky_token(view.members().local());
    let sticky = &ctx.generation.sticky;
    let secure = if ctx.end.tls.is_some() {
        "; Secure"
    } else {
        ""
    };
    Some(format!(
        "{}={token}; Path={}; HttpOnly; SameSite=Lax{secure}",
        sticky.cookie, sticky.path
    ))
}
