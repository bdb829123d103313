//! The catalog: axes, machines and artifact types, resolved and looked up by number. Knows nothing of
//! which variants are made of them.

use std::collections::HashMap;
use std::ops::Range;

use super::document::{self, Document, Text};
use crate::model::arch::Arch;
use crate::model::faults::{Fault, Faults};
use crate::model::format::Format;
use crate::model::product::{self, Method};
use crate::model::{names, suggest};

/// Words with a meaning of their own where axis names stand.
pub const RESERVED: &[&str] = &[
    "machine",
    "arch",
    "host-arch",
    "native",
    "id",
    "extension",
    "type",
    "version",
    "include",
    "exclude",
];

/// An axis.
#[derive(Debug)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<Value>,
    by_name: HashMap<String, u32>,
}

impl Axis {
    /// The number of a value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The names of its values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.name.value.as_str())
    }
}

/// A value of an axis.
#[derive(Debug)]
pub struct Value {
    /// The value.
    pub name: Text,
    /// Its properties.
    pub properties: HashMap<String, Text>,
}

/// What a build for a machine deploys.
#[derive(Debug)]
pub struct MachineArtifact {
    /// The type.
    pub kind: String,
    /// Where the machine names it.
    pub span: Range<usize>,
    /// The extension, the type's or the machine's own.
    pub extension: Text,
    /// The attribute's name.
    pub attr: String,
    /// Whether a build is complete without it.
    pub optional: bool,
    /// Whether variants must differ in it.
    pub unique: bool,
    /// What the file has to be, where that is declared.
    pub format: Option<Format>,
    /// What is made of it.
    pub products: Vec<Method>,
    /// The deploy name's template, where it has one of its own.
    pub deploy_name: Option<Text>,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: Text,
    /// Its architecture; `None` when the file does not say a known one, which was reported.
    pub arch: Option<Arch>,
    /// Its kas file.
    pub kas: Option<Text>,
    /// Its variables.
    pub vars: HashMap<String, Text>,
    /// Its artifacts.
    pub artifacts: Vec<MachineArtifact>,
    /// Its release files.
    pub release: Vec<document::ReleaseFile>,
    /// Whether its name can be part of other names; if not, that was reported.
    pub well_named: bool,
}

/// Axes and machines.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The axes, in the file's order.
    pub axes: Vec<Axis>,
    /// The machines, in the file's order.
    pub machines: Vec<Machine>,
    axis_by_name: HashMap<String, usize>,
    machine_by_name: HashMap<String, u32>,
}

impl Catalog {
    /// The number of an axis.
    #[must_use]
    pub fn axis(&self, name: &str) -> Option<usize> {
        self.axis_by_name.get(name).copied()
    }

    /// The number of a machine.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<u32> {
        self.machine_by_name.get(name).copied()
    }

    /// The names of the axes.
    pub fn axis_names(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|axis| axis.name.as_str())
    }

    /// The names of the machines.
    pub fn machine_names(&self) -> impl Iterator<Item = &str> {
        self.machines
            .iter()
            .map(|machine| machine.name.value.as_str())
    }

    /// Resolves a document's axes, artifact types and machines. `types_known` is false when
    /// `[artifacts]` has faults of its own, so that nothing is said of the types in it.
    pub fn new(document: Document, types_known: bool, faults: &mut Faults) -> Catalog {
        let mut catalog = Catalog::default();
        for axis in document.axes {
            catalog.add_axis(axis, faults);
        }
        let mut types: HashMap<&str, (&document::ArtifactKeys, bool)> = document
            .artifacts
            .iter()
            .map(|keys| (keys.kind.value.as_str(), (keys, false)))
            .collect();
        let type_names: Vec<&str> = document
            .artifacts
            .iter()
            .map(|keys| keys.kind.value.as_str())
            .collect();
        for machine in document.machines {
            let mut artifacts: Vec<MachineArtifact> = Vec::new();
            let is_empty = machine.artifacts.is_empty();
            for own in machine.artifacts {
                let kind = own.kind.value.as_str();
                let Some((base, produced)) = types.get_mut(kind) else {
                    if types_known {
                        faults.push(unknown_type(&own.kind, &machine.name.value, &type_names));
                    }
                    continue;
                };
                *produced = true;
                if artifacts.iter().any(|artifact| artifact.kind == kind) {
                    faults.push(
                        Fault::at(
                            own.kind.span.clone(),
                            format!(
                                "machine `{}` has artifact type `{kind}` twice",
                                machine.name.value
                            ),
                            "listed before",
                        )
                        .hint("remove one, or define a second type in `[artifacts]`"),
                    );
                    continue;
                }
                let declared = own.format.as_ref().or(base.format.as_ref());
                let format = declared.and_then(|text| text.value.parse().ok());
                if let Some(text) = &own.format {
                    check_format(text, faults);
                }
                if let Some(text) = &own.compress {
                    check_compression(text, faults);
                }
                artifacts.extend(artifact(own, base, format));
            }
            let listed = machine.artifacts_span.clone();
            if let Some(span) = listed.filter(|_| is_empty && types_known) {
                faults.push(
                    Fault::at(
                        span,
                        format!("machine `{}` has no artifacts", machine.name.value),
                        "empty",
                    )
                    .hint("list the types that its builds deploy, as `artifacts = [\"wic\"]`"),
                );
            }
            let own = Machine {
                well_named: check_machine_name(&machine.name, faults),
                arch: machine.arch.and_then(|text| arch(&text, faults)),
                vars: vars(machine.vars, faults),
                name: machine.name,
                kas: machine.kas,
                artifacts,
                release: machine.release,
            };
            let number = u32::try_from(catalog.machines.len()).unwrap_or(u32::MAX);
            catalog
                .machine_by_name
                .insert(own.name.value.clone(), number);
            catalog.machines.push(own);
        }
        for keys in &document.artifacts {
            if let Some(text) = &keys.format {
                check_format(text, faults);
            }
            if let Some(text) = &keys.compress {
                check_compression(text, faults);
            }
            if types
                .get(keys.kind.value.as_str())
                .is_some_and(|(_, produced)| !produced)
            {
                faults.push(
                    Fault::at(
                        keys.kind.span.clone(),
                        format!("no machine produces artifact type `{}`", keys.kind.value),
                        "nobody produces this",
                    )
                    .hint("add it to `artifacts` of a machine, or remove it"),
                );
            }
        }
        catalog
    }

    fn add_axis(&mut self, axis: document::Axis, faults: &mut Faults) {
        let name = axis.name.value;
        let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if RESERVED.contains(&name.as_str()) {
            faults.push(
                Fault::at(
                    axis.name.span.clone(),
                    format!("an axis cannot be called `{name}`"),
                    "has a meaning of its own",
                )
                .hint(format!("rename it; {} are taken", RESERVED.join(", "))),
            );
        } else if !well_formed {
            faults.push(
                Fault::at(
                    axis.name.span.clone(),
                    format!("an axis cannot be called `{name}`"),
                    "not a name that templates can use",
                )
                .hint("a name is a letter, then letters, digits, `_` and `-`"),
            );
        }
        if axis.values.is_empty() {
            faults.push(
                Fault::at(
                    axis.name.span,
                    format!("axis `{name}` has no values"),
                    "empty",
                )
                .hint(format!(
                    "list them, as `{name} = [\"a\", \"b\"]`, or remove the axis"
                )),
            );
        }
        let mut by_name = HashMap::new();
        let mut values = Vec::new();
        for value in axis.values {
            let number = u32::try_from(values.len()).unwrap_or(u32::MAX);
            if value.name.value.is_empty() {
                faults.push(
                    Fault::at(
                        value.name.span,
                        format!("a value of axis `{name}` is empty"),
                        "no text",
                    )
                    .hint("leave the axis unset where it does not apply"),
                );
                continue;
            }
            if by_name.insert(value.name.value.clone(), number).is_some() {
                faults.push(
                    Fault::at(
                        value.name.span.clone(),
                        format!("axis `{name}` has the value `{}` twice", value.name.value),
                        "listed before",
                    )
                    .hint("remove one"),
                );
            }
            values.push(Value {
                name: value.name,
                properties: value
                    .properties
                    .into_iter()
                    .map(|(key, text)| (key.value, text))
                    .collect(),
            });
        }
        self.axis_by_name.insert(name.clone(), self.axes.len());
        self.axes.push(Axis {
            name,
            values,
            by_name,
        });
    }
}

fn artifact(
    own: document::ArtifactKeys,
    base: &document::ArtifactKeys,
    format: Option<Format>,
) -> Option<MachineArtifact> {
    let compress = own.compress.as_ref().or(base.compress.as_ref());
    let compress = compress.and_then(|text| product::compression(&text.value).ok().flatten());
    let bmap = own.bmap.or(base.bmap).unwrap_or(false);
    Some(MachineArtifact {
        format,
        products: compress
            .into_iter()
            .chain(bmap.then_some(Method::Bmap))
            .collect(),
        extension: own.extension.or_else(|| base.extension.clone())?,
        attr: own
            .attr
            .as_ref()
            .or(base.attr.as_ref())
            .map_or(&own.kind.value, |attr| &attr.value)
            .clone(),
        optional: own.optional.or(base.optional).unwrap_or(false),
        unique: own.unique.or(base.unique).unwrap_or(false),
        deploy_name: own.deploy_name.or_else(|| base.deploy_name.clone()),
        span: own.kind.span,
        kind: own.kind.value,
    })
}

fn unknown_type(kind: &Text, machine: &str, known: &[&str]) -> Fault {
    Fault::at(
        kind.span.clone(),
        format!(
            "machine `{machine}` has artifact type `{}`, which is not defined",
            kind.value
        ),
        "not in `[artifacts]`",
    )
    .hint(suggest::hint(
        &kind.value,
        "the types are",
        known.iter().copied(),
    ))
}

fn check_machine_name(name: &Text, faults: &mut Faults) -> bool {
    match names::nix_name(&name.value) {
        Ok(()) => true,
        Err(refusal) => {
            faults.push(
                Fault::at(
                    name.span.clone(),
                    format!("machine name `{}` {}", name.value, refusal.why),
                    "not a name for files",
                )
                .hint(refusal.hint),
            );
            false
        }
    }
}

/// The architecture that a text names.
fn arch(text: &Text, faults: &mut Faults) -> Option<Arch> {
    match text.value.parse() {
        Ok(arch) => Some(arch),
        Err(error) => {
            faults.push(unknown_arch(text, &error));
            None
        }
    }
}

/// Reports a word that names no format.
fn check_format(text: &Text, faults: &mut Faults) {
    if let Err(error) = text.value.parse::<Format>() {
        let known = Format::ALL.map(Format::as_str);
        faults.push(
            Fault::at(text.span.clone(), error.to_string(), "not a format").hint(suggest::hint(
                &error.0,
                "known ones are",
                known,
            )),
        );
    }
}

fn check_compression(text: &Text, faults: &mut Faults) {
    if let Err(error) = product::compression(&text.value) {
        faults.push(
            Fault::at(text.span.clone(), error.to_string(), "not a compression").hint(format!(
                "write `zst`, `zst:LEVEL` with a level from {} to {}, or `none`",
                product::LEVELS.start(),
                product::LEVELS.end()
            )),
        );
    }
}

/// The fault for a word that names no architecture.
#[must_use]
pub fn unknown_arch(text: &Text, error: &crate::model::arch::UnknownArch) -> Fault {
    let known = Arch::ALL.map(Arch::as_str);
    Fault::at(
        text.span.clone(),
        error.to_string(),
        "not a Debian architecture",
    )
    .hint(suggest::hint(&error.0, "known ones are", known))
}

fn vars(pairs: Vec<(Text, Text)>, faults: &mut Faults) -> HashMap<String, Text> {
    for (name, _) in &pairs {
        if ["arch", "kas"].contains(&name.value.as_str()) {
            faults.push(
                Fault::at(
                    name.span.clone(),
                    format!("a variable of a machine cannot be called `{}`", name.value),
                    "is a key of the machine",
                )
                .hint("rename it"),
            );
        }
    }
    pairs
        .into_iter()
        .map(|(name, text)| (name.value, text))
        .collect()
}
