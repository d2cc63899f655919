//! One HTTP/2 request, written frame by frame, and what came of it.

use crate::cluster::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
};
use crate::cluster::{Connection, within};

/// What became of a request.
#[derive(Debug, PartialEq)]
pub enum Told {
    Served,
    /// By an answer, a reset, or the end of the connection.
    Refused,
}

/// A connection with this request, from the lines of a case.
pub fn request(lines: &[String], target: &str) -> Vec<u8> {
    let (mut block, mut bodies) = (Vec::new(), Vec::new());
    for line in lines {
        let line = line.replace("{target}", target);
        if let Some(body) = line.strip_prefix("DATA") {
            bodies.push(super::unescaped(body.strip_prefix(' ').unwrap_or(body)));
            continue;
        }
        // The colon of a pseudo-field is part of its name.
        let (name, value) = line[1..].split_once(": ").unwrap();
        block.push(0);
        for text in [&line[..=name.len()], value] {
            let text = super::unescaped(text);
            let length = u8::try_from(text.len()).unwrap();
            match length.checked_sub(127) {
                None => block.push(length),
                // RFC 7541 §5.1: what does not fit into seven bits.
                Some(more) if more < 128 => block.extend([127, more]),
                Some(_) => panic!("too long for this: {line}"),
            }
            block.extend(text);
        }
    }
    let ends = |last: bool| if last { END_STREAM } else { 0 };
    let mut bytes = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    bytes.extend(frame(
        HEADERS,
        END_HEADERS | ends(bodies.is_empty()),
        1,
        &block,
    ));
    for (number, body) in bodies.iter().enumerate() {
        bytes.extend(frame(DATA, ends(number + 1 == bodies.len()), 1, body));
    }
    bytes
}

/// Reads until it is known what became of the request.
pub async fn told(connection: &mut Connection) -> Told {
    let mut bytes = Vec::new();
    loop {
        let Some(piece) = within("an answer", connection.some()).await else {
            return Told::Refused;
        };
        bytes.extend(piece);
        let mut rest = &bytes[..];
        while let [a, b, c, kind, _, _, _, _, _, ..] = *rest {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = rest.get(9..9 + length) else {
                break;
            };
            match kind {
                // `:status: 200` is the eighth entry of the static table.
                HEADERS if payload.first() == Some(&0x88) => return Told::Served,
                HEADERS | RST_STREAM | GOAWAY => return Told::Refused,
                _ => rest = &rest[9 + length..],
            }
        }
    }
}
