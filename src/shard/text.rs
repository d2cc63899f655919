//! Characters and digits, for every room.

use std::net::Ipv4Addr;

/// As many characters as a member's id may have.
const FOREIGN_NAME: usize = 63;

/// A character that is fit for a terminal or a log: a control character could move the cursor or
/// fake a line.
pub fn shown(character: char) -> char {
    if character.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

/// A text without control characters.
pub fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// A name as another machine says it: only what may stand in a log, and not without end.
pub fn foreign_name(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_graphic);
    plain.take(FOREIGN_NAME).collect()
}

/// Marks the letters and digits of ASCII, and others.
pub(crate) const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut marked = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        marked[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        marked[others[other] as usize] = true;
        other += 1;
    }
    marked
}

/// The value of one hexadecimal digit, in either case.
pub fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Two lower-case digits for each byte, for every request: the formatter costs ten times that. Without a table, so
/// that all bytes are done at once.
pub(crate) fn hex<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut digits = [[0; 2]; N];
    for (pair, byte) in digits.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    digits
}

/// Appends a number in decimal, for every request: the formatter costs several times that.
pub(crate) fn push_decimal(number: u64, out: &mut Vec<u8>) {
    match number {
        0..10 => return out.push(b'0' + number as u8),
        10..100 => return out.extend_from_slice(&three_digits(number)[1..]),
        100..1000 => {}
        _ => push_decimal(number / 1000, out),
    }
    out.extend_from_slice(&three_digits(number % 1000));
}

/// The last three decimal digits of a number.
pub(crate) fn three_digits(number: u64) -> [u8; 3] {
    [number / 100, number / 10, number].map(|rest| b'0' + (rest % 10) as u8)
}

/// Appends an IPv4 address, for every request.
pub(crate) fn push_ipv4(address: Ipv4Addr, out: &mut Vec<u8>) {
    let [first, rest @ ..] = address.octets();
    push_decimal(first.into(), out);
    for part in rest {
        out.push(b'.');
        push_decimal(part.into(), out);
    }
}

/// Whether all these bytes are marked, eight at a time: most texts that are looked at so are what they should be.
pub(crate) fn all_marked(bytes: &[u8], marked: &[bool; 256]) -> bool {
    let is_marked = |byte: &u8| marked[usize::from(*byte)];
    let (eights, rest) = bytes.as_chunks::<8>();
    let all = |eight: &[u8; 8]| eight.iter().fold(true, |all, byte| all & is_marked(byte));
    eights.iter().all(all) && rest.iter().all(is_marked)
}

/// The byte that two hexadecimal digits stand for.
pub fn hex_byte(high: u8, low: u8) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(
            printable("a\u{1b}[2J\nü\u{85}"),
            "a\u{fffd}[2J\u{fffd}ü\u{fffd}"
        );
    }

    #[test]
    fn a_foreign_name_is_one_short_word() {
        assert_eq!(foreign_name("zot\n-\u{1b}1 ü"), "zot-1");
        assert_eq!(foreign_name(&"x".repeat(1 << 20)).len(), FOREIGN_NAME);
    }

    #[test]
    fn two_digits_are_a_byte() {
        assert_eq!(hex(&[0xf0, 0x0a]), [*b"f0", *b"0a"]);
        assert_eq!(hex_byte(b'f', b'0'), Some(0xf0));
        assert_eq!(hex_byte(b'A', b'a'), Some(0xaa));
        assert_eq!([hex_byte(b'g', b'0'), hex_byte(b'0', b'/')], [None, None]);
        let every: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        for (digits, byte) in hex(&every).iter().zip(every) {
            assert_eq!(str::from_utf8(digits).unwrap(), format!("{byte:02x}"));
        }
    }

    #[test]
    fn numbers_and_addresses_are_those_of_the_formatter() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7)]);
        for number in (0..1100).chain(near).chain([u64::MAX]) {
            let mut out = Vec::new();
            push_decimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
        for address in [[0, 0, 0, 0], [192, 0, 2, 7], [255, 10, 99, 100]] {
            let (mut out, address) = (Vec::new(), Ipv4Addr::from(address));
            push_ipv4(address, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), address.to_string());
        }
    }
}
