//! The diagnosis, for people and for programs.

use serde::Serialize;

use super::finding::{Finding, NotChecked};
use crate::shard::text::printable;

/// For programs. Keys and ids stay as they are; more may come.
#[derive(Serialize)]
pub(super) struct Document<'f> {
    findings: Vec<Line<'f>>,
    not_checked: &'f [NotChecked],
}

#[derive(Serialize)]
struct Line<'f> {
    id: &'static str,
    place: &'f str,
    what: &'f str,
    why: &'static str,
    remedy: &'static str,
}

pub(super) fn document<'f>(findings: &'f [Finding], not_checked: &'f [NotChecked]) -> Document<'f> {
    let line = |finding: &'f Finding| {
        let meaning = finding.kind.meaning();
        Line {
            id: meaning.id,
            place: &finding.place,
            what: &finding.what,
            why: meaning.why,
            remedy: meaning.remedy,
        }
    };
    Document {
        findings: findings.iter().map(line).collect(),
        not_checked,
    }
}

/// For people: one paragraph for each kind, with every place where it was seen.
pub(super) fn render(findings: &[Finding], not_checked: &[NotChecked], colors: bool) -> String {
    let paint = |code: &'static str, text: &str| {
        if colors {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    let mut told = Vec::new();
    for Finding { kind, .. } in findings {
        if told.contains(kind) {
            continue;
        }
        told.push(*kind);
        let meaning = kind.meaning();
        let id = paint("1;31", meaning.id);
        out.push_str(&format!("{id}: {}\n", meaning.when));
        for Finding { place, what, .. } in findings.iter().filter(|other| other.kind == *kind) {
            let (place, what) = (printable(place), printable(what));
            out.push_str(&format!("  {}: {what}\n", paint("1", &place)));
        }
        out.push_str(&format!("  why  {}\n", meaning.why));
        out.push_str(&format!("  do   {}\n\n", meaning.remedy));
    }
    for NotChecked { what, why } in not_checked {
        let what = printable(what);
        let line = format!("not checked: {what}: {}", printable(why));
        out.push_str(&paint("2", &line));
        out.push('\n');
    }
    out.push_str(&match findings.len() {
        0 => "nothing found\n".to_owned(),
        1 => "1 finding\n".to_owned(),
        count => format!("{count} findings\n"),
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    fn finding(kind: Kind, place: &str, what: &str) -> Finding {
        Finding {
            kind,
            place: place.to_owned(),
            what: what.to_owned(),
        }
    }

    #[test]
    fn places_of_one_kind_stand_together() {
        let findings = [
            finding(Kind::ZotGc, "zot.json:3", "storage.gc is true"),
            finding(Kind::ClockSkew, "zot-2", "its clock\u{1b}[2J is off"),
            finding(Kind::ZotGc, "zot.json:9", "storage.subPaths.a.gc is true"),
        ];
        let not_checked = [NotChecked {
            what: "storage".to_owned(),
            why: "--write".to_owned(),
        }];
        insta::assert_snapshot!(render(&findings, &not_checked, false));
        let colored = render(&findings, &[], true);
        assert!(
            colored.starts_with("\x1b[1;31mzot-gc\x1b[0m: "),
            "{colored}"
        );
        assert!(!colored.contains("[2J is off\x1b"), "{colored}");
        let document = serde_json::to_value(document(&findings, &not_checked)).unwrap();
        assert_eq!(document["findings"][1]["id"], "clock-skew");
        assert_eq!(document["not_checked"][0]["why"], "--write");
    }

    #[test]
    fn silence_is_one_line() {
        assert_eq!(render(&[], &[], true), "nothing found\n");
    }
}
