use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::http::wire::Wire;
use crate::http::wire::tests::secured;

const LONG: Duration = Duration::from_secs(600);

/// Both ends of a trunk.
struct Both {
    asks: Trunk,
    opened: mpsc::UnboundedReceiver<Stream>,
    drain: oneshot::Sender<()>,
    accepts: JoinHandle<()>,
}

fn tls(wire: Wire) -> Box<Tls> {
    let Wire::Tls(tls) = wire else {
        unreachable!("{wire:?}");
    };
    tls
}

async fn both(idle: Duration) -> Both {
    let (one, other) = secured().await;
    let (give, opened) = mpsc::unbounded_channel();
    let (drain, drained) = oneshot::channel::<()>();
    let accepts = tokio::spawn(async move {
        let drained = async {
            let _ = drained.await;
        };
        accept(tls(other), idle, drained, |stream| {
            let _ = give.send(stream);
        })
        .await;
    });
    Both {
        asks: Trunk::begin(tls(one)),
        opened,
        drain,
        accepts,
    }
}

/// A stream that both ends know, of which the first byte has come.
async fn opened(both: &mut Both) -> (Stream, Stream) {
    let mut here = both.asks.open().unwrap();
    here.write_all(b"!").await.unwrap();
    let mut there = both.opened.recv().await.unwrap();
    assert_eq!(there.read_u8().await.unwrap(), b'!');
    (here, there)
}

async fn whole(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn streams_do_not_mix() {
    let mut both = both(LONG).await;
    let mut pairs = Vec::new();
    for _ in 0..256 {
        pairs.push(opened(&mut both).await);
    }
    assert!(both.asks.open().is_none(), "an id is one byte");
    for (at, (here, there)) in pairs.iter_mut().enumerate() {
        let at = at as u64;
        here.write_u64(at).await.unwrap();
        there.write_u64(1000 + at).await.unwrap();
    }
    for (at, (here, there)) in pairs.iter_mut().enumerate() {
        let at = at as u64;
        assert_eq!(here.read_u64().await.unwrap(), 1000 + at);
        assert_eq!(there.read_u64().await.unwrap(), at);
    }
    drop(pairs);
    // Ids are free again when both ends have said so.
    while both.asks.open().is_none() {
        tokio::task::yield_now().await;
    }
    opened(&mut both).await;
}

#[tokio::test]
async fn a_body_of_any_length_passes_and_stops_no_other() {
    let mut both = both(LONG).await;
    let (mut large, mut reader) = opened(&mut both).await;
    let (mut other, mut answers) = opened(&mut both).await;
    let body: Vec<u8> = (0..1_000_003_u32).map(|at| (at % 251) as u8).collect();
    let sent = body.clone();
    let writes = tokio::spawn(async move {
        large.write_all(&sent).await.unwrap();
        large.shutdown().await.unwrap();
    });
    // Nobody reads the large one yet.
    for round in 0..100 {
        other.write_u32(round).await.unwrap();
        assert_eq!(answers.read_u32().await.unwrap(), round);
        assert!(!writes.is_finished());
    }
    assert!(whole(&mut reader).await == body);
    writes.await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_the_end_arrives() {
    let mut both = both(LONG).await;
    let (mut here, mut there) = opened(&mut both).await;
    there.write_all(b"last words").await.unwrap();
    there.shutdown().await.unwrap();
    assert_eq!(whole(&mut here).await, b"last words");
    assert!(here.is_closed());
    let refused = here.write_all(b"more").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
    assert_eq!(whole(&mut there).await, b"", "it has ended it itself");
}

#[tokio::test]
async fn who_waits_learns_that_the_other_end_has_left() {
    let mut both = both(LONG).await;
    let (here, mut there) = opened(&mut both).await;
    let waits = tokio::spawn(async move { whole(&mut there).await });
    drop(here);
    assert_eq!(waits.await.unwrap(), b"");

    // One that waits for room.
    let (here, mut there) = opened(&mut both).await;
    let full = vec![0; 1_000_000];
    let writes = tokio::spawn(async move { there.write_all(&full).await.unwrap_err().kind() });
    drop(here);
    assert_eq!(writes.await.unwrap(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_trunk_that_breaks_breaks_all_its_streams() {
    let mut both = both(LONG).await;
    let (mut here, _there) = opened(&mut both).await;
    let (mut another, _too) = opened(&mut both).await;
    both.accepts.abort();
    for stream in [&mut here, &mut another] {
        let broken = stream.read_u8().await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::UnexpectedEof);
        assert!(stream.is_closed());
        assert!(stream.write_all(b"?").await.is_err());
    }
    assert!(both.asks.open().is_none());
}

#[tokio::test]
async fn one_that_says_nothing_gets_no_more_streams() {
    let mut both = both(LONG).await;
    let (mut here, mut there) = opened(&mut both).await;
    let mut idle = Wire::Stream(both.asks.open().unwrap());
    there.write_u8(1).await.unwrap();
    assert_eq!(here.read_u8().await.unwrap(), 1);
    here.write_u8(2).await.unwrap();
    assert!(idle.is_fresh());
    let began = Instant::now();
    while both.asks.open().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(900));
    assert!(!idle.is_fresh());
    there.write_u8(3).await.unwrap();
    assert_eq!(here.read_u8().await.unwrap(), 3);
    assert!(both.asks.open().is_some() && idle.is_fresh());
}

#[tokio::test]
async fn it_ends_with_its_last_stream_once_nobody_opens_more() {
    let mut both = both(LONG).await;
    let (mut here, mut there) = opened(&mut both).await;
    drop(both.asks);
    here.write_u8(1).await.unwrap();
    assert_eq!(there.read_u8().await.unwrap(), 1);
    assert!(!both.accepts.is_finished());
    drop((here, there));
    both.accepts.await.unwrap();
}

#[tokio::test]
async fn it_ends_with_its_last_stream_when_the_member_drains() {
    let mut both = both(LONG).await;
    let (mut here, mut there) = opened(&mut both).await;
    both.drain.send(()).unwrap();
    there.write_u8(1).await.unwrap();
    assert_eq!(here.read_u8().await.unwrap(), 1);
    assert!(!both.accepts.is_finished());
    drop(there);
    assert_eq!(whole(&mut here).await, b"");
    drop(here);
    both.accepts.await.unwrap();
    // The end has to come here, too.
    while both.asks.open().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_that_nobody_uses_ends() {
    let mut both = both(Duration::from_millis(100)).await;
    let pair = opened(&mut both).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!both.accepts.is_finished(), "it is used");
    drop(pair);
    both.accepts.await.unwrap();
}

#[tokio::test]
async fn a_member_that_speaks_otherwise_is_not_listened_to() {
    let too_much = [&[0, 0, 0x3f, 0xfc][..], &[0; 0x3ffc]].concat();
    for wrong in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &frame::end(0),
        &frame::credit(0, 1),
        &too_much.repeat(5),
    ] {
        let (one, other) = secured().await;
        let mut kept = Vec::new();
        let accepts = accept(tls(other), LONG, pending(), |stream| kept.push(stream));
        let mut one = tls(one);
        let says = async {
            one.write_all(wrong).await.unwrap();
            one.flush().await.unwrap();
            // With a close_notify.
            assert_eq!(one.read(&mut [0; 10]).await.unwrap(), 0);
        };
        tokio::join!(accepts, says);
        for mut stream in kept {
            let mut read = Vec::new();
            let broken = stream.read_to_end(&mut read).await.unwrap_err();
            assert_eq!(broken.kind(), ErrorKind::InvalidData);
        }
    }
}
