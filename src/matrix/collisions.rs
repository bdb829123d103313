//! Collisions: ids, unique names and attribute paths that two variants or artifacts share.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::fault::{Fault, Faults};
use crate::matrix::assembly::AssembledVariant;
use crate::matrix::catalog::Catalog;
use crate::matrix::expansion::Combination;
use crate::matrix::fault_tally::FaultTally;
use crate::matrix::naming::{NameTemplate, Naming};
use crate::matrix::variant::{Artifact, Variant};

/// The index of a variant, and of an artifact in it.
type ArtifactIndex = (usize, usize);

/// Reports the collisions of all variants.
pub fn check(
    variants: &[AssembledVariant],
    naming: &Naming,
    catalog: &Catalog,
    faults: &mut Faults,
) {
    let mut checker = CollisionChecker {
        variants,
        naming,
        catalog,
        tally: FaultTally::default(),
    };
    let is_first = checker.ids();
    // Two variants with one id also share all other names, which is not worth further faults.
    let firsts: Vec<usize> = (0..variants.len())
        .filter(|&index| is_first[index])
        .collect();
    checker.unique_names(&firsts);
    checker.attributes(&firsts);
    checker.tally.report(faults);
}

/// The name that two artifacts of one variant share.
#[derive(Clone, Copy)]
enum SharedName {
    UniqueName,
    Attribute,
}

struct CollisionChecker<'m> {
    variants: &'m [AssembledVariant],
    naming: &'m Naming,
    catalog: &'m Catalog,
    tally: FaultTally,
}

impl<'m> CollisionChecker<'m> {
    /// Reports shared ids; returns for each variant whether it is the first with its id.
    fn ids(&mut self) -> Vec<bool> {
        let mut seen: HashMap<(u32, &str), &Combination> =
            HashMap::with_capacity(self.variants.len());
        let mut is_first = Vec::with_capacity(self.variants.len());
        for AssembledVariant {
            variant,
            combination,
        } in self.variants
        {
            let key = (combination.machine, variant.key.id.as_str());
            let first = seen.get(&key).copied();
            is_first.push(first.is_none());
            let (Some(first), Some(template)) = (first, &self.naming.id) else {
                seen.insert(key, combination);
                continue;
            };
            let catalog = self.catalog;
            self.tally.add(template.text.span.start, "id", || {
                let fault = Fault::at(
                    template.text.span.clone(),
                    format!("two variants are named `{}`", variant.key),
                    "does not distinguish them",
                )
                .hint(how_to_distinguish(first, combination, template, catalog));
                if first.origin == combination.origin {
                    fault.also(first.origin.clone(), "both are defined here")
                } else {
                    fault
                        .also(first.origin.clone(), "one is defined here")
                        .also(combination.origin.clone(), "the other is defined here")
                }
            });
        }
        is_first
    }

    fn unique_names(&mut self, firsts: &[usize]) {
        let Some(template) = &self.naming.unique_name else {
            return;
        };
        let mut seen: HashMap<&str, ArtifactIndex> = HashMap::with_capacity(firsts.len() * 4);
        for &index in firsts {
            let AssembledVariant {
                variant,
                combination,
            } = &self.variants[index];
            for (number, artifact) in variant.artifacts.iter().enumerate() {
                let name = artifact.unique_name.as_str();
                let Some(&other) = seen.get(name) else {
                    seen.insert(name, (index, number));
                    continue;
                };
                if other.0 == index {
                    let hint = "give them different extensions, or use `{type}` in `unique_name`";
                    self.within(other.1, (index, number), SharedName::UniqueName, hint);
                    continue;
                }
                let AssembledVariant {
                    variant: other_variant,
                    combination: other_combination,
                } = &self.variants[other.0];
                let catalog = self.catalog;
                self.tally.add(template.text.span.start, "unique name", || {
                    let other_kind = &other_variant.artifacts[other.1].kind;
                    Fault::at(
                        template.text.span.clone(),
                        format!(
                            "two artifacts have the unique name `{name}`: `{other_kind}` of `{}` and `{}` of `{}`",
                            other_variant.key, artifact.kind, variant.key
                        ),
                        "does not distinguish them",
                    )
                    .hint(how_to_distinguish(other_combination, combination, template, catalog))
                });
            }
        }
        self.products(firsts, &seen, template);
    }

    /// Reports products with the unique name of an artifact of another variant. Within one variant
    /// that is allowed: if the build deploys the file, no product is made.
    fn products(
        &mut self,
        firsts: &[usize],
        seen: &HashMap<&str, ArtifactIndex>,
        template: &NameTemplate,
    ) {
        for &index in firsts {
            let variant = &self.variants[index].variant;
            for product in variant.products() {
                let name = product.unique_name.as_str();
                let Some(&other) = seen.get(name).filter(|other| other.0 != index) else {
                    continue;
                };
                let other_variant = &self.variants[other.0].variant;
                self.tally.add(template.text.span.start, "unique name", || {
                    Fault::at(
                        template.text.span.clone(),
                        format!(
                            "the product `{name}` of `{}` has the unique name of `{}` of `{}`",
                            variant.key, other_variant.artifacts[other.1].kind, other_variant.key
                        ),
                        "does not distinguish them",
                    )
                    .hint("change the extension of the artifact, or make no product (`compress = \"none\"`, `bmap = false`)")
                });
            }
        }
    }

    /// Reports two artifacts of one variant that share `what`.
    fn within(&mut self, one: usize, other: ArtifactIndex, what: SharedName, hint: &str) {
        let AssembledVariant {
            variant,
            combination,
        } = &self.variants[other.0];
        let (one, other) = (&variant.artifacts[one], &variant.artifacts[other.1]);
        let span = self.artifact_span(combination, other);
        let first = self.artifact_span(combination, one);
        let (kind, name) = match what {
            SharedName::UniqueName => ("unique name", &other.unique_name),
            SharedName::Attribute => ("attribute", &other.attr),
        };
        self.tally.add(span.start, kind, || {
            Fault::at(
                span.clone(),
                format!(
                    "`{}` and `{}` of `{}` have the {kind} `{name}`",
                    one.kind, other.kind, variant.key
                ),
                "one",
            )
            .also(first, "the other")
            .hint(hint)
        });
    }

    fn artifact_span(&self, combination: &Combination, artifact: &Artifact) -> Range<usize> {
        let machine = &self.catalog.machines[combination.machine as usize];
        machine
            .artifacts
            .iter()
            .find(|own| own.kind == artifact.kind)
            .map_or(self.naming.attr_path_span.clone(), |own| own.span.clone())
    }

    /// Reports attributes that two artifacts define, or that are an artifact and also an attribute
    /// set.
    fn attributes(&mut self, firsts: &[usize]) {
        if self.naming.attr_path.is_none() {
            return;
        }
        let variants = self.variants;
        let mut by_path: HashMap<&'m [String], usize> = HashMap::with_capacity(firsts.len());
        // The variants of each path that several share, which is rare.
        let mut shared: HashMap<&'m [String], Vec<usize>> = HashMap::new();
        for &index in firsts {
            let variant = &variants[index].variant;
            self.own_attributes(index);
            let path = variant.attr_path.as_slice();
            let Some(&first) = by_path.get(path) else {
                by_path.insert(path, index);
                continue;
            };
            let others = shared.entry(path).or_insert_with(|| vec![first]);
            for artifact in &variant.artifacts {
                let other = others
                    .iter()
                    .find(|&&other| has_attribute(&variants[other].variant, &artifact.attr));
                if let Some(&other) = other {
                    self.attribute_twice(path, &artifact.attr, other, index);
                }
            }
            // A variant that adds no attribute cannot be part of a further collision.
            let adds = |artifact: &Artifact| {
                !others
                    .iter()
                    .any(|&other| has_attribute(&variants[other].variant, &artifact.attr))
            };
            if variant.artifacts.iter().any(adds) {
                others.push(index);
            }
        }
        for &index in firsts {
            let path = &variants[index].variant.attr_path;
            for (depth, element) in path.iter().enumerate() {
                let above = &path[..depth];
                let Some(first) = by_path.get(above) else {
                    continue;
                };
                let holders = shared
                    .get(above)
                    .map_or(std::slice::from_ref(first), Vec::as_slice);
                let leaf = holders
                    .iter()
                    .find(|&&other| has_attribute(&variants[other].variant, element));
                if let Some(&other) = leaf {
                    self.attribute_twice(above, element, other, index);
                }
            }
        }
    }

    /// Reports artifacts of one variant with the same attribute.
    fn own_attributes(&mut self, index: usize) {
        let artifacts = &self.variants[index].variant.artifacts;
        for (number, artifact) in artifacts.iter().enumerate() {
            let earlier = artifacts[..number]
                .iter()
                .position(|other| other.attr == artifact.attr);
            if let Some(earlier) = earlier {
                let hint = "give one of them another `attr`";
                self.within(earlier, (index, number), SharedName::Attribute, hint);
            }
        }
    }

    /// Reports two variants that define the same attribute.
    fn attribute_twice(&mut self, path: &[String], attr: &str, one: usize, other: usize) {
        let span = self.naming.attr_path_span.clone();
        let (one, other) = (&self.variants[one].variant, &self.variants[other].variant);
        self.tally.add(span.start, "attribute", || {
            let full: Vec<&str> = path.iter().map(String::as_str).chain([attr]).collect();
            Fault::at(
                span.clone(),
                format!(
                    "`{}` and `{}` both define the attribute `{}`",
                    one.key,
                    other.key,
                    full.join(".")
                ),
                "does not distinguish them",
            )
            .hint("add what they differ in to `naming.attr_path`, or change `attr` of an artifact type")
        });
    }
}

fn has_attribute(variant: &Variant, attr: &str) -> bool {
    variant
        .artifacts
        .iter()
        .any(|artifact| artifact.attr == attr)
}

/// The hint for a template that renders to one name for two combinations.
fn how_to_distinguish(
    one: &Combination,
    other: &Combination,
    template: &NameTemplate,
    catalog: &Catalog,
) -> String {
    let text = &template.text.value;
    let axis = catalog
        .axes
        .iter()
        .zip(one.axes.iter().zip(&other.axes))
        .filter(|(_, (one, other))| one != other)
        .map(|(axis, _)| axis.name.as_str())
        .find(|axis| !text.contains(&format!("{{{axis}}}")));
    match axis {
        Some(axis) if !text.contains("{id}") => {
            format!("they differ in axis `{axis}`: add `[-{{{axis}}}]` to the template")
        }
        _ if one.machine != other.machine && !text.contains("{machine}") => {
            "they differ in the machine: add `-{machine}` to the template".to_owned()
        }
        _ => "put a separator between the variables, so that different values give different names"
            .to_owned(),
    }
}
