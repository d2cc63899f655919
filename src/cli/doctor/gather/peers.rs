//! Peers, asked for their state by the member's own certificate, each at the same time as the others.
//!
//! A question that names no member counts for nothing among the rules of who may write: it is no sign of life, and
//! tells no view.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use tokio::task::JoinSet;

use super::clock::http_date;
use super::{PATIENCE, Questions};
use crate::cli::doctor::facts::{Peer, Told};
use crate::peers::wire::{self, MemberState};
use crate::shard::{Host, MemberAddress, MemberIndex};
use crate::upstream::{ConnectError, Load, NoAnswer, Question, Route, Upstream};

/// Asks all of them, in the order of the list.
pub(super) async fn ask_all(questions: &Arc<Questions>) -> Vec<Peer> {
    let mut asked = JoinSet::new();
    for (index, _) in questions.view.members().peers() {
        let questions = questions.clone();
        asked.spawn(async move { (index, ask(&questions, index).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let peer = |(index, answer)| {
        let member = questions.view.members().get(index);
        Peer {
            id: member.id.to_string(),
            address: member.address.to_string(),
            answer,
        }
    };
    answers.into_iter().map(peer).collect()
}

/// At each address that its name has, until one answers.
async fn ask(questions: &Questions, index: MemberIndex) -> Result<Told, String> {
    let address = &questions.view.members().get(index).address;
    let upstream = questions.upstreams.member(index);
    let mut failure = "its name does not resolve".to_owned();
    for at in resolve(address).await? {
        upstream.use_address(at);
        match ask_at(upstream, address).await {
            Ok(told) => return Ok(told),
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

async fn ask_at(upstream: &Upstream, address: &MemberAddress) -> Result<Told, String> {
    let route = upstream.route(Load::Question).ok_or("it has no address")?;
    let failure = match exchange(&route, address).await {
        Ok(told) => return told,
        Err(error) => error,
    };
    if matches!(failure, NoAnswer::Connect(ConnectError::Tls(_))) {
        // Perhaps its certificate carries the other of the member's two names.
        let other = upstream.expect_other_name(&route);
        other.map_err(|error| error.to_string())?;
        if let Some(route) = upstream.route(Load::Question)
            && let Ok(Ok(told)) = exchange(&route, address).await
        {
            return Ok(told);
        }
    }
    Err(failure.to_string())
}

/// What it tells, or what is wrong with that.
async fn exchange(
    route: &Route,
    address: &MemberAddress,
) -> Result<Result<Told, String>, NoAnswer> {
    let question = Question::get(wire::STATE_PATH, &address.to_string());
    let asked = unix_time();
    let answer = route.ask(&question, PATIENCE).await?;
    let answered = unix_time();
    let told: Option<MemberState> = serde_json::from_slice(&answer.body).ok();
    let told = told.filter(|_| answer.status == StatusCode::OK);
    let told = told.map(|told| Told {
        member: told.member,
        replica_up: told.replica_up,
        lease: told.lease,
        view: bare(told.report.view),
        description: told.report.description,
        clock_ahead: ahead(answer.field("date"), asked, answered),
    });
    let status = answer.status;
    Ok(told.ok_or_else(|| format!("it answered {status}, which is no member's answer")))
}

/// The fingerprint alone.
fn bare(view: String) -> String {
    let bare = view.strip_prefix(wire::LEASED).map(str::to_owned);
    bare.unwrap_or(view)
}

/// By how much a clock is ahead, at the least: its time, whose second had begun, lies between question and answer.
fn ahead(date: Option<&str>, asked: f64, answered: f64) -> Option<f64> {
    let from = http_date(date?)? as f64;
    let (least, most) = (from - answered, from + 1.0 - asked);
    Some(if least > 0.0 { least } else { most.min(0.0) })
}

fn unix_time() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// All addresses of a host.
pub(super) async fn resolve(address: &MemberAddress) -> Result<Vec<SocketAddr>, String> {
    let name = match &address.host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, address.port)]),
        Host::Name(name) => name,
    };
    let found = tokio::net::lookup_host((&**name, address.port));
    match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(format!("its name does not resolve: {error}")),
        Err(_) => Err("its name does not resolve in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_wire_cannot_explain() {
        // 784111777 is Sun, 06 Nov 1994 08:49:37 GMT.
        assert_eq!(ahead(None, 0.0, 1.0), None);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let second = 784_111_777.0;
        for (asked, answered, off) in [
            (0.2, 0.4, 0.0),
            (-1.5, 1.5, 0.0),
            (-10.0, -9.0, 9.0),
            (20.0, 21.0, -19.0),
        ] {
            assert_eq!(ahead(date, second + asked, second + answered), Some(off));
        }
    }
}
