//! Writing to whoever started us.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::FAILED;
use crate::config::Problems;

/// Whether messages may be coloured.
pub(super) fn colors() -> bool {
    may_color(&io::stderr())
}

/// Whether results may be coloured.
pub(super) fn result_colors() -> bool {
    may_color(&io::stdout())
}

/// On a terminal that is able to, unless told otherwise (<https://no-color.org>).
fn may_color(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Writes a result. A reader that has seen enough (`| head`) is no failure.
pub(super) fn result(text: &str) {
    // Nobody is left to be told.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Writes a result for programs.
pub(super) fn json(value: &impl serde::Serialize) {
    // Structs of strings and numbers always serialise.
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    result(&format!("{json}\n"));
}

/// Writes a message.
pub(super) fn message(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Reports a configuration that cannot be used.
pub(super) fn rejected(problems: &Problems) -> ExitCode {
    message(&problems.render(colors()));
    let count = problems.count();
    message(&format!(
        "\n{count} {}\n",
        if count == 1 { "problem" } else { "problems" }
    ));
    ExitCode::from(FAILED)
}
