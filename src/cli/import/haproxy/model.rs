//! haproxy.cfg as sections of lines of words.

use super::lex;
use crate::cli::import::notes::Notes;

/// Words that begin a section.
const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "resolvers",
    "peers",
    "userlist",
    "mailers",
    "program",
    "cache",
    "ring",
    "log-forward",
    "http-errors",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
    "log-profile",
];

/// All sections, in order.
pub(super) struct Model(Vec<Section>);

/// One section.
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) name: String,
    /// Where it begins.
    pub(super) line: usize,
    pub(super) lines: Vec<Line>,
    /// The defaults that it takes over.
    defaults: Option<usize>,
}

/// One line.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

impl Line {
    /// A word, or nothing.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// Whether the line begins with these words.
    pub(super) fn begins(&self, words: &[&str]) -> bool {
        words.len() <= self.words.len()
            && words
                .iter()
                .zip(&self.words)
                .all(|(word, found)| word == found)
    }
}

impl Model {
    /// Takes a file apart. Sections that have nothing to do with a registry are left alone.
    pub(super) fn read(text: &str, notes: &mut Notes) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        let mut defaults = None;
        for (number, text) in lex::lines(text) {
            let words = lex::words(&text);
            let Some(first) = words.first() else {
                continue;
            };
            if SECTIONS.contains(&first.as_str()) {
                let mut section = Section {
                    kind: first.clone(),
                    name: words.get(1).cloned().unwrap_or_default(),
                    line: number,
                    lines: Vec::new(),
                    defaults,
                };
                if let Some(from) = words.iter().position(|word| word == "from") {
                    let named = words.get(from + 1);
                    section.defaults = sections
                        .iter()
                        .position(|other| other.kind == "defaults" && Some(&other.name) == named)
                        .or(defaults);
                }
                if section.kind == "defaults" {
                    defaults = Some(sections.len());
                }
                sections.push(section);
            } else if let Some(section) = sections.last_mut() {
                section.lines.push(Line { number, words });
            } else {
                notes.at(number, format!("`{first}` stands in no section"));
            }
        }
        Self(sections)
    }

    /// The frontend or listen section that serves the registry.
    pub(super) fn front(&self, name: Option<&str>) -> Result<&Section, Notes> {
        let serves = |section: &&Section| match section.kind.as_str() {
            "frontend" => true,
            "listen" => section.all(&["server"]).next().is_some(),
            _ => false,
        };
        let fronts: Vec<&Section> = self.0.iter().filter(serves).collect();
        let names: Vec<&str> = fronts.iter().map(|front| front.name.as_str()).collect();
        match (name, &fronts[..]) {
            (Some(name), _) => fronts
                .iter()
                .find(|front| front.name == name)
                .copied()
                .ok_or_else(|| {
                    Notes::one(
                        None,
                        format!(
                            "no frontend is called {name}: there are {}",
                            names.join(", ")
                        ),
                    )
                }),
            (None, [front]) => Ok(front),
            (None, []) => Err(Notes::one(
                None,
                "no configuration of HAProxy: no `frontend`, and no `listen` with servers",
            )),
            (None, _) => {
                let message = format!(
                    "several frontends: say by --frontend which serves the registry: {}",
                    names.join(", ")
                );
                Err(Notes::one(None, message))
            }
        }
    }

    /// The sections that a front sends to: the default first, then those of its rules, in order.
    pub(super) fn backends_of(&self, front: &Section, notes: &mut Notes) -> Vec<&Section> {
        let default = self.lines_of(front, "default_backend").last();
        let used = front
            .lines
            .iter()
            .filter(|line| line.word(0) == "use_backend");
        let mut found: Vec<&Section> = Vec::new();
        for line in default.into_iter().chain(used) {
            let name = line.word(1);
            let named = |section: &&Section| {
                matches!(section.kind.as_str(), "backend" | "listen") && section.name == name
            };
            match self.0.iter().find(named) {
                Some(section) if !found.iter().any(|known| known.line == section.line) => {
                    found.push(section)
                }
                Some(_) => {}
                None => notes.at(line.number, format!("backend {name} is not there")),
            }
        }
        found.extend(
            self.0
                .iter()
                .filter(|section| section.line == front.line && section.kind == "listen"),
        );
        found
    }

    /// The lines of a section that begin with a word, those of its defaults first: the last one counts.
    pub(super) fn lines_of<'m>(
        &'m self,
        section: &'m Section,
        word: &'static str,
    ) -> impl Iterator<Item = &'m Line> {
        let defaults = section.defaults.map(|at| &self.0[at]);
        let defaults = defaults.into_iter().flat_map(|defaults| &defaults.lines);
        defaults
            .chain(&section.lines)
            .filter(move |line| line.word(0) == word)
    }

    /// The sections that say something about the registry: `global`, what a front and its backends take over, and they
    /// themselves.
    pub(super) fn about<'m>(
        &'m self,
        front: &'m Section,
        backends: &[&'m Section],
    ) -> Vec<&'m Section> {
        let chosen = |section: &Section| {
            backends
                .iter()
                .chain([&front])
                .any(|of| of.line == section.line)
        };
        let taken = |at: usize| {
            self.0
                .iter()
                .any(|section| section.defaults == Some(at) && chosen(section))
        };
        let all = self.0.iter().enumerate();
        all.filter(|(at, section)| {
            section.kind == "global"
                || chosen(section)
                || (section.kind == "defaults" && taken(*at))
        })
        .map(|(_, section)| section)
        .collect()
    }
}

impl Section {
    /// Its own lines that begin with these words.
    pub(super) fn all<'s>(&'s self, words: &'s [&'s str]) -> impl Iterator<Item = &'s Line> {
        self.lines.iter().filter(move |line| line.begins(words))
    }
}
