//! YAML text → a tree of located nodes. The only module that knows the YAML reader.
//!
//! serde stops at the first error, and this product reports all problems at once. So serde-saphyr
//! only builds this tree, with the place of every key and value in it; what the values mean is read
//! from the tree by hand, in [`super::section`] and the modules above it, where problems add up.
//!
//! Scalars keep the spelling of the file: the tree does not guess types, so an id `0x10`, a hash
//! key of sixteen digits and a `yes` stay text.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Spanned, budget::BudgetBreach};

/// Largest configuration file, in bytes. 1,024 members take about 64 KiB.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting of collections; the contract needs four levels.
const MAX_DEPTH: usize = 16;
/// Most keys and values of one file.
const MAX_NODES: usize = 50_000;
/// Most anchors of one file.
const MAX_ANCHORS: usize = 100;
/// Most nodes that all aliases of one file together may stand for.
const MAX_REPLAYED: usize = 10_000;

/// Where something is written: line and column from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// Bytes of the file. Collections carry their first bytes only.
    pub(crate) bytes: Range<usize>,
}

/// One key or value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it is used: of an alias, the alias.
    pub(crate) mark: Mark,
    /// Where its text stands: of an alias, at the anchor.
    pub(crate) defined: Range<usize>,
    pub(crate) kind: Kind,
    /// Whether it holds, or may hold, a secret; see [`super::secret`].
    pub(crate) secret: bool,
}

impl Node {
    /// The value under a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Mapping(entries) = &self.kind else {
            return None;
        };
        let named = |name: &Self| matches!(&name.kind, Kind::Scalar(name) if name == key);
        entries
            .iter()
            .find(|(name, _)| named(name))
            .map(|(_, value)| value)
    }
}

/// What YAML calls the kind of a node.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing written, `~` or `null`.
    Null,
    /// As written, without quotes.
    Scalar(String),
    Sequence(Vec<Node>),
    /// In the order of the file, duplicates kept.
    Mapping(Vec<(Node, Node)>),
}

impl Kind {
    /// Whether nothing is written, or a list or mapping with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Scalar(_) => false,
            Self::Sequence(items) => items.is_empty(),
            Self::Mapping(entries) => entries.is_empty(),
        }
    }

    /// For messages: "expected a mapping, found …". Never the value itself.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a single value",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Why a text is no YAML at all. One text has at most one such error.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) mark: Option<Mark>,
    pub(crate) message: String,
}

/// Reads one document.
///
/// # Errors
/// Text that is no YAML, several documents, and whatever exceeds the limits above.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError {
            mark: None,
            message: format!("the file is larger than {MAX_BYTES} bytes"),
        });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_anchors: MAX_ANCHORS,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let root = serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
        .map_err(|error| syntax_error(text, &error))?;
    Ok(locate(root, text))
}

fn syntax_error(text: &str, error: &serde_saphyr::Error) -> SyntaxError {
    let error = error.without_snippet();
    let location = error.location();
    let message = if let serde_saphyr::Error::Budget { breach, .. } = error {
        if matches!(breach, BudgetBreach::Documents { .. }) {
            "a second document begins here; the configuration is one".to_owned()
        } else {
            format!("more than a configuration can need: {breach:?}")
        }
    } else {
        let message = error.to_string();
        // The place is told in front of the message already.
        let place = location.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        place
            .and_then(|place| message.strip_suffix(&place).map(str::to_owned))
            .unwrap_or(message)
    };
    SyntaxError {
        mark: location.map(|location| mark(text, location)),
        message,
    }
}

/// Moves the places into the nodes, and the spelling of untyped scalars out of the text.
fn locate(node: Spanned<Raw>, text: &str) -> Node {
    let Spanned {
        value,
        referenced,
        defined,
    } = node;
    let kind = match value {
        Raw::Null => Kind::Null,
        Raw::Text(value) => Kind::Scalar(value),
        // Of an alias, the spelling is at the anchor.
        Raw::Plain => Kind::Scalar(
            text.get(mark(text, defined).bytes)
                .unwrap_or_default()
                .to_owned(),
        ),
        Raw::Sequence(items) => {
            Kind::Sequence(items.into_iter().map(|item| locate(item, text)).collect())
        }
        Raw::Mapping(entries) => Kind::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| (locate(key, text), locate(value, text)))
                .collect(),
        ),
    };
    Node {
        mark: mark(text, referenced),
        defined: mark(text, defined).bytes,
        kind,
        secret: false,
    }
}

fn mark(text: &str, location: Location) -> Mark {
    let span = location.span();
    let start = span.byte_offset().and_then(|at| usize::try_from(at).ok());
    let len = span.byte_len().and_then(|len| usize::try_from(len).ok());
    let start = start.unwrap_or(0).min(text.len());
    let end = start.saturating_add(len.unwrap_or(0)).min(text.len());
    Mark {
        line: usize::try_from(location.line())
            .unwrap_or(usize::MAX)
            .max(1),
        column: usize::try_from(location.column())
            .unwrap_or(usize::MAX)
            .max(1),
        bytes: start..end,
    }
}

/// A node as serde hands it over: without its own place, which stands in the `Spanned` around it.
enum Raw {
    Null,
    /// Text, or a scalar that the reader took for text.
    Text(String),
    /// A scalar that the reader took for a number or a boolean: its spelling is in the file.
    Plain,
    Sequence(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            list.push(entry);
        }
        Ok(Raw::Mapping(list))
    }
}
