use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// What a connection was asked to write, call by call.
type Calls = Arc<Mutex<Vec<Vec<u8>>>>;

/// A connection that takes at most so many bytes a call.
#[derive(Debug)]
struct Wire {
    calls: Calls,
    vectored: bool,
    most: usize,
}

fn wire(vectored: bool, most: usize) -> (Corked, Calls) {
    let calls = Calls::default();
    let wire = Wire {
        calls: calls.clone(),
        vectored,
        most,
    };
    (Corked::new(wire), calls)
}

fn written(calls: &Calls) -> Vec<Vec<u8>> {
    calls.lock().unwrap().clone()
}

#[tokio::test]
async fn a_small_answer_is_one_write() {
    let (mut corked, calls) = wire(true, usize::MAX);
    corked.write_all(b"head ").await.unwrap();
    corked.write_all(b"body").await.unwrap();
    assert_eq!(written(&calls).len(), 0, "nothing before the flush");
    corked.flush().await.unwrap();
    assert_eq!(written(&calls), [b"head body"]);
    corked.flush().await.unwrap();
    assert_eq!(written(&calls).len(), 1, "nothing is left");
}

#[tokio::test]
async fn a_large_body_takes_the_head_along() {
    let body = vec![b'x'; WAITING_LIMIT];
    let whole = [b"head".as_slice(), &body].concat();
    let (mut corked, calls) = wire(true, usize::MAX);
    corked.write_all(b"head").await.unwrap();
    corked.write_all(&body).await.unwrap();
    assert_eq!(written(&calls), std::slice::from_ref(&whole));

    // TLS takes one slice at a time.
    let (mut corked, calls) = wire(false, usize::MAX);
    corked.write_all(b"head").await.unwrap();
    corked.write_all(&body).await.unwrap();
    assert_eq!(written(&calls), [b"head".to_vec(), body]);
}

#[tokio::test]
async fn what_waits_is_written_before_the_connection_is_given_up() {
    let (mut corked, calls) = wire(true, usize::MAX);
    corked.write_all(b"cut").await.unwrap();
    corked.let_go().await;
    assert_eq!(written(&calls), [b"cut"]);
}

#[tokio::test]
async fn a_connection_that_takes_nothing_is_an_error() {
    let (mut corked, _) = wire(true, 0);
    corked.write_all(b"head").await.unwrap();
    assert!(corked.flush().await.is_err());
}

proptest! {
    #[test]
    fn every_byte_is_written_once_and_in_order(
        lengths in prop::collection::vec((0..3 * WAITING_LIMIT, any::<bool>(), any::<bool>()), 0..12),
        vectored: bool,
        most in 1..2 * WAITING_LIMIT,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut corked, calls) = wire(vectored, most);
        let mut sent = Vec::new();
        runtime.block_on(async {
            for (length, in_pieces, flush) in lengths {
                let part: Vec<u8> = (0..length).map(|n| (n + sent.len()) as u8).collect();
                if in_pieces {
                    let (one, two) = part.split_at(length / 3);
                    let mut pieces = bytes::Buf::chain(one, two);
                    corked.write_all_buf(&mut pieces).await.unwrap();
                } else {
                    corked.write_all(&part).await.unwrap();
                }
                sent.extend(part);
                if flush {
                    corked.flush().await.unwrap();
                    assert_eq!(written(&calls).concat().len(), sent.len());
                }
            }
            corked.flush().await.unwrap();
        });
        prop_assert!(written(&calls).concat() == sent);
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        let taken = buf.len().min(self.most);
        self.calls.lock().unwrap().push(buf[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        let all: Vec<u8> = if self.vectored {
            bufs.iter().flat_map(|buf| buf.iter().copied()).collect()
        } else {
            // As the default does: the first that is not empty.
            bufs.iter()
                .find(|buf| !buf.is_empty())
                .map_or_else(Vec::new, |buf| buf.to_vec())
        };
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<IoResult<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        Poll::Pending
    }
}
