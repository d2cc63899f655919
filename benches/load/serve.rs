//! The upstream: answers at once what a registry would, and reads bodies to their end.
//!
//! A blob is as long as the last sixteen digits of its digest say.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_local;

use crate::client::{Failure, LARGE, PART, length_of};

const FIELDS: usize = 64;
/// About 700 bytes, as the manifest of a small image has.
const MANIFEST: usize = 700;
const SIZE_DIGITS: usize = 16;
/// Where a head is followed by its body in one write.
const TOGETHER: u64 = 32 << 10;

/// Serves until the process is ended.
pub(crate) async fn serve<T>(port: u16, socket: &Path) -> Result<T, Failure> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let unix = UnixListener::bind(socket)?;
    loop {
        tokio::select! {
            accepted = tcp.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                spawn_local(answer_all(stream));
            }
            accepted = unix.accept() => {
                spawn_local(answer_all(accepted?.0));
            }
        }
    }
}

/// Until the connection ends, for whatever reason: proxies close theirs when they like.
async fn answer_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<Infallible, Failure> {
    let mut buffer = vec![0; LARGE];
    let manifest = head("200 OK", MANIFEST as u64);
    let manifest = [manifest.as_bytes(), &PART[..MANIFEST]].concat();
    loop {
        let (asked, mut left) = read_request(&mut stream, &mut buffer).await?;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(LARGE).min(LARGE);
            let read = stream.read(&mut buffer[..room]).await?;
            if read == 0 {
                return Err("the connection was closed within a body".into());
            }
            left -= read as u64;
        }
        match asked {
            Asked::Manifest => stream.write_all(&manifest).await?,
            Asked::Head => {
                let head = head("200 OK", MANIFEST as u64);
                stream.write_all(head.as_bytes()).await?;
            }
            Asked::Upload => stream.write_all(head("202 Accepted", 0).as_bytes()).await?,
            Asked::Blob(bytes) => write_blob(&mut stream, bytes).await?,
        }
    }
}

#[derive(Debug, PartialEq)]
enum Asked {
    Manifest,
    Head,
    Upload,
    Blob(u64),
}

fn asked(method: &str, path: &str) -> Asked {
    match method {
        "HEAD" => Asked::Head,
        "GET" => blob(path).map_or(Asked::Manifest, Asked::Blob),
        _ => Asked::Upload,
    }
}

/// Length of the blob that a path names.
fn blob(path: &str) -> Option<u64> {
    let (_, digest) = path.rsplit_once("/blobs/sha256:")?;
    let digits = digest.get(digest.len().checked_sub(SIZE_DIGITS)?..)?;
    u64::from_str_radix(digits, 16).ok()
}

/// What is asked, and how much of its body is still to come.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
) -> Result<(Asked, u64), Failure> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err("closed".into());
        }
        filled += read;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(head) = request.parse(&buffer[..filled])? {
            let (Some(method), Some(path)) = (request.method, request.path) else {
                return Err("no request line".into());
            };
            let body = length_of(request.headers)?.unwrap_or(0);
            let left = body.checked_sub((filled - head) as u64);
            return Ok((asked(method, path), left.ok_or("pipelined")?));
        }
    }
}

async fn write_blob(stream: &mut (impl AsyncWrite + Unpin), bytes: u64) -> Result<(), Failure> {
    let head = head("200 OK", bytes);
    let mut left = bytes;
    if bytes <= TOGETHER {
        let body = &PART[..usize::try_from(bytes)?];
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        return Ok(());
    }
    stream.write_all(head.as_bytes()).await?;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(PART.len()).min(PART.len());
        stream.write_all(&PART[..part]).await?;
        left -= part as u64;
    }
    Ok(())
}

fn head(status: &str, length: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_says_how_long_its_blob_is() {
        let path = format!("/v2/team/app/blobs/sha256:{:064x}", 64 << 20);
        assert_eq!(asked("GET", &path), Asked::Blob(64 << 20));
        assert_eq!(asked("GET", "/v2/"), Asked::Manifest);
        assert_eq!(asked("GET", "/v2/a/manifests/v1"), Asked::Manifest);
        assert_eq!(asked("HEAD", "/v2/a/manifests/v1"), Asked::Head);
        assert_eq!(asked("PATCH", "/v2/a/blobs/uploads/1"), Asked::Upload);
    }
}
