use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::http::buffer::LARGE;

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(at), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

async fn plain() -> (Wire, Wire) {
    let (one, other) = tcp().await;
    (Wire::Tcp(one), Wire::Tcp(other))
}

fn unix() -> (Wire, Wire) {
    let (one, other) = UnixStream::pair().unwrap();
    (Wire::Unix(one), Wire::Unix(other))
}

pub(in crate::http) async fn secured() -> (Wire, Wire) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let der = key.cert.der().clone();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], secret)
        .unwrap();
    server.send_tls13_tickets = 0;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (one, other) = tcp().await;
    let name = ServerName::try_from("a.test").unwrap();
    let (one, other) = tokio::join!(
        Tls::connect(one, Arc::new(client), name),
        Tls::accept(other, Arc::new(server))
    );
    (Wire::Tls(one.unwrap()), Wire::Tls(other.unwrap()))
}

/// The next bytes, as many as there are.
async fn next(wire: &mut Wire) -> Vec<u8> {
    let mut bytes = vec![0; LARGE];
    let read = wire.read(&mut bytes).await.unwrap();
    bytes.truncate(read);
    bytes
}

#[tokio::test]
async fn large_bodies_pass_whole() {
    let body: Vec<u8> = (0..3 * LARGE + 5).map(|at| (at % 251) as u8).collect();
    for (mut one, mut other) in [plain().await, unix(), secured().await] {
        let (sent, read) = tokio::join!(
            async {
                other.write_all(&body).await?;
                other.shutdown().await
            },
            async {
                let mut arrived = Vec::new();
                loop {
                    let part = next(&mut one).await;
                    if part.is_empty() {
                        return arrived;
                    }
                    arrived.extend_from_slice(&part);
                }
            }
        );
        sent.unwrap();
        assert!(read == body, "{one:?}");
    }
}

/// What comes on a socket next, as it is.
async fn raw(socket: &TcpStream, count: usize) -> Vec<u8> {
    let (mut bytes, mut come) = (vec![0; count], 0);
    while come < count {
        socket.readable().await.unwrap();
        match socket.try_read(&mut bytes[come..]) {
            Ok(read) => come += read,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    bytes
}

#[tokio::test]
async fn parts_go_out_in_one_record() {
    const APPLICATION_DATA: u8 = 23;
    let ((one, other), (another, fourth)) = (secured().await, secured().await);
    for (mut from, to) in [(one, other), (fourth, another)] {
        let parts = [IoSlice::new(b"head"), IoSlice::new(b"body")];
        assert_eq!(from.write_vectored(&parts).await.unwrap(), 8);
        from.flush().await.unwrap();
        let socket = to.socket().unwrap();
        let record = raw(socket, 5).await;
        assert_eq!(record[0], APPLICATION_DATA);
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        assert!(length > 8);
        raw(socket, length).await;
        let nothing = socket.try_read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn what_is_not_fresh_is_noticed() {
    for unasked in [&b""[..], b"x"] {
        for (mut one, mut other) in [plain().await, secured().await] {
            assert!(one.is_fresh() && other.is_fresh());
            other.write_all(unasked).await.unwrap();
            other.shutdown().await.unwrap();
            one.socket().unwrap().readable().await.unwrap();
            assert!(!one.is_fresh(), "{one:?}");
        }
        let (mut one, mut other) = unix();
        assert!(one.is_fresh());
        other.write_all(unasked).await.unwrap();
        other.shutdown().await.unwrap();
        let Wire::Unix(socket) = &one else {
            unreachable!("a socket");
        };
        socket.readable().await.unwrap();
        assert!(!one.is_fresh());
    }
}

#[tokio::test]
async fn a_test_may_do_without_sockets() {
    let (one, other) = tokio::io::duplex(64);
    let (mut one, mut other) = (Wire::Memory(one), Wire::Memory(other));
    assert!(one.is_fresh());
    other.write_all(b"abc").await.unwrap();
    assert_eq!(next(&mut one).await, b"abc");
}
