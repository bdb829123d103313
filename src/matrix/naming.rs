//! The templates of `[naming]`, compiled.

use std::ops::Range;

use crate::base::fault::{Fault, Faults};
use crate::base::suggest;
use crate::matrix::catalog::Catalog;
use crate::matrix::document;
use crate::matrix::document::Text;
use crate::matrix::name_rules::NameRefusal;
use crate::matrix::template::{Template, TemplateFault, TemplateProblem, VariableUse};
use crate::matrix::variables;
use crate::matrix::variables::{AllowedVariables, Variable, VariableValues};

/// A compiled template and its place in the file.
#[derive(Debug)]
pub struct NameTemplate {
    /// The template as written.
    pub text: Text,
    template: Template<Variable>,
}

/// Compiles a template, or reports its faults. With `quiet`, unknown variables are not reported,
/// because the axes or machines that define them have faults themselves.
pub fn compile(
    text: &Text,
    catalog: &Catalog,
    allowed: AllowedVariables,
    quiet: bool,
    faults: &mut Faults,
) -> Option<NameTemplate> {
    let lookup = |name: &str| variables::lookup(catalog, allowed, name);
    match Template::parse(&text.value, lookup) {
        Ok(template) => Some(NameTemplate {
            text: text.clone(),
            template,
        }),
        Err(found) => {
            for fault in found {
                if !(quiet && matches!(fault.problem, TemplateProblem::UnknownVariable(_))) {
                    faults.push(explain(text, fault, catalog, allowed));
                }
            }
            None
        }
    }
}

fn explain(
    text: &Text,
    fault: TemplateFault,
    catalog: &Catalog,
    allowed: AllowedVariables,
) -> Fault {
    let span = text.part(fault.range);
    match fault.problem {
        TemplateProblem::UnknownVariable(name) => {
            let known = variables::known(catalog, allowed);
            let elsewhere = variables::lookup(catalog, AllowedVariables::EVERY, &name).is_some();
            let (message, label) = if elsewhere {
                let message = format!("variable `{name}` cannot be used in this template");
                (message, "not available here")
            } else {
                (format!("unknown variable `{name}`"), "unknown")
            };
            let hint = suggest::hint(
                &name,
                "the variables here are",
                known.iter().map(String::as_str),
            );
            Fault::at(span, message, label).hint(hint)
        }
        TemplateProblem::EmptyVariable => Fault::at(span, "a variable without a name", "empty")
            .hint("write `{{}}` for literal braces"),
        TemplateProblem::Unclosed(opener) => {
            let closer = if opener == '{' { '}' } else { ']' };
            Fault::at(
                span,
                format!("`{opener}` is not closed"),
                format!("no `{closer}` follows"),
            )
            .hint(format!("write `{opener}{opener}` for a literal `{opener}`"))
        }
        TemplateProblem::Unopened(closer) => {
            let opener = if closer == '}' { '{' } else { '[' };
            Fault::at(
                span,
                format!("`{closer}` without an opening `{opener}`"),
                "closes nothing",
            )
            .hint(format!("write `{closer}{closer}` for a literal `{closer}`"))
        }
        TemplateProblem::NestedGroup => Fault::at(
            span,
            "nested optional groups",
            "the inner group starts here",
        )
        .hint("close the outer group first"),
        TemplateProblem::GroupWithoutVariable => Fault::at(
            span,
            "an optional group without a variable",
            "nothing here can be unset",
        )
        .hint("write `[[` and `]]` for literal brackets"),
    }
}

impl NameTemplate {
    /// The name.
    ///
    /// # Errors
    /// The first variable outside optional groups that is unset.
    pub fn render(&self, values: &VariableValues<'_>) -> Result<String, &VariableUse<Variable>> {
        let mut out = String::with_capacity(self.text.value.len() + 24);
        let get = |variable: &Variable| values.get(variable);
        self.template.render(&get, &mut out)?;
        Ok(out)
    }

    /// The span that a refused name comes from: that of the value of a variable if the refused
    /// part is in one, else that of this template.
    #[must_use]
    pub fn blame(&self, refusal: &NameRefusal, values: &VariableValues<'_>) -> Range<usize> {
        let from_value = refusal.part.as_ref().and_then(|part| {
            self.template
                .uses()
                .flat_map(|used| &used.choices)
                .filter(|variable| {
                    values
                        .get(variable)
                        .is_some_and(|text| text.contains(part.as_str()))
                })
                .find_map(|variable| values.span(variable))
        });
        from_value.unwrap_or_else(|| self.text.span.clone())
    }
}

/// The templates of `[naming]`, with defaults filled in. `None`: the template has a fault.
#[derive(Debug)]
pub struct Naming {
    /// `id`.
    pub id: Option<NameTemplate>,
    /// `unique_name`.
    pub unique_name: Option<NameTemplate>,
    /// `deploy_name`.
    pub deploy_name: Option<NameTemplate>,
    /// `release_asset`.
    pub release_asset: Option<NameTemplate>,
    /// `attr_path`; `None` as soon as one element has a fault.
    pub attr_path: Option<Vec<NameTemplate>>,
    /// The span of the first element of `attr_path`, else that of `[naming]`.
    pub attr_path_span: Range<usize>,
}

impl Naming {
    /// Compiles all templates.
    pub fn new(
        naming: &document::NamingDecl,
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
                .and_then(|text| compile(text, AllowedVariables::PLAIN)),
            unique_name: compile(&unique_name, AllowedVariables::UNIQUE),
            deploy_name: naming
                .deploy_name
                .as_ref()
                .and_then(|text| compile(text, AllowedVariables::DEPLOY)),
            release_asset: compile(&release_asset, AllowedVariables::ASSET),
            attr_path_span: attr_path
                .first()
                .map_or(naming.span.clone(), |text| text.span.clone()),
            attr_path: {
                // Collected in two steps, so that the faults of every element are reported.
                let elements: Vec<Option<NameTemplate>> = attr_path
                    .iter()
                    .map(|text| compile(text, AllowedVariables::WITH_ID))
                    .collect();
                elements.into_iter().collect()
            },
        }
    }
}
