//! The variables of templates: their names, and their values in one variant.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::matrix::catalog::Catalog;
use crate::matrix::document::Text;

/// A variable of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `{axis}`, by the number of the axis.
    Axis(usize),
    /// `{axis.property}`.
    Property(usize, String),
    /// `{machine}`.
    Machine,
    /// `{machine.arch}`.
    MachineArch,
    /// `{machine.kas}`.
    MachineKas,
    /// `{machine.<name>}`, from `vars` of the machine.
    MachineVar(String),
    /// `{id}`: the id of the variant.
    Id,
    /// `{extension}`: the extension of the artifact or release file.
    Extension,
    /// `{type}`: the type of the artifact.
    Type,
    /// `{version}`: the version of the release.
    Version,
}

/// The variables that a template may use in addition to the axes and the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedVariables {
    /// `id`.
    pub id: bool,
    /// `extension`.
    pub extension: bool,
    /// `type`.
    pub kind: bool,
    /// `version`.
    pub version: bool,
}

impl AllowedVariables {
    /// Axes and machine only.
    pub const PLAIN: AllowedVariables = AllowedVariables {
        id: false,
        extension: false,
        kind: false,
        version: false,
    };
    /// For kas files and attribute paths.
    pub const WITH_ID: AllowedVariables = AllowedVariables {
        id: true,
        ..AllowedVariables::PLAIN
    };
    /// For deploy names.
    pub const DEPLOY: AllowedVariables = AllowedVariables {
        extension: true,
        ..AllowedVariables::WITH_ID
    };
    /// For unique names.
    pub const UNIQUE: AllowedVariables = AllowedVariables {
        kind: true,
        ..AllowedVariables::DEPLOY
    };
    /// For release assets.
    pub const ASSET: AllowedVariables = AllowedVariables {
        version: true,
        ..AllowedVariables::DEPLOY
    };
    /// Every variable; no template has all of them.
    pub const EVERY: AllowedVariables = AllowedVariables {
        version: true,
        ..AllowedVariables::UNIQUE
    };
}

/// The variable of that name, if it exists and the template may use it.
#[must_use]
pub fn lookup(catalog: &Catalog, allowed: AllowedVariables, name: &str) -> Option<Variable> {
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

/// Every name that [`lookup`] accepts, for hints.
#[must_use]
pub fn known(catalog: &Catalog, allowed: AllowedVariables) -> Vec<String> {
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

/// The values of the variables in one variant, or in one of its files.
#[derive(Debug, Clone, Copy)]
pub struct VariableValues<'a> {
    /// The axes and machines.
    pub catalog: &'a Catalog,
    /// The number of the machine.
    pub machine: u32,
    /// For each axis, the number of its value; `None`: unset.
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

impl<'a> VariableValues<'a> {
    /// The value of a variable, if it is set.
    #[must_use]
    pub fn get(&self, variable: &Variable) -> Option<&'a str> {
        let catalog = self.catalog;
        let machine = &catalog.machines[self.machine as usize];
        match variable {
            Variable::Machine => Some(&machine.name.value),
            Variable::MachineArch => machine.arch.map(crate::base::arch::Arch::as_str),
            Variable::Id => self.id,
            Variable::Type => self.kind,
            _ => self.text(variable).map(|text| text.value.as_str()),
        }
    }

    /// The span that defines the value of a variable, if the file contains it.
    #[must_use]
    pub fn span(&self, variable: &Variable) -> Option<Range<usize>> {
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

    /// Why a variable is unset, as a clause for labels.
    #[must_use]
    pub fn why_unset(&self, variable: &Variable) -> String {
        let machine = &self.catalog.machines[self.machine as usize].name.value;
        match variable {
            Variable::Property(axis, property) if self.axes[*axis].is_some() => {
                let value = self.get(&Variable::Axis(*axis)).unwrap_or_default();
                format!("value `{value}` has no property `{property}`")
            }
            Variable::Axis(axis) | Variable::Property(axis, _) => {
                format!("axis `{}` is unset", self.catalog.axes[*axis].name)
            }
            Variable::MachineKas => format!("`machines.{machine}` has no `kas`"),
            Variable::MachineVar(var) => format!("`machines.{machine}.vars` has no `{var}`"),
            _ => "unset".to_owned(),
        }
    }
}
