//! Reads one mapping of the tree, key by key, and complains about whatever was not asked for.

use super::findings::{Findings, Wrong, printable};
use super::schema::Schema;
use super::yaml::{Kind, Mark, Node};

/// A mapping, or the lack of one.
pub(super) struct Section<'n> {
    schema: &'static Schema,
    /// Keys as written, with their values; first of each key only.
    entries: Vec<(&'n str, &'n Node)>,
    /// Where to point at what the mapping lacks; `None` if there is no mapping at all.
    mark: Option<&'n Mark>,
    /// Whether lacking keys were complained about already, by the mapping being something else.
    broken: bool,
}

impl<'n> Section<'n> {
    /// Unknown and duplicate keys, and keys that are no text, are complained about right here.
    pub(super) fn open(
        schema: &'static Schema,
        node: Option<&'n Node>,
        out: &mut Findings<'_>,
    ) -> Self {
        let mut section = Self {
            schema,
            entries: Vec::new(),
            mark: None,
            broken: false,
        };
        let Some(node) = node else { return section };
        match &node.kind {
            Kind::Mapping(entries) => {
                section.mark = Some(&node.mark);
                section.admit(entries, out);
            }
            // `timeouts:` with all of its keys commented out.
            Kind::Null => {}
            Kind::Scalar(_) | Kind::Sequence(_) => {
                let name = if schema.path.is_empty() {
                    "the file"
                } else {
                    schema.path
                };
                out.bad_value(
                    node,
                    name,
                    Wrong::expected(format!("a mapping with {}", schema.keys.join(", "))),
                );
                section.broken = true;
            }
        }
        section
    }

    fn admit(&mut self, entries: &'n [(Node, Node)], out: &mut Findings<'_>) {
        let mut marks: Vec<(&str, &Mark)> = Vec::new();
        for (key, value) in entries {
            let Kind::Scalar(name) = &key.kind else {
                let message = format!("a key must be a word, found {}", key.kind.name());
                out.problem(&key.mark, message, None);
                continue;
            };
            if let Some((_, first)) = marks.iter().find(|(seen, _)| seen == name) {
                let message = match out.shown(key) {
                    Some(_) => format!(
                        "duplicate key `{}`, first on line {}",
                        printable(name),
                        first.line
                    ),
                    None => format!("duplicate key, first on line {}", first.line),
                };
                out.problem(&key.mark, message, Some("keep one of them".into()));
                continue;
            }
            marks.push((name, &key.mark));
            if self.schema.keys.contains(&name.as_str()) {
                self.entries.push((name, value));
                continue;
            }
            let place = match self.schema.path {
                "" => String::new(),
                path => format!(" in `{path}`"),
            };
            match out.shown(key) {
                Some(shown) => out.problem(
                    &key.mark,
                    format!("unknown key {shown}{place}"),
                    Some(self.schema.advice(name)),
                ),
                None => out.problem(&key.mark, format!("unknown key{place}"), None),
            }
        }
    }

    /// Whether the mapping is written at all.
    pub(super) fn is_written(&self) -> bool {
        self.mark.is_some() || self.broken
    }

    /// Where the mapping is written.
    pub(super) fn mark(&self) -> Option<&'n Mark> {
        self.mark
    }

    /// The value of a key, whatever it is.
    pub(super) fn node(&self, key: &'static str) -> Option<&'n Node> {
        debug_assert!(
            self.schema.keys.contains(&key),
            "{key} is missing from the schema"
        );
        self.entries
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| *node)
    }

    /// The mapping under a key.
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
        Section::open(schema, self.node(key), out)
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
    pub(super) fn lacks(&self, key: &str, out: &mut Findings<'_>, help: Option<String>) {
        if self.broken {
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
