//! Characters and digits, for every room.

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

/// The value of one hexadecimal digit, in either case.
pub fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
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
    fn two_digits_are_a_byte() {
        assert_eq!(hex_byte(b'f', b'0'), Some(0xf0));
        assert_eq!(hex_byte(b'A', b'a'), Some(0xaa));
        assert_eq!([hex_byte(b'g', b'0'), hex_byte(b'0', b'/')], [None, None]);
    }
}
