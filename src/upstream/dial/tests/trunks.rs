//! Requests that share a connection.

use std::sync::Mutex;

use tokio::task::JoinHandle;

use super::*;

/// A member that says back what it is told, on streams if it knows trunks.
struct Echo {
    upstream: Upstream,
    trust: Arc<Trust>,
    /// What carries each connection that it has had.
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    _issuer: Issuer,
}

impl Echo {
    async fn begin(knows_trunks: bool) -> Self {
        let (listener, acceptor, upstream, trust, issuer) = secured("127.0.0.1").await;
        let mut config = ServerConfig::clone(acceptor.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if knows_trunks {
            config.alpn_protocols.insert(0, trunk::PROTOCOL.to_vec());
        }
        let (config, connections) = (Arc::new(config), Arc::<Mutex<Vec<_>>>::default());
        let carried = connections.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let tls = Tls::accept(tcp, config.clone()).await.unwrap();
                let carry = tokio::spawn(async move {
                    let tls = match Wire::Tls(tls).into_trunk() {
                        Ok(tls) => tls,
                        Err(wire) => return echo(wire).await,
                    };
                    let forever = std::future::pending();
                    trunk::accept(tls, Duration::MAX, forever, |stream| {
                        tokio::spawn(echo(Wire::Stream(stream)));
                    })
                    .await;
                });
                carried.lock().unwrap().push(carry);
            }
        });
        Self {
            upstream,
            trust,
            connections,
            _issuer: issuer,
        }
    }

    fn route(&self) -> Arc<Route> {
        self.upstream.route(Load::Brief).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

async fn echo(mut wire: Wire) {
    let mut bytes = [0; 100];
    while let Ok(read @ 1..) = wire.read(&mut bytes).await {
        wire.write_all(&bytes[..read]).await.unwrap();
        wire.flush().await.unwrap();
    }
}

/// Whether it answers.
async fn works(connection: &Connection) -> bool {
    let patience = Duration::from_secs(10);
    let mut pace = crate::http::pace::Pace::off();
    let written = connection.line.write_all(&[b"hello"], patience, &mut pace);
    written.await.is_ok()
        && matches!(connection.line.read(100, 100).await, Ok(read) if &*read == b"hello")
}

#[tokio::test]
async fn requests_at_the_same_time_share_one() {
    let echo = Echo::begin(true).await;
    let route = echo.route();
    let mut connecting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let route = route.clone();
        connecting.spawn(async move { route.connect().await.unwrap() });
    }
    let connections = connecting.join_all().await;
    let is_new = |connection: &&Connection| !connection.is_reused();
    assert_eq!(connections.iter().filter(is_new).count(), 1);
    for connection in connections {
        assert!(works(&connection).await);
        connection.give_back();
    }
    let again = route.connect().await.unwrap();
    assert!(again.is_reused() && works(&again).await);
    assert_eq!(echo.connections(), 1);
}

#[tokio::test]
async fn one_that_is_over_is_replaced() {
    let echo = Echo::begin(true).await;
    let route = echo.route();
    let (one, idle) = (
        route.connect().await.unwrap(),
        route.connect().await.unwrap(),
    );
    assert!(works(&one).await && works(&idle).await);
    idle.give_back();
    echo.connections.lock().unwrap()[0].abort();
    assert!(!works(&one).await);
    let next = route.connect().await.unwrap();
    assert!(!next.is_reused() && works(&next).await);
    assert_eq!(echo.connections(), 2);
    // Who was to get a new connection gets a new stream.
    let anew = route.connect_anew().await.unwrap();
    assert!(!anew.is_reused() && works(&anew).await);
    assert_eq!(echo.connections(), 2);
}

#[tokio::test]
async fn other_credentials_have_one_of_their_own() {
    let echo = Echo::begin(true).await;
    let one = echo.route().connect().await.unwrap();
    echo.trust.renew();
    echo.upstream.prepare().unwrap();
    let next = echo.route().connect().await.unwrap();
    assert!(!next.is_reused() && works(&next).await);
    assert!(works(&one).await, "what is under way goes on");
    assert_eq!(echo.connections(), 2);
}

#[tokio::test]
async fn a_member_that_knows_none_is_spoken_to_as_ever() {
    let echo = Echo::begin(false).await;
    let route = echo.route();
    let (one, other) = tokio::join!(route.connect(), route.connect());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(works(&one).await && works(&other).await);
    assert_eq!(echo.connections(), 2);
    one.give_back();
    let again = route.connect().await.unwrap();
    assert!(again.is_reused() && works(&again).await);
    assert_eq!(echo.connections(), 2);
}
