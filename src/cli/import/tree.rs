//! zot's configuration, JSON or YAML, as a tree that knows its lines and can be written again.
//!
//! Both are read by the YAML reader: JSON is a part of YAML, and so is the comma too many that zot's own
//! documentation has in one sample.

use super::notes::Notes;
use crate::config::secret;
use crate::config::yaml::{self, Kind};

/// One value.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Tree {
    /// Line from 1: of its key, if it has one.
    pub(in crate::cli) line: usize,
    pub(in crate::cli) value: Value,
}

#[derive(Clone, Debug)]
pub(in crate::cli) enum Value {
    Null,
    /// A number or a boolean, as written.
    Plain(String),
    Text(String),
    List(Vec<Tree>),
    /// In the order of the file.
    Map(Vec<(String, Tree)>),
}

/// Reads a file.
pub(in crate::cli) fn parse(text: &str) -> Result<Tree, Notes> {
    // JSON may be indented by tabs, and no string of it has one; YAML may not.
    let json = text.trim_start().starts_with('{');
    let spaced = if json {
        text.replace('\t', " ")
    } else {
        text.to_owned()
    };
    match yaml::parse(&spaced) {
        Ok(node) => Ok(tree(&node, &spaced, node.mark.line)),
        Err(error) => {
            let line = error.mark.map(|mark| mark.line);
            // The message may quote the line, and the line may hold the key.
            let shown = line.is_some_and(|line| secret::may_show(&spaced, line));
            let why = if shown {
                format!(": {}", error.message)
            } else {
                String::new()
            };
            Err(Notes::one(line, format!("neither JSON nor YAML{why}")))
        }
    }
}

fn tree(node: &yaml::Node, text: &str, line: usize) -> Tree {
    let value = match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar(scalar) => {
            let written = text.get(node.defined.clone()).unwrap_or_default();
            let json = serde_json::from_str::<serde_json::Value>(scalar);
            let plain = json.is_ok_and(|value| value.is_number() || value.is_boolean());
            if plain && !written.starts_with(['"', '\'']) {
                Value::Plain(scalar.clone())
            } else {
                Value::Text(scalar.clone())
            }
        }
        Kind::Sequence(items) => Value::List(
            items
                .iter()
                .map(|item| tree(item, text, item.mark.line))
                .collect(),
        ),
        Kind::Mapping(entries) => {
            let name = |key: &yaml::Node| match &key.kind {
                Kind::Scalar(name) => name.clone(),
                Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => String::new(),
            };
            let entry = |(key, value): &(yaml::Node, yaml::Node)| {
                (name(key), tree(value, text, key.mark.line))
            };
            Value::Map(entries.iter().map(entry).collect())
        }
    };
    Tree { line, value }
}

impl Tree {
    /// What stands at a path of keys, in whatever case: zot does not tell cases apart.
    pub(in crate::cli) fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        let entries = self.entries();
        let (_, value) = entries
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        value.at(rest)
    }

    /// A text or number at a path, unless it is empty.
    pub(in crate::cli) fn text(&self, path: &[&str]) -> Option<&str> {
        match &self.at(path)?.value {
            Value::Text(text) | Value::Plain(text) => {
                Some(text.as_str()).filter(|text| !text.is_empty())
            }
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether `true` stands at a path.
    pub(in crate::cli) fn is_true(&self, path: &[&str]) -> bool {
        self.text(path)
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// Whether a mapping is there that does not say `enable: false`.
    pub(in crate::cli) fn is_enabled(&self, path: &[&str]) -> bool {
        let section = self
            .at(path)
            .filter(|section| matches!(section.value, Value::Map(_)));
        section.is_some_and(|section| section.text(&["enable"]).is_none_or(|text| text == "true"))
    }

    /// The entries, if this is a mapping.
    pub(in crate::cli) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Plain(_) | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// The items at a path, if a list stands there.
    pub(in crate::cli) fn items(&self, path: &[&str]) -> &[Self] {
        match self.at(path).map(|list| &list.value) {
            Some(Value::List(items)) => items,
            Some(Value::Null | Value::Plain(_) | Value::Text(_) | Value::Map(_)) | None => &[],
        }
    }

    /// Sets one key of the mapping at a path, which is made if it is not there.
    pub(in crate::cli) fn set(&mut self, path: &[&str], key: &str, value: Value) {
        let line = self.line;
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else {
            return;
        };
        let name = path.first().copied().unwrap_or(key);
        let found = entries
            .iter()
            .position(|(entry, _)| entry.eq_ignore_ascii_case(name));
        let at = found.unwrap_or(entries.len());
        if found.is_none() {
            entries.push((
                name.to_owned(),
                Self {
                    line,
                    value: Value::Null,
                },
            ));
        }
        let child = &mut entries[at].1;
        match path.split_first() {
            Some((_, rest)) => child.set(rest, key, value),
            None => child.value = value,
        }
    }

    /// Takes one key out of the mapping at a path.
    pub(in crate::cli) fn remove(&mut self, path: &[&str], key: &str) {
        if let Some(Value::Map(entries)) = self.at_mut(path).map(|found| &mut found.value) {
            entries.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        }
    }

    /// All items of a list at a path, to be changed.
    pub(in crate::cli) fn items_mut(&mut self, path: &[&str]) -> &mut [Self] {
        match self.at_mut(path).map(|found| &mut found.value) {
            Some(Value::List(items)) => items,
            Some(Value::Null | Value::Plain(_) | Value::Text(_) | Value::Map(_)) | None => &mut [],
        }
    }

    fn at_mut(&mut self, path: &[&str]) -> Option<&mut Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        let Value::Map(entries) = &mut self.value else {
            return None;
        };
        let found = entries
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.and_then(|(_, value)| value.at_mut(rest))
    }

    /// The tree as JSON.
    pub(in crate::cli) fn json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text + "\n"
    }

    fn write(&self, text: &mut String, depth: usize) {
        let inner = "  ".repeat(depth + 1);
        let outer = "  ".repeat(depth);
        match &self.value {
            Value::Null => text.push_str("null"),
            Value::Plain(plain) => text.push_str(plain),
            Value::Text(value) => text.push_str(&json_string(value)),
            Value::List(items) if items.is_empty() => text.push_str("[]"),
            Value::Map(entries) if entries.is_empty() => text.push_str("{}"),
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    text.push_str(if at == 0 { "[\n" } else { ",\n" });
                    text.push_str(&inner);
                    item.write(text, depth + 1);
                }
                text.push_str(&format!("\n{outer}]"));
            }
            Value::Map(entries) => {
                for (at, (key, value)) in entries.iter().enumerate() {
                    text.push_str(if at == 0 { "{\n" } else { ",\n" });
                    text.push_str(&format!("{inner}{}: ", json_string(key)));
                    value.write(text, depth + 1);
                }
                text.push_str(&format!("\n{outer}}}"));
            }
        }
    }
}

fn json_string(text: &str) -> String {
    // Strings always serialise.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n\t\"Storage\": { \"gc\": true, \"n\": 3, \"s\": \"5\\n\", \"none\": null },\n\t\"list\": [\n\t\t{ \"a\": [] },\n\t]\n}\n";

    #[test]
    fn lines_types_and_order_survive() {
        let tree = parse(TEXT).unwrap();
        assert_eq!(tree.at(&["storage", "GC"]).unwrap().line, 2);
        assert_eq!(tree.items(&["list"])[0].line, 4);
        let written: serde_json::Value = serde_json::from_str(&tree.json()).unwrap();
        let expected = serde_json::json!({
            "Storage": { "gc": true, "n": 3, "s": "5\n", "none": null }, "list": [{ "a": [] }]
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn keys_are_set_and_removed_whatever_their_case() {
        let mut tree = parse(TEXT).unwrap();
        tree.set(&["storage"], "GC", Value::Plain("false".to_owned()));
        tree.set(&["http", "tls"], "cert", Value::Text("c".to_owned()));
        tree.remove(&["STORAGE"], "N");
        tree.remove(&["nowhere"], "x");
        let written: serde_json::Value = serde_json::from_str(&tree.json()).unwrap();
        let expected = serde_json::json!({
            "Storage": { "gc": false, "s": "5\n", "none": null }, "list": [{ "a": [] }],
            "http": { "tls": { "cert": "c" } }
        });
        assert_eq!(written, expected);
    }
}
