//! `plan`: what would move, over files, standard input and a catalog.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::{JoinHandle, spawn};

use super::{run, run_with_input, write};

const NAMES: usize = 100_000;

fn configuration(placement: &str, members: &[&str], pins: &str) -> String {
    let member =
        |(at, id): (usize, &&str)| format!("    - {{ id: {id}, address: {id}:{} }}\n", 5443 + at);
    let members: String = members.iter().enumerate().map(member).collect();
    format!(
        "cluster:\n  hash_key: loremipsumdolors\n  insecure: true\n  placement: {placement}\n  \
         members:\n{members}  pins: [{pins}]\n"
    )
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    write(folder, name, content).to_str().unwrap().to_owned()
}

fn document(arguments: &[&str]) -> serde_json::Value {
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--format", "json"])
        .collect();
    let (code, out, err) = run(&arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&out).unwrap()
}

/// A hundred thousand names of several shapes.
fn names() -> String {
    let name = |number: usize| match number % 3 {
        0 => format!("library/image-{number}\n"),
        1 => format!("team-{}/app_{number}\n", number % 97),
        _ => format!("a{number}/b/c.d/{number}\n"),
    };
    (0..NAMES).map(name).collect()
}

#[test]
fn three_members_to_four_move_a_quarter_by_rendezvous_and_three_quarters_by_zots_placement() {
    let folder = tempfile::tempdir().unwrap();
    let names = file(folder.path(), "names", &names());
    for (placement, moved, tolerance) in [("rendezvous", 0.25, 0.01), ("zot", 0.75, 0.01)] {
        let before = configuration(placement, &["a", "b", "c"], "");
        let before = file(folder.path(), "before.yaml", &before);
        let plan = [
            "plan",
            "--from",
            &before,
            "--add",
            "d=d:5443",
            "--repositories",
            &names,
        ];
        let plan = document(&plan);
        assert_eq!(plan["total"], NAMES);
        let moves = plan["moves"].as_array().unwrap();
        let share = moves.len() as f64 / NAMES as f64;
        assert!((share - moved).abs() < tolerance, "{placement}: {share}");
        assert_eq!(plan["share_moved"].as_f64().unwrap(), share);
        assert_eq!(plan["placements"][placement]["moved"], moves.len());
        for (member, before, after) in [
            ("a", Some(0.333), 0.25),
            ("b", Some(0.333), 0.25),
            ("d", None, 0.25),
        ] {
            let share = |side: &str| plan[side][member].as_f64();
            match before {
                Some(before) => {
                    assert!(
                        (share("share_before").unwrap() - before).abs() < 0.01,
                        "{member}"
                    );
                }
                None => assert_eq!(share("share_before"), None),
            }
            assert!(
                (share("share_after").unwrap() - after).abs() < 0.01,
                "{member}"
            );
        }
        if placement == "rendezvous" {
            assert!(
                moves.iter().all(|line| line["to"] == "d"),
                "only what the new one wins"
            );
        }
    }
}

#[test]
fn each_move_is_told_with_the_owners_that_owner_tells() {
    let folder = tempfile::tempdir().unwrap();
    let before = configuration("rendezvous", &["a", "b"], "{ prefix: team, member: a }");
    let after = configuration("rendezvous", &["b", "c"], "{ prefix: team, member: b }");
    let before = file(folder.path(), "before.yaml", &before);
    let after = file(folder.path(), "after.yaml", &after);
    let names: Vec<String> = (0..40)
        .map(|number| format!("app/{number}"))
        .chain(["team/x".to_owned(), "teams".to_owned()])
        .collect();
    let plan = [
        "plan",
        "--from",
        &before,
        "--to",
        &after,
        "--repositories",
        "-",
        "--list",
    ];
    let (code, out, err) = run_with_input(&plan, &names.join("\n"));
    assert_eq!((code, err.as_str()), (0, ""));
    let owners = |config: &str| -> Vec<String> {
        let arguments = ["owner", "-c", config, "-"];
        let (_, out, _) = run_with_input(&arguments, &names.join("\n"));
        out.lines()
            .map(|line| line.split('\t').nth(1).unwrap().to_owned())
            .collect()
    };
    let (old, new) = (owners(&before), owners(&after));
    let mut expected: Vec<String> = names
        .iter()
        .zip(old.iter().zip(&new))
        .filter(|(_, (old, new))| old != new)
        .map(|(name, (old, new))| format!("{name}\t{old}\t{new}"))
        .collect();
    expected.sort();
    assert!(expected.contains(&"team/x\ta\tb".to_owned()));
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_plan_for_people_and_its_chart() {
    let folder = tempfile::tempdir().unwrap();
    let before = file(
        folder.path(),
        "before.yaml",
        &configuration("zot", &["a", "b"], ""),
    );
    let svg = folder.path().join("plan.svg");
    let plan = [
        "plan",
        "--from",
        &before,
        "--remove",
        "b",
        "--repositories",
        "-",
        "--svg",
        svg.to_str().unwrap(),
    ];
    let (code, out, err) = run_with_input(
        &plan,
        "zot-test\nlibrary/alpine\ngolang\na\n a/b \nzot-test\n",
    );
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("a_plan_for_people", out);
    let svg = std::fs::read_to_string(svg).unwrap();
    insta::assert_snapshot!("a_plan_as_a_chart", svg);
}

#[test]
fn without_names_a_sample_is_planned_and_said_to_be_one() {
    let (code, out, err) = run(&[
        "plan",
        "--from",
        super::EXAMPLE,
        "--add",
        "zot-4=zot-4:5443",
    ]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("100000 made-up repositories; name yours by --repositories or --catalog\n"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_planned_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let text = configuration("rendezvous", &["a", "b"], "{ prefix: team, member: b }");
    let from = file(folder.path(), "from.yaml", &text);
    let wrong = file(folder.path(), "wrong.yaml", "clutser: {}\n");
    for (change, message) in [
        (
            &["--remove", "c"][..],
            "c is no member: the members are a, b",
        ),
        (&["--remove", "b"], "the pin team/ names b, which leaves"),
        (
            &["--remove", "a", "--remove", "b"],
            "no member would be left",
        ),
        (&["--add", "a=x:1"], "members 1 and 3 have the same id a"),
        (&["--to", &wrong], "unknown key `clutser`"),
        (
            &["--add", "c=c:1", "--repositories", "/nowhere/names"],
            "cannot read names from /nowhere/names",
        ),
        (&["--to", "-", "--repositories", "-"], "`-` stands twice"),
        (
            &["--add", "c=c:1", "--catalog", "ftp://x"],
            "the catalog of ftp://x: write http://HOST:PORT",
        ),
        (
            &["--add", "c=c:1", "--catalog", "http://name:word@x"],
            "the catalog of http://x: a password does not belong",
        ),
    ] {
        let arguments: Vec<&str> = ["plan", "--from", &from]
            .iter()
            .chain(change)
            .copied()
            .collect();
        let (code, out, err) = run(&arguments);
        assert_eq!((code, out.as_str()), (1, ""), "{change:?}");
        assert!(
            err.contains(message) && !err.contains("word@"),
            "{change:?}: {err}"
        );
    }
    let (code, out, err) = run_with_input(
        &[
            "plan",
            "--from",
            &from,
            "--add",
            "c=c:1",
            "--repositories",
            "-",
        ],
        "good\nBad\na//b\n",
    );
    assert_eq!(code, 1);
    assert!(out.starts_with("1 repository\n"), "{out}");
    assert_eq!(err.lines().count(), 2, "{err}");
    assert!(err.starts_with("Bad is no repository: "), "{err}");
}

/// A registry that answers one request on each connection.
fn registry(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = spawn(move || {
        let answer = |answer: &String| {
            let (mut connection, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                connection.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            connection.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        };
        answers.iter().map(answer).collect()
    });
    (url, asked)
}

fn page(status: &str, link: Option<&str>, body: &str) -> String {
    let link = link
        .map(|link| format!("Link: <{link}>; rel=\"next\"\r\n"))
        .unwrap_or_default();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{link}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn a_catalog_is_read_page_by_page_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = file(folder.path(), "credentials", "alice:secret\n");
    let (url, asked) = registry(vec![
        page(
            "200 OK",
            Some("/v2/_catalog?last=b&n=2"),
            r#"{"repositories":["a","b"]}"#,
        ),
        page("200 OK", None, r#"{"repositories":["c/d"]}"#),
    ]);
    let plan = document(&[
        "plan",
        "--from",
        super::EXAMPLE,
        "--add",
        "zot-4=zot-4:5443",
        "--catalog",
        &url,
        "--credentials",
        &credentials,
    ]);
    assert_eq!(plan["total"], 3);
    assert_eq!(plan["made_up"], false);
    let asked = asked.join().unwrap();
    assert!(
        asked[0].starts_with("GET /v2/_catalog?n=1000 HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(
        asked[1].starts_with("GET /v2/_catalog?last=b&n=2 HTTP/1.1\r\n"),
        "{}",
        asked[1]
    );
    for head in asked {
        assert!(
            head.to_lowercase()
                .contains("authorization: basic ywxpy2u6c2vjcmv0\r\n"),
            "{head}"
        );
    }
}

#[test]
fn a_catalog_that_cannot_be_read_is_no_plan() {
    for (answer, message) in [
        (
            page("401 Unauthorized", None, ""),
            "it wants a name and a password",
        ),
        (page("404 Not Found", None, ""), "it answered 404 Not Found"),
        (
            page("200 OK", None, "<html>"),
            "the answer is no list of repositories",
        ),
        (
            page(
                "200 OK",
                Some("http://elsewhere/v2/"),
                r#"{"repositories":["a"]}"#,
            ),
            "its next page is elsewhere",
        ),
        (
            page(
                "200 OK",
                Some("/v2/_catalog?n=1000"),
                r#"{"repositories":["a"]}"#,
            ),
            "comes again and again",
        ),
        (
            page("200 OK", Some("/next"), r#"{"repositories":null}"#),
            "comes again and again",
        ),
    ] {
        let (url, asked) = registry(vec![answer]);
        let (code, out, err) = run(&[
            "plan",
            "--from",
            super::EXAMPLE,
            "--add",
            "d=d:1",
            "--catalog",
            &url,
        ]);
        assert_eq!((code, out.as_str()), (1, ""), "{message}");
        assert!(
            err.contains(&format!("no plan: the catalog of {url}: ")),
            "{err}"
        );
        assert!(err.contains(message), "{err}");
        asked.join().unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, _, err) = run(&[
        "plan",
        "--from",
        super::EXAMPLE,
        "--add",
        "d=d:1",
        "--catalog",
        &url,
    ]);
    assert_eq!(code, 1);
    assert!(err.contains("refuses connections"), "{err}");
}
