//! What a review would otherwise have to say again and again.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its sources fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const FILE_LINES: usize = 600;
/// Longest function, in lines from signature to closing brace.
const FUNCTION_LINES: usize = 70;
/// Longest README, in lines: who wants more follows its links.
const README_LINES: usize = 110;

/// Rooms without input or output.
const PURE: &[&str] = &["src/shard", "src/config"];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files under {folder}");
    found.sort();
    found
}

fn all() -> Vec<(PathBuf, String)> {
    ["src", "tests", "benches"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

fn report(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

#[test]
fn files_are_short() {
    let long: Vec<String> = all()
        .iter()
        .filter(|(_, text)| text.lines().count() > FILE_LINES)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    report("files that want to be two", &long);
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for (path, text) in all() {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let begins = ["fn ", "async fn ", "const fn "].iter().any(|word| {
                code.strip_prefix("pub(crate) ")
                    .or_else(|| code.strip_prefix("pub(super) "))
                    .or_else(|| code.strip_prefix("pub "))
                    .unwrap_or(code)
                    .starts_with(word)
            });
            if open.is_none() && begins && !code.ends_with(';') {
                open = Some((indent, number, code.to_owned()));
            }
            if let Some((at, start, name)) = &open
                && indent == *at
                && code.starts_with('}')
            {
                if number - start + 1 > FUNCTION_LINES {
                    long.push(format!("{}:{}: {name}", path.display(), start + 1));
                }
                open = None;
            }
        }
    }
    report("functions that want to be two", &long);
}

#[test]
fn the_pure_rooms_do_no_input_or_output() {
    let forbidden = [
        "pingora",
        "tokio",
        "std::fs",
        "std::net::Tcp",
        "std::thread",
        "std::process",
    ];
    let mut findings = Vec::new();
    for room in PURE {
        // Its tests read documents and use all processors.
        let is_test = |path: &Path| path.iter().any(|part| part == "tests");
        for (path, text) in sources(room) {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if !is_test(&path) && forbidden.iter().any(|word| code.contains(word)) {
                    findings.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    report("I/O in a pure room", &findings);
}

/// Every room, from the top down: one may import from those below it, and from no other.
const ROOMS: &[&str] = &[
    "cli", "demo", "run", "operate", "proxy", "peers", "member", "store", "upstream", "tls",
    "observe", "http", "config", "shard",
];

#[test]
fn every_room_is_listed() {
    let mut found: Vec<String> = sources("src")
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("src").unwrap().components().next())
        .map(|part| part.as_os_str().to_str().unwrap().to_owned())
        .filter(|room| !["lib.rs", "main.rs", "fuzzing.rs"].contains(&&**room))
        .collect();
    found.dedup();
    let mut listed = ROOMS.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed, "rooms of src, and rooms that are held");
}

#[test]
fn imports_go_down() {
    let mut findings = Vec::new();
    for (at, room) in ROOMS.iter().enumerate() {
        for (path, text) in sources(&format!("src/{room}")) {
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                assert!(
                    !code.contains("crate::{"),
                    "{}: one room a line",
                    path.display()
                );
                let upwards = ROOMS[..at].iter().any(|above| {
                    code.split("crate::").skip(1).any(|rest| {
                        rest.strip_prefix(above).is_some_and(|rest| {
                            !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
                        })
                    })
                });
                if upwards {
                    findings.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    report("imports that go up", &findings);
}

/// One TLS library, rustls with ring. (`openssl-probe` only knows where systems keep certificates.)
#[test]
fn no_other_tls_library_is_in_the_tree() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let foreign = [
        "openssl",
        "openssl-sys",
        "native-tls",
        "boring",
        "s2n-tls",
        "aws-lc-rs",
    ];
    let found: Vec<String> = foreign
        .iter()
        .filter(|name| lock.contains(&format!("name = \"{name}\"\n")))
        .map(|name| (*name).to_owned())
        .collect();
    report("foreign TLS libraries", &found);
    assert!(lock.contains("name = \"rustls\"\n"));
}

#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("not ", "wired"),
    ];
    let mut findings = Vec::new();
    for (path, text) in all() {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                findings.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    report("left for later", &findings);
}

#[test]
fn every_module_says_why_it_exists() {
    let silent: Vec<String> = sources("src")
        .iter()
        .filter(|(path, text)| {
            let tests = path.ends_with("tests.rs")
                || path.components().any(|part| part.as_os_str() == "tests");
            !tests && !text.starts_with("//!")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("modules without a word", &silent);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and the pages that it leads to.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", ".github"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    assert!(pages.len() > 10);
    pages
}

#[test]
fn the_readme_is_short_and_names_the_two_commands() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
    for command in ["bash tests/run.sh", "cargo run -- demo"] {
        assert!(text.contains(command), "README.md names no `{command}`");
    }
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// What GitHub makes of a page's headings, to link to.
fn anchors(page: &Path) -> Vec<String> {
    let text = prose(&fs::read_to_string(page).unwrap());
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let (mut findings, mut followed) = (Vec::new(), 0);
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().unwrap_or_default();
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ => page.parent().unwrap().join(file),
            };
            let found = target.exists()
                && (anchor.is_empty() || anchors(&target).iter().any(|name| name == anchor));
            followed += 1;
            if !found {
                findings.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(followed > 50, "only {followed} links were found");
    report("links that lead nowhere", &findings);
}

/// Whoever searches the page for what a client printed has to find it. (docs/answers.md is compared with the code.)
#[test]
fn troubleshooting_has_each_answer_in_its_own_words() {
    let read = |name: &str| fs::read_to_string(root().join("docs").join(name)).unwrap();
    let (answers, help) = (read("answers.md"), read("troubleshooting.md"));
    let (mut missing, mut looked_for) = (Vec::new(), 0);
    for row in answers.lines() {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        let [reason, status, code, _, text] = cells[..] else {
            continue;
        };
        // 421 is between members, and 499 for nobody. What a client does wrong says so by itself.
        if !matches!(code, "`UNAVAILABLE`" | "`TOOMANYREQUESTS`") || matches!(status, "421" | "499")
        {
            continue;
        }
        looked_for += 1;
        if !help.contains(&format!("| {text} ({reason}) |")) {
            missing.push(format!("{text} ({reason})"));
        }
    }
    assert!(looked_for > 10, "only {looked_for} answers were found");
    report("answers that docs/troubleshooting.md lacks", &missing);
}

/// The rules of HTTP, its cookies and its forwarding field. Others are not ours to keep.
const HTTP: [&str; 6] = ["6265", "7239", "9110", "9111", "9112", "9113"];

/// The rules that a text cites, such as `RFC 9112 §6.3`. More sections of the same RFC may follow.
fn rules(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut number, mut before) = (None, "");
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '§');
        if let Some(section) = bare.strip_prefix('§') {
            if let Some(number) = number {
                found.insert(format!("RFC {number} §{section}"));
            }
        } else if before == "RFC" {
            number = HTTP.iter().find(|http| **http == bare);
        } else if !matches!(bare, "" | "and" | "RFC") {
            // The next section is that of another text. Marks of a comment end nothing.
            number = None;
        }
        before = bare;
    }
    found
}

/// What the code cites, and what its tests do: test modules, behaviour and corpora.
fn cited() -> [BTreeSet<String>; 2] {
    let [mut code, mut tests] = [BTreeSet::new(), BTreeSet::new()];
    for (path, text) in sources("src") {
        let of_tests = path.ends_with("tests.rs") || path.iter().any(|part| part == "tests");
        let start = match of_tests {
            true => 0,
            false => text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()),
        };
        code.extend(rules(&text[..start]));
        tests.extend(rules(&text[start..]));
    }
    for folder in ["behaviour", "path_confusion", "shard_properties"] {
        let texts = sources(&format!("tests/{folder}"));
        tests.extend(texts.iter().flat_map(|(_, text)| rules(text)));
    }
    for corpus in fs::read_dir(root().join("tests/corpus/smuggling")).unwrap() {
        let text = fs::read_to_string(corpus.unwrap().path()).unwrap();
        let titles = text.lines().filter(|line| line.starts_with("# "));
        tests.extend(titles.flat_map(rules));
    }
    [code, tests]
}

/// A rule stands where it is kept and where it is shown to be, so that neither goes without the other.
#[test]
fn each_cited_rule_of_http_is_kept_and_shown() {
    let text = "//! (RFC 9112 §6.3, §7.1.2\n/// and §7); RFC 3986 §2, or RFC 9110 §8.6: never §9";
    let expected = [
        "RFC 9110 §8.6",
        "RFC 9112 §6.3",
        "RFC 9112 §7",
        "RFC 9112 §7.1.2",
    ];
    assert_eq!(rules(text), expected.map(str::to_owned).into());
    let [code, tests] = cited();
    assert!(code.len() > 40, "only {} rules were found", code.len());
    let unshown = code
        .difference(&tests)
        .map(|rule| format!("{rule}: no test"));
    let unkept = tests
        .difference(&code)
        .map(|rule| format!("{rule}: no code"));
    let findings: Vec<String> = unshown.chain(unkept).collect();
    report("rules of HTTP that are cited on one side alone", &findings);
}
