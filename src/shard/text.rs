//! Characters and digits, for every room.

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

/// The value of one hexadecimal digit, in either case.
pub fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Two lower-case digits for each byte, for every request: the formatter costs ten times that.
pub(crate) fn hex<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.map(|byte| [byte >> 4, byte & 0xf].map(|half| DIGITS[usize::from(half)]))
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
    }
}
