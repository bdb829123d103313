//! Names of variants and files: rendered from their templates, then checked by the rule of their
//! kind. Collects the faults that it meets.

use crate::base::fault::{Fault, Faults};
use crate::matrix::catalog::Catalog;
use crate::matrix::fault_tally::FaultTally;
use crate::matrix::name_rules;
use crate::matrix::name_rules::NameRefusal;
use crate::matrix::naming::NameTemplate;
use crate::matrix::variables::VariableValues;

/// The kinds of names, which differ in the characters that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The id of a variant.
    Id,
    /// A file of the kas chain.
    KasFile,
    /// The unique name of an artifact.
    UniqueName,
    /// The name of a file in ISAR's deploy directory.
    DeployName,
    /// The name under which a file is published.
    ReleaseAsset,
}

impl NameKind {
    /// The name of the kind in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Id => "id",
            NameKind::KasFile => "kas file",
            NameKind::UniqueName => "unique name",
            NameKind::DeployName => "deploy name",
            NameKind::ReleaseAsset => "release asset",
        }
    }

    fn check(self, name: &str) -> Result<(), NameRefusal> {
        match self {
            NameKind::Id | NameKind::UniqueName => name_rules::nix_name(name),
            NameKind::KasFile => name_rules::kas_path(name),
            NameKind::DeployName | NameKind::ReleaseAsset => name_rules::file_name(name),
        }
    }

    /// The hint for an unset variable; `{}` stands for the variable.
    fn hint_for_unset(self) -> &'static str {
        match self {
            NameKind::Id => "put it in an optional group, as `[-{}]`, or give the axis a value",
            NameKind::KasFile => "give the entry a `when` that leaves these variants out",
            NameKind::UniqueName | NameKind::DeployName | NameKind::ReleaseAsset => {
                "put it in an optional group, as `[-{}]`, or name an alternative, as `{a|b}`"
            }
        }
    }
}

/// Renders names and collects their faults; equal faults of many variants are reported once.
pub struct NameWriter<'a> {
    catalog: &'a Catalog,
    tally: FaultTally,
}

impl<'a> NameWriter<'a> {
    /// A writer for the axes and machines of `catalog`.
    #[must_use]
    pub fn new(catalog: &'a Catalog) -> NameWriter<'a> {
        NameWriter {
            catalog,
            tally: FaultTally::default(),
        }
    }

    /// Reports the collected faults.
    pub fn report(self, faults: &mut Faults) {
        self.tally.report(faults);
    }

    /// Renders and checks a name; `None` if it has a fault. `owner` names the variant in messages.
    pub fn write(
        &mut self,
        kind: NameKind,
        template: &NameTemplate,
        values: &VariableValues<'_>,
        owner: &dyn Fn() -> String,
    ) -> Option<String> {
        let name = self.render(kind, template, values, owner)?;
        self.check(kind, &name, template, values).then_some(name)
    }

    /// Renders a name without checking it; `None` if a variable that it needs is unset.
    pub fn render(
        &mut self,
        kind: NameKind,
        template: &NameTemplate,
        values: &VariableValues<'_>,
        owner: &dyn Fn() -> String,
    ) -> Option<String> {
        let unset = match template.render(values) {
            Ok(name) => return Some(name),
            Err(unset) => unset,
        };
        let span = template.text.part(unset.range.clone());
        self.tally.add(span.start, "unset", || {
            let why: Vec<String> = unset
                .choices
                .iter()
                .map(|variable| values.why_unset(variable))
                .collect();
            let variable = format!("{{{}}}", unset.text);
            Fault::at(
                span.clone(),
                format!("`{variable}` is unset for {}", owner()),
                why.join(", "),
            )
            .hint(kind.hint_for_unset().replace("{}", &variable))
        });
        None
    }

    /// Whether a rendered name obeys the rule of its kind.
    pub fn check(
        &mut self,
        kind: NameKind,
        name: &str,
        template: &NameTemplate,
        values: &VariableValues<'_>,
    ) -> bool {
        let Err(refusal) = kind.check(name) else {
            return true;
        };
        // A refused machine name is reported once, not again for each name that contains it.
        if !self.catalog.machines[values.machine as usize].well_named {
            return false;
        }
        let span = template.blame(&refusal, values);
        let kind = kind.as_str();
        self.tally.add(span.start, kind, || {
            Fault::at(
                span.clone(),
                format!("{kind} `{name}` {}", refusal.why),
                "comes from here",
            )
            .hint(refusal.hint)
        });
        false
    }
}
