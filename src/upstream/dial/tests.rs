mod trunks;

use std::net::Ipv4Addr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};
use rustls::{CipherSuite, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::{TlsAcceptor, server};

use super::*;
use crate::config::{Queue, Registry, RegistryAddress, Timeouts};
use crate::http::limit::Moment;
use crate::http::trunk;
use crate::shard::Member;
use crate::tls::{KeyPair, provider};
use crate::upstream::target::{Credentials, Target};
use crate::upstream::{Load, Trust, Upstream};

fn timeouts() -> Timeouts {
    let second = Duration::from_secs(1);
    Timeouts {
        connect: 2 * second,
        request_header: second,
        keepalive: 75 * second,
        idle: 60 * second,
        commit: second,
        aftermath: second,
        drain: second,
        drain_delay: second,
    }
}

/// An upstream that is at this address.
fn upstream(at: SocketAddr, trust: &Arc<Trust>) -> Upstream {
    let member = Member {
        id: "zot-2".parse().unwrap(),
        address: at.to_string().parse().unwrap(),
        weight: Default::default(),
    };
    let target = Target::peer(&member, &timeouts());
    let upstream = Upstream::new(target, Some(member.address), trust, true);
    assert_eq!(upstream.take_addresses(vec![at]), Some(at));
    upstream.use_address(at);
    upstream
}

fn route(upstream: &Upstream) -> Arc<Route> {
    upstream.route(Load::Small).unwrap()
}

/// Somebody listens, and this is the way there.
async fn plain() -> (TcpListener, Upstream, Arc<Trust>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let trust = Arc::new(Trust::new(None));
    let upstream = upstream(listener.local_addr().unwrap(), &trust);
    (listener, upstream, trust)
}

/// A new connection, by both ends.
async fn both(route: &Route, listener: &TcpListener) -> (Connection, TcpStream) {
    let (connection, accepted) = tokio::join!(route.connect(), listener.accept());
    let connection = connection.unwrap();
    assert!(!connection.is_reused());
    (connection, accepted.unwrap().0)
}

/// Asks the connection beneath.
fn wire<T>(connection: &Connection, ask: impl FnOnce(&Wire) -> T) -> T {
    let Line::Shared(wire) = &connection.line else {
        unreachable!("it speaks TLS");
    };
    ask(&wire.lock().unwrap())
}

fn socket(connection: &Connection) -> &TcpStream {
    connection.line.tcp().unwrap()
}

fn port(connection: &Connection) -> u16 {
    socket(connection).local_addr().unwrap().port()
}

/// Until something has come.
async fn readable(connection: &Connection) {
    std::future::poll_fn(|cx| match &connection.line {
        Line::Tcp(tcp) => tcp.poll_read_ready(cx),
        Line::Unix(_) | Line::Shared(_) => wire(connection, |wire| {
            wire.socket().unwrap().poll_read_ready(cx)
        }),
    })
    .await
    .unwrap();
}

fn handshake(connection: &Connection) -> Option<HandshakeKind> {
    wire(connection, |wire| {
        let Wire::Tls(tls) = wire else {
            return None;
        };
        tls.agreed().handshake_kind()
    })
}

struct Issuer {
    issuer: CertifiedIssuer<'static, rcgen::KeyPair>,
    authority: Authority,
}

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, issuer.pem()).unwrap();
        let authority = Authority::load(&file).unwrap();
        Self { issuer, authority }
    }

    fn pair(&self, name: &str) -> KeyPair {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert, key_file) = (folder.path().join("a.crt"), folder.path().join("a.key"));
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        KeyPair::load(&cert, &key_file).unwrap()
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(Credentials::new(&self.authority, &self.pair("zot-1")))
    }

    /// A server that shows a certificate with this name.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let shown = self.pair(name).certified();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The same with TLS.
async fn secured(name: &str) -> (TcpListener, TlsAcceptor, Upstream, Arc<Trust>, Issuer) {
    let issuer = Issuer::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let trust = Arc::new(Trust::new(issuer.credentials()));
    let upstream = upstream(listener.local_addr().unwrap(), &trust);
    (listener, issuer.acceptor(name), upstream, trust, issuer)
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> io::Result<server::TlsStream<TcpStream>> {
    let (tcp, _) = listener.accept().await?;
    acceptor.accept(tcp).await
}

/// A new connection over TLS, by both ends.
async fn both_secured(
    route: &Route,
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
) -> (Connection, server::TlsStream<TcpStream>) {
    let (connection, accepted) = tokio::join!(route.connect_anew(), accept(listener, acceptor));
    (connection.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn the_cheaper_cipher_is_asked_for_first() {
    let (listener, acceptor, upstream, ..) = secured("127.0.0.1").await;
    let (_, accepted) = both_secured(&route(&upstream), &listener, &acceptor).await;
    let suite = accepted.get_ref().1.negotiated_cipher_suite().unwrap();
    assert_eq!(suite.suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_used_first() {
    let (listener, upstream, _) = plain().await;
    let route = route(&upstream);
    let (first, _first) = both(&route, &listener).await;
    let (second, _second) = both(&route, &listener).await;
    let ports = [port(&first), port(&second)];
    first.give_back();
    second.give_back();
    for expected in [ports[1], ports[0]] {
        let taken = route.connect().await.unwrap();
        assert_eq!((taken.is_reused(), port(&taken)), (true, expected));
    }
    // Neither was given back: both are closed now.
    let (_, _accepted) = both(&route, &listener).await;
}

#[tokio::test]
async fn a_connection_that_ended_or_speaks_unasked_is_not_reused() {
    for unasked in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let (listener, upstream, _) = plain().await;
        let route = route(&upstream);
        let (idle, mut other_end) = both(&route, &listener).await;
        other_end.write_all(unasked).await.unwrap();
        other_end.shutdown().await.unwrap();
        readable(&idle).await;
        idle.give_back();
        let (_, _accepted) = both(&route, &listener).await;

        let (listener, acceptor, upstream, ..) = secured("127.0.0.1").await;
        let route = self::route(&upstream);
        let (idle, mut other_end) = both_secured(&route, &listener, &acceptor).await;
        other_end.write_all(b"x").await.unwrap();
        assert_eq!(&*idle.line.read(1, 1).await.unwrap(), b"x");
        other_end.write_all(unasked).await.unwrap();
        other_end.shutdown().await.unwrap();
        readable(&idle).await;
        idle.give_back();
        let (next, accepted) = tokio::join!(route.connect(), accept(&listener, &acceptor));
        assert!(accepted.is_ok() && !next.unwrap().is_reused());
    }
}

#[tokio::test]
async fn small_and_large_requests_share_no_connection() {
    let (listener, upstream, _) = plain().await;
    let unacknowledged = |connection: &Connection| {
        let socket = SockRef::from(socket(connection));
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_COUNT);
        socket.tcp_user_timeout().unwrap().unwrap_or_default()
    };
    let (small, _small) = both(&route(&upstream), &listener).await;
    assert_eq!(unacknowledged(&small), Duration::from_millis(1730));
    small.give_back();
    let large = upstream.route(Load::Large).unwrap();
    let (large, _large) = both(&large, &listener).await;
    assert_eq!(unacknowledged(&large), Duration::ZERO);
}

#[tokio::test]
async fn a_connection_is_reused_only_where_nothing_has_changed() {
    let (listener, upstream, trust) = plain().await;
    let (first, _first) = both(&route(&upstream), &listener).await;
    first.give_back();

    // Prepared again, and by the next generation.
    upstream.prepare().unwrap();
    let next = self::upstream(listener.local_addr().unwrap(), &trust);
    next.inherit(Some(&upstream)).unwrap();
    let again = route(&next).connect().await.unwrap();
    assert!(again.is_reused());
    again.give_back();

    // Made anew for a reason of ours.
    trust.renew();
    next.prepare().unwrap();
    let (other, _other) = both(&route(&next), &listener).await;
    other.give_back();

    // At another address.
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    next.use_address(elsewhere.local_addr().unwrap());
    let (_, _elsewhere) = both(&route(&next), &elsewhere).await;
}

#[tokio::test]
async fn other_credentials_have_connections_of_their_own() {
    let (listener, acceptor, upstream, trust, issuer) = secured("127.0.0.1").await;
    let before = route(&upstream);
    let (connection, _accepted) = both_secured(&before, &listener, &acceptor).await;
    trust.replace(issuer.credentials());
    upstream.prepare().unwrap();
    // In use while it happened.
    connection.give_back();
    let after = route(&upstream);
    let (next, accepted) = tokio::join!(after.connect(), accept(&listener, &acceptor));
    assert!(accepted.is_ok() && !next.unwrap().is_reused());

    // And others are not believed.
    trust.replace(Issuer::new().credentials());
    upstream.prepare().unwrap();
    let stranger = route(&upstream);
    let (refused, _) = tokio::join!(stranger.connect(), accept(&listener, &acceptor));
    let refused = refused.unwrap_err();
    assert!(matches!(refused, ConnectError::Tls(_)), "{refused:?}");
    assert!(
        refused.to_string().contains("invalid peer certificate"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_certificate_may_carry_the_host_or_the_id() {
    let (listener, acceptor, upstream, ..) = secured("zot-2").await;
    let by_host = route(&upstream);
    let (refused, _) = tokio::join!(by_host.connect(), accept(&listener, &acceptor));
    assert!(matches!(refused, Err(ConnectError::Tls(_))), "{refused:?}");
    // Two requests may have found out.
    upstream.expect_other_name(&by_host).unwrap();
    upstream.expect_other_name(&by_host).unwrap();
    let by_id = route(&upstream);
    let (_, _accepted) = both_secured(&by_id, &listener, &acceptor).await;
    upstream.expect_other_name(&by_id).unwrap();
    assert_eq!(route(&upstream).name(), "127.0.0.1");
}

#[tokio::test]
async fn sessions_are_resumed_and_tickets_are_no_answer() {
    let (listener, acceptor, upstream, ..) = secured("127.0.0.1").await;
    let route = route(&upstream);
    let (first, _first) = both_secured(&route, &listener, &acceptor).await;
    assert_eq!(handshake(&first), Some(HandshakeKind::Full));
    // They come behind the handshake.
    readable(&first).await;
    first.give_back();
    assert!(route.connect().await.unwrap().is_reused());

    let (second, _second) = both_secured(&route, &listener, &acceptor).await;
    assert_eq!(handshake(&second), Some(HandshakeKind::Resumed));
}

#[tokio::test(start_paused = true)]
async fn handshakes_take_turns_and_a_connection_that_comes_back_ends_the_wait() {
    let (listener, acceptor, upstream, ..) = secured("127.0.0.1").await;
    let route = route(&upstream);
    let (spare, _spare) = both_secured(&route, &listener, &acceptor).await;
    // The other end takes these connections and says nothing.
    let stuck: Vec<_> = (0..5)
        .map(|_| {
            let route = route.clone();
            tokio::spawn(async move { route.connect().await })
        })
        .collect();
    let mut accepted = Vec::new();
    for _ in 0..4 {
        accepted.push(listener.accept().await.unwrap());
    }
    spare.give_back();
    let mut reused = 0;
    for stuck in stuck {
        match stuck.await.unwrap() {
            Ok(connection) => reused += usize::from(connection.is_reused()),
            Err(error) => assert!(matches!(error, ConnectError::TimedOut), "{error:?}"),
        }
    }
    assert_eq!(reused, 1);
}

#[tokio::test]
async fn the_systems_error_is_told() {
    let (listener, upstream, _) = plain().await;
    drop(listener);
    let refused = route(&upstream).connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(_)), "{refused:?}");
    assert_eq!(refused.cause().and_then(io::Error::raw_os_error), Some(111));
    // Nobody can connect to a broadcast address: ENETUNREACH.
    upstream.use_address(SocketAddr::from(([127, 255, 255, 255], 1)));
    let failed = route(&upstream).connect().await.unwrap_err();
    assert!(matches!(failed, ConnectError::Failed(_)), "{failed:?}");
    assert_eq!(failed.cause().and_then(io::Error::raw_os_error), Some(101));
}

#[tokio::test]
async fn what_has_waited_for_too_long_is_closed() {
    let (listener, upstream, trust) = plain().await;
    let route = route(&upstream);
    let (idle, mut other_end) = both(&route, &listener).await;
    idle.give_back();
    trust.sweep();
    let idle = route.connect().await.unwrap();
    assert!(idle.is_reused());
    idle.give_back();
    // Half of `timeouts.keepalive`.
    Moment::pass(Duration::from_millis(37_500));
    trust.sweep();
    assert_eq!(other_end.read(&mut [0]).await.unwrap(), 0);

    // Without a sweep it is not given out all the same.
    let (idle, _other_end) = both(&route, &listener).await;
    idle.give_back();
    Moment::pass(Duration::from_millis(37_500));
    let (_, _accepted) = both(&route, &listener).await;
}

#[tokio::test]
async fn the_replica_may_have_a_socket_and_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zot.sock");
    let one = std::num::NonZeroUsize::MIN;
    let registry = Registry {
        address: RegistryAddress::Unix(path.clone()),
        tls: None,
        max_in_flight: one,
        queue: Queue {
            limit: 1,
            timeout: Duration::ZERO,
        },
        reads_write: false,
    };
    let trust = Arc::new(Trust::new(None));
    let replica = |authority| {
        let target = Target::replica(&registry, authority, &timeouts());
        Upstream::new(target, None, &trust, false)
    };
    let listener = UnixListener::bind(&path).unwrap();
    let upstream = replica(None);
    upstream.prepare().unwrap();
    let route = route(&upstream);
    let (connection, _accepted) = tokio::join!(route.connect(), listener.accept());
    connection.unwrap().give_back();
    assert!(route.connect().await.unwrap().is_reused());
    assert_eq!(route.address(), None);

    // Nothing would be verified.
    let nameless = replica(Some(&Issuer::new().authority)).prepare();
    assert_eq!(
        nameless.unwrap_err().to_string(),
        "TLS needs a name to verify"
    );
}
