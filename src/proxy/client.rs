//! Who the client is, and whether it still waits for its answer.

use pingora::proxy::Session;

use super::{headers, hold, intake};
use crate::member::generation::Generation;
use crate::member::state::State;
use crate::member::transfers;

/// States of a TCP connection whose other end sends no more (Linux, `enum` in `net/tcp_states.h`):
/// `TCP_CLOSE` after a reset, `TCP_CLOSE_WAIT` after a FIN.
const CLOSED: [u8; 2] = [7, 8];

/// Whom a transfer is counted for. Many clients stand behind a trusted proxy: they count by the
/// address that it tells.
pub(crate) fn whose(generation: &Generation, session: &Session) -> transfers::Client {
    let end = session.client_addr().and_then(|end| end.as_inet().copied());
    let downstream = intake::downstream(generation, session);
    transfers::Client {
        address: headers::client(session.req_header(), &downstream),
        // Over HTTP/1 there is one at a time.
        connection: end.filter(|_| session.is_http2()),
    }
}

/// Returns when nobody waits for the answer any more.
pub(crate) async fn leaves(state: &State, session: &mut Session) {
    // A stream of HTTP/2 ends apart from what was sent on it.
    if session.is_body_empty() || session.is_http2() {
        if session.read_body_or_idle(true).await.is_err() {
            return;
        }
        return std::future::pending().await;
    }
    // To see the end of the connection, the body before it would have to be read: the kernel knows
    // without.
    while !is_closed(session) {
        hold::look(state).await;
    }
}

fn is_closed(session: &Session) -> bool {
    let digest = session.digest();
    let socket = digest.and_then(|digest| digest.socket_digest.as_ref());
    let info = socket.and_then(|socket| socket.tcp_info());
    info.is_some_and(|info| CLOSED.contains(&info.tcpi_state))
}
