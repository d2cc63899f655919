//! Collects what is wrong while a configuration is read, so that reading can go on.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::environment::Files;
use super::problem::{Excerpt, Location, Problem, Problems, Severity};
use super::source::SourceName;
use super::yaml::{Kind, Mark, Node};
use super::{secret, yaml};
use crate::shard::text::printable;

/// Most characters of a value that are repeated in a message.
const MAX_SHOWN_VALUE: usize = 80;
/// Most problems that are kept: who has more has the wrong file.
const MAX_PROBLEMS: usize = 100;

/// Problems, remarks and files seen so far.
pub(super) struct Findings<'t> {
    source: &'t SourceName,
    text: &'t str,
    /// Bytes of the text that are never shown.
    hidden: Vec<Range<usize>>,
    list: Vec<Problem>,
    disk: &'t dyn Files,
    files: Vec<PathBuf>,
}

impl<'t> Findings<'t> {
    pub(super) fn new(source: &'t SourceName, text: &'t str, disk: &'t dyn Files) -> Self {
        let files = source.path().map(Path::to_owned).into_iter().collect();
        Self {
            source,
            text,
            hidden: Vec::new(),
            list: Vec::new(),
            disk,
            files,
        }
    }

    /// The tree of the text, with its secrets marked.
    pub(super) fn parse(&mut self) -> Option<Node> {
        match yaml::parse(self.text) {
            Ok(mut root) => {
                self.hidden = secret::mark(&mut root, self.text);
                Some(root)
            }
            Err(yaml::SyntaxError { mark, message }) => {
                let message = format!("not valid YAML: {message}");
                match mark {
                    Some(mark) => {
                        self.problem(&mark, message, None);
                        if !secret::may_show(self.text, mark.line) {
                            self.list
                                .iter_mut()
                                .for_each(|problem| problem.excerpt = None);
                        }
                    }
                    None => self.whole(message, None),
                }
                None
            }
        }
    }

    /// Something wrong at a place of the text.
    pub(super) fn problem(&mut self, mark: &Mark, message: String, help: Option<String>) {
        self.push_at(Severity::Problem, mark, message, help);
    }

    /// Something legal but odd at a place of the text.
    pub(super) fn remark(&mut self, mark: &Mark, message: String, help: Option<String>) {
        self.push_at(Severity::Remark, mark, message, help);
    }

    /// Something that the file lacks, or that is wrong with it as a whole.
    pub(super) fn whole(&mut self, message: String, help: Option<String>) {
        let source = self.source.to_string();
        self.elsewhere(Location::Whole { source }, message, help);
    }

    /// Something odd about the file as a whole.
    pub(super) fn whole_remark(&mut self, message: String, help: Option<String>) {
        let source = self.source.to_string();
        self.remark_elsewhere(Location::Whole { source }, message, help);
    }

    /// Something odd outside of the text.
    pub(super) fn remark_elsewhere(
        &mut self,
        place: Location,
        message: String,
        help: Option<String>,
    ) {
        self.push(Problem {
            severity: Severity::Remark,
            place,
            message,
            excerpt: None,
            help,
        });
    }

    /// Something wrong outside of the text.
    pub(super) fn elsewhere(&mut self, place: Location, message: String, help: Option<String>) {
        self.push(Problem {
            severity: Severity::Problem,
            place,
            message,
            excerpt: None,
            help,
        });
    }

    /// A wrong value: names it, unless it is a secret, and says what was expected instead.
    pub(super) fn bad_value(&mut self, node: &Node, key: &str, wrong: Wrong) {
        let Wrong { expected, help } = wrong;
        let message = match self.shown(node) {
            Some(value) => format!("bad value {value} for `{key}`: expected {expected}"),
            None => format!("bad value for `{key}`: expected {expected}"),
        };
        // Help may repeat the value.
        self.problem(&node.mark, message, help.filter(|_| !node.secret));
    }

    /// A value for messages: in backticks, cut, or its kind; `None` for a secret.
    pub(super) fn shown(&self, node: &Node) -> Option<String> {
        if node.secret {
            return None;
        }
        Some(match &node.kind {
            Kind::Scalar(text) if text.chars().count() <= MAX_SHOWN_VALUE => {
                format!("`{}`", printable(text))
            }
            Kind::Scalar(text) => {
                let start: String = text.chars().take(MAX_SHOWN_VALUE).collect();
                format!("`{}…`", printable(&start))
            }
            Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => format!("({})", node.kind.name()),
        })
    }

    /// A path as written, made relative to the folder of the file, and kept for watching.
    pub(super) fn file(&mut self, written: &str) -> PathBuf {
        let path = self.source.folder().join(written);
        if !self.files.contains(&path) {
            self.files.push(path.clone());
        }
        path
    }

    /// A folder that the text names; what is in it is not the configuration's.
    pub(super) fn folder(&self, written: &str) -> PathBuf {
        self.source.folder().join(written)
    }

    /// Reads the files that the text names.
    pub(super) fn files(&self) -> &'t dyn Files {
        self.disk
    }

    /// Whether reading found problems, remarks aside.
    pub(super) fn failed(&self) -> bool {
        self.list
            .iter()
            .any(|problem| problem.severity == Severity::Problem)
    }

    /// All files named, and the remarks; or all problems with the remarks after them.
    pub(super) fn finish(mut self) -> Result<(Vec<PathBuf>, Vec<Problem>), Problems> {
        self.list
            .sort_by_key(|problem| match (&problem.severity, &problem.place) {
                (severity, Location::Text { line, column, .. }) => {
                    (*severity == Severity::Remark, *line, *column)
                }
                (severity, Location::Whole { .. } | Location::Variable(_) | Location::Flag(_)) => {
                    (*severity == Severity::Remark, usize::MAX, 0)
                }
            });
        if self.failed() {
            Err(Problems::new(self.list))
        } else {
            Ok((self.files, self.list))
        }
    }

    fn push_at(&mut self, severity: Severity, mark: &Mark, message: String, help: Option<String>) {
        let Mark {
            line,
            column,
            bytes: _,
        } = *mark;
        let place = Location::Text {
            source: self.source.to_string(),
            line,
            column,
        };
        let excerpt = Excerpt::of(self.text, mark, &self.hidden);
        self.push(Problem {
            severity,
            place,
            message,
            excerpt,
            help,
        });
    }

    fn push(&mut self, problem: Problem) {
        // An alias is read each time it is used, but is wrong once.
        if self.list.contains(&problem) {
            return;
        }
        match self.list.len().cmp(&MAX_PROBLEMS) {
            Ordering::Less => self.list.push(problem),
            Ordering::Equal => {
                let place = Location::Whole {
                    source: self.source.to_string(),
                };
                let message = format!("there is more; the first {MAX_PROBLEMS} are shown");
                self.list.push(Problem {
                    severity: Severity::Problem,
                    place,
                    message,
                    excerpt: None,
                    help: None,
                });
            }
            Ordering::Greater => {}
        }
    }
}

/// Why a text is no value of its kind.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Ends the sentence "expected …".
    pub(super) expected: String,
    /// A way out, if it is clear.
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn expected(expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            help: None,
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}
