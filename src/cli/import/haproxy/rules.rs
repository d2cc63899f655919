//! Rules on the path to pins.

use super::model::{Line, Section};
use super::servers::{Server, address};
use crate::cli::import::draft::DraftMember;
use crate::cli::import::notes::Notes;
use crate::shard::PinPrefix;

/// Parts of the registry's API behind a repository's name.
const API: &[&str] = &["manifests", "blobs", "tags", "referrers"];

/// A pin with the line that it comes from.
struct Found {
    prefix: String,
    member: String,
    line: usize,
}

/// What rules are read against.
struct Context<'m> {
    servers: &'m [Server],
    members: &'m [DraftMember],
    found: Vec<Found>,
}

/// All rules of a front and of its backends as pins: prefix and member.
pub(super) fn pins(
    front: &Section,
    backends: &[&Section],
    servers: &[Server],
    members: &[DraftMember],
    notes: &mut Notes,
) -> Vec<(String, String)> {
    let mut context = Context {
        servers,
        members,
        found: Vec::new(),
    };
    for line in front.all(&["use_backend"]) {
        let target = backends.iter().find(|section| section.name == line.word(1));
        let Some(target) = target else {
            continue;
        };
        let owner = context.only_server(target);
        rule(front, line, owner, &mut context, notes);
    }
    for section in backends {
        for line in section.all(&["use-server"]) {
            let named = section
                .all(&["server"])
                .find(|server| server.word(1) == line.word(1));
            let owner = named.and_then(|server| context.member(server));
            rule(section, line, owner, &mut context, notes);
        }
    }
    context
        .found
        .into_iter()
        .map(|found| (found.prefix, found.member))
        .collect()
}

impl Context<'_> {
    /// The member behind a `server` line.
    fn member(&self, line: &Line) -> Option<String> {
        let address = address(line)?.to_string();
        let same = |server: &Server| format!("{}:{}", server.host, server.port) == address;
        let at = self.servers.iter().position(same)?;
        Some(self.members.get(at)?.id.clone())
    }

    /// The one server of a backend that is no backup.
    fn only_server(&self, section: &Section) -> Option<String> {
        let active = |line: &&Line| !line.words.iter().any(|word| word == "backup");
        let mut servers = section.all(&["server"]).filter(active);
        let first = servers.next()?;
        servers
            .next()
            .is_none()
            .then(|| self.member(first))
            .flatten()
    }

    /// Takes a pin, unless a rule before it takes those repositories already: there the first one wins, and here the
    /// longest.
    fn take(&mut self, prefix: &str, member: &str, line: usize, notes: &mut Notes) {
        let covers = |found: &&Found| {
            let rest = prefix.strip_prefix(found.prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || found.prefix.ends_with('/'))
        };
        match self.found.iter().find(covers) {
            Some(before) if before.member == member => {}
            Some(before) => notes.at(
                line,
                format!("{prefix} is no pin: the rule on line {} takes those repositories before this one", before.line),
            ),
            None => self.found.push(Found { prefix: prefix.to_owned(), member: member.to_owned(), line }),
        }
    }
}

/// One `use_backend` or `use-server`.
fn rule(
    section: &Section,
    line: &Line,
    owner: Option<String>,
    context: &mut Context<'_>,
    notes: &mut Notes,
) {
    let (what, name) = (line.word(0), line.word(1));
    let patterns = match condition(section, line) {
        Ok(patterns) => patterns,
        Err(why) => return notes.at(line.number, format!("{what} {name} is no pin: {why}")),
    };
    for pattern in patterns {
        let prefix = match repository(&pattern) {
            Ok(Some(prefix)) => prefix,
            // A rule for all of the API, as there is one where other things are served too.
            Ok(None) if owner.is_none() => continue,
            Ok(None) => {
                notes.at(line.number, format!("{what} {name} is no pin: it sends all repositories to one server, and now all members share them"));
                continue;
            }
            Err(why) => {
                notes.at(
                    line.number,
                    format!("{what} {name} is no pin: {pattern} {why}"),
                );
                continue;
            }
        };
        let Some(member) = &owner else {
            notes.at(line.number, format!("{what} {name} is no pin: several servers wrote {prefix}, and now placement gives each repository one owner"));
            continue;
        };
        if !pattern.ends_with('/') {
            notes.at(line.number, format!("{what} {name}: {pattern} took names that go on as well, and the pin {prefix} takes whole components: pin the others by hand"));
        }
        context.take(&prefix, member, line.number, notes);
    }
}

/// The prefix of names that a path begins with; none for the API as a whole.
fn repository(pattern: &str) -> Result<Option<String>, String> {
    let rest = pattern
        .strip_prefix("/v2")
        .ok_or("is no path of a repository, and any member serves it")?;
    let Some(name) = rest.strip_prefix('/') else {
        return if rest.is_empty() {
            Ok(None)
        } else {
            Err("is no path of a repository".to_owned())
        };
    };
    if name.is_empty() {
        return Ok(None);
    }
    if name.split('/').any(|component| API.contains(&component)) {
        return Err("is a part of a repository: a repository has one owner".to_owned());
    }
    let prefix: PinPrefix = name
        .parse()
        .map_err(|error| format!("begins no whole name: {error}"))?;
    Ok(Some(prefix.to_string()))
}

/// The prefixes of paths that a rule's condition takes, or why it is not as simple as that.
fn condition(section: &Section, line: &Line) -> Result<Vec<String>, String> {
    let words = line.words.get(2..).unwrap_or_default();
    match words.first().map(String::as_str) {
        Some("if") => {}
        Some("unless") => return Err("it holds unless something is so".to_owned()),
        Some(_) | None => return Err("it has no condition".to_owned()),
    }
    let mut prefixes = Vec::new();
    let mut expects_term = true;
    let mut words = words[1..].iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "or" | "||" => {
                expects_term = true;
                continue;
            }
            _ if word.starts_with('!') => {
                return Err("a part of its condition is negated".to_owned());
            }
            _ if !expects_term => return Err("it asks for more than the path".to_owned()),
            "{" => {
                let inner: Vec<&str> = words.by_ref().take_while(|word| *word != "}").collect();
                prefixes.extend(criterion(&inner)?);
            }
            name => prefixes.extend(named(section, name)?),
        }
        expects_term = false;
    }
    Ok(prefixes)
}

/// The prefixes of an ACL; several lines of one name add up.
fn named(section: &Section, name: &str) -> Result<Vec<String>, String> {
    let mut prefixes = Vec::new();
    for line in section.all(&["acl", name]) {
        let words: Vec<&str> = line.words.iter().skip(2).map(String::as_str).collect();
        prefixes.extend(criterion(&words)?);
    }
    if prefixes.is_empty() {
        return Err(format!(
            "{name} is no condition of this section on the path"
        ));
    }
    Ok(prefixes)
}

/// The prefixes of one criterion with its flags and patterns.
fn criterion(words: &[&str]) -> Result<Vec<String>, String> {
    let fetch = words.first().copied().unwrap_or_default();
    let mut method = match fetch {
        "path_beg" | "url_beg" => "beg",
        "path_reg" | "url_reg" => "reg",
        "path" | "url" => "str",
        _ => return Err(format!("{fetch} is not the beginning of a path")),
    };
    let mut patterns = Vec::new();
    let (mut flags, mut any_case) = (true, false);
    let mut words = words.iter().skip(1).copied();
    while let Some(word) = words.next() {
        match word {
            "--" if flags => flags = false,
            "-i" if flags => any_case = true,
            "-m" if flags => method = words.next().unwrap_or_default(),
            _ if flags && word.starts_with('-') => return Err(format!("{word} is not read here")),
            _ => {
                flags = false;
                patterns.push(word);
            }
        }
    }
    let prefix = |pattern: &&str| match method {
        "beg" => Ok((*pattern).to_owned()),
        "reg" => {
            literal(pattern).ok_or_else(|| format!("the expression {pattern} is no plain prefix"))
        }
        _ => Err(format!(
            "{pattern} is a match by `{method}`, not the beginning of a path"
        )),
    };
    let prefixes: Result<Vec<String>, String> = patterns.iter().map(prefix).collect();
    // Names of repositories have no capitals: of all cases only this one is left.
    let lower = |prefix: String| {
        if any_case {
            prefix.to_ascii_lowercase()
        } else {
            prefix
        }
    };
    Ok(prefixes?.into_iter().map(lower).collect())
}

/// The text that a regular expression takes the beginning of a path for, if it is as simple as that.
fn literal(pattern: &str) -> Option<String> {
    let pattern = pattern.strip_prefix('^')?;
    let pattern = pattern
        .strip_suffix('$')
        .map_or(Some(pattern), |open| open.ends_with(".*").then_some(open))?;
    let pattern = pattern.strip_suffix(".*").unwrap_or(pattern);
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            plain => text.push(plain),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_are_plain_prefixes() {
        for (pattern, prefix) in [
            ("^/v2/repo1/", Some("/v2/repo1/")),
            ("^/v2/repo1/.*", Some("/v2/repo1/")),
            ("^/v2/repo1/.*$", Some("/v2/repo1/")),
            ("^/v2/a\\.b\\-c/", Some("/v2/a.b-c/")),
            ("^/v2/repo1/$", None),
            ("/v2/repo1/", None),
            ("^/v2/repo[12]/", None),
            ("^/v2/(a|b)/", None),
            ("^/v2/a.b/", None),
            ("^/v2/\\d/", None),
        ] {
            assert_eq!(literal(pattern).as_deref(), prefix, "{pattern}");
        }
    }

    #[test]
    fn paths_that_begin_repositories() {
        for (path, prefix) in [
            ("/v2/repo1/", Ok(Some("repo1/"))),
            ("/v2/team/app", Ok(Some("team/app/"))),
            ("/v2/", Ok(None)),
            ("/v2", Ok(None)),
            ("/v2x", Err(())),
            ("/", Err(())),
            ("/v2/team-", Err(())),
            ("/v2/_catalog", Err(())),
            ("/v2/repo1/manifests/", Err(())),
        ] {
            let found = repository(path).map_err(|_| ());
            assert_eq!(
                found,
                prefix.map(|prefix| prefix.map(str::to_owned)),
                "{path}"
            );
        }
    }
}
