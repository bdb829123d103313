//! variants.toml as it was written: every word with its place, nothing resolved yet. Reads what has
//! the right type and leaves out the rest, which [`super::structure`] has reported; of chain and
//! variants whole elements, since half a condition would say something else.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::structure;
use crate::model::shape;

/// A string of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub value: String,
    /// Where it stands; of a string, with its quotes.
    pub span: Range<usize>,
    /// Where its first byte stands, if each of its bytes is one byte of the source.
    inner: Option<usize>,
}

impl Text {
    fn key(key: &Spanned<std::borrow::Cow<'_, str>>) -> Text {
        Text {
            value: key.get_ref().to_string(),
            span: key.span(),
            inner: None,
        }
    }

    fn string(text: &str, span: Range<usize>, source: &str) -> Text {
        let within = span.start + 1..span.end.saturating_sub(1);
        let inner = (source.get(within) == Some(text)).then_some(span.start + 1);
        Text {
            value: text.to_owned(),
            span,
            inner,
        }
    }

    /// The place in the source of a part of the text; the whole text where escapes stand between.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Range<usize> {
        match self.inner {
            Some(start) => start + range.start..start + range.end,
            None => self.span.clone(),
        }
    }

    /// A text that stands nowhere, for defaults.
    #[must_use]
    pub fn implied(value: &str, span: Range<usize>) -> Text {
        Text {
            value: value.to_owned(),
            span,
            inner: None,
        }
    }
}

/// An axis and its values.
#[derive(Debug)]
pub struct Axis {
    /// The axis's name.
    pub name: Text,
    /// Its values, in order.
    pub values: Vec<AxisValue>,
}

/// A value of an axis.
#[derive(Debug)]
pub struct AxisValue {
    /// The value.
    pub name: Text,
    /// Property and text.
    pub properties: Vec<(Text, Text)>,
}

/// The keys of an artifact type, or of a machine's change to one.
#[derive(Debug)]
pub struct ArtifactKeys {
    /// The type.
    pub kind: Text,
    /// `extension`.
    pub extension: Option<Text>,
    /// `attr`.
    pub attr: Option<Text>,
    /// `optional`.
    pub optional: Option<bool>,
    /// `unique`.
    pub unique: Option<bool>,
    /// `format`.
    pub format: Option<Text>,
    /// `compress`.
    pub compress: Option<Text>,
    /// `bmap`.
    pub bmap: Option<bool>,
    /// `deploy_name`.
    pub deploy_name: Option<Text>,
}

/// A file of a release.
#[derive(Debug)]
pub struct ReleaseFile {
    /// `extension`.
    pub extension: Text,
    /// `optional`.
    pub optional: bool,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: Text,
    /// `arch`.
    pub arch: Option<Text>,
    /// `kas`.
    pub kas: Option<Text>,
    /// `artifacts`.
    pub artifacts: Vec<ArtifactKeys>,
    /// Where `artifacts` stands, if it does.
    pub artifacts_span: Option<Range<usize>>,
    /// `release`.
    pub release: Vec<ReleaseFile>,
    /// `vars`.
    pub vars: Vec<(Text, Text)>,
}

/// What a condition compares with.
#[derive(Debug)]
pub enum Test {
    /// Globs.
    Globs(Vec<Text>),
    /// Set or unset; native or not.
    Is(bool),
}

/// A table of conditions: key and test.
pub type Tests = Vec<(Text, Test)>;

/// An element of `kas.chain`.
#[derive(Debug)]
pub struct ChainEntry {
    /// The file's template.
    pub file: Text,
    /// `when`.
    pub when: Tests,
}

/// What an entry of `[[variants]]` says of an axis or the machine.
#[derive(Debug)]
pub enum Choice {
    /// These values.
    Values(Vec<Text>),
    /// `false`.
    Unset,
}

/// An entry of `[[variants]]`, or of its `include`.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub span: Range<usize>,
    /// Machine and axes.
    pub choices: Vec<(Text, Choice)>,
}

/// An entry of `[[variants]]` with its exceptions.
#[derive(Debug)]
pub struct Block {
    /// The entry itself.
    pub entry: Entry,
    /// `exclude`.
    pub exclude: Vec<(Range<usize>, Tests)>,
    /// `include`.
    pub include: Vec<Entry>,
}

/// `[naming]`.
#[derive(Debug, Default)]
pub struct Naming {
    /// Where the table stands.
    pub span: Range<usize>,
    /// `id`.
    pub id: Option<Text>,
    /// `unique_name`.
    pub unique_name: Option<Text>,
    /// `deploy_name`.
    pub deploy_name: Option<Text>,
    /// `release_asset`.
    pub release_asset: Option<Text>,
    /// `attr_path`.
    pub attr_path: Option<Vec<Text>>,
}

/// The whole file.
#[derive(Debug, Default)]
pub struct Document {
    /// `[axes]`.
    pub axes: Vec<Axis>,
    /// `[naming]`.
    pub naming: Naming,
    /// `[artifacts]`.
    pub artifacts: Vec<ArtifactKeys>,
    /// `[machines]`.
    pub machines: Vec<Machine>,
    /// `kas.chain`.
    pub chain: Vec<ChainEntry>,
    /// Where `kas.chain` stands, if it does.
    pub chain_span: Option<Range<usize>>,
    /// `[[variants]]`.
    pub blocks: Vec<Block>,
    /// Where `variants` stands, if it does.
    pub blocks_span: Option<Range<usize>>,
    /// `release.version`.
    pub version: Option<Text>,
    /// `release.variants`.
    pub released: Vec<Text>,
}

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads a document out of the parsed TOML of `source`.
#[must_use]
pub fn read(root: &DeTable<'_>, source: &str) -> Document {
    let reader = Reader { source };
    let table = |key| root.get(key).and_then(|value| value.get_ref().as_table());
    let kas_chain = table("kas").and_then(|kas| kas.get("chain"));
    let blocks = root.get("variants");
    let release = table("release");
    Document {
        axes: entries(table("axes"))
            .map(|(name, value)| reader.axis(name, value))
            .collect(),
        naming: root
            .get("naming")
            .and_then(|value| Some(reader.naming(value.get_ref().as_table()?, value.span())))
            .unwrap_or_default(),
        artifacts: entries(table("artifacts"))
            .filter_map(|(name, value)| Some(reader.artifact(name, value.get_ref().as_table()?)))
            .collect(),
        machines: entries(table("machines"))
            .filter_map(|(name, value)| Some(reader.machine(name, value.get_ref().as_table()?)))
            .collect(),
        chain: elements(kas_chain)
            .filter(|value| structure::is_sound(value, &shape::CHAIN_ENTRY))
            .filter_map(|value| reader.chain_entry(value))
            .collect(),
        chain_span: kas_chain.map(Spanned::span),
        blocks: elements(blocks)
            .filter(|value| structure::is_sound(value, &shape::VARIANTS))
            .filter_map(|value| Some(reader.block(value.get_ref().as_table()?, value.span())))
            .collect(),
        blocks_span: blocks.map(Spanned::span),
        version: release.and_then(|release| reader.text(release.get("version"))),
        released: reader.texts(release.and_then(|release| release.get("variants"))),
    }
}

fn entries<'t, 'i>(
    table: Option<&'t DeTable<'i>>,
) -> impl Iterator<Item = (Text, &'t Value<'i>)> + use<'t, 'i> {
    table
        .into_iter()
        .flatten()
        .map(|(key, value)| (Text::key(key), value))
}

fn elements<'t, 'i>(
    value: Option<&'t Value<'i>>,
) -> impl Iterator<Item = &'t Value<'i>> + use<'t, 'i> {
    value
        .and_then(|value| value.get_ref().as_array())
        .into_iter()
        .flat_map(|array| array.iter())
}

struct Reader<'s> {
    source: &'s str,
}

impl Reader<'_> {
    fn text(&self, value: Option<&Value<'_>>) -> Option<Text> {
        let value = value?;
        let text = value.get_ref().as_str()?;
        Some(Text::string(text, value.span(), self.source))
    }

    fn texts(&self, value: Option<&Value<'_>>) -> Vec<Text> {
        elements(value)
            .filter_map(|value| self.text(Some(value)))
            .collect()
    }

    /// A string, or each string of a list.
    fn one_or_more(&self, value: &Value<'_>) -> Vec<Text> {
        match self.text(Some(value)) {
            Some(text) => vec![text],
            None => self.texts(Some(value)),
        }
    }

    fn pairs(&self, value: Option<&Value<'_>>) -> Vec<(Text, Text)> {
        entries(value.and_then(|value| value.get_ref().as_table()))
            .filter_map(|(key, value)| Some((key, self.text(Some(value))?)))
            .collect()
    }

    fn axis(&self, name: Text, value: &Value<'_>) -> Axis {
        let listed = self.texts(Some(value)).into_iter().map(|name| AxisValue {
            name,
            properties: Vec::new(),
        });
        let described = entries(value.get_ref().as_table()).map(|(name, value)| AxisValue {
            name,
            properties: self.pairs(Some(value)),
        });
        Axis {
            name,
            values: listed.chain(described).collect(),
        }
    }

    fn naming(&self, table: &DeTable<'_>, span: Range<usize>) -> Naming {
        Naming {
            span,
            id: self.text(table.get("id")),
            unique_name: self.text(table.get("unique_name")),
            deploy_name: self.text(table.get("deploy_name")),
            release_asset: self.text(table.get("release_asset")),
            attr_path: table.get("attr_path").map(|value| self.texts(Some(value))),
        }
    }

    fn artifact(&self, kind: Text, table: &DeTable<'_>) -> ArtifactKeys {
        ArtifactKeys {
            kind,
            extension: self.text(table.get("extension")),
            attr: self.text(table.get("attr")),
            optional: boolean(table.get("optional")),
            unique: boolean(table.get("unique")),
            format: self.text(table.get("format")),
            compress: self.text(table.get("compress")),
            bmap: boolean(table.get("bmap")),
            deploy_name: self.text(table.get("deploy_name")),
        }
    }

    fn machine(&self, name: Text, table: &DeTable<'_>) -> Machine {
        let artifact = |value: &Value<'_>| match value.get_ref() {
            DeValue::Table(table) => Some(self.artifact(self.text(table.get("type"))?, table)),
            _ => Some(ArtifactKeys {
                kind: self.text(Some(value))?,
                extension: None,
                attr: None,
                optional: None,
                unique: None,
                format: None,
                compress: None,
                bmap: None,
                deploy_name: None,
            }),
        };
        let release_file = |value: &Value<'_>| match value.get_ref() {
            DeValue::Table(table) => Some(ReleaseFile {
                extension: self.text(table.get("extension"))?,
                optional: boolean(table.get("optional")).unwrap_or(false),
            }),
            _ => Some(ReleaseFile {
                extension: self.text(Some(value))?,
                optional: false,
            }),
        };
        Machine {
            name,
            arch: self.text(table.get("arch")),
            kas: self.text(table.get("kas")),
            artifacts: elements(table.get("artifacts"))
                .filter_map(artifact)
                .collect(),
            artifacts_span: table.get("artifacts").map(Spanned::span),
            release: elements(table.get("release"))
                .filter_map(release_file)
                .collect(),
            vars: self.pairs(table.get("vars")),
        }
    }

    fn tests(&self, table: Option<&DeTable<'_>>) -> Tests {
        entries(table)
            .map(|(key, value)| {
                let test = match value.get_ref() {
                    DeValue::Boolean(wanted) => Test::Is(*wanted),
                    _ => Test::Globs(self.one_or_more(value)),
                };
                (key, test)
            })
            .collect()
    }

    fn chain_entry(&self, value: &Value<'_>) -> Option<ChainEntry> {
        match value.get_ref() {
            DeValue::Table(table) => Some(ChainEntry {
                file: self.text(table.get("file"))?,
                when: self.tests(
                    table
                        .get("when")
                        .and_then(|value| value.get_ref().as_table()),
                ),
            }),
            _ => Some(ChainEntry {
                file: self.text(Some(value))?,
                when: Vec::new(),
            }),
        }
    }

    fn entry(&self, table: &DeTable<'_>, span: Range<usize>) -> Entry {
        let choices = entries(Some(table))
            .filter(|(key, _)| key.value != "include" && key.value != "exclude")
            .map(|(key, value)| {
                let choice = match value.get_ref() {
                    DeValue::Boolean(_) => Choice::Unset,
                    _ => Choice::Values(self.one_or_more(value)),
                };
                (key, choice)
            })
            .collect();
        Entry { span, choices }
    }

    fn block(&self, table: &DeTable<'_>, span: Range<usize>) -> Block {
        Block {
            entry: self.entry(table, span),
            exclude: elements(table.get("exclude"))
                .filter_map(|value| {
                    Some((value.span(), self.tests(Some(value.get_ref().as_table()?))))
                })
                .collect(),
            include: elements(table.get("include"))
                .filter_map(|value| Some(self.entry(value.get_ref().as_table()?, value.span())))
                .collect(),
        }
    }
}

fn boolean(value: Option<&Value<'_>>) -> Option<bool> {
    value.and_then(|value| value.get_ref().as_bool())
}
