//! Names: the templates of variants.toml compiled, and rendered for one variant or file.
//! Knows nothing of which names must differ.

use std::ops::Range;

use super::catalog::Catalog;
use super::document::{self, Text};
use super::tally::Tally;
use super::variables::{self, Allowed, Values, Variable};
use crate::model::faults::{Fault, Faults};
use crate::model::names::Refusal;
use crate::model::suggest;
use crate::model::template::{Problem, Template, TemplateFault};

/// A template with its place.
#[derive(Debug)]
pub struct Compiled {
    /// The template as it was written.
    pub text: Text,
    template: Template<Variable>,
}

/// Compiles a template, or reports all that is wrong with it. With `quiet` nothing is said of unknown
/// variables: what defines them has faults of its own.
pub fn compile(
    text: &Text,
    catalog: &Catalog,
    allowed: Allowed,
    quiet: bool,
    faults: &mut Faults,
) -> Option<Compiled> {
    let lookup = |name: &str| variables::lookup(catalog, allowed, name);
    match Template::parse(&text.value, lookup) {
        Ok(template) => Some(Compiled {
            text: text.clone(),
            template,
        }),
        Err(found) => {
            for fault in found {
                if !(quiet && matches!(fault.problem, Problem::UnknownVariable(_))) {
                    faults.push(explain(text, fault, catalog, allowed));
                }
            }
            None
        }
    }
}

fn explain(text: &Text, fault: TemplateFault, catalog: &Catalog, allowed: Allowed) -> Fault {
    let span = text.part(fault.range);
    match fault.problem {
        Problem::UnknownVariable(name) => {
            let known = variables::known(catalog, allowed);
            let everywhere = variables::lookup(catalog, EVERYTHING, &name).is_some();
            let message = if everywhere {
                format!("variable `{name}` has no value in this template")
            } else {
                format!("unknown variable `{name}`")
            };
            let hint = suggest::hint(
                &name,
                "the variables here are",
                known.iter().map(String::as_str),
            );
            Fault::at(span, message, "no such variable here").hint(hint)
        }
        Problem::EmptyVariable => {
            Fault::at(span, "a variable without a name", "empty").hint("write `{{}}` for braces")
        }
        Problem::Unclosed(opener) => {
            let closer = if opener == '{' { '}' } else { ']' };
            Fault::at(
                span,
                format!("`{opener}` is not closed"),
                format!("no `{closer}` follows"),
            )
            .hint(format!("write `{opener}{opener}` for the character itself"))
        }
        Problem::Unopened(closer) => Fault::at(
            span,
            format!("`{closer}` closes nothing"),
            "nothing to close",
        )
        .hint(format!("write `{closer}{closer}` for the character itself")),
        Problem::NestedGroup => {
            Fault::at(span, "a group within a group", "second group begins here")
                .hint("close the first group before the second")
        }
        Problem::GroupWithoutVariable => Fault::at(
            span,
            "an optional group without a variable",
            "nothing here can be unset",
        )
        .hint("write `[[` and `]]` for brackets"),
    }
}

const EVERYTHING: Allowed = Allowed {
    id: true,
    extension: true,
    kind: true,
    version: true,
};

impl Compiled {
    /// The name, if every variable that it needs is set.
    #[must_use]
    pub fn render_if_set(&self, values: &Values<'_>) -> Option<String> {
        let mut out = String::new();
        self.template
            .render(&|variable: &Variable| values.get(variable), &mut out)
            .ok()
            .map(|()| out)
    }

    /// The name; an unset variable is noted in the tally. `whose` says whose name it is.
    pub fn render(
        &self,
        values: &Values<'_>,
        whose: &dyn Fn() -> String,
        advice: &str,
        tally: &mut Tally,
    ) -> Option<String> {
        let mut out = String::new();
        let get = |variable: &Variable| values.get(variable);
        let Err(used) = self.template.render(&get, &mut out) else {
            return Some(out);
        };
        let span = self.text.part(used.range.clone());
        tally.add(span.start, "unset", || {
            let why: Vec<String> = used
                .choices
                .iter()
                .map(|variable| values.why_unset(variable))
                .collect();
            Fault::at(
                span.clone(),
                format!("`{{{}}}` is unset for {}", used.text, whose()),
                why.join(", "),
            )
            .hint(advice.replace("{}", &format!("{{{}}}", used.text)))
        });
        None
    }

    /// Where the refused part of a rendered name comes from: the value of a variable, else this
    /// template.
    #[must_use]
    pub fn blame(&self, refusal: &Refusal, values: &Values<'_>) -> Range<usize> {
        let from_value = refusal.part.as_ref().and_then(|part| {
            self.template
                .uses()
                .flat_map(|used| &used.choices)
                .filter(|variable| {
                    values
                        .get(variable)
                        .is_some_and(|text| text.contains(part.as_str()))
                })
                .find_map(|variable| values.place(variable))
        });
        from_value.unwrap_or_else(|| self.text.span.clone())
    }
}

/// The templates of `[naming]`, defaults filled in; `None` where one has a fault.
#[derive(Debug)]
pub struct Naming {
    /// Of the id.
    pub id: Option<Compiled>,
    /// Of unique names.
    pub unique_name: Option<Compiled>,
    /// Of deploy names.
    pub deploy_name: Option<Compiled>,
    /// Of release assets.
    pub release_asset: Option<Compiled>,
    /// Of the elements of the attribute path, all or none.
    pub attr_path: Option<Vec<Compiled>>,
    /// Where the attribute path is said, else the table.
    pub span: Range<usize>,
}

impl Naming {
    /// Compiles all templates.
    pub fn new(
        naming: &document::Naming,
        catalog: &Catalog,
        quiet: bool,
        faults: &mut Faults,
    ) -> Naming {
        let or = |text: &Option<Text>, default: &str| {
            text.clone()
                .unwrap_or_else(|| Text::implied(default, naming.span.clone()))
        };
        let attr_path = naming.attr_path.clone().unwrap_or_else(|| {
            ["{machine}", "{id}"]
                .map(|text| Text::implied(text, naming.span.clone()))
                .to_vec()
        });
        let unique_name = or(&naming.unique_name, "isar-{id}-{machine}{extension}");
        let release_asset = or(&naming.release_asset, "{id}-{machine}-{version}{extension}");
        let mut compile = |text: &Text, allowed| compile(text, catalog, allowed, quiet, faults);
        Naming {
            id: naming
                .id
                .as_ref()
                .and_then(|text| compile(text, Allowed::PLAIN)),
            unique_name: compile(&unique_name, Allowed::UNIQUE),
            deploy_name: naming
                .deploy_name
                .as_ref()
                .and_then(|text| compile(text, Allowed::DEPLOY)),
            release_asset: compile(&release_asset, Allowed::ASSET),
            span: attr_path
                .first()
                .map_or(naming.span.clone(), |text| text.span.clone()),
            attr_path: {
                // All are compiled, so that all their faults are told.
                let elements: Vec<Option<Compiled>> = attr_path
                    .iter()
                    .map(|text| compile(text, Allowed::WITH_ID))
                    .collect();
                elements.into_iter().collect()
            },
        }
    }
}
