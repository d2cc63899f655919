use super::*;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use crate::http::buffer::SMALL;
use crate::http::respond::Malformed;
use crate::http::wire::Wire;

const PATIENCE: Duration = Duration::from_secs(60);
const TEMPO: Tempo = Tempo {
    patience: PATIENCE,
    upload_rate: None,
    download_rate: None,
};
const SLOWEST: Tempo = Tempo {
    patience: PATIENCE,
    upload_rate: NonZeroU32::new(10),
    download_rate: NonZeroU32::new(10),
};

fn line(room: usize) -> (DuplexStream, Line) {
    let (client, server) = tokio::io::duplex(room);
    (client, Line::from(Wire::Memory(server)))
}

async fn whole(source: &mut Source<'_>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = source.read().await? {
        body.extend_from_slice(piece.as_ref());
    }
    Ok(body)
}

/// RFC 9112 §6.3: a request ends where its framing says so, and not a byte later.
#[tokio::test]
async fn a_request_is_read_to_its_last_byte_and_no_further() {
    let nobody = End::default();
    let chunks: &[u8] = b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
    for (body, sent) in [(Body::Length(4), &b"body"[..]), (Body::Chunked, chunks)] {
        // However much of it came with the head.
        for ahead in 0..=sent.len() + 5 {
            let all = [sent, b"GET /next"].concat();
            let (with_head, later) = all.split_at(ahead);
            let (mut end, line) = line(1024);
            end.write_all(later).await.unwrap();
            let mut client = Client::http1(&nobody, &line, body, with_head, &TEMPO);
            assert_eq!(whole(&mut client.source).await.unwrap(), b"body");
            assert!(client.source.is_done());
            assert_eq!(client.source.received, 4);
            client
                .sink
                .begin_http1(&mut b"head".to_vec(), b"", Framing::Plain)
                .await
                .unwrap();
            client.sink.end(&[]).await.unwrap();
            let mut rest = client.into_rest().unwrap();
            while rest.len() < 9 {
                rest.join(&line.read(SMALL, u64::MAX).await.unwrap());
            }
            assert_eq!(&*rest, b"GET /next", "{ahead}");
        }
    }
}

#[tokio::test]
async fn a_small_body_can_be_read_again_however_much_of_it_has_come() {
    let nobody = End::default();
    let small = [b'x'; 16 * 1024];
    let chunks = [b"4000\r\n", &small[..], b"\r\n0\r\n\r\n"].concat();
    for (body, sent) in [
        (Body::Length(small.len() as u64), &small[..]),
        (Body::Chunked, &chunks),
    ] {
        for (ahead, first) in [(0, 0), (0, 1), (7, 7), (8000, 9000), (0, sent.len())] {
            let (with_head, rest) = sent.split_at(ahead);
            let (now, later) = rest.split_at(first - ahead);
            let (mut end, line) = line(32 * 1024);
            let mut client = Client::http1(&nobody, &line, body, with_head, &TEMPO);
            let source = &mut client.source;
            end.write_all(now).await.unwrap();
            while let Ok(Ok(Some(_))) = timeout(Duration::ZERO, source.read()).await {}
            assert!(source.can_rewind(), "{ahead} {first}");
            source.rewind();
            end.write_all(later).await.unwrap();
            for _ in 0..2 {
                assert_eq!(whole(source).await.unwrap(), small, "{ahead} {first}");
                assert!(source.is_done() && !source.has_more());
                source.rewind();
                assert!(source.is_done() && source.has_more());
            }
            assert_eq!(source.received, small.len() as u64);
            // What was not read again is no reason to close.
            client.sink.end(&[]).await.unwrap();
            assert!(client.into_rest().is_some());
        }
    }
}

#[tokio::test]
async fn of_a_large_body_nothing_is_kept() {
    let nobody = End::default();
    let large = [b'x'; 16 * 1024 + 1];
    let chunks = [b"4001\r\n", &large[..], b"\r\n0\r\n\r\n"].concat();
    for (body, sent) in [
        (Body::Length(large.len() as u64), &large[..]),
        (Body::Chunked, &chunks),
    ] {
        let (mut end, line) = line(32 * 1024);
        let mut client = Client::http1(&nobody, &line, body, &sent[..8000], &TEMPO);
        let source = &mut client.source;
        assert!(source.can_rewind(), "nothing was read");
        end.write_all(&sent[8000..]).await.unwrap();
        assert_eq!(whole(source).await.unwrap(), large);
        assert!(!source.can_rewind());
        source.rewind();
        assert!(!source.has_more());
        assert!(source.read().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_connection_goes_on_only_behind_a_whole_request_and_a_whole_answer() {
    let nobody = End::default();
    for (read, answered, closes) in [
        (false, true, false),
        (true, false, false),
        (true, true, true),
    ] {
        let (mut end, line) = line(64);
        end.write_all(b"body").await.unwrap();
        let mut client = Client::http1(&nobody, &line, Body::Length(4), b"", &TEMPO);
        client.sink.closes = closes;
        if read {
            whole(&mut client.source).await.unwrap();
        }
        if answered {
            client.sink.end(&[]).await.unwrap();
        }
        assert!(client.into_rest().is_none(), "{read} {answered} {closes}");
    }
}

#[tokio::test]
async fn the_end_of_the_connection_is_seen_while_a_client_waits() {
    let nobody = End::default();
    let (end, line) = line(64);
    let mut client = Client::http1(&nobody, &line, Body::Length(0), b"", &TEMPO);
    drop(end);
    assert_eq!(client.source.gone().await, Failure::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_ahead_does_not_say_that_it_is_gone() {
    let nobody = End::default();
    let (mut end, line) = line(64);
    let mut client = Client::http1(&nobody, &line, Body::Length(0), b"", &TEMPO);
    end.write_all(b"GET").await.unwrap();
    let gone = timeout(Duration::from_secs(1), client.source.gone()).await;
    assert!(gone.is_err());
    client.sink.end(&[]).await.unwrap();
    assert_eq!(&*client.into_rest().unwrap(), b"GET");
}

/// RFC 9112 §7.1
#[tokio::test]
async fn chunks_that_two_readers_may_understand_differently_are_refused() {
    let nobody = End::default();
    for body in [
        "1;\nx\r\n0\r\n\r\n",
        "\r\n\r\n",
        ";x\r\n\r\n",
        "1;\0\r\nx\r\n",
    ] {
        let (mut end, line) = line(64);
        end.write_all(body.as_bytes()).await.unwrap();
        let mut client = Client::http1(&nobody, &line, Body::Chunked, b"", &TEMPO);
        let refused = whole(&mut client.source).await;
        assert_eq!(
            refused,
            Err(Failure::BadRequest(Malformed::Body)),
            "{body:?}"
        );
        client.sink.end(&[]).await.unwrap();
        assert!(client.into_rest().is_none(), "{body:?}");
    }
}

/// RFC 9112 §7.1: an empty chunk would be the last one.
#[tokio::test]
async fn chunks_are_written_as_they_are_read() {
    let nobody = End::default();
    let (mut end, line) = line(1024);
    let mut client = Client::http1(&nobody, &line, Body::Length(0), b"", &TEMPO);
    let sink = &mut client.sink;
    sink.begin_http1(&mut b"head ".to_vec(), b"", Framing::Chunked)
        .await
        .unwrap();
    for part in ["body", "", "more"] {
        sink.write(Piece::Bytes(part.into())).await.unwrap();
    }
    sink.end(b"X-Sum: 1\r\n").await.unwrap();
    assert_eq!(client.sink.sent, 8);
    drop(client);
    drop(line);
    let mut seen = String::new();
    end.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "head 4\r\nbody\r\n4\r\nmore\r\n0\r\nX-Sum: 1\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let nobody = End::default();
    let (_end, line) = line(8);
    let mut client = Client::http1(&nobody, &line, Body::Length(0), b"", &TEMPO);
    let began = Instant::now();
    let body = Bytes::from_static(&[0; 8192]);
    let failure = client.sink.write(Piece::Bytes(body)).await;
    assert_eq!(failure, Err(Failure::ClientStalled));
    assert_eq!(began.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_given_up() {
    let nobody = End::default();
    for (pause, expected) in [
        (1000, Err(Failure::BodyTooSlow)),
        (50, Ok(vec![b'x'; 1000])),
    ] {
        let (mut end, line) = line(64);
        let mut client = Client::http1(&nobody, &line, Body::Length(1000), b"", &SLOWEST);
        let drip = tokio::spawn(async move {
            while end.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
        assert_eq!(whole(&mut client.source).await, expected, "{pause} ms");
        drip.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_is_not_the_clients_fault() {
    let nobody = End::default();
    let (mut end, line) = line(64);
    let mut client = Client::http1(&nobody, &line, Body::Length(1000), b"", &SLOWEST);
    tokio::spawn(async move { end.write_all(&[b'x'; 1000]).await });
    while client.source.read().await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
    assert_eq!(client.source.received, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_by_drops_is_given_up() {
    let nobody = End::default();
    let (mut end, line) = line(8);
    let mut client = Client::http1(&nobody, &line, Body::Length(0), b"", &SLOWEST);
    tokio::spawn(async move {
        while end.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let body = Bytes::from_static(&[0; 8192]);
    let failure = client.sink.write(Piece::Bytes(body)).await;
    assert_eq!(failure, Err(Failure::ClientTooSlow));
}
