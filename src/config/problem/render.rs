//! Problems for people, in the form that rustc made familiar.

use super::{Problem, Severity};

struct Style {
    bold: &'static str,
    word: &'static str,
    dim: &'static str,
    reset: &'static str,
}

const PLAIN: Style = Style {
    bold: "",
    word: "",
    dim: "",
    reset: "",
};
const PROBLEM: Style = Style {
    bold: "\x1b[1m",
    word: "\x1b[1;31m",
    dim: "\x1b[34m",
    reset: "\x1b[0m",
};
const REMARK: Style = Style {
    bold: "\x1b[1m",
    word: "\x1b[1;33m",
    dim: "\x1b[34m",
    reset: "\x1b[0m",
};

pub(super) fn problem(problem: &Problem, color: bool) -> String {
    let Problem {
        severity,
        place,
        message,
        excerpt,
        help,
    } = problem;
    let style = match (color, severity) {
        (false, _) => PLAIN,
        (true, Severity::Problem) => PROBLEM,
        (true, Severity::Remark) => REMARK,
    };
    let Style {
        bold,
        word,
        dim,
        reset,
    } = style;
    let remark = match severity {
        Severity::Problem => String::new(),
        Severity::Remark => format!("{word}remark:{reset} "),
    };
    let mut text = format!("{bold}{place}:{reset} {remark}{bold}{message}{reset}\n");
    let mut gutter = String::new();
    if let (Some(excerpt), super::Location::Text { line, .. }) = (excerpt, place) {
        let number = line.to_string();
        gutter = " ".repeat(number.len());
        text += &format!("{dim}{number} |{reset} {}\n", excerpt.line);
        let indent = " ".repeat(excerpt.before);
        let caret = "^".repeat(excerpt.width);
        text += &format!("{gutter} {dim}|{reset} {indent}{word}{caret}{reset}\n");
    }
    if let Some(help) = help {
        text += &format!("{gutter} {dim}={reset} help: {help}\n");
    }
    text
}
