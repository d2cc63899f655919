//! HTTP/2 as bytes, for clients that no library would let be (RFC 9113).

/// What an HTTP/2 connection begins with (§3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The error code of those who are asked to do less (§7).
pub const ENHANCE_YOUR_CALM: u32 = 11;

// Kinds of frames and their flags (§6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame (§4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block (RFC 7541): method and scheme by their place in the static table, the rest in plain
/// text.
pub fn block(method: &str, path: &str) -> Vec<u8> {
    let method = match method {
        "GET" => 0x82,
        "POST" => 0x83,
        other => panic!("{other} has no place in the static table"),
    };
    let text = |name: u8, value: &str| {
        let length = u8::try_from(value.len()).unwrap();
        assert!(length < 127);
        [&[name, length], value.as_bytes()].concat()
    };
    [vec![method, 0x87], text(0x04, path), text(0x01, "r:5000")].concat()
}

/// Code and debug data of the GOAWAY among these frames.
pub fn goodbye(mut frames: &[u8]) -> Option<(u32, String)> {
    while let [l0, l1, l2, kind, ..] = *frames {
        let end = 9 + u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let payload = frames.get(9..end)?;
        if kind == GOAWAY {
            let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
            return Some((code, String::from_utf8_lossy(&payload[8..]).into_owned()));
        }
        frames = &frames[end..];
    }
    None
}
