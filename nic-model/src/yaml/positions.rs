//! Where each value of a text stands, and the limits a text must keep.

use std::collections::BTreeMap;

use bpf::diag::{At, Diagnostic};
use saphyr_parser::{Event, Parser, Span};

use super::{MAX_DEPTH, MAX_NODES, MAX_TEXT};

/// Index from a path to a place in the text.
#[derive(Debug, Clone)]
pub struct Positions {
    file: String,
    lines: Vec<String>,
    nodes: Vec<Node>,
    root: Option<usize>,
}

/// A run of characters on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    line: usize,
    column: usize,
    len: usize,
}

#[derive(Debug, Clone)]
struct Node {
    mark: Mark,
    children: Children,
    /// Values under it and itself, aliases written out.
    size: usize,
}

#[derive(Debug, Clone)]
enum Children {
    None,
    List(Vec<usize>),
    Map(Vec<(String, Mark, usize)>),
}

/// A collection whose end has not been met.
struct Open {
    node: usize,
    anchor: usize,
    /// In a map: the key that waits for its value.
    key: Option<(String, Mark)>,
    seen: BTreeMap<String, Mark>,
}

impl Positions {
    /// Reads the structure of a text and refuses what is too large or ambiguous.
    pub(super) fn index(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let mut positions = Positions { file: file.to_owned(), lines: Vec::new(), nodes: Vec::new(), root: None };
        if text.len() > MAX_TEXT {
            return Err(Diagnostic::new("yaml-too-large", "the text is too large to be a scenario or a profile")
                .at(At::Named(file.to_owned()))
                .limit(format!("{MAX_TEXT} bytes"), format!("{} bytes", text.len())));
        }
        positions.lines = text.lines().map(str::to_owned).collect();
        positions.build(text)?;
        Ok(positions)
    }

    /// Name of the file the text came from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place of the value at `path`; of its key where the value spans lines. `None` for a path the text does not have.
    pub fn at(&self, path: &str) -> Option<At> {
        let (key, node) = self.find(path)?;
        let node = &self.nodes[node];
        let mark = match (&node.children, key) {
            (Children::None, _) | (_, None) => node.mark,
            (_, Some(key)) => key,
        };
        Some(self.mark(mark.line, mark.column, mark.len))
    }

    /// The place of the key that ends `path`; of the value where that has none, as in a list.
    pub fn at_key(&self, path: &str) -> Option<At> {
        let (key, node) = self.find(path)?;
        let mark = key.unwrap_or(self.nodes[node].mark);
        Some(self.mark(mark.line, mark.column, mark.len))
    }

    /// The beginning of the text.
    pub(super) fn whole(&self) -> At {
        self.mark(1, 1, 1)
    }

    pub(super) fn mark(&self, line: usize, column: usize, len: usize) -> At {
        let snippet = self.lines.get(line.wrapping_sub(1)).cloned().unwrap_or_default();
        At::Text { file: self.file.clone(), line: line.max(1), column: column.max(1), len: len.max(1), snippet }
    }

    /// Walks a path. A key may hold dots itself, so of the keys that fit the longest is taken.
    fn find(&self, path: &str) -> Option<(Option<Mark>, usize)> {
        let mut found = (None, self.root?);
        let mut rest = path;
        loop {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if rest.is_empty() {
                return Some(found);
            }
            match &self.nodes[found.1].children {
                Children::None => return None,
                Children::List(items) => {
                    let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                    found = (None, *items.get(index.parse::<usize>().ok()?)?);
                    rest = after;
                }
                Children::Map(entries) => {
                    let ends = |after: &str| after.is_empty() || after.starts_with(['.', '[']);
                    let (name, mark, node) = entries
                        .iter()
                        .filter(|(name, ..)| !name.is_empty() && rest.strip_prefix(name.as_str()).is_some_and(ends))
                        .max_by_key(|(name, ..)| name.len())?;
                    found = (Some(*mark), *node);
                    rest = &rest[name.len()..];
                }
            }
        }
    }

    fn mark_of(&self, span: Span) -> Mark {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let len = if span.end.line() == line {
            span.end.col().saturating_sub(span.start.col())
        } else {
            let line_len = self.lines.get(line.wrapping_sub(1)).map_or(0, |l| l.trim_end().chars().count());
            line_len.saturating_sub(span.start.col())
        };
        Mark { line, column, len: len.max(1) }
    }

    fn refuse(&self, code: &'static str, reason: impl Into<String>, mark: Mark) -> Diagnostic {
        Diagnostic::new(code, reason).at(self.mark(mark.line, mark.column, mark.len))
    }

    fn build(&mut self, text: &str) -> Result<(), Diagnostic> {
        let mut open: Vec<Open> = Vec::new();
        let mut anchors: BTreeMap<usize, usize> = BTreeMap::new();
        let mut documents = 0;
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let at = error.marker();
                Diagnostic::new("yaml-syntax", format!("not YAML: {}", error.info())).at(self.mark(
                    at.line(),
                    at.col() + 1,
                    1,
                ))
            })?;
            let mark = self.mark_of(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.refuse("yaml-syntax", "a second document in one file", mark));
                    }
                }
                Event::Scalar(name, ..) if self.expects_key(&open) => {
                    let map = open.last_mut().expect("a key is expected inside a map");
                    if let Some(first) = map.seen.insert(name.to_string(), mark) {
                        return Err(self
                            .refuse("yaml-duplicate-key", format!("the key `{name}` stands twice"), mark)
                            .help(format!("the first is on line {}: keep one", first.line)));
                    }
                    map.key = Some((name.into_owned(), mark));
                }
                Event::Scalar(_, _, anchor, _) => {
                    let node = self.open(mark, Children::None, anchor).node;
                    self.close(node, anchor, &mut open, &mut anchors)?;
                }
                Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..) if self.expects_key(&open) => {
                    return Err(self.refuse("yaml-syntax", "a key that is not a word", mark));
                }
                Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                    let depth = format!("{MAX_DEPTH} levels");
                    return Err(self.refuse("yaml-too-large", "the text nests too deep", mark).limit(depth, "more"));
                }
                Event::Alias(anchor) => {
                    let Some(&node) = anchors.get(&anchor) else {
                        return Err(self.refuse("yaml-syntax", "an alias inside the value it names", mark));
                    };
                    self.close(node, 0, &mut open, &mut anchors)?;
                }
                Event::SequenceStart(anchor, _) => open.push(self.open(mark, Children::List(Vec::new()), anchor)),
                Event::MappingStart(anchor, _) => open.push(self.open(mark, Children::Map(Vec::new()), anchor)),
                Event::SequenceEnd | Event::MappingEnd => {
                    let Open { node, anchor, .. } = open.pop().expect("the parser pairs starts and ends");
                    self.close(node, anchor, &mut open, &mut anchors)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, mark: Mark, children: Children, anchor: usize) -> Open {
        self.nodes.push(Node { mark, children, size: 1 });
        Open { node: self.nodes.len() - 1, anchor, key: None, seen: BTreeMap::new() }
    }

    fn expects_key(&self, open: &[Open]) -> bool {
        open.last().is_some_and(|o| o.key.is_none() && matches!(self.nodes[o.node].children, Children::Map(_)))
    }

    /// Hands a finished value to the collection around it.
    fn close(
        &mut self,
        node: usize,
        anchor: usize,
        open: &mut [Open],
        anchors: &mut BTreeMap<usize, usize>,
    ) -> Result<(), Diagnostic> {
        if anchor != 0 {
            anchors.insert(anchor, node);
        }
        let size = self.nodes[node].size;
        let Some(parent) = open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let key = parent.key.take();
        let outer = &mut self.nodes[parent.node];
        outer.size += size;
        match (&mut outer.children, key) {
            (Children::Map(entries), Some((name, mark))) => entries.push((name, mark, node)),
            (Children::List(items), _) => items.push(node),
            _ => {}
        }
        let (size, mark) = (outer.size, outer.mark);
        if size > MAX_NODES {
            return Err(self
                .refuse("yaml-too-large", "the text has too many values, counted with aliases written out", mark)
                .limit(format!("{MAX_NODES} values"), format!("at least {size} values")));
        }
        Ok(())
    }
}
