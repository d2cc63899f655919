use super::*;
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(5);

async fn read_some(stream: &mut GatedStream) -> Vec<u8> {
    let mut buf = vec![0; 64];
    let read = stream.read(&mut buf).await.unwrap();
    buf.truncate(read);
    buf
}

#[tokio::test]
async fn a_request_is_delivered_to_its_last_byte_and_no_further() {
    let (client, server) = tokio::io::duplex(1024);
    let (mut client, mut gated) = (client, GatedStream::new(Box::new(server), PATIENCE));
    client.write_all(b"head bodyGET /next").await.unwrap();
    while gated.held().len() < 7 {
        gated.fill(7).await.unwrap();
    }
    gated.admit(5, Some(4));

    let mut seen = Vec::new();
    while seen.len() < 9 {
        seen.extend(read_some(&mut gated).await);
    }
    assert_eq!(seen, b"head body");

    let beyond = tokio::time::timeout(Duration::from_millis(20), read_some(&mut gated)).await;
    assert!(
        beyond.is_err(),
        "the next request must wait, got {beyond:?}"
    );

    while gated.held().len() < 9 {
        gated.fill(9).await.unwrap();
    }
    gated.replace_head(3, b"PUT");
    gated.admit(9, Some(0));
    let mut next = Vec::new();
    while next.len() < 9 {
        next.extend(read_some(&mut gated).await);
    }
    assert_eq!(next, b"PUT /next");
}

#[tokio::test]
async fn the_end_of_the_connection_is_seen_between_requests() {
    let (client, server) = tokio::io::duplex(64);
    let mut gated = GatedStream::new(Box::new(server), PATIENCE);
    drop(client);
    assert_eq!(read_some(&mut gated).await, b"");
}

#[tokio::test]
async fn a_chunked_body_is_delivered_to_its_end_and_no_further() {
    let (client, server) = tokio::io::duplex(64);
    let (mut client, mut gated) = (client, GatedStream::new(Box::new(server), PATIENCE));
    client
        .write_all(b"head 1\r\nx\r\n0\r\n\r\nGET /next")
        .await
        .unwrap();
    gated.fill(5).await.unwrap();
    gated.admit(5, None);
    let mut seen = Vec::new();
    while seen.len() < 16 {
        seen.extend(read_some(&mut gated).await);
    }
    assert_eq!(seen, b"head 1\r\nx\r\n0\r\n\r\n");
    assert_eq!(&gated.held()[..], b"GET /next");
    let beyond = tokio::time::timeout(Duration::from_millis(20), read_some(&mut gated)).await;
    assert!(
        beyond.is_err(),
        "the next request must wait, got {beyond:?}"
    );
}

#[tokio::test]
async fn chunks_that_two_readers_may_understand_differently_are_an_error() {
    for body in [
        "1;\nx\r\n0\r\n\r\n",
        "\r\n\r\n",
        ";x\r\n\r\n",
        "1;\0\r\nx\r\n",
    ] {
        let (mut client, server) = tokio::io::duplex(64);
        let mut gated = GatedStream::new(Box::new(server), PATIENCE);
        client.write_all(body.as_bytes()).await.unwrap();
        gated.admit(0, None);
        let error = gated.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (_client, server) = tokio::io::duplex(8);
    let mut gated = GatedStream::new(Box::new(server), PATIENCE);
    let began = tokio::time::Instant::now();
    let error = gated.write_all(&[0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
}
