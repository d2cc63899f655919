//! Whether the replicas share one storage: a small blob is pushed through each peer, as any client would, and read
//! from the local replica. Nothing is pushed past an owner.

use std::net::SocketAddr;
use std::time::Duration;

use http::{StatusCode, Uri};
use ring::digest;

use super::{PATIENCE, Questions, nearby};
use crate::cli::ask::reachable;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::NotChecked;
use crate::shard::{MemberIndex, Repository, View};
use crate::upstream::{Answer, Load, Question, Route};

/// Where the blobs go; an empty repository stays in registries that keep those.
const FOLDER: &str = "shardlet-doctor";
/// So many names are tried for one that a peer owns.
const NAMES: usize = 10_000;
/// Between a blob that is not there and the second look.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a push may take: longer than one waits for its owner, by default.
const PUSH: Duration = Duration::from_secs(30);
/// Bytes of a blob.
const BLOB: usize = 32;

/// Compares the local replica's storage with that of every peer that answered.
pub(super) async fn compare(
    questions: &Questions,
    facts: &mut Facts<'_>,
    write: bool,
    login: Option<String>,
) {
    if questions.view.members().len() == 1 {
        return;
    }
    // The very address that is sent to.
    let replica = questions.upstreams.replica().address();
    let tls = facts.config.registry.tls.is_some();
    let in_the_clear = login.is_some() && is_in_the_clear(tls, replica);
    if let Some(why) = obstacle(questions, facts, write, in_the_clear) {
        facts.not_checked.push(NotChecked {
            what: "whether all replicas share one storage".to_owned(),
            why: why.to_owned(),
        });
        return;
    }
    let trial = match Trial::new(questions, facts, login) {
        Ok(trial) => trial,
        Err(why) => {
            facts.not_checked.push(NotChecked {
                what: "whether all replicas share one storage".to_owned(),
                why,
            });
            return;
        }
    };
    let file = questions.view.fingerprint().to_string();
    let ready = facts.peers.iter().filter(|peer| {
        let told = peer.answer.as_ref();
        told.is_ok_and(|told| told.view == file && told.replica_up)
    });
    let ready: Vec<String> = ready.map(|peer| peer.id.clone()).collect();
    for id in ready {
        let listed = id.parse().ok();
        let Some(peer) = listed.and_then(|id| questions.view.members().find(&id)) else {
            continue;
        };
        match trial.through(peer, facts).await {
            Ok(None) => {}
            Ok(Some(what)) => facts.stores_elsewhere.push((id, what)),
            Err(why) => facts.not_checked.push(NotChecked {
                what: format!("whether {id} stores where this member does"),
                why,
            }),
        }
    }
}

/// Why nothing can be pushed, or nothing be learnt by it.
fn obstacle(
    questions: &Questions,
    facts: &Facts<'_>,
    write: bool,
    in_the_clear: bool,
) -> Option<&'static str> {
    let file = questions.view.fingerprint().to_string();
    match &facts.sidecar {
        _ if !write => Some("that takes a push: --write"),
        Err(_) => Some("pushes go through the sidecar, which does not answer"),
        Ok(status) if status.view.fingerprint != file => {
            Some("the sidecar does not run with this configuration")
        }
        Ok(_) if facts.replica_fault.is_some() => Some("the local replica does not answer"),
        Ok(_) if in_the_clear => Some(
            "the password would go to the replica over a network without TLS: give it `registry.tls`, or an address on \
             loopback",
        ),
        Ok(_) => None,
    }
}

/// Whether others could read what is sent to a replica; a socket has no address.
fn is_in_the_clear(tls: bool, at: Option<SocketAddr>) -> bool {
    !tls && at.is_some_and(|at| !at.ip().to_canonical().is_loopback())
}

/// What pushes and reads go by.
struct Trial<'q> {
    questions: &'q Questions,
    clients: Route,
    clients_host: String,
    replica_host: String,
    login: Option<String>,
}

impl<'q> Trial<'q> {
    fn new(
        questions: &'q Questions,
        facts: &Facts<'_>,
        login: Option<String>,
    ) -> Result<Self, String> {
        let listener = &facts.config.listen.clients;
        let at = reachable(listener.address);
        Ok(Self {
            questions,
            clients: nearby(at, listener.tls.is_some())?,
            clients_host: at.to_string(),
            replica_host: facts.config.registry.address.host(),
            login,
        })
    }

    /// Pushes through one peer, reads here, and cleans up. Says in which way the two storages differ, if they do.
    async fn through(
        &self,
        peer: MemberIndex,
        facts: &mut Facts<'_>,
    ) -> Result<Option<String>, String> {
        let repository = owned(&self.questions.view, peer);
        let repository = repository.ok_or("no name of a repository was found that it owns")?;
        let blob = self.push(&repository).await?;
        let is_here = self.is_here(&blob).await;
        if let Err(why) = self.send("DELETE", &blob, &[]).await {
            facts.not_checked.push(NotChecked {
                what: format!("whether {repository} is clean: a blob of {BLOB} bytes stays there"),
                why,
            });
        }
        let differs = format!(
            "a blob that was pushed to {repository}, and so to its replica, is not in that of {}",
            facts.local
        );
        Ok((!is_here?).then_some(differs))
    }

    /// The path of a blob of random bytes that was pushed.
    async fn push(&self, repository: &str) -> Result<String, String> {
        let mut bytes = [0; BLOB];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        let sum = digest::digest(&digest::SHA256, &bytes);
        let hex: String = sum
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let start = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.send("POST", &start, &[]).await?;
        let location = answer.field("location");
        let location: Option<Uri> = location.and_then(|to| to.parse().ok());
        // Whatever host it names: we stay with our own sidecar.
        let location = location.as_ref().and_then(Uri::path_and_query);
        let location = location.ok_or("the upload has no Location")?;
        let sign = if location.query().is_some() { '&' } else { '?' };
        let end = format!("{location}{sign}digest=sha256:{hex}");
        self.send("PUT", &end, &bytes).await?;
        Ok(format!("/v2/{repository}/blobs/sha256:{hex}"))
    }

    /// What the sidecar's clients get; anything but success is an error.
    async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        let question = Question::new(method, path, &self.clients_host)
            .field("Content-Type", "application/octet-stream")
            .body(body);
        let answer = self.clients.ask(&self.log_in(question), PUSH).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(
                "it wants a name and a password that may push, by --credentials FILE".to_owned(),
            ),
            status => Err(format!("it answered {status} to a {method}")),
        }
    }

    /// Whether the local replica has a blob; asked directly, since the sidecar would ask the owner.
    async fn is_here(&self, blob: &str) -> Result<bool, String> {
        if self.look(blob).await? {
            return Ok(true);
        }
        tokio::time::sleep(AGAIN).await;
        self.look(blob).await
    }

    async fn look(&self, blob: &str) -> Result<bool, String> {
        let replica = self.questions.upstreams.replica().route(Load::Question);
        let replica = replica.ok_or("the local replica has no address")?;
        // GET, since HEAD writes where zot deduplicates.
        let question = self.log_in(Question::get(blob, &self.replica_host));
        let answer = replica.ask(&question, PATIENCE).await;
        match answer.map_err(|error| error.to_string())?.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() || status.is_redirection() => Ok(true),
            status => Err(format!("the local replica answered {status}")),
        }
    }

    fn log_in(&self, question: Question) -> Question {
        match &self.login {
            Some(login) => question.field("Authorization", login),
            None => question,
        }
    }
}

/// A repository of ours that a member owns.
fn owned(view: &View, member: MemberIndex) -> Option<String> {
    let names = (0..NAMES).map(|number| format!("{FOLDER}/probe-{number}"));
    let mut owned = names.filter(|name| {
        Repository::parse(name).is_ok_and(|repository| view.owner(&repository) == member)
    });
    owned.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_crosses_no_network_without_tls() {
        for (at, tls, expected) in [
            (None, false, false),
            (Some("127.0.0.1:5000"), false, false),
            (Some("127.9.9.9:5000"), false, false),
            (Some("[::1]:5000"), false, false),
            (Some("[::ffff:127.0.0.1]:5000"), false, false),
            (Some("10.0.0.1:5000"), false, true),
            (Some("[fd00::1]:5000"), false, true),
            (Some("10.0.0.1:5000"), true, false),
        ] {
            let parsed = at.map(|at| at.parse().unwrap());
            assert_eq!(is_in_the_clear(tls, parsed), expected, "{at:?} {tls}");
        }
    }
}
