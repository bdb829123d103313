//! variants.toml as written: every string with its span, nothing resolved yet.
//!
//! Values of a wrong type are left out; [`structure`] has reported them. Of the kas chain and of
//! `[[variants]]` a faulty element is left out as a whole, because half of a condition would mean
//! something else.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::matrix::shape;
use crate::matrix::structure;

/// A string of the file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The string, escapes resolved.
    pub value: String,
    /// The bytes of the source, quotes included.
    pub span: Range<usize>,
    /// The offset of the first byte inside the quotes; `None` if the string has escapes, so that
    /// offsets in `value` and in the source differ.
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

    /// The span of a part of `value` in the source; the whole string if it has escapes.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Range<usize> {
        match self.inner {
            Some(start) => start + range.start..start + range.end,
            None => self.span.clone(),
        }
    }

    /// A string that the file does not contain, such as a default; `span` is where faults point.
    #[must_use]
    pub fn implied(value: &str, span: Range<usize>) -> Text {
        Text {
            value: value.to_owned(),
            span,
            inner: None,
        }
    }
}

/// `[axes].<name>`.
#[derive(Debug)]
pub struct AxisDecl {
    /// The name of the axis.
    pub name: Text,
    /// The values, in order.
    pub values: Vec<AxisValueDecl>,
}

/// One value of an axis.
#[derive(Debug)]
pub struct AxisValueDecl {
    /// The value.
    pub name: Text,
    /// Pairs of property and value.
    pub properties: Vec<(Text, Text)>,
}

/// `[artifacts].<type>`, or the override of one machine.
#[derive(Debug)]
pub struct ArtifactDecl {
    /// The artifact type.
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
    /// `products`.
    pub products: Option<Vec<Text>>,
    /// `deploy_name`.
    pub deploy_name: Option<Text>,
}

/// An element of `release` of a machine.
#[derive(Debug)]
pub struct ReleaseFile {
    /// `extension`.
    pub extension: Text,
    /// `optional`.
    pub optional: bool,
}

/// `[machines.<name>]`.
#[derive(Debug)]
pub struct MachineDecl {
    /// The name of the machine.
    pub name: Text,
    /// `arch`.
    pub arch: Option<Text>,
    /// `kas`.
    pub kas: Option<Text>,
    /// `artifacts`.
    pub artifacts: Vec<ArtifactDecl>,
    /// The span of `artifacts`, if present.
    pub artifacts_span: Option<Range<usize>>,
    /// `release`.
    pub release: Vec<ReleaseFile>,
    /// `vars`.
    pub vars: Vec<(Text, Text)>,
}

/// The right-hand side of a condition.
#[derive(Debug)]
pub enum ConditionTest {
    /// One glob or several.
    Globs(Vec<Text>),
    /// `true` or `false`: whether an axis is set, or whether the machine is native.
    Is(bool),
}

/// A table of conditions, as pairs of key and test.
pub type ConditionTests = Vec<(Text, ConditionTest)>;

/// An element of `kas.chain`.
#[derive(Debug)]
pub struct ChainEntry {
    /// Template of the file.
    pub file: Text,
    /// `when`.
    pub when: ConditionTests,
}

/// The values that an entry of `[[variants]]` gives to an axis, or to `machine`.
#[derive(Debug)]
pub enum AxisChoice {
    /// One value or several.
    Values(Vec<Text>),
    /// `false`: the axis stays unset.
    Unset,
}

/// An entry of `[[variants]]` without its exceptions, or an element of its `include`.
#[derive(Debug)]
pub struct VariantsEntry {
    /// The span of the table.
    pub span: Range<usize>,
    /// Pairs of `machine` or axis, and values.
    pub choices: Vec<(Text, AxisChoice)>,
}

/// An entry of `[[variants]]`.
#[derive(Debug)]
pub struct VariantsBlock {
    /// Its machines and axis values.
    pub entry: VariantsEntry,
    /// `exclude`.
    pub exclude: Vec<(Range<usize>, ConditionTests)>,
    /// `include`.
    pub include: Vec<VariantsEntry>,
}

/// `[naming]`.
#[derive(Debug, Default)]
pub struct NamingDecl {
    /// The span of the table.
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

/// `[axes]`, `[artifacts]` and `[machines]`: the definitions that the rest of the file refers to.
#[derive(Debug, Default)]
pub struct CatalogDecl {
    /// `[axes]`.
    pub axes: Vec<AxisDecl>,
    /// `[artifacts]`.
    pub artifacts: Vec<ArtifactDecl>,
    /// `[machines]`.
    pub machines: Vec<MachineDecl>,
}

/// The whole file.
#[derive(Debug, Default)]
pub struct VariantsDocument {
    /// `[axes]`, `[artifacts]` and `[machines]`.
    pub catalog: CatalogDecl,
    /// `[naming]`.
    pub naming: NamingDecl,
    /// `kas.chain`.
    pub chain: Vec<ChainEntry>,
    /// The span of `kas.chain`, if present.
    pub chain_span: Option<Range<usize>>,
    /// `[[variants]]`.
    pub blocks: Vec<VariantsBlock>,
    /// The span of `variants`, if present.
    pub blocks_span: Option<Range<usize>>,
    /// `release.version`.
    pub version: Option<Text>,
    /// `release.variants`.
    pub released: Vec<Text>,
}

type TomlValue<'i> = Spanned<DeValue<'i>>;

/// Extracts the document from `root`, the parsed TOML of `source`.
#[must_use]
pub fn read(root: &DeTable<'_>, source: &str) -> VariantsDocument {
    let reader = DocumentReader { source };
    let table = |key| root.get(key).and_then(|value| value.get_ref().as_table());
    let kas_chain = table("kas").and_then(|kas| kas.get("chain"));
    let blocks = root.get("variants");
    let release = table("release");
    VariantsDocument {
        catalog: CatalogDecl {
            axes: entries(table("axes"))
                .map(|(name, value)| reader.axis(name, value))
                .collect(),
            artifacts: entries(table("artifacts"))
                .filter_map(|(name, value)| {
                    Some(reader.artifact(name, value.get_ref().as_table()?))
                })
                .collect(),
            machines: entries(table("machines"))
                .filter_map(|(name, value)| Some(reader.machine(name, value.get_ref().as_table()?)))
                .collect(),
        },
        naming: root
            .get("naming")
            .and_then(|value| Some(reader.naming(value.get_ref().as_table()?, value.span())))
            .unwrap_or_default(),
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
) -> impl Iterator<Item = (Text, &'t TomlValue<'i>)> + use<'t, 'i> {
    table
        .into_iter()
        .flatten()
        .map(|(key, value)| (Text::key(key), value))
}

fn elements<'t, 'i>(
    value: Option<&'t TomlValue<'i>>,
) -> impl Iterator<Item = &'t TomlValue<'i>> + use<'t, 'i> {
    value
        .and_then(|value| value.get_ref().as_array())
        .into_iter()
        .flat_map(|array| array.iter())
}

struct DocumentReader<'s> {
    source: &'s str,
}

impl DocumentReader<'_> {
    fn text(&self, value: Option<&TomlValue<'_>>) -> Option<Text> {
        let value = value?;
        let text = value.get_ref().as_str()?;
        Some(Text::string(text, value.span(), self.source))
    }

    fn texts(&self, value: Option<&TomlValue<'_>>) -> Vec<Text> {
        elements(value)
            .filter_map(|value| self.text(Some(value)))
            .collect()
    }

    /// A string as a list of one, or the strings of a list.
    fn one_or_more(&self, value: &TomlValue<'_>) -> Vec<Text> {
        match self.text(Some(value)) {
            Some(text) => vec![text],
            None => self.texts(Some(value)),
        }
    }

    fn pairs(&self, value: Option<&TomlValue<'_>>) -> Vec<(Text, Text)> {
        entries(value.and_then(|value| value.get_ref().as_table()))
            .filter_map(|(key, value)| Some((key, self.text(Some(value))?)))
            .collect()
    }

    fn axis(&self, name: Text, value: &TomlValue<'_>) -> AxisDecl {
        let listed = self
            .texts(Some(value))
            .into_iter()
            .map(|name| AxisValueDecl {
                name,
                properties: Vec::new(),
            });
        let described = entries(value.get_ref().as_table()).map(|(name, value)| AxisValueDecl {
            name,
            properties: self.pairs(Some(value)),
        });
        AxisDecl {
            name,
            values: listed.chain(described).collect(),
        }
    }

    fn naming(&self, table: &DeTable<'_>, span: Range<usize>) -> NamingDecl {
        NamingDecl {
            span,
            id: self.text(table.get("id")),
            unique_name: self.text(table.get("unique_name")),
            deploy_name: self.text(table.get("deploy_name")),
            release_asset: self.text(table.get("release_asset")),
            attr_path: table.get("attr_path").map(|value| self.texts(Some(value))),
        }
    }

    fn artifact(&self, kind: Text, table: &DeTable<'_>) -> ArtifactDecl {
        ArtifactDecl {
            kind,
            extension: self.text(table.get("extension")),
            attr: self.text(table.get("attr")),
            optional: boolean(table.get("optional")),
            unique: boolean(table.get("unique")),
            format: self.text(table.get("format")),
            compress: self.text(table.get("compress")),
            bmap: boolean(table.get("bmap")),
            products: table.get("products").map(|value| self.texts(Some(value))),
            deploy_name: self.text(table.get("deploy_name")),
        }
    }

    fn machine(&self, name: Text, table: &DeTable<'_>) -> MachineDecl {
        let artifact = |value: &TomlValue<'_>| match value.get_ref() {
            DeValue::Table(table) => Some(self.artifact(self.text(table.get("type"))?, table)),
            _ => Some(ArtifactDecl {
                kind: self.text(Some(value))?,
                extension: None,
                attr: None,
                optional: None,
                unique: None,
                format: None,
                compress: None,
                bmap: None,
                products: None,
                deploy_name: None,
            }),
        };
        let release_file = |value: &TomlValue<'_>| match value.get_ref() {
            DeValue::Table(table) => Some(ReleaseFile {
                extension: self.text(table.get("extension"))?,
                optional: boolean(table.get("optional")).unwrap_or(false),
            }),
            _ => Some(ReleaseFile {
                extension: self.text(Some(value))?,
                optional: false,
            }),
        };
        MachineDecl {
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

    fn tests(&self, table: Option<&DeTable<'_>>) -> ConditionTests {
        entries(table)
            .map(|(key, value)| {
                let test = match value.get_ref() {
                    DeValue::Boolean(wanted) => ConditionTest::Is(*wanted),
                    _ => ConditionTest::Globs(self.one_or_more(value)),
                };
                (key, test)
            })
            .collect()
    }

    fn chain_entry(&self, value: &TomlValue<'_>) -> Option<ChainEntry> {
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

    fn entry(&self, table: &DeTable<'_>, span: Range<usize>) -> VariantsEntry {
        let choices = entries(Some(table))
            .filter(|(key, _)| key.value != "include" && key.value != "exclude")
            .map(|(key, value)| {
                let choice = match value.get_ref() {
                    DeValue::Boolean(_) => AxisChoice::Unset,
                    _ => AxisChoice::Values(self.one_or_more(value)),
                };
                (key, choice)
            })
            .collect();
        VariantsEntry { span, choices }
    }

    fn block(&self, table: &DeTable<'_>, span: Range<usize>) -> VariantsBlock {
        VariantsBlock {
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

fn boolean(value: Option<&TomlValue<'_>>) -> Option<bool> {
    value.and_then(|value| value.get_ref().as_bool())
}
