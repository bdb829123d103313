//! Collisions: names that must differ and do not. Knows nothing of how the names are made.

use std::collections::HashMap;

use super::catalog::Catalog;
use super::expand::Cell;
use super::naming::{Compiled, Naming};
use super::tally::Tally;
use crate::model::faults::{Fault, Faults};
use crate::model::matrix::Variant;

/// A variant with the combination that it was made from.
pub type Made = (Variant, Cell);

/// Reports ids, unique names and attribute paths that two variants or artifacts share.
pub fn check(made: &[Made], naming: &Naming, catalog: &Catalog, faults: &mut Faults) {
    let mut tally = Tally::default();
    let is_first = ids(made, naming, catalog, &mut tally);
    unique_names(made, &is_first, naming, catalog, &mut tally);
    attributes(made, &is_first, naming, &mut tally);
    tally.report(faults);
}

/// Which variants are the first of their key; the names of the others would all collide again.
fn ids(made: &[Made], naming: &Naming, catalog: &Catalog, tally: &mut Tally) -> Vec<bool> {
    let mut seen: HashMap<(u32, &str), &Cell> = HashMap::with_capacity(made.len());
    made.iter()
        .map(|(variant, cell)| {
            let key = (cell.machine, variant.key.id.as_str());
            let Some(first) = seen.get(&key) else {
                seen.insert(key, cell);
                return true;
            };
            if let Some(template) = &naming.id {
                tally.add(template.text.span.start, "id", || {
                    let fault = Fault::at(
                        template.text.span.clone(),
                        format!("two variants are called `{}`", variant.key),
                        "does not tell them apart",
                    )
                    .hint(tell_apart(first, cell, template, catalog));
                    let fault = fault.also(first.origin.clone(), "one");
                    if first.origin == cell.origin {
                        fault
                    } else {
                        fault.also(cell.origin.clone(), "the other")
                    }
                });
            }
            false
        })
        .collect()
}

fn unique_names(
    made: &[Made],
    is_first: &[bool],
    naming: &Naming,
    catalog: &Catalog,
    tally: &mut Tally,
) {
    let Some(template) = &naming.unique_name else {
        return;
    };
    let mut seen: HashMap<&str, (usize, usize)> = HashMap::with_capacity(made.len() * 3);
    for (index, (variant, cell)) in made
        .iter()
        .enumerate()
        .filter(|(index, _)| is_first[*index])
    {
        for (number, artifact) in variant.artifacts.iter().enumerate() {
            let name = artifact.unique_name.as_str();
            let Some(&(other_index, other_number)) = seen.get(name) else {
                seen.insert(name, (index, number));
                continue;
            };
            tally.add(template.text.span.start, "unique name", || {
                let (other, other_cell) = &made[other_index];
                let kind = &other.artifacts[other_number].kind;
                let hint = if other_index == index {
                    format!("give `{kind}` and `{}` different extensions, or use `{{type}}`", artifact.kind)
                } else {
                    tell_apart(other_cell, cell, template, catalog)
                };
                Fault::at(
                    template.text.span.clone(),
                    format!(
                        "two artifacts have the unique name `{name}`: `{kind}` of `{}` and `{}` of `{}`",
                        other.key, artifact.kind, variant.key
                    ),
                    "does not tell them apart",
                )
                .hint(hint)
            });
        }
    }
}

/// Reports attributes that are there twice, or that are an artifact and an attribute set at once.
fn attributes(made: &[Made], is_first: &[bool], naming: &Naming, tally: &mut Tally) {
    let mut by_path: HashMap<&[String], HashMap<&str, &Variant>> = HashMap::new();
    let mut report = |path: &[String], attr: &str, one: &Variant, other: &Variant| {
        tally.add(naming.span.start, "attribute", || {
            let mut full = path.to_vec();
            full.push(attr.to_owned());
            Fault::at(
                naming.span.clone(),
                format!(
                    "the attribute path `{}` is taken twice, by `{}` and `{}`",
                    full.join("."),
                    one.key,
                    other.key
                ),
                "does not tell them apart",
            )
            .hint("add what they differ in to `attr_path`, or change `attr` of an artifact type")
        });
    };
    let firsts = || {
        made.iter()
            .enumerate()
            .filter(|(index, _)| is_first[*index])
            .map(|(_, (variant, _))| variant)
    };
    for variant in firsts() {
        let leaves = by_path.entry(&variant.attr_path).or_default();
        for artifact in &variant.artifacts {
            match leaves.get(artifact.attr.as_str()) {
                Some(other) => report(&variant.attr_path, &artifact.attr, other, variant),
                None => {
                    leaves.insert(&artifact.attr, variant);
                }
            }
        }
    }
    for variant in firsts() {
        for (depth, element) in variant.attr_path.iter().enumerate() {
            let path = &variant.attr_path[..depth];
            if let Some(other) = by_path
                .get(path)
                .and_then(|leaves| leaves.get(element.as_str()))
            {
                report(path, element, other, variant);
            }
        }
    }
}

fn tell_apart(one: &Cell, other: &Cell, template: &Compiled, catalog: &Catalog) -> String {
    let axes: Vec<&str> = catalog
        .axes
        .iter()
        .zip(one.axes.iter().zip(&other.axes))
        .filter(|(_, (one, other))| one != other)
        .map(|(axis, _)| axis.name.as_str())
        .collect();
    let text = &template.text.value;
    match axes.first() {
        Some(axis) if !text.contains(&format!("{{{axis}}}")) => {
            format!("they differ in axis `{axis}`: add `[-{{{axis}}}]` to the template")
        }
        _ if one.machine != other.machine && !text.contains("{machine}") => {
            "they differ in the machine: add `-{machine}` to the template".to_owned()
        }
        _ => "put something between the variables, so that their values cannot run together"
            .to_owned(),
    }
}
