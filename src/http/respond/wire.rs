//! An answer of our own as the bytes of HTTP/1.

use http::header::CONNECTION;
use http::response::Parts;

use crate::http::request::Version;

/// Writes status line, fields and body. `connection` stands in place of what the fields say of it.
pub(crate) fn write(out: &mut Vec<u8>, parts: &Parts, body: &[u8], connection: &[u8]) {
    let reason = parts.status.canonical_reason().unwrap_or_default();
    for part in ["HTTP/1.1 ", parts.status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &parts.headers {
        if name != CONNECTION {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    out.extend_from_slice(connection);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// One line of a head. Inlined, since a name that is known is then copied without a call.
#[inline(always)]
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// What to tell the client of its connection. RFC 9112 §9.3: HTTP/1.1 goes on unless told otherwise,
/// HTTP/1.0 ends unless told otherwise.
pub(crate) fn connection(version: Version, close: bool) -> &'static [u8] {
    if close {
        b"connection: close\r\n"
    } else if version == Version::Http10 {
        b"connection: keep-alive\r\n"
    } else {
        b""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::respond::Failure;

    /// RFC 9112 §9.3: what stands in the fields about the connection does not count.
    #[test]
    fn an_answer_is_a_whole_message() {
        let cases = [
            (Version::Http11, false, None),
            (Version::Http10, false, Some("connection: keep-alive")),
            (Version::Http11, true, Some("connection: close")),
            (Version::Http10, true, Some("connection: close")),
        ];
        for (version, close, told) in cases {
            for to_head in [false, true] {
                let (parts, body) = Failure::Draining.response("id-1", to_head);
                let mut out = Vec::new();
                write(&mut out, &parts, &body, connection(version, close));
                let text = String::from_utf8(out).unwrap();
                let (head, written) = text.split_once("\r\n\r\n").unwrap();
                let lines: Vec<&str> = head.split("\r\n").collect();
                assert_eq!(lines[0], "HTTP/1.1 503 Service Unavailable");
                let document = Failure::Draining.response("id-1", false).1;
                let length = format!("content-length: {}", document.len());
                for line in [&length, "x-request-id: id-1", "cache-control: no-store"] {
                    assert!(lines.contains(&line), "no {line} in {lines:?}");
                }
                let about = lines.iter().filter(|line| line.starts_with("connection:"));
                assert_eq!(about.copied().collect::<Vec<_>>(), Vec::from_iter(told));
                let expected = if to_head {
                    ""
                } else {
                    std::str::from_utf8(&document).unwrap()
                };
                assert_eq!(written, expected, "{version:?}");
            }
        }
    }
}
