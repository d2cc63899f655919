//! Lines of haproxy.cfg to words: quotes, escapes, comments and continued lines.

/// The words of one line; none for an empty one.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\'', Some('\'')) | ('"', Some('"')) => quote = None,
            ('\\', None | Some('"')) => {
                // An escaped character stands for itself; those that stand for others are in no name or path.
                word.get_or_insert_default().extend(characters.next());
            }
            (other, Some(_)) => word.get_or_insert_default().push(other),
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            ('#', None) => break,
            (space, None) if space.is_whitespace() => words.extend(word.take()),
            (other, None) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Lines with their numbers from 1, where a backslash at the end joins the next one.
pub(super) fn lines(text: &str) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let continues = line.ends_with('\\') && !line.ends_with("\\\\");
        let content = if continues {
            &line[..line.len() - 1]
        } else {
            line
        };
        match joined.last_mut() {
            Some((_, before)) if open => before.push_str(content),
            _ => joined.push((index + 1, content.to_owned())),
        }
        open = continues;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_escapes_and_comments() {
        for (line, expected) in [
            ("", &[][..]),
            ("  # all of it", &[]),
            ("  bind *:80 # some of it", &["bind", "*:80"]),
            (
                "a 'b # c' d\\ e \"f \\\" g\" ''",
                &["a", "b # c", "d e", "f \" g", ""],
            ),
            (
                "\tacl x path_beg /v2/a\\#b/",
                &["acl", "x", "path_beg", "/v2/a#b/"],
            ),
            ("a'b'c", &["abc"]),
            ("open 'quote", &["open", "quote"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_backslash_joins_lines() {
        let text = "a \\\n  b\nc\\\\\nd";
        let expected = [
            (1, "a   b".to_owned()),
            (3, "c\\\\".to_owned()),
            (4, "d".to_owned()),
        ];
        assert_eq!(lines(text), expected);
    }
}
