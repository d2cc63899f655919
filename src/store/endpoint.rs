//! One HTTP service behind a name, asked once at a time and within a limit.
//!
//! A name may have many addresses, and others at every look (as S3's does). The one in use is kept, with its
//! connections, for as long as it answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Trouble, TroubleKind};
use crate::config::ServiceUrl;
use crate::shard::MemberAddress;
use crate::tls::{Authority, caller, system_roots};
use crate::upstream::{Answer, NoAnswer, Place, Question, Route, resolve};

/// How often the name is looked up.
const LOOK_UP: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug)]
pub(super) struct Endpoint {
    scheme: &'static str,
    /// As the Host field has it: without the scheme's own port.
    authority: String,
    /// In front of every path; empty, or with a slash at its beginning and none at its end.
    base: String,
    tls: Option<(String, Arc<rustls::ClientConfig>)>,
    found: watch::Receiver<Found>,
    in_use: Mutex<Option<(SocketAddr, Arc<Route>)>>,
    look_ups: AbortHandle,
}

/// What is known of the name.
#[derive(Debug, Default)]
struct Found {
    addresses: Vec<SocketAddr>,
    /// Why there are none.
    error: String,
}

impl Endpoint {
    /// The service at this URL, which shows a certificate by these authorities, or by one that this machine trusts.
    /// Begins to look its name up, so it is made within a runtime.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn open(url: &ServiceUrl, ca: Option<&Path>) -> Result<Self, String> {
        let roots = match (url.tls, ca) {
            (true, Some(ca)) => {
                let anchors = Authority::load(ca).map_err(|error| error.to_string())?;
                Some(anchors.roots())
            }
            (true, None) => Some(system_roots()),
            (false, _) => None,
        };
        let tls = roots.map(|roots| caller(roots, None)).transpose();
        let tls = tls.map_err(|error| error.to_string())?;
        let name = url.address.host.to_string();
        let (say, found) = watch::channel(Found::default());
        Ok(Self {
            scheme: url.scheme(),
            authority: url.authority(),
            base: url.path.clone(),
            tls: tls.map(|tls| (name, tls)),
            found,
            in_use: Mutex::default(),
            look_ups: tokio::spawn(look_up(url.address.clone(), say)).abort_handle(),
        })
    }

    /// What a request for this path, below the endpoint's own, is for.
    pub(super) fn target(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    pub(super) fn scheme(&self) -> &'static str {
        self.scheme
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks once. A question with a body is sent once at most; one without may be sent again where a connection that
    /// was kept turns out to be closed.
    pub(super) async fn ask(
        &self,
        question: &Question,
        limit: Duration,
    ) -> Result<Answer, Trouble> {
        let asking = async {
            let (at, route) = self.route().await?;
            let answer = route.ask(question, limit).await;
            answer.map_err(|error| {
                self.leave(at);
                self.trouble(&error)
            })
        };
        match tokio::time::timeout(limit, asking).await {
            Ok(answered) => answered,
            Err(_) => {
                let at = self.in_use().as_ref().map(|(at, _)| *at);
                at.into_iter().for_each(|at| self.leave(at));
                Err(self.trouble(&NoAnswer::TimedOut))
            }
        }
    }

    /// The way that is in use, or one to the first address.
    async fn route(&self) -> Result<(SocketAddr, Arc<Route>), Trouble> {
        if let Some((at, route)) = &*self.in_use() {
            return Ok((*at, route.clone()));
        }
        let mut found = self.found.clone();
        let is_found = |found: &Found| !found.addresses.is_empty() || !found.error.is_empty();
        let told = found.wait_for(is_found).await;
        // Nobody looks it up any more: the runtime ends.
        let told = told.map_err(|_| self.unreachable("its name is not looked up any more"))?;
        let Some(first) = told.addresses.first().copied() else {
            let why = format!("its name is not found: {}", told.error);
            return Err(self.unreachable(&why));
        };
        drop(told);
        Ok((first, self.use_address(first)))
    }

    fn use_address(&self, at: SocketAddr) -> Arc<Route> {
        let route = Arc::new(Route::aside(Place::Address(at), self.tls.clone()));
        *self.in_use() = Some((at, route.clone()));
        route
    }

    /// It has not answered: the next one of the name's addresses may.
    fn leave(&self, at: SocketAddr) {
        let addresses = self.found.borrow().addresses.clone();
        let mut in_use = self.in_use();
        if in_use.as_ref().is_none_or(|(used, _)| *used != at) {
            return;
        }
        *in_use = None;
        drop(in_use);
        let after = addresses.iter().position(|known| *known == at);
        let next = after.and_then(|after| addresses.get(after + 1));
        // Without a next one, the first is taken when somebody asks.
        if let Some(next) = next {
            self.use_address(*next);
        }
    }

    fn in_use(&self) -> std::sync::MutexGuard<'_, Option<(SocketAddr, Arc<Route>)>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self, error: &NoAnswer) -> Trouble {
        let kind = match error {
            NoAnswer::TimedOut => TroubleKind::Slow,
            NoAnswer::Connect(_) | NoAnswer::Broken(_) => TroubleKind::Unreachable,
            NoAnswer::NotAsked | NoAnswer::Unreadable(_) | NoAnswer::TooLarge => TroubleKind::Odd,
        };
        Trouble::new(kind, format!("{}: {error}", self.authority))
    }

    fn unreachable(&self, why: &str) -> Trouble {
        Trouble::new(
            TroubleKind::Unreachable,
            format!("{}: {why}", self.authority),
        )
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.look_ups.abort();
    }
}

async fn look_up(address: MemberAddress, say: watch::Sender<Found>) {
    let found = |addresses| {
        say.send_modify(|found| {
            found.addresses = addresses;
            found.error.clear();
        });
    };
    let failed = |error: &std::io::Error| {
        say.send_modify(|found| found.error = error.to_string());
    };
    resolve::keep(address, LOOK_UP, found, failed).await;
    // An address needs no more look-ups, and somebody has to keep what was found.
    say.closed().await;
}

/// A text within a URL (RFC 3986, section 2.3): everything but the unreserved characters is escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

/// The digest of these bytes, in lower-case digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let sum = digest(&SHA256, bytes);
    let digits = sum.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// One at these addresses.
    fn endpoint(addresses: Vec<SocketAddr>) -> (Endpoint, watch::Sender<Found>) {
        let found = Found {
            addresses,
            error: String::new(),
        };
        let (say, found) = watch::channel(found);
        let endpoint = Endpoint {
            scheme: "http",
            authority: "store".to_owned(),
            base: String::new(),
            tls: None,
            found,
            in_use: Mutex::default(),
            look_ups: tokio::spawn(async {}).abort_handle(),
        };
        (endpoint, say)
    }

    async fn nobody() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    /// Answers once, or takes a connection and says nothing.
    async fn somebody(answers: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                if !answers {
                    silent.push(tcp);
                    continue;
                }
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    tcp.read_buf(&mut asked).await.unwrap();
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                tcp.write_all(answer).await.unwrap();
            }
        });
        at
    }

    #[tokio::test]
    async fn where_one_address_does_not_answer_the_next_is_asked_next() {
        let limit = Duration::from_millis(300);
        let question = Question::get("/", "store");
        let (nobody, silent, living) =
            (nobody().await, somebody(false).await, somebody(true).await);
        let (endpoint, _say) = endpoint(vec![nobody, silent, living]);
        let kind = async || endpoint.ask(&question, limit).await.map_err(|why| why.kind);
        assert_eq!(kind().await.err(), Some(TroubleKind::Unreachable));
        assert_eq!(kind().await.err(), Some(TroubleKind::Slow));
        // And it stays there.
        for _ in 0..3 {
            assert_eq!(kind().await.unwrap().status, 200);
        }
        endpoint.leave(living);
        assert_eq!(
            kind().await.err(),
            Some(TroubleKind::Unreachable),
            "the first one again"
        );
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_says_so_until_it_is() {
        let question = Question::get("/", "store");
        let (endpoint, say) = endpoint(Vec::new());
        let limit = Duration::from_millis(200);
        let waited = endpoint.ask(&question, limit).await.err().unwrap();
        assert_eq!(waited.kind, TroubleKind::Slow);
        say.send_modify(|found| found.error = "no such name".to_owned());
        let told = endpoint.ask(&question, limit).await.err().unwrap();
        assert_eq!(
            told.to_string(),
            "store: its name is not found: no such name"
        );
        let living = somebody(true).await;
        say.send_modify(|found| found.addresses.push(living));
        assert_eq!(endpoint.ask(&question, limit).await.unwrap().status, 200);
    }
}
