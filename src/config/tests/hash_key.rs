//! The hash key: where it comes from, and that it goes nowhere.

use super::*;

const KEY: &str = "loremipsumdolors";

fn fingerprint(text: &str, env: &Environment<'_>) -> Result<String, String> {
    load(text, &source(), env)
        .map(|config| config.view.fingerprint().to_string())
        .map_err(|problems| told(&problems))
}

fn with_file(content: &[u8]) -> Result<String, String> {
    let files = Memory::with(&[("etc/hash.key", content)]);
    fingerprint(
        &minimal("").replace("hash_key: loremipsumdolors", "hash_key_file: hash.key"),
        &offline(&files),
    )
}

#[test]
fn all_sources_and_forms_give_one_key() {
    let files = Memory::default();
    let expected = fingerprint(&minimal(""), &offline(&files)).unwrap();
    let hex: String = KEY.bytes().map(|byte| format!("{byte:02x}")).collect();
    for content in [
        KEY.to_owned(),
        format!("{KEY}\n"),
        format!("{KEY}\r\n"),
        hex.clone(),
        format!("{}\n", hex.to_uppercase()),
    ] {
        assert_eq!(
            with_file(content.as_bytes()).as_ref(),
            Ok(&expected),
            "{content:?}"
        );
    }
    let without = minimal("").replace("  hash_key: loremipsumdolors\n", "");
    for variable in [KEY, &hex] {
        let env = Environment {
            hash_key: Some(variable.as_bytes()),
            ..offline(&files)
        };
        assert_eq!(fingerprint(&without, &env).as_ref(), Ok(&expected));
    }
    let quoted = minimal("").replace(KEY, &format!("\"{hex}\""));
    assert_eq!(fingerprint(&quoted, &offline(&files)), Ok(expected));
}

#[test]
fn a_key_of_digits_stays_text() {
    let files = Memory::default();
    let plain = minimal("").replace(KEY, "0123456789012345");
    let quoted = minimal("").replace(KEY, "'0123456789012345'");
    assert!(fingerprint(&plain, &offline(&files)).is_ok());
    assert_eq!(
        fingerprint(&plain, &offline(&files)),
        fingerprint(&quoted, &offline(&files))
    );
}

#[test]
fn sixteen_bytes_are_the_key_even_with_a_line_feed_among_them() {
    assert!(with_file(b"0123456789abcde\n").is_ok());
    assert!(with_file(&[0xff; 16]).is_ok());
    assert_eq!(
        with_file(b"0123456789abcde\n\n\n"),
        Err(
            "etc/proxy.yaml:2:18: the hash key in etc/hash.key has 18 bytes: \
             expected exactly 16 bytes, or 32 hexadecimal digits"
                .into()
        )
    );
    assert_eq!(
        with_file(&[b'a'; 1000]),
        Err(
            "etc/proxy.yaml:2:18: cannot read the hash key from etc/hash.key: file too large"
                .into()
        )
    );
}

#[test]
fn exactly_one_source() {
    let files = Memory::with(&[("etc/hash.key", KEY.as_bytes())]);
    let env = offline(&files);
    let error = |text: &str, env: &Environment<'_>| fingerprint(text, env).unwrap_err();
    let both = minimal("").replace(
        "insecure: true",
        "insecure: true\n  hash_key_file: hash.key",
    );
    assert_eq!(
        error(&both, &env),
        "etc/proxy.yaml:4:18: the hash key is given more than once: `cluster.hash_key` and `cluster.hash_key_file` \
         (keep one of them)"
    );
    let variable = Environment {
        hash_key: Some(KEY.as_bytes()),
        ..env
    };
    assert!(error(&minimal(""), &variable).contains("`cluster.hash_key` and SHARDLET_HASH_KEY"));
    let none = minimal("").replace("  hash_key: loremipsumdolors\n", "");
    assert!(error(&none, &env).contains("missing key `cluster.hash_key`"));
    let short = Environment {
        hash_key: Some(b"abc"),
        ..env
    };
    assert_eq!(
        error(&none, &short),
        "SHARDLET_HASH_KEY: the hash key has 3 bytes: expected exactly 16 bytes, or 32 hexadecimal digits"
    );
}

#[test]
fn no_message_shows_the_key() {
    let secret = "s3cretDigest-lost-4ever";
    let mistakes = [
        "hash_key: SECRET",
        "hash_key: 'SECRET'",
        "hash_key: [SECRET]",
        "hash_key: { SECRET: SECRET }",
        "hash_key: |\n    SECRET",
        "hash_key: >-\n    SECRET\n    SECRET",
        "hash_key:SECRET",
        "hash_key=SECRET",
        "hash-key: SECRET",
        "hashKey: SECRET",
        "hash_kye: SECRET",
        "haskey: SECRET",
        "HASH_KEY: SECRET",
        "hash_key: &SECRET SECRET",
        "hash_key: *SECRET",
        "hash_key: !SECRET SECRET",
        "hash_key: \"SECRET",
        "hash_key: SECRET: x",
        "hash_key: SECRET\n bad",
        "hash_key: ok\n  hash_key: SECRET",
        "hash_key: [SECRET",
        "? hash_key\n  : SECRET",
        "\"hash_key\": \"SECRET\"",
        "a: { hash_key: SECRET, b: 1 }",
        "hash_key:\n    - SECRET\n    - x: SECRET",
        "hash_key: \"SEC\\qRET SECRET",
        "hash_key: @SECRET",
        "hash_key: `SECRET",
        "hash_key: %SECRET\n\tx",
        "hash_key: SECRET\n  x: *unknown",
        "key: &k SECRET\n  hash_key: *k",
    ];
    for mistake in mistakes {
        let mistake = mistake.replace("SECRET", secret);
        let text = minimal("").replace("hash_key: loremipsumdolors", &mistake);
        let shown = match read(&text) {
            Ok(config) => format!("{config:?}"),
            Err(problems) => format!("{}{problems}{problems:?}", problems.render(true)),
        };
        assert!(!shown.contains(secret), "{mistake}\n{shown}");
    }
}

#[test]
fn only_the_key_is_blotted_out() {
    for (line, shown) in [
        ("  hash_key: short", "  hash_key: *****"),
        ("  hash_key : 'short'", "  hash_key : *******"),
        ("  hash_key: &a short # was other", "  hash_key: ********"),
        ("  ? hash_key\n  : short", "  : *****"),
    ] {
        let text = minimal("").replace("  hash_key: loremipsumdolors", line);
        let problems = read(&text).expect_err("a short key");
        let problem = problems.iter().next().expect("one");
        let excerpt = problem.excerpt.as_ref().expect("a line");
        assert_eq!(excerpt.line, shown);
        let caret: String = excerpt
            .line
            .chars()
            .skip(excerpt.before)
            .take(excerpt.width)
            .collect();
        assert_eq!(caret.trim_matches('*'), "", "{line}");
    }
}

#[test]
fn debug_shows_no_key() {
    let config = good("");
    let debug = format!("{config:?} {config:#?}");
    let halves = KEY.as_bytes().as_chunks::<8>().0.iter().flat_map(|half| {
        [
            u64::from_le_bytes(*half).to_string(),
            u64::from_be_bytes(*half).to_string(),
        ]
    });
    for spelling in halves.chain([KEY.to_owned(), format!("{:?}", KEY.as_bytes())]) {
        assert!(!debug.contains(&spelling), "{spelling}");
    }
}
