//! The variables of templates: which there are, and what each stands for in one variant.
//! Knows nothing of how templates are written.

use std::collections::BTreeSet;
use std::ops::Range;

use super::catalog::Catalog;
use super::document::Text;

/// What a name in braces stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// The value of an axis.
    Axis(usize),
    /// A property of the value of an axis.
    Property(usize, String),
    /// The machine.
    Machine,
    /// The machine's architecture.
    MachineArch,
    /// The machine's kas file.
    MachineKas,
    /// A variable of the machine.
    MachineVar(String),
    /// The variant's id.
    Id,
    /// The artifact's extension.
    Extension,
    /// The artifact's type.
    Type,
    /// The version of the release.
    Version,
}

/// Which variables a template may use beyond the axes and the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// `id`.
    pub id: bool,
    /// `extension`.
    pub extension: bool,
    /// `type`.
    pub kind: bool,
    /// `version`.
    pub version: bool,
}

impl Allowed {
    /// Axes and machine alone.
    pub const PLAIN: Allowed = Allowed {
        id: false,
        extension: false,
        kind: false,
        version: false,
    };
    /// With the id.
    pub const WITH_ID: Allowed = Allowed {
        id: true,
        ..Allowed::PLAIN
    };
    /// For deploy names.
    pub const DEPLOY: Allowed = Allowed {
        extension: true,
        ..Allowed::WITH_ID
    };
    /// For unique names.
    pub const UNIQUE: Allowed = Allowed {
        kind: true,
        ..Allowed::DEPLOY
    };
    /// For release assets.
    pub const ASSET: Allowed = Allowed {
        version: true,
        ..Allowed::DEPLOY
    };
}

/// The variable of that name, where there is one and the template may use it.
#[must_use]
pub fn lookup(catalog: &Catalog, allowed: Allowed, name: &str) -> Option<Variable> {
    match name {
        "machine" => return Some(Variable::Machine),
        "machine.arch" => return Some(Variable::MachineArch),
        "machine.kas" => return Some(Variable::MachineKas),
        "id" => return allowed.id.then_some(Variable::Id),
        "extension" => return allowed.extension.then_some(Variable::Extension),
        "type" => return allowed.kind.then_some(Variable::Type),
        "version" => return allowed.version.then_some(Variable::Version),
        _ => {}
    }
    match name.split_once('.') {
        None => catalog.axis(name).map(Variable::Axis),
        Some(("machine", var)) => catalog
            .machines
            .iter()
            .any(|machine| machine.vars.contains_key(var))
            .then(|| Variable::MachineVar(var.to_owned())),
        Some((axis, property)) => {
            let axis = catalog.axis(axis)?;
            catalog.axes[axis]
                .values
                .iter()
                .any(|value| value.properties.contains_key(property))
                .then(|| Variable::Property(axis, property.to_owned()))
        }
    }
}

/// Every name that [`lookup`] knows, for hints.
#[must_use]
pub fn known(catalog: &Catalog, allowed: Allowed) -> Vec<String> {
    let mut names: Vec<String> = catalog.axis_names().map(str::to_owned).collect();
    for axis in &catalog.axes {
        let properties: BTreeSet<&String> = axis
            .values
            .iter()
            .flat_map(|value| value.properties.keys())
            .collect();
        names.extend(
            properties
                .iter()
                .map(|property| format!("{}.{property}", axis.name)),
        );
    }
    names.extend(["machine", "machine.arch", "machine.kas"].map(str::to_owned));
    let vars: BTreeSet<&String> = catalog
        .machines
        .iter()
        .flat_map(|machine| machine.vars.keys())
        .collect();
    names.extend(vars.iter().map(|var| format!("machine.{var}")));
    for (is_allowed, name) in [
        (allowed.id, "id"),
        (allowed.extension, "extension"),
        (allowed.kind, "type"),
        (allowed.version, "version"),
    ] {
        if is_allowed {
            names.push(name.to_owned());
        }
    }
    names
}

/// What the variables stand for in one variant, or in one file of it.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Axes and machines.
    pub catalog: &'a Catalog,
    /// The machine.
    pub machine: u32,
    /// The value of each axis, where it is set.
    pub axes: &'a [Option<u32>],
    /// `id`.
    pub id: Option<&'a str>,
    /// `extension`.
    pub extension: Option<&'a Text>,
    /// `type`.
    pub kind: Option<&'a str>,
    /// `version`.
    pub version: Option<&'a Text>,
}

impl<'a> Values<'a> {
    /// What a variable stands for, where it is set.
    #[must_use]
    pub fn get(&self, variable: &Variable) -> Option<&'a str> {
        let catalog = self.catalog;
        let machine = &catalog.machines[self.machine as usize];
        match variable {
            Variable::Machine => Some(&machine.name.value),
            Variable::MachineArch => machine.arch.map(crate::model::arch::Arch::as_str),
            Variable::Id => self.id,
            Variable::Type => self.kind,
            _ => self.text(variable).map(|text| text.value.as_str()),
        }
    }

    /// Where the text that a variable stands for was written, where it was.
    #[must_use]
    pub fn place(&self, variable: &Variable) -> Option<Range<usize>> {
        self.text(variable).map(|text| text.span.clone())
    }

    fn text(&self, variable: &Variable) -> Option<&'a Text> {
        let machine = &self.catalog.machines[self.machine as usize];
        let value = |axis: usize| {
            let number = self.axes[axis]?;
            Some(&self.catalog.axes[axis].values[number as usize])
        };
        match variable {
            Variable::Axis(axis) => value(*axis).map(|value| &value.name),
            Variable::Property(axis, property) => value(*axis)?.properties.get(property),
            Variable::Machine => Some(&machine.name),
            Variable::MachineKas => machine.kas.as_ref(),
            Variable::MachineVar(var) => machine.vars.get(var),
            Variable::Extension => self.extension,
            Variable::Version => self.version,
            Variable::MachineArch | Variable::Id | Variable::Type => None,
        }
    }

    /// Why a variable is unset, as a clause.
    #[must_use]
    pub fn why_unset(&self, variable: &Variable) -> String {
        let machine = &self.catalog.machines[self.machine as usize].name.value;
        match variable {
            Variable::Property(axis, property) if self.axes[*axis].is_some() => {
                let value = self.get(&Variable::Axis(*axis)).unwrap_or_default();
                format!("value `{value}` has no property `{property}`")
            }
            Variable::Axis(axis) | Variable::Property(axis, _) => {
                format!("axis `{}` is not set there", self.catalog.axes[*axis].name)
            }
            Variable::MachineKas => format!("`machines.{machine}` has no `kas`"),
            Variable::MachineVar(var) => format!("`machines.{machine}.vars` has no `{var}`"),
            _ => "it has no value there".to_owned(),
        }
    }
}
