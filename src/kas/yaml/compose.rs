//! From libyaml's events to a tree of values: aliases, merge keys, equal keys, types.
//!
//! Follows PyYAML's `composer.py` and `constructor.py`. A node is composed once and shared by its aliases;
//! merge keys are flattened before a mapping is constructed, so that a later pair replaces an earlier one.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use libyaml_safer::{EventData, Parser, ScalarStyle};

use crate::base::fault::Fault;
use crate::kas::yaml::scalar::{self, ScalarTag};
use crate::kas::yaml::{YamlEntry, YamlNode, YamlValue, tabs};

/// Nesting beyond this is refused; Python's own recursion ends at some 400 levels.
const MAX_DEPTH: usize = 300;

/// Values that a file may expand to, aliases counted each time. Guards against "billion laughs".
const MAX_VALUES: usize = 1_000_000;

/// A node before its mappings are flattened and its words have types.
struct RawNode {
    span: Range<usize>,
    tag: Option<String>,
    kind: RawKind,
}

enum RawKind {
    Word { text: String, plain: bool },
    List(Vec<Rc<RawNode>>),
    Table(RefCell<Vec<RawPair>>),
}

type RawPair = (Rc<RawNode>, Rc<RawNode>);

pub(super) fn compose(text: &str) -> Result<Arc<YamlNode>, Fault> {
    // The port of libyaml panics where its input ends in an unexpected place.
    let composed = catch_unwind(AssertUnwindSafe(|| Composer::new(text).document()));
    let raw = composed.unwrap_or_else(|_| {
        let end = text.len();
        Err(refuse(end..end, "ends unexpectedly"))
    })?;
    match raw {
        Some(raw) => Constructor::default()
            .construct(&raw)
            .map(|built| built.node),
        None => Ok(Arc::new(YamlNode {
            span: 0..text.len(),
            value: YamlValue::Null,
        })),
    }
}

/// The parts of one document that the loader has read so far.
struct Composer<'t> {
    source: &'t str,
    anchors: HashMap<String, Rc<RawNode>>,
    open: Vec<OpenNode>,
    texts: Vec<Range<usize>>,
    root: Option<Rc<RawNode>>,
}

/// A list or table whose end has not been read.
struct OpenNode {
    start: usize,
    anchor: Option<String>,
    tag: Option<String>,
    is_table: bool,
    children: Vec<Rc<RawNode>>,
}

fn refuse(span: Range<usize>, why: impl Into<String>) -> Fault {
    Fault::at(span, "kas cannot read this as YAML", why)
}

/// The first character that YAML 1.1 does not allow in a text (`c-printable`).
fn unprintable(text: &str) -> Option<Range<usize>> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
            || c >= '\u{10000}'
    };
    let (at, c) = text.char_indices().find(|(_, c)| !allowed(*c))?;
    Some(at..at + c.len_utf8())
}

impl<'t> Composer<'t> {
    fn new(source: &'t str) -> Composer<'t> {
        Composer {
            source,
            anchors: HashMap::new(),
            open: Vec::new(),
            texts: Vec::new(),
            root: None,
        }
    }

    /// A mark of the port, whose index counts bytes, as a place in the text.
    fn byte(&self, index: u64) -> usize {
        usize::try_from(index).map_or(self.source.len(), |index| index.min(self.source.len()))
    }

    /// The root of the only document; none where the text holds none.
    fn document(mut self) -> Result<Option<Rc<RawNode>>, Fault> {
        // The port refuses a block text whose last line has no line break. It gets one here, and
        // `block_text` takes it out of the value again.
        let padded = match self.source.ends_with(['\n', '\r']) {
            true => Cow::Borrowed(self.source),
            false => Cow::Owned(format!("{}\n", self.source)),
        };
        let mut rest = padded.as_bytes();
        let mut parser = Parser::new();
        parser.set_input(&mut rest);
        let mut documents = 0;
        loop {
            let event = parser.parse().map_err(|error| {
                // The port finds a character that YAML forbids before it counts places.
                if let Some(span) = unprintable(self.source) {
                    return refuse(span, error.problem()).hint("remove this character");
                }
                let mark = error.problem_mark().unwrap_or_default();
                let at = self.byte(mark.index);
                let hint = "check indentation, quotes and brackets around here";
                refuse(at..at, error.problem()).hint(hint)
            })?;
            let span = self.byte(event.start_mark.index)..self.byte(event.end_mark.index);
            match event.data {
                EventData::StreamEnd => break,
                EventData::DocumentStart { .. } => {
                    documents += 1;
                    if documents > 1 {
                        return Err(
                            refuse(span, "a second document").hint("keep one document in the file")
                        );
                    }
                }
                EventData::Alias { anchor } => match self.anchors.get(&anchor) {
                    Some(node) => {
                        let node = Rc::clone(node);
                        self.add(node);
                    }
                    None => return Err(refuse(span, format!("no anchor `{anchor}` before it"))),
                },
                EventData::Scalar {
                    anchor,
                    tag,
                    value,
                    style,
                    ..
                } => {
                    let plain = style == ScalarStyle::Plain;
                    if !plain {
                        self.texts.push(span.clone());
                    }
                    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    let text = match is_block && span.end >= self.source.len() {
                        true => self.last_block_text(&span, value),
                        false => value,
                    };
                    self.leaf(span, anchor, tag, RawKind::Word { text, plain })?;
                }
                EventData::SequenceStart { anchor, tag, .. } => {
                    self.begin(span, anchor, tag, false)?;
                }
                EventData::MappingStart { anchor, tag, .. } => {
                    self.begin(span, anchor, tag, true)?;
                }
                EventData::SequenceEnd | EventData::MappingEnd => self.end(span.end)?,
                EventData::StreamStart { .. } | EventData::DocumentEnd { .. } => {}
            }
        }
        if let Some(at) = tabs::refused(self.source, &self.texts) {
            return Err(refuse(at..at + 1, "a tab").hint("write blanks: kas takes no tab here"));
        }
        Ok(self.root)
    }

    /// The value of a block text that the file ends with, without the line break that was added.
    fn last_block_text(&self, span: &Range<usize>, mut value: String) -> String {
        let last_line = self.source.rsplit(['\n', '\r']).next().unwrap_or_default();
        let header = self.source[span.start..].lines().next().unwrap_or_default();
        let header = header.split('#').next().unwrap_or_default();
        let is_content =
            !last_line.trim_matches(' ').is_empty() || value.trim_end_matches('\n').ends_with(' ');
        let was_added = !last_line.is_empty() && (is_content || header.contains('+'));
        if was_added && !header.contains('-') && value.ends_with('\n') {
            value.pop();
        }
        value
    }

    fn new_anchor(&self, span: &Range<usize>, anchor: Option<&String>) -> Result<(), Fault> {
        match anchor {
            Some(anchor) if self.anchors.contains_key(anchor) => Err(refuse(
                span.clone(),
                format!("the anchor `{anchor}` is defined twice"),
            )),
            _ => Ok(()),
        }
    }

    fn leaf(
        &mut self,
        span: Range<usize>,
        anchor: Option<String>,
        tag: Option<String>,
        kind: RawKind,
    ) -> Result<(), Fault> {
        self.new_anchor(&span, anchor.as_ref())?;
        let node = Rc::new(RawNode { span, tag, kind });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node);
        Ok(())
    }

    fn begin(
        &mut self,
        span: Range<usize>,
        anchor: Option<String>,
        tag: Option<String>,
        is_table: bool,
    ) -> Result<(), Fault> {
        self.new_anchor(&span, anchor.as_ref())?;
        if self.open.len() >= MAX_DEPTH {
            return Err(refuse(span, "nested too deeply"));
        }
        self.open.push(OpenNode {
            start: span.start,
            anchor,
            tag,
            is_table,
            children: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else {
            return Err(refuse(end..end, "an end without a beginning"));
        };
        let kind = if open.is_table {
            let mut children = open.children.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                pairs.push((key, value));
            }
            RawKind::Table(RefCell::new(pairs))
        } else {
            RawKind::List(open.children)
        };
        let node = Rc::new(RawNode {
            span: open.start..end,
            tag: open.tag,
            kind,
        });
        if let Some(anchor) = open.anchor {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node);
        Ok(())
    }

    fn add(&mut self, node: Rc<RawNode>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
    }
}

/// A constructed node and the number of values that it expands to.
#[derive(Clone)]
struct Constructed {
    node: Arc<YamlNode>,
    values: usize,
}

#[derive(Default)]
struct Constructor {
    done: HashMap<*const RawNode, Constructed>,
}

impl Constructor {
    fn construct(&mut self, raw: &Rc<RawNode>) -> Result<Constructed, Fault> {
        if let Some(done) = self.done.get(&Rc::as_ptr(raw)) {
            return Ok(done.clone());
        }
        let mut values = 1_usize;
        let value = match &raw.kind {
            RawKind::Word { text, plain } => word(raw, text, *plain)?,
            RawKind::List(items) => {
                core_tag(raw, "seq")?;
                let mut nodes = Vec::with_capacity(items.len());
                for item in items {
                    let item = self.construct(item)?;
                    values = values.saturating_add(item.values);
                    nodes.push(item.node);
                }
                YamlValue::List(nodes)
            }
            RawKind::Table(_) => {
                core_tag(raw, "map")?;
                flatten(raw)?;
                let pairs = pairs_of(raw);
                let mut entries: Vec<YamlEntry> = Vec::with_capacity(pairs.len());
                let mut places: HashMap<KeyIdentity, usize> = HashMap::with_capacity(pairs.len());
                for (key_node, value_node) in pairs {
                    let (key, identity) = self.key(&key_node)?;
                    let value = self.construct(&value_node)?;
                    values = values.saturating_add(value.values);
                    match places.get(&identity) {
                        Some(&place) => {
                            entries[place].key_span = key_node.span.clone();
                            entries[place].node = value.node;
                        }
                        None => {
                            places.insert(identity, entries.len());
                            entries.push(YamlEntry {
                                key,
                                key_span: key_node.span.clone(),
                                node: value.node,
                            });
                        }
                    }
                }
                YamlValue::Table(entries)
            }
        };
        if values > MAX_VALUES {
            return Err(refuse(
                raw.span.clone(),
                "its aliases expand to too many values",
            ));
        }
        let node = Arc::new(YamlNode {
            span: raw.span.clone(),
            value,
        });
        let built = Constructed { node, values };
        self.done.insert(Rc::as_ptr(raw), built.clone());
        Ok(built)
    }

    /// A key as JSON writes it, and what Python compares keys by.
    fn key(&mut self, raw: &Rc<RawNode>) -> Result<(String, KeyIdentity), Fault> {
        if let RawKind::Word { text, plain: true } = &raw.kind
            && text == "="
        {
            return Ok((text.clone(), KeyIdentity::Text(text.clone())));
        }
        let node = self.construct(raw)?.node;
        let text = match &node.value {
            YamlValue::Null => "null".to_owned(),
            YamlValue::Bool(truth) => truth.to_string(),
            YamlValue::Int(number) => number.to_string(),
            YamlValue::Float(number) => serde_json::Value::from(*number).to_string(),
            YamlValue::Text(text) | YamlValue::Opaque(text) => text.clone(),
            YamlValue::List(_) | YamlValue::Table(_) => {
                return Err(refuse(raw.span.clone(), "a key that is not a single word"));
            }
        };
        let identity = match &node.value {
            YamlValue::Null => KeyIdentity::Null,
            YamlValue::Bool(truth) => KeyIdentity::number(f64::from(u8::from(*truth))),
            #[expect(clippy::cast_precision_loss, reason = "keys that large are not in use")]
            YamlValue::Int(number) => KeyIdentity::number(*number as f64),
            YamlValue::Float(number) => KeyIdentity::number(*number),
            _ => KeyIdentity::Text(text.clone()),
        };
        Ok((text, identity))
    }
}

/// The equality of two keys: for Python, `true`, `1` and `1.0` are one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum KeyIdentity {
    Null,
    Number(u64),
    Text(String),
}

impl KeyIdentity {
    fn number(number: f64) -> KeyIdentity {
        // Positive and negative zero are equal.
        KeyIdentity::Number((number + 0.0).to_bits())
    }
}

fn word(raw: &RawNode, text: &str, plain: bool) -> Result<YamlValue, Fault> {
    let value = match raw.tag.as_deref() {
        // The lone tag `!` makes PyYAML resolve a quoted text as if it were plain.
        Some("!") => scalar::plain(text),
        None if plain => scalar::plain(text),
        None => Ok(YamlValue::Text(text.to_owned())),
        Some(tag) => scalar::tagged(tag, text),
    };
    value.map_err(|why| refuse(raw.span.clone(), why))
}

fn core_tag(raw: &RawNode, kind: &str) -> Result<(), Fault> {
    match raw.tag.as_deref() {
        None | Some("!") => Ok(()),
        Some(tag) if tag.strip_prefix("tag:yaml.org,2002:") == Some(kind) => Ok(()),
        Some(_) => Err(refuse(raw.span.clone(), "kas has no value for this tag")),
    }
}

fn pairs_of(raw: &RawNode) -> Vec<RawPair> {
    match &raw.kind {
        RawKind::Table(pairs) => pairs.borrow().clone(),
        _ => Vec::new(),
    }
}

fn is_merge(key: &RawNode) -> bool {
    match &key.kind {
        RawKind::Word { text, plain: true } if key.tag.is_none() => {
            scalar::tag_of(text) == ScalarTag::Merge
        }
        _ => false,
    }
}

/// Puts the pairs of merged mappings before a table's own.
fn flatten(raw: &RawNode) -> Result<(), Fault> {
    let RawKind::Table(cell) = &raw.kind else {
        return Ok(());
    };
    if !cell.borrow().iter().any(|(key, _)| is_merge(key)) {
        return Ok(());
    }
    let (merges, own): (Vec<RawPair>, Vec<RawPair>) = cell
        .borrow()
        .iter()
        .cloned()
        .partition(|(key, _)| is_merge(key));
    // Taken out first, so that a table which merges itself ends here.
    cell.replace(own.clone());
    let mut merged: Vec<RawPair> = Vec::new();
    for (_, source) in &merges {
        let tables: Vec<&Rc<RawNode>> = match &source.kind {
            RawKind::Table(_) => vec![source],
            RawKind::List(items) => items.iter().collect(),
            RawKind::Word { .. } => {
                return Err(refuse(
                    source.span.clone(),
                    "`<<` merges a mapping or a list of them",
                ));
            }
        };
        for table in tables {
            let RawKind::Table(_) = &table.kind else {
                return Err(refuse(table.span.clone(), "`<<` merges mappings"));
            };
            flatten(table)?;
            for pair in pairs_of(table) {
                if !merged.iter().any(|(key, _)| is_same_object(key, &pair.0)) {
                    merged.push(pair);
                }
            }
        }
    }
    merged.extend(own);
    cell.replace(merged);
    Ok(())
}

/// Whether PyYAML takes two keys of merged mappings for one: it compares the identity of their texts, and
/// Python has one object for each text of at most one Latin-1 character.
fn is_same_object(one: &Rc<RawNode>, other: &Rc<RawNode>) -> bool {
    if Rc::ptr_eq(one, other) {
        return true;
    }
    match (&one.kind, &other.kind) {
        (RawKind::Word { text: one, .. }, RawKind::Word { text: other, .. }) => {
            let mut letters = one.chars();
            let short = letters.next().is_none_or(|letter| u32::from(letter) < 256);
            short && letters.next().is_none() && one == other
        }
        _ => false,
    }
}
