use std::io::Write as _;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A client whose records can be sent as one likes.
struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Client {
    /// What it wants to send, as records.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    fn encrypted(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plain).unwrap();
        self.records()
    }

    /// Takes in what has come, once there is something.
    async fn take_in(&mut self) -> Result<usize, rustls::Error> {
        let mut bytes = vec![0; LARGE];
        let read = self.tcp.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "the end");
        let mut bytes = &bytes[..read];
        let mut plain = 0;
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            let state = self.tls.process_new_packets()?;
            let mut room = vec![0; state.plaintext_bytes_to_read()];
            std::io::Read::read_exact(&mut self.tls.reader(), &mut room).unwrap();
            plain += room.len();
        }
        Ok(plain)
    }

    /// Reads until so much has come, and no more.
    async fn read(&mut self, count: usize) {
        let mut read = 0;
        while read < count {
            read += self.take_in().await.unwrap();
        }
        assert_eq!(read, count);
    }
}

/// Those of both ends, which trust each other.
fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = key.cert.der().clone();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], secret)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (tcp, accepted) = tokio::join!(TcpStream::connect(at), listener.accept());
    (tcp.unwrap(), accepted.unwrap().0)
}

/// Both ends after a handshake that came in pieces of this size, with `along` right behind it.
async fn pair(
    version: &'static SupportedProtocolVersion,
    piece: usize,
    along: &[u8],
) -> (Client, Box<Tls>) {
    let (server, client) = configs(version);
    let (tcp, accepted) = sockets().await;
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = Client {
        tls: ClientConnection::new(client, name).unwrap(),
        tcp,
    };
    client.tls.set_buffer_limit(None);
    client.tcp.set_nodelay(true).unwrap();
    let shaken = tokio::spawn(Tls::accept(accepted, server));
    while client.tls.is_handshaking() {
        for piece in client.records().chunks(piece) {
            client.tcp.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.take_in().await.unwrap();
    }
    let mut records = client.records();
    records.extend(client.encrypted(along));
    client.tcp.write_all(&records).await.unwrap();
    (client, shaken.await.unwrap().unwrap())
}

async fn exactly(server: &mut Tls, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    server.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn held(server: &Tls) -> usize {
    server.came.capacity() + server.plain.capacity() + server.going.capacity()
}

/// Whether nothing can be read now; whoever reads in vain gives back what it can.
async fn waits(server: &mut Tls) -> bool {
    let mut room = [0; 1];
    let mut room = ReadBuf::new(&mut room);
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *server).poll_read(cx, &mut room).is_pending())).await
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn who_waits_holds_no_buffer() {
    for version in BOTH {
        let (mut client, mut server) = pair(version, usize::MAX, b"").await;
        for length in [1, SMALL, 3 * LARGE] {
            let sent = body(length);
            let records = client.encrypted(&sent);
            let (sending, read) =
                tokio::join!(client.tcp.write_all(&records), exactly(&mut server, length));
            sending.unwrap();
            assert!(read == sent);
            assert!(waits(&mut server).await);
            assert_eq!(held(&server), 0, "{length}");
            let (written, ()) = tokio::join!(
                async {
                    server.write_all(&sent).await?;
                    server.flush().await
                },
                client.read(length)
            );
            written.unwrap();
            assert_eq!(held(&server), 0, "{length}");
        }
    }
}

#[tokio::test]
async fn both_ends_may_be_ours() {
    for version in BOTH {
        let (server, client) = configs(version);
        let mut kinds = Vec::new();
        for length in [1, 3 * LARGE] {
            let (one, other) = sockets().await;
            let name = ServerName::try_from("a.test").unwrap();
            let (one, other) = tokio::join!(
                Tls::connect(one, client.clone(), name),
                Tls::accept(other, server.clone())
            );
            let (mut one, mut other) = (one.unwrap(), other.unwrap());
            let sent = body(length);
            for _ in 0..2 {
                let (written, read) = tokio::join!(
                    async {
                        one.write_all(&sent).await?;
                        one.flush().await
                    },
                    exactly(&mut other, length)
                );
                written.unwrap();
                assert!(read == sent);
                std::mem::swap(&mut one, &mut other);
            }
            for end in [&mut one, &mut other] {
                assert!(waits(end).await);
                assert_eq!(held(end), 0, "{length}");
            }
            kinds.push(one.agreed().handshake_kind().unwrap());
            let (closed, rest) = tokio::join!(one.shutdown(), other.read_u8());
            closed.unwrap();
            assert_eq!(rest.unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert!(other.has_ended, "it was told");
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
    }
}

#[tokio::test]
async fn a_part_of_a_record_is_nothing_to_read() {
    for version in BOTH {
        let (mut client, mut server) = pair(version, 1, b"").await;
        let sent = body(RECORD);
        let records = client.encrypted(&sent);
        let (most, last) = records.split_at(records.len() - 1);
        client.tcp.write_all(most).await.unwrap();
        while server.came.len() < most.len() {
            server.tcp.readable().await.unwrap();
            assert!(waits(&mut server).await);
        }
        assert!(held(&server) <= RECORD + OVERHEAD, "a record, no more");
        client.tcp.write_all(last).await.unwrap();
        assert!(exactly(&mut server, RECORD).await == sent);
    }
}

#[tokio::test]
async fn what_comes_right_behind_the_handshake_is_read() {
    for version in BOTH {
        let (_client, mut server) = pair(version, usize::MAX, b"GET").await;
        assert_eq!(exactly(&mut server, 3).await, b"GET");
    }
}

#[tokio::test]
async fn answers_go_out_before_all_is_read() {
    for version in BOTH {
        let (mut client, mut server) = pair(version, usize::MAX, b"").await;
        let sent = body(5 * RECORD);
        let records = client.encrypted(&sent);
        client.tcp.write_all(&records).await.unwrap();
        let mut read = exactly(&mut server, 1).await;
        server.write_all(&sent).await.unwrap();
        server.flush().await.unwrap();
        client.read(sent.len()).await;
        read.extend(exactly(&mut server, sent.len() - 1).await);
        assert!(read == sent);
    }
}

#[tokio::test]
async fn keys_are_changed_on_the_way() {
    let (mut client, mut server) = pair(&version::TLS13, usize::MAX, b"").await;
    for _ in 0..2 {
        let mut records = client.encrypted(b"a");
        for _ in 0..2 {
            client.tls.refresh_traffic_keys().unwrap();
            records.extend(client.records());
        }
        records.extend(client.encrypted(b"b"));
        client.tcp.write_all(&records).await.unwrap();
        assert_eq!(exactly(&mut server, 1).await, b"a");
        server.write_all(b"first").await.unwrap();
        server.flush().await.unwrap();
        client.read(5).await;
        assert_eq!(exactly(&mut server, 1).await, b"b");
        server.write_all(b"second").await.unwrap();
        server.flush().await.unwrap();
        client.read(6).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_the_client() {
    for version in BOTH {
        let (mut client, mut server) = pair(version, usize::MAX, b"").await;
        let mut records = client.encrypted(b"abc");
        *records.last_mut().unwrap() ^= 1;
        client.tcp.write_all(&records).await.unwrap();
        for _ in 0..2 {
            let error = server.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        drop(server);
        let told = loop {
            match client.take_in().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(
            told,
            rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)
        );
    }
}

#[tokio::test]
async fn an_end_is_told_from_a_cut() {
    for version in BOTH {
        for closes in [false, true] {
            let (mut client, mut server) = pair(version, usize::MAX, b"").await;
            let mut records = client.encrypted(b"abc");
            if closes {
                client.tls.send_close_notify();
                records.extend(client.records());
            }
            client.tcp.write_all(&records).await.unwrap();
            client.tcp.shutdown().await.unwrap();
            assert_eq!(exactly(&mut server, 3).await, b"abc");
            let read = server.read(&mut [0; 8]).await.map_err(|error| error.kind());
            let expected = if closes {
                Ok(0)
            } else {
                Err(ErrorKind::UnexpectedEof)
            };
            assert_eq!(read, expected);
            // The other direction is still open.
            server.write_all(b"xyz").await.unwrap();
            server.shutdown().await.unwrap();
            client.read(3).await;
        }
    }
}

#[tokio::test]
async fn a_handshake_has_an_end() {
    let (config, _) = configs(&version::TLS13);
    // A hello of 60,000 bytes that never ends, in records of one byte.
    let mut endless = vec![22, 3, 1, 0, 4, 1, 0, 0xEA, 0x60];
    endless.extend([22, 3, 1, 0, 1, 0].repeat(59_000));
    for (sent, expected) in [
        (&b""[..], ErrorKind::UnexpectedEof),
        (&endless[..20], ErrorKind::UnexpectedEof),
        (b"GET /v2/ HTTP/1.1\r\n\r\n", ErrorKind::InvalidData),
        (&endless, ErrorKind::InvalidData),
    ] {
        let (mut tcp, accepted) = sockets().await;
        let (shaken, _) = tokio::join!(Tls::accept(accepted, config.clone()), async {
            tcp.write_all(sent).await?;
            tcp.shutdown().await
        });
        assert_eq!(shaken.err().map(|error| error.kind()), Some(expected));
    }
}
