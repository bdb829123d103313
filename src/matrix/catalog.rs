//! The catalog: axes, machines and artifact types, checked and numbered.
//!
//! Combinations refer to machines and axis values by number, because a matrix can have 100,000 of
//! them.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::arch::Arch;
use crate::base::fault::{Fault, Faults};
use crate::base::suggest;
use crate::inspect::format::Format;
use crate::matrix::document;
use crate::matrix::document::{ArtifactDecl, CatalogDecl, Text};
use crate::matrix::name_rules;
use crate::store::product;
use crate::store::product::{Method, ProductInfo, ProductLevels};

/// Words that cannot be axis names, because variables, conditions or keys of an entry have them.
pub const RESERVED_NAMES: &[&str] = &[
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
    /// The name.
    pub name: String,
    /// The values, in the order of the file.
    pub values: Vec<AxisValue>,
    by_name: HashMap<String, u32>,
}

impl Axis {
    /// The number of a value: its index in `values`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The names of the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| value.name.value.as_str())
    }
}

/// A value of an axis.
#[derive(Debug)]
pub struct AxisValue {
    /// The value.
    pub name: Text,
    /// Property and value.
    pub properties: HashMap<String, Text>,
}

/// An artifact that builds for one machine deploy: its type, with the overrides of the machine.
#[derive(Debug)]
pub struct MachineArtifact {
    /// The artifact type.
    pub kind: String,
    /// The span of the type in `artifacts` of the machine.
    pub span: Range<usize>,
    /// The extension.
    pub extension: Text,
    /// The name of the attribute in Nix.
    pub attr: String,
    /// Whether a build is complete without it.
    pub optional: bool,
    /// Whether two variants may not have files with the same content.
    pub unique: bool,
    /// The declared format, if any.
    pub format: Option<Format>,
    /// The products that are made of it.
    pub products: Vec<Method>,
    /// The template of its own deploy name, if it has one.
    pub deploy_name: Option<Text>,
}

/// A machine that images are built for.
#[derive(Debug)]
pub struct TargetMachine {
    /// The name.
    pub name: Text,
    /// The architecture; `None` if it is missing or unknown, which was reported.
    pub arch: Option<Arch>,
    /// The kas file.
    pub kas: Option<Text>,
    /// The variables.
    pub vars: HashMap<String, Text>,
    /// The artifacts, in the order of the machine.
    pub artifacts: Vec<MachineArtifact>,
    /// The release files.
    pub release: Vec<document::ReleaseFile>,
    /// Whether the name can be part of other names; `false` was reported.
    pub well_named: bool,
}

/// Axes and machines.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The axes, in the order of the file.
    pub axes: Vec<Axis>,
    /// The machines, in the order of the file.
    pub machines: Vec<TargetMachine>,
    axis_by_name: HashMap<String, usize>,
    machine_by_name: HashMap<String, u32>,
}

impl Catalog {
    /// The number of an axis: its index in `axes`.
    #[must_use]
    pub fn axis(&self, name: &str) -> Option<usize> {
        self.axis_by_name.get(name).copied()
    }

    /// The number of a machine: its index in `machines`.
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

    /// Resolves and checks the definitions of a file. `types_known` is false if `[artifacts]` has
    /// faults itself, so that unknown types are not reported. `products` can be made of artifacts.
    pub fn new(
        decl: CatalogDecl,
        types_known: bool,
        products: &[&'static ProductInfo],
        faults: &mut Faults,
    ) -> Catalog {
        let mut catalog = Catalog::default();
        for axis in decl.axes {
            catalog.add_axis(axis, faults);
        }
        let mut types = ArtifactTypes::new(&decl.artifacts, types_known, products);
        for machine in decl.machines {
            catalog.add_machine(machine, &mut types, faults);
        }
        for keys in &decl.artifacts {
            check_words(keys, products, faults);
            types.check_used(keys, faults);
        }
        catalog
    }

    fn add_machine(
        &mut self,
        machine: document::MachineDecl,
        types: &mut ArtifactTypes<'_>,
        faults: &mut Faults,
    ) {
        let products = types.products;
        let name = &machine.name.value;
        let mut artifacts: Vec<MachineArtifact> = Vec::new();
        let is_empty = machine.artifacts.is_empty();
        for own in machine.artifacts {
            let Some(base) = types.find(&own.kind, name, faults) else {
                continue;
            };
            let kind = own.kind.value.as_str();
            if artifacts.iter().any(|artifact| artifact.kind == kind) {
                faults.push(
                    Fault::at(
                        own.kind.span.clone(),
                        format!("machine `{name}` lists artifact type `{kind}` twice"),
                        "listed before",
                    )
                    .hint("remove one, or define a second type in `[artifacts]`"),
                );
                continue;
            }
            check_words(&own, products, faults);
            artifacts.extend(merge(own, base, products));
        }
        let listed = machine.artifacts_span.clone();
        if let Some(span) = listed.filter(|_| is_empty && types.all_known) {
            faults.push(
                Fault::at(span, format!("machine `{name}` has no artifacts"), "empty")
                    .hint("list the types that its builds deploy, as `artifacts = [\"wic\"]`"),
            );
        }
        let own = TargetMachine {
            well_named: check_machine_name(&machine.name, faults),
            arch: machine.arch.and_then(|text| arch(&text, faults)),
            vars: vars(machine.vars, faults),
            name: machine.name,
            kas: machine.kas,
            artifacts,
            release: machine.release,
        };
        let number = u32::try_from(self.machines.len()).unwrap_or(u32::MAX);
        self.machine_by_name.insert(own.name.value.clone(), number);
        self.machines.push(own);
    }

    fn add_axis(&mut self, axis: document::AxisDecl, faults: &mut Faults) {
        let name = axis.name.value;
        check_axis_name(&name, &axis.name.span, faults);
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
                        "empty string",
                    )
                    .hint("leave the axis unset where it does not apply"),
                );
                continue;
            }
            if by_name.insert(value.name.value.clone(), number).is_some() {
                faults.push(
                    Fault::at(
                        value.name.span.clone(),
                        format!("axis `{name}` lists the value `{}` twice", value.name.value),
                        "listed before",
                    )
                    .hint("remove one"),
                );
            }
            values.push(AxisValue {
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

fn check_axis_name(name: &str, span: &Range<usize>, faults: &mut Faults) {
    let is_well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let (label, hint) = if RESERVED_NAMES.contains(&name) {
        let reserved = RESERVED_NAMES.join(", ");
        (
            "reserved",
            format!("rename the axis; reserved are {reserved}"),
        )
    } else if !is_well_formed {
        let hint = "a name is a letter, then letters, digits, `_` and `-`";
        ("not usable in templates", hint.to_owned())
    } else {
        return;
    };
    let message = format!("`{name}` cannot be the name of an axis");
    faults.push(Fault::at(span.clone(), message, label).hint(hint));
}

/// The types of `[artifacts]`, and which of them a machine lists.
struct ArtifactTypes<'d> {
    by_name: HashMap<&'d str, (&'d ArtifactDecl, bool)>,
    names: Vec<&'d str>,
    all_known: bool,
    /// The products that can be made of artifacts.
    products: &'d [&'static ProductInfo],
}

impl<'d> ArtifactTypes<'d> {
    fn new(
        types: &'d [ArtifactDecl],
        all_known: bool,
        products: &'d [&'static ProductInfo],
    ) -> ArtifactTypes<'d> {
        ArtifactTypes {
            by_name: types
                .iter()
                .map(|keys| (keys.kind.value.as_str(), (keys, false)))
                .collect(),
            names: types.iter().map(|keys| keys.kind.value.as_str()).collect(),
            all_known,
            products,
        }
    }

    /// The type that a machine lists, or a fault.
    fn find(
        &mut self,
        kind: &Text,
        machine: &str,
        faults: &mut Faults,
    ) -> Option<&'d ArtifactDecl> {
        if let Some((keys, is_used)) = self.by_name.get_mut(kind.value.as_str()) {
            *is_used = true;
            return Some(keys);
        }
        if self.all_known {
            let message = format!(
                "machine `{machine}` lists artifact type `{}`, which is not defined",
                kind.value
            );
            let known = self.names.iter().copied();
            faults.push(
                Fault::at(kind.span.clone(), message, "not in `[artifacts]`").hint(suggest::hint(
                    &kind.value,
                    "the types are",
                    known,
                )),
            );
        }
        None
    }

    fn check_used(&self, keys: &ArtifactDecl, faults: &mut Faults) {
        let kind = keys.kind.value.as_str();
        if self.by_name.get(kind).is_some_and(|(_, is_used)| !is_used) {
            faults.push(
                Fault::at(
                    keys.kind.span.clone(),
                    format!("no machine produces artifact type `{kind}`"),
                    "unused",
                )
                .hint("add it to `artifacts` of a machine, or remove it"),
            );
        }
    }
}

/// The artifact type `base` with the overrides of a machine; `None` without an extension, which
/// was reported.
fn merge(
    own: ArtifactDecl,
    base: &ArtifactDecl,
    products: &[&'static ProductInfo],
) -> Option<MachineArtifact> {
    let format = own.format.as_ref().or(base.format.as_ref());
    let compress = own.compress.as_ref().or(base.compress.as_ref());
    let compress = compress.and_then(|text| product::compression(&text.value).ok().flatten());
    let bmap = own.bmap.or(base.bmap).unwrap_or(false);
    let further = own.products.as_ref().or(base.products.as_ref());
    let further = further.into_iter().flatten();
    let further = further.filter_map(|text| Method::parse(&text.value, products).ok());
    Some(MachineArtifact {
        format: format.and_then(|text| text.value.parse().ok()),
        products: compress
            .into_iter()
            .chain(bmap.then(Method::bmap))
            .chain(further)
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

fn check_machine_name(name: &Text, faults: &mut Faults) -> bool {
    match name_rules::nix_name(&name.value) {
        Ok(()) => true,
        Err(refusal) => {
            faults.push(
                Fault::at(
                    name.span.clone(),
                    format!("machine name `{}` {}", name.value, refusal.why),
                    "not usable in file names",
                )
                .hint(refusal.hint),
            );
            false
        }
    }
}

fn arch(text: &Text, faults: &mut Faults) -> Option<Arch> {
    match text.value.parse() {
        Ok(arch) => Some(arch),
        Err(error) => {
            faults.push(unknown_arch(text, &error));
            None
        }
    }
}

/// Checks the format and the products of an artifact type or of an override.
fn check_words(keys: &ArtifactDecl, products: &[&'static ProductInfo], faults: &mut Faults) {
    if let Some(text) = &keys.format
        && let Err(error) = text.value.parse::<Format>()
    {
        let known = Format::ALL.map(Format::as_str);
        faults.push(
            Fault::at(text.span.clone(), error.to_string(), "not a format").hint(suggest::hint(
                &error.0,
                "the formats are",
                known,
            )),
        );
    }
    if let Some(text) = &keys.compress
        && let Err(error) = product::compression(&text.value)
        && let Some(ProductLevels { range: levels, .. }) = &product::ZST.levels
    {
        faults.push(
            Fault::at(text.span.clone(), error.to_string(), "not a compression").hint(format!(
                "write `zst`, `zst:LEVEL` with a level from {} to {}, or `none`",
                levels.start(),
                levels.end()
            )),
        );
    }
    for text in keys.products.iter().flatten() {
        if let Err(error) = Method::parse(&text.value, products) {
            let known = products.iter().map(|info| info.word);
            faults.push(
                Fault::at(text.span.clone(), error.to_string(), "not a product")
                    .hint(suggest::hint(&text.value, "the products are", known)),
            );
        }
    }
}

/// The fault of an unknown architecture.
#[must_use]
pub fn unknown_arch(text: &Text, error: &crate::base::arch::UnknownArch) -> Fault {
    let known = Arch::ALL.map(Arch::as_str);
    Fault::at(
        text.span.clone(),
        error.to_string(),
        "not a Debian architecture",
    )
    .hint(suggest::hint(&error.0, "the architectures are", known))
}

fn vars(pairs: Vec<(Text, Text)>, faults: &mut Faults) -> HashMap<String, Text> {
    for (name, _) in &pairs {
        if ["arch", "kas"].contains(&name.value.as_str()) {
            faults.push(
                Fault::at(
                    name.span.clone(),
                    format!("`{}` cannot be the name of a machine variable", name.value),
                    "reserved",
                )
                .hint(format!(
                    "rename it; `{{machine.{}}}` is the key of the machine",
                    name.value
                )),
            );
        }
    }
    pairs
        .into_iter()
        .map(|(name, text)| (name.value, text))
        .collect()
}
