//! Everything else in haproxy.cfg: cookies, checks, limits, and what has no like.

use super::model::{Line, Model, Section};
use crate::cli::import::draft::{Draft, scalar};
use crate::cli::import::notes::Notes;

/// What concerns HAProxy alone, or is read elsewhere: it stays with it, or is not needed. By the first word.
const SILENT: &[&str] = &[
    "server",
    "default-server",
    "server-template",
    "use_backend",
    "default_backend",
    "use-server",
    "acl",
    "timeout",
    "mode",
    "log",
    "log-format",
    "log-tag",
    "errorfile",
    "errorfiles",
    "description",
    "id",
    "retries",
    "unique-id-format",
    "unique-id-header",
    "chroot",
    "stats",
    "user",
    "group",
    "uid",
    "gid",
    "daemon",
    "master-worker",
    "nbproc",
    "nbthread",
    "pidfile",
    "ca-base",
    "crt-base",
    "cpu-map",
    "localpeer",
    "hard-stop-after",
    "node",
    "spread-checks",
    "ulimit-n",
    "lua-load",
    "setenv",
    "presetenv",
    "module-path",
    "expose-experimental-directives",
    "enabled",
    "email-alert",
    "monitor-uri",
    "monitor",
    "capture",
    "declare",
    "load-server-state-from-file",
    "server-state-file",
    "server-state-base",
    "maxsslconn",
    "maxsslrate",
    "hash-balance-factor",
    "external-check",
    "http-check",
    "fullconn",
    "retry-on",
    "dispatch",
    "no",
    "issuers-chain-path",
    "set-dumpable",
    "insecure-fork-wanted",
    "zero-warning",
];
/// Options that concern HAProxy alone.
const SILENT_OPTIONS: &[&str] = &[
    "httplog",
    "tcplog",
    "dontlognull",
    "dontlog-normal",
    "log-separate-errors",
    "logasap",
    "redispatch",
    "http-server-close",
    "http-keep-alive",
    "httpclose",
    "httpchk",
    "tcp-check",
    "ssl-hello-chk",
    "log-health-checks",
    "splice-auto",
    "splice-request",
    "splice-response",
    "tcpka",
    "clitcpka",
    "srvtcpka",
    "abortonclose",
    "allbackups",
    "contstats",
    "http-no-delay",
    "prefer-last-server",
    "tcp-smart-accept",
    "tcp-smart-connect",
    "socket-stats",
    "nolinger",
    "http-buffer-request",
    "http-use-htx",
    "h1-case-adjust-bogus-client",
];

/// Carries over what has a like, and notes the rest.
pub(super) fn convert(
    model: &Model,
    front: &Section,
    backends: &[&Section],
    draft: &mut Draft,
    notes: &mut Notes,
) {
    for section in model.about(front, backends) {
        for line in &section.lines {
            one(section, line, draft, notes);
        }
    }
    checks(model, backends, draft, notes);
}

fn one(section: &Section, line: &Line, draft: &mut Draft, notes: &mut Notes) {
    let word = line.word(0);
    match word {
        "cookie" => cookie(line, draft, notes),
        "maxconn" => maxconn(section, line, draft, notes),
        "bind" => bind(line, notes),
        "balance" | "hash-type" => balance(section, line, notes),
        "option" => option(line, notes),
        "stick-table" | "stick" | "appsession" => notes.at(
            line.number,
            format!("{word}: one owner for each repository makes it unnecessary, whichever member a client reaches"),
        ),
        "http-request" | "http-response" | "http-after-response" | "tcp-request" | "tcp-response" | "redirect" | "reqrep" | "rspadd"
        | "reqadd" | "rsprep" | "block" | "filter" | "compression" | "rate-limit" | "errorloc" => notes.at(
            line.number,
            format!("{word} {}: a sidecar does no such thing; it can stay in a HAProxy in front", line.word(1)).trim_end(),
        ),
        "disabled" => notes.at(line.number, format!("{} {} is disabled, and is imported all the same", section.kind, section.name)),
        "source" => notes.at(line.number, "source: a sidecar calls from the address that the system chooses"),
        _ if SILENT.contains(&word) || word.starts_with("ssl-") || word.starts_with("tune.") => {}
        _ => notes.at(line.number, format!("unknown keyword {word}: it is not carried over")),
    }
}

fn cookie(line: &Line, draft: &mut Draft, notes: &mut Notes) {
    let name = line.word(1);
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        notes.at(line.number, "cookie: that is no name for one");
        return;
    }
    if !draft
        .settings
        .iter()
        .any(|(section, _, _)| *section == "sticky")
    {
        draft.settings.push(("sticky", "cookie", scalar(name)));
    }
    notes.at(
        line.number,
        format!(
            "cookie {name} becomes the sidecars' own, for pages and logins alone; a HAProxy that stays in front must \
             not set it any more, and what browsers hold now is given anew"
        ),
    );
}

fn maxconn(section: &Section, line: &Line, draft: &mut Draft, notes: &mut Notes) {
    match line.word(1).parse() {
        Ok(limit @ 1_u32..=10_000_000) => {
            let known = draft
                .settings
                .iter_mut()
                .find(|(section, _, _)| *section == "limits");
            match known {
                // A frontend's own says more than that of `global` or `defaults`.
                Some((_, _, value)) => *value = limit.to_string(),
                None => draft
                    .settings
                    .push(("limits", "connections", limit.to_string())),
            }
            notes.at(
                line.number,
                format!("{} maxconn {limit} was for all members together, and becomes `limits.connections` of each", section.kind),
            );
        }
        Ok(_) | Err(_) => notes.at(line.number, "maxconn: that is no number of connections"),
    }
}

fn bind(line: &Line, notes: &mut Notes) {
    if let Some(at) = line.words.iter().position(|word| word == "crt") {
        let file = line.word(at + 1);
        notes.at(
            line.number,
            format!(
                "bind {}: TLS of clients ends at HAProxy; to do without one in front, `listen.clients.tls: {{ cert: {file}, key: {file} }}`",
                line.word(1)
            ),
        );
    }
    if line.words.iter().any(|word| word == "accept-proxy") {
        notes.at(
            line.number,
            format!("bind {}: accept-proxy is not carried over", line.word(1)),
        );
    }
}

fn balance(section: &Section, line: &Line, notes: &mut Notes) {
    let kind = line.word(1);
    if line.word(0) == "hash-type"
        || matches!(kind, "uri" | "hdr" | "hash" | "url_param" | "source")
        || kind.starts_with("hdr(")
    {
        notes.at(
            line.number,
            format!(
                "{} {kind}: repositories get other owners, by rendezvous: change all at once, while nobody pushes",
                line.word(0)
            ),
        );
    } else if section.all(&["server"]).count() > 1 {
        notes.at(
            line.number,
            format!("balance {kind}: repositories without a rule went to any of these servers, which makes two writers; now each has one owner"),
        );
    }
}

fn option(line: &Line, notes: &mut Notes) {
    let name = line.word(1);
    if name == "forwardfor" || name == "forwarded" {
        notes.at(
            line.number,
            format!("option {name}: name this HAProxy's address in `trusted_proxies`, else its X-Forwarded-For is dropped"),
        );
    } else if !SILENT_OPTIONS.contains(&name) {
        notes.at(line.number, format!("option {name} is not carried over"));
    }
}

/// `option httpchk` to the path of the probe, if it asks for one.
fn checks(model: &Model, backends: &[&Section], draft: &mut Draft, notes: &mut Notes) {
    let mut found: Option<(&str, usize)> = None;
    for section in backends {
        let option = model
            .lines_of(section, "option")
            .filter(|line| line.word(1) == "httpchk")
            .last();
        let send = model
            .lines_of(section, "http-check")
            .filter(|line| line.word(1) == "send")
            .last();
        for line in model
            .lines_of(section, "http-check")
            .filter(|line| line.word(1) != "send")
        {
            notes.at(
                line.number,
                format!(
                    "http-check {}: 200 and 401 mean alive to a probe, nothing else",
                    line.word(1)
                ),
            );
        }
        let sent = send.and_then(|line| {
            let at = line.words.iter().position(|word| word == "uri")?;
            Some((line.word(at + 1), line.number))
        });
        // One word is the path, two are the method and the path.
        let asked = option.map(|line| {
            (
                line.word(if line.words.len() > 3 { 3 } else { 2 }),
                line.number,
            )
        });
        found = found.or(sent).or(asked);
    }
    let Some((path, line)) = found.filter(|(path, _)| !path.is_empty()) else {
        return;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~?=&%".contains(c);
    if path.starts_with('/') && path.chars().all(plain) {
        draft.settings.push(("probes", "path", scalar(path)));
    } else {
        notes.at(
            line,
            "option httpchk: that is no path that a probe could ask for",
        );
    }
}
