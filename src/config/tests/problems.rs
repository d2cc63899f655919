//! What is refused, and in which words.

use super::*;

/// A case: what is put at the top level, and the one message that must come of it.
pub(super) fn refused(cases: &[(&str, &str)]) {
    for (more, expected) in cases {
        assert_eq!(messages(&minimal(more)), [*expected], "{more}");
    }
}

#[test]
fn five_mistakes_are_told_at_once_each_with_its_line() {
    let text = include_str!("five-mistakes.yaml");
    let problems = read(text).expect_err("five mistakes");
    assert_eq!(problems.count(), 5);
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn colours_frame_the_same_text() {
    let problems = read(include_str!("five-mistakes.yaml")).expect_err("five mistakes");
    let mut colored = problems.render(true);
    assert!(colored.contains("\x1b[1;31m^^^^^\x1b[0m"));
    for code in ["\x1b[0m", "\x1b[1m", "\x1b[34m", "\x1b[1;31m", "\x1b[1;33m"] {
        colored = colored.replace(code, "");
    }
    assert_eq!(colored, problems.render(false));
}

#[test]
fn broken_yaml_is_one_problem_with_its_place() {
    let cases = [
        "listen: [\n",
        "a: 1\n---\nb: 2\n",
        "a: *nobody\n",
        "a:\n  b: 1\n c: 2\n",
        "a: \"never closed\n",
        "a:\n\t- x\n",
        "x: !!int many\n",
        "a: b: c\n",
        "- {\n",
    ];
    let rendered: Vec<String> = cases
        .iter()
        .map(|text| {
            let problems = read(text).expect_err("no YAML");
            assert_eq!(problems.count(), 1, "{text}");
            format!("{text:?}\n{}", problems.render(false))
        })
        .collect();
    insta::assert_snapshot!(rendered.join("\n"));
}

#[test]
fn limits_of_the_file_itself() {
    let deep = format!("a: {}", "[".repeat(5000));
    assert_eq!(messages(&deep).len(), 1);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
    assert!(
        messages(bomb)[0].starts_with("not valid YAML: alias replay limit exceeded"),
        "{:?}",
        messages(bomb)
    );
    let large = "#".repeat(MAX_FILE_BYTES + 1);
    assert_eq!(
        messages(&large),
        ["not valid YAML: the file is larger than 1048576 bytes"]
    );
    let many: String = (0..1000).map(|i| format!("key{i}: 1\n")).collect();
    let many = messages(&many);
    assert_eq!(many.len(), 101);
    assert_eq!(many[100], "there is more; the first 100 are shown");
}

#[test]
fn an_empty_file_lacks_a_cluster() {
    for text in ["", "# nothing\n", "{}"] {
        assert_eq!(
            messages(text),
            [
                "missing key `cluster.hash_key`",
                "missing key `cluster.tls`",
                "missing key `cluster.members`"
            ]
        );
    }
    assert!(
        messages("- 1\n")[0].starts_with(
            "bad value (a list) for `the file`: expected a mapping with member, listen"
        )
    );
}

#[test]
fn keys() {
    refused(&[
        ("lisen: {}\n", "unknown key `lisen`"),
        ("log: { levle: info }\n", "unknown key `levle` in `log`"),
        (
            "log: { level: info, level: warn }\n",
            "duplicate key `level`, first on line 7",
        ),
        ("<<: { log: 1 }\n", "unknown key `<<`"),
        ("? [a]\n: 1\n", "a key must be a word, found a list"),
        (
            "log: [1]\n",
            "bad value (a list) for `log`: expected a mapping with format, level, requests",
        ),
        (
            "log: text\n",
            "bad value `text` for `log`: expected a mapping with format, level, requests",
        ),
    ]);
}

#[test]
fn listeners_do_not_collide() {
    refused(&[
        (
            "listen: { peers: { address: '127.0.0.1:5000' } }\n",
            "`listen.clients` and `listen.peers` both listen on port 5000: 0.0.0.0:5000 and 127.0.0.1:5000",
        ),
        (
            "listen: { admin: { address: '[::]:5443' } }\n",
            "`listen.peers` and `listen.admin` both listen on port 5443: 0.0.0.0:5443 and [::]:5443",
        ),
    ]);
    let free = good(
        "listen: { clients: { address: '0.0.0.0:0' }, peers: { address: '0.0.0.0:0' }, admin: { address: '0.0.0.0:0' } }\n",
    );
    assert_eq!(free.listen.peers.address.port(), 0);
}

#[test]
fn excerpts_are_short_and_harmless() {
    let long = format!("{}x: {}\n", "", "y".repeat(5000));
    let problems = read(&minimal(&long)).expect_err("an unknown key");
    assert!(
        problems
            .render(false)
            .lines()
            // The keys that are known are ours.
            .filter(|line| !line.contains("= help: known here: "))
            .all(|line| line.chars().count() < 140)
    );
    let control = read(&minimal("\"\\e[2J\": 1\n\"a\u{85}b\": 1\n")).expect_err("unknown keys");
    assert!(
        !control
            .render(false)
            .chars()
            .any(|c| c.is_control() && c != '\n')
    );
}

#[test]
fn columns_count_characters_and_lines_end_as_on_any_system() {
    let text = minimal("").replace('\n', "\r\n") + "\"ü\": \"ö\"\r\nlog: { \"füü\": 1 }\r\n";
    let problems = read(&text).expect_err("unknown keys");
    let places: Vec<_> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Problem)
        .map(|problem| problem.place.to_string())
        .collect();
    assert_eq!(places, ["etc/proxy.yaml:7:1", "etc/proxy.yaml:8:8"]);
}
