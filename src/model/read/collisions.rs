//! Collisions: names that must differ and do not. Knows nothing of how the names are made.

use std::collections::HashMap;
use std::ops::Range;

use super::catalog::Catalog;
use super::expand::Cell;
use super::naming::{Compiled, Naming};
use super::tally::Tally;
use crate::model::faults::{Fault, Faults};
use crate::model::matrix::{Artifact, Variant};

/// A variant with the combination that it was made from.
pub type Made = (Variant, Cell);

/// An artifact by the places of its variant and of itself.
type Place = (usize, usize);

/// Reports ids, unique names and attribute paths that two variants or artifacts share.
pub fn check(made: &[Made], naming: &Naming, catalog: &Catalog, faults: &mut Faults) {
    let mut checker = Checker {
        made,
        naming,
        catalog,
        tally: Tally::default(),
    };
    let is_first = checker.ids();
    // The names of a second variant of an id would all collide again.
    let firsts: Vec<usize> = (0..made.len()).filter(|&index| is_first[index]).collect();
    checker.unique_names(&firsts);
    checker.attributes(&firsts);
    checker.tally.report(faults);
}

struct Checker<'m> {
    made: &'m [Made],
    naming: &'m Naming,
    catalog: &'m Catalog,
    tally: Tally,
}

impl<'m> Checker<'m> {
    /// Which variants are the first of their key.
    fn ids(&mut self) -> Vec<bool> {
        let mut seen: HashMap<(u32, &str), &Cell> = HashMap::with_capacity(self.made.len());
        let mut is_first = Vec::with_capacity(self.made.len());
        for (variant, cell) in self.made {
            let key = (cell.machine, variant.key.id.as_str());
            let first = seen.get(&key).copied();
            is_first.push(first.is_none());
            let (Some(first), Some(template)) = (first, &self.naming.id) else {
                seen.insert(key, cell);
                continue;
            };
            let catalog = self.catalog;
            self.tally.add(template.text.span.start, "id", || {
                let fault = Fault::at(
                    template.text.span.clone(),
                    format!("two variants are called `{}`", variant.key),
                    "does not tell them apart",
                )
                .hint(tell_apart(first, cell, template, catalog));
                if first.origin == cell.origin {
                    fault.also(first.origin.clone(), "both come from here")
                } else {
                    fault
                        .also(first.origin.clone(), "one")
                        .also(cell.origin.clone(), "the other")
                }
            });
        }
        is_first
    }

    fn unique_names(&mut self, firsts: &[usize]) {
        let Some(template) = &self.naming.unique_name else {
            return;
        };
        let mut seen: HashMap<&str, Place> = HashMap::with_capacity(firsts.len() * 4);
        for &index in firsts {
            let (variant, cell) = &self.made[index];
            for (number, artifact) in variant.artifacts.iter().enumerate() {
                let name = artifact.unique_name.as_str();
                let Some(&other) = seen.get(name) else {
                    seen.insert(name, (index, number));
                    continue;
                };
                if other.0 == index {
                    let what = format!("the unique name `{name}`");
                    let hint = "give them different extensions, or use `{type}` in `unique_name`";
                    self.within(other, (index, number), "unique name", &what, hint);
                    continue;
                }
                let (other_variant, other_cell) = &self.made[other.0];
                let catalog = self.catalog;
                self.tally.add(template.text.span.start, "unique name", || {
                    let other_kind = &other_variant.artifacts[other.1].kind;
                    Fault::at(
                        template.text.span.clone(),
                        format!(
                            "two artifacts have the unique name `{name}`: `{other_kind}` of `{}` and `{}` of `{}`",
                            other_variant.key, artifact.kind, variant.key
                        ),
                        "does not tell them apart",
                    )
                    .hint(tell_apart(other_cell, cell, template, catalog))
                });
            }
        }
        self.products(firsts, &seen, template);
    }

    /// Reports what would be made under the name of another variant's artifact. Where a variant deploys
    /// what could be made of another of its files, the build decides.
    fn products(&mut self, firsts: &[usize], seen: &HashMap<&str, Place>, template: &Compiled) {
        for &index in firsts {
            let variant = &self.made[index].0;
            for product in variant.products() {
                let name = product.unique_name.as_str();
                let Some(&other) = seen.get(name).filter(|other| other.0 != index) else {
                    continue;
                };
                let other_variant = &self.made[other.0].0;
                self.tally.add(template.text.span.start, "unique name", || {
                    Fault::at(
                        template.text.span.clone(),
                        format!(
                            "`{name}` would be made for `{}`, and is the unique name of `{}` of `{}`",
                            variant.key, other_variant.artifacts[other.1].kind, other_variant.key
                        ),
                        "does not tell them apart",
                    )
                    .hint("give the artifact another extension, or `compress = \"none\"` to what is made")
                });
            }
        }
    }

    /// Reports two artifacts of one variant that share something.
    fn within(&mut self, one: Place, other: Place, kind: &'static str, what: &str, hint: &str) {
        let (variant, cell) = &self.made[other.0];
        let (one, other) = (&variant.artifacts[one.1], &variant.artifacts[other.1]);
        let span = self.artifact_span(cell, other);
        let first = self.artifact_span(cell, one);
        self.tally.add(span.start, kind, || {
            Fault::at(
                span.clone(),
                format!(
                    "`{}` and `{}` of `{}` have {what}",
                    one.kind, other.kind, variant.key
                ),
                "one",
            )
            .also(first, "the other")
            .hint(hint)
        });
    }

    fn artifact_span(&self, cell: &Cell, artifact: &Artifact) -> Range<usize> {
        let machine = &self.catalog.machines[cell.machine as usize];
        machine
            .artifacts
            .iter()
            .find(|own| own.kind == artifact.kind)
            .map_or(self.naming.span.clone(), |own| own.span.clone())
    }

    /// Reports attributes that are there twice, or that are an artifact and an attribute set at once.
    fn attributes(&mut self, firsts: &[usize]) {
        if self.naming.attr_path.is_none() {
            return;
        }
        let made = self.made;
        let mut by_path: HashMap<&'m [String], usize> = HashMap::with_capacity(firsts.len());
        // Paths that several variants share, which is rare.
        let mut shared: HashMap<&'m [String], Vec<usize>> = HashMap::new();
        for &index in firsts {
            let variant = &made[index].0;
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
                    .find(|&&other| has_attribute(&made[other].0, &artifact.attr));
                if let Some(&other) = other {
                    self.attribute_twice(path, &artifact.attr, other, index);
                }
            }
            // One that adds no attribute need not be searched again.
            let adds = |artifact: &Artifact| {
                !others
                    .iter()
                    .any(|&other| has_attribute(&made[other].0, &artifact.attr))
            };
            if variant.artifacts.iter().any(adds) {
                others.push(index);
            }
        }
        for &index in firsts {
            let path = &made[index].0.attr_path;
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
                    .find(|&&other| has_attribute(&made[other].0, element));
                if let Some(&other) = leaf {
                    self.attribute_twice(above, element, other, index);
                }
            }
        }
    }

    /// Reports artifacts of one variant with the same attribute.
    fn own_attributes(&mut self, index: usize) {
        let artifacts = &self.made[index].0.artifacts;
        for (number, artifact) in artifacts.iter().enumerate() {
            let earlier = artifacts[..number]
                .iter()
                .position(|other| other.attr == artifact.attr);
            if let Some(earlier) = earlier {
                let what = format!("the attribute `{}`", artifact.attr);
                let hint = "give one of them another `attr`";
                self.within((index, earlier), (index, number), "attribute", &what, hint);
            }
        }
    }

    fn attribute_twice(&mut self, path: &[String], attr: &str, one: usize, other: usize) {
        let span = self.naming.span.clone();
        let (one, other) = (&self.made[one].0, &self.made[other].0);
        self.tally.add(span.start, "attribute", || {
            let full: Vec<&str> = path.iter().map(String::as_str).chain([attr]).collect();
            Fault::at(
                span.clone(),
                format!(
                    "the attribute path `{}` is taken twice, by `{}` and `{}`",
                    full.join("."),
                    one.key,
                    other.key
                ),
                "does not tell them apart",
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

fn tell_apart(one: &Cell, other: &Cell, template: &Compiled, catalog: &Catalog) -> String {
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
        _ => "put something between the variables, so that their values cannot run together"
            .to_owned(),
    }
}
