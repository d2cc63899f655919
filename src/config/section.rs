//! Reads one mapping of the tree, key by key, and complains about whatever was not asked for.

use std::collections::HashMap;

use super::findings::{Findings, Wrong};
use super::schema::{Schema, nearest};
use super::yaml::{Kind, Mark, Node};

/// A mapping, or the lack of one.
pub(super) struct Section<'n> {
    schema: &'static Schema,
    /// First of each known key.
    entries: Vec<Entry<'n>>,
    /// Where to point at what the mapping lacks; `None` if it is not written.
    mark: Option<&'n Mark>,
    /// Keys that were complained about already, under a misspelled name.
    mistaken: Vec<&'static str>,
    /// Whether the mapping was complained about as a whole, for being something else.
    broken: bool,
}

struct Entry<'n> {
    name: &'n str,
    mark: &'n Mark,
    value: &'n Node,
}

impl<'n> Section<'n> {
    /// A mapping by itself: the root, or an item of a list.
    ///
    /// Unknown and duplicate keys, and keys that are no text, are complained about right here.
    pub(super) fn open(schema: &'static Schema, node: &'n Node, out: &mut Findings<'_>) -> Self {
        let mut section = Self::absent(schema);
        section.mark = Some(&node.mark);
        section.fill(node, out);
        section
    }

    fn absent(schema: &'static Schema) -> Self {
        Self {
            schema,
            entries: Vec::new(),
            mark: None,
            mistaken: Vec::new(),
            broken: false,
        }
    }

    fn fill(&mut self, node: &'n Node, out: &mut Findings<'_>) {
        match &node.kind {
            Kind::Mapping(entries) => {
                let mut seen = HashMap::new();
                for (key, value) in entries {
                    self.admit(key, value, &mut seen, out);
                }
            }
            // `timeouts:` with all of its keys commented out.
            Kind::Null => {}
            Kind::Scalar(_) | Kind::Sequence(_) => {
                let name = if self.schema.path.is_empty() {
                    "the file"
                } else {
                    self.schema.path
                };
                let expected = format!("a mapping with {}", self.schema.keys.join(", "));
                out.bad_value(node, name, Wrong::expected(expected));
                self.broken = true;
            }
        }
    }

    fn admit(
        &mut self,
        key: &'n Node,
        value: &'n Node,
        seen: &mut HashMap<&'n str, usize>,
        out: &mut Findings<'_>,
    ) {
        let mark = &key.mark;
        let Kind::Scalar(name) = &key.kind else {
            out.problem(
                mark,
                format!("a key must be a word, found {}", key.kind.name()),
                None,
            );
            return;
        };
        let shown = out
            .shown(key)
            .map(|shown| format!(" {shown}"))
            .unwrap_or_default();
        if let Some(first) = seen.get(name.as_str()) {
            let message = format!("duplicate key{shown}, first on line {first}");
            out.problem(mark, message, Some("keep one of them".into()));
            return;
        }
        seen.insert(name, mark.line);
        if self.schema.keys.contains(&name.as_str()) {
            self.entries.push(Entry { name, mark, value });
            return;
        }
        let place = match self.schema.path {
            "" => String::new(),
            path => format!(" in `{path}`"),
        };
        let help = (!shown.is_empty()).then(|| self.schema.advice(name));
        out.problem(mark, format!("unknown key{shown}{place}"), help);
        self.mistaken
            .extend(nearest(name, self.schema.keys.iter().copied()));
    }

    /// Whether the mapping is written at all.
    pub(super) fn is_written(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether a key is written, or one that was probably meant to be it.
    pub(super) fn is_meant(&self, key: &'static str) -> bool {
        self.node(key).is_some() || self.mistaken.contains(&key)
    }

    /// Where the mapping is written.
    pub(super) fn mark(&self) -> Option<&'n Mark> {
        self.mark
    }

    /// The value of a key, whatever it is.
    pub(super) fn node(&self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| entry.value)
    }

    fn entry(&self, key: &'static str) -> Option<&Entry<'n>> {
        debug_assert!(
            self.schema.keys.contains(&key),
            "{key} is missing from the schema"
        );
        self.entries.iter().find(|entry| entry.name == key)
    }

    /// The mapping under a key. What it lacks is told at the key.
    pub(super) fn section(
        &self,
        key: &'static str,
        schema: &'static Schema,
        out: &mut Findings<'_>,
    ) -> Section<'n> {
        debug_assert!(
            schema.path == self.schema.dotted(key),
            "{key} is misplaced in the schema"
        );
        let mut section = Section::absent(schema);
        // Under a misspelled name it may well have everything.
        section.broken = self.mistaken.contains(&key);
        if let Some(entry) = self.entry(key) {
            section.mark = Some(entry.mark);
            section.fill(entry.value, out);
        }
        section
    }

    /// The items under a key; none if it is not there.
    pub(super) fn items(
        &self,
        key: &'static str,
        expected: &str,
        out: &mut Findings<'_>,
    ) -> &'n [Node] {
        let Some(node) = self.node(key) else {
            return &[];
        };
        match &node.kind {
            Kind::Sequence(items) => items,
            Kind::Null => &[],
            Kind::Scalar(_) | Kind::Mapping(_) => {
                out.bad_value(
                    node,
                    &self.schema.dotted(key),
                    Wrong::expected(format!("a list of {expected}")),
                );
                &[]
            }
        }
    }

    /// A single value; `None` if it is not there, or is wrong and complained about.
    pub(super) fn value<T>(
        &self,
        key: &'static str,
        out: &mut Findings<'_>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        scalar(self.node(key)?, &self.schema.dotted(key), out, parse)
    }

    /// A single value, or what it is when nothing is written.
    pub(super) fn or<T>(
        &self,
        key: &'static str,
        out: &mut Findings<'_>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        // After a complaint the default only keeps the reading going: no configuration will come of it.
        self.value(key, out, parse).unwrap_or(default)
    }

    /// A single value that must be written.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        out: &mut Findings<'_>,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            self.lacks(key, out, None);
        }
        self.value(key, out, parse)
    }

    /// Complains about a key that must be written.
    pub(super) fn lacks(&self, key: &'static str, out: &mut Findings<'_>, help: Option<String>) {
        if self.broken || self.mistaken.contains(&key) {
            return;
        }
        let message = format!("missing key `{}`", self.schema.dotted(key));
        match self.mark {
            Some(mark) => out.problem(mark, message, help),
            None => out.whole(message, help),
        }
    }
}

/// Reads one scalar; `None` after a complaint.
pub(super) fn scalar<T>(
    node: &Node,
    name: &str,
    out: &mut Findings<'_>,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let parsed = match &node.kind {
        Kind::Scalar(text) => parse(text),
        // Every parser refuses the empty text, and says what it wants instead.
        Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => parse(""),
    };
    match (&node.kind, parsed) {
        (Kind::Scalar(_), Ok(value)) => Some(value),
        (_, Err(wrong)) => {
            out.bad_value(node, name, wrong);
            None
        }
        (_, Ok(_)) => {
            out.bad_value(node, name, Wrong::expected("a single value"));
            None
        }
    }
}
