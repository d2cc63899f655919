use super::*;
use tokio::io::AsyncWriteExt;

const PATIENCE: Duration = Duration::from_secs(5);
const TEMPO: Tempo = Tempo {
    patience: PATIENCE,
    upload_rate: None,
    download_rate: None,
};

async fn read_some(stream: &mut GatedStream) -> Vec<u8> {
    let mut buf = vec![0; 64];
    let read = stream.read(&mut buf).await.unwrap();
    buf.truncate(read);
    buf
}

#[tokio::test]
async fn a_request_is_delivered_to_its_last_byte_and_no_further() {
    let (client, server) = tokio::io::duplex(1024);
    let (mut client, mut gated) = (client, GatedStream::new(Box::new(server), TEMPO));
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
    let mut gated = GatedStream::new(Box::new(server), TEMPO);
    drop(client);
    assert_eq!(read_some(&mut gated).await, b"");
}

#[tokio::test]
async fn a_chunked_body_is_delivered_to_its_end_and_no_further() {
    let (client, server) = tokio::io::duplex(64);
    let (mut client, mut gated) = (client, GatedStream::new(Box::new(server), TEMPO));
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
        let mut gated = GatedStream::new(Box::new(server), TEMPO);
        client.write_all(body.as_bytes()).await.unwrap();
        gated.admit(0, None);
        // Again as well: nobody shall wait for what would follow.
        for _ in 0..2 {
            let error = gated.read(&mut [0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{body:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (_client, server) = tokio::io::duplex(8);
    let mut gated = GatedStream::new(Box::new(server), TEMPO);
    let began = tokio::time::Instant::now();
    let error = gated.write_all(&[0; 8192]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
}

const SLOWEST: Tempo = Tempo {
    patience: Duration::from_secs(60),
    upload_rate: NonZeroU32::new(10),
    download_rate: NonZeroU32::new(10),
};

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_given_up() {
    for (pause, ends) in [(1000, true), (50, false)] {
        let (mut client, server) = tokio::io::duplex(64);
        let mut gated = GatedStream::new(Box::new(server), SLOWEST);
        client.write_all(b"head ").await.unwrap();
        gated.fill(5).await.unwrap();
        gated.admit(5, Some(1000));
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
        let mut body = Vec::new();
        let read = (&mut gated).take(1005).read_to_end(&mut body).await;
        let error = read.err().and_then(|error| TooSlow::of(&error));
        assert_eq!(error, ends.then_some(TooSlow::Sending), "{pause} ms");
        drip.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_is_not_the_clients_fault() {
    let (mut client, server) = tokio::io::duplex(64);
    let mut gated = GatedStream::new(Box::new(server), SLOWEST);
    gated.admit(0, Some(1000));
    tokio::spawn(async move { client.write_all(&[b'x'; 1000]).await });
    for _ in 0..20 {
        read_some(&mut gated).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_by_drops_is_given_up() {
    let (mut client, server) = tokio::io::duplex(8);
    let mut gated = GatedStream::new(Box::new(server), SLOWEST);
    gated.admit(0, Some(0));
    tokio::spawn(async move {
        while client.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let error = gated.write_all(&[0; 8192]).await.unwrap_err();
    assert_eq!(TooSlow::of(&error), Some(TooSlow::Reading));
}
