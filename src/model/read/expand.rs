//! Expansion: entries of `[[variants]]` to combinations of a machine and a value of each axis.
//! Knows nothing of names and files.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::catalog::Catalog;
use super::condition::{Condition, Subject};
use super::document::{Block, Choice, Entry, Text};
use super::tally::Tally;
use crate::model::faults::{Fault, Faults};
use crate::model::suggest;

/// How many variants a file may have; more is a slip, and would take the machine's memory.
pub const MOST_VARIANTS: usize = 100_000;

/// One combination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The machine.
    pub machine: u32,
    /// The value of each axis, where it is set.
    pub axes: Vec<Option<u32>>,
    /// The entry that it comes from.
    pub origin: Range<usize>,
}

/// What the entries expand to.
#[derive(Debug, Default)]
pub struct Expansion {
    /// The combinations in order: entry by entry; within one the machine varies slowest and the last
    /// axis fastest, and what is included comes last.
    pub cells: Vec<Cell>,
    /// Whether every entry could be expanded; if not, the faults say why.
    pub complete: bool,
}

/// Expands all entries.
pub fn expand(blocks: &[Block], catalog: &Catalog, faults: &mut Faults) -> Expansion {
    let mut expansion = Expansion {
        cells: Vec::new(),
        complete: true,
    };
    for block in blocks {
        let before = faults.len();
        let product = Product::of(&block.entry, None, catalog, faults);
        let conditions: Vec<(Range<usize>, Condition)> = block
            .exclude
            .iter()
            .map(|(span, tests)| {
                let condition = Condition::new(tests, catalog, false, faults);
                (span.clone(), condition)
            })
            .collect();
        let included: Vec<Product> = block
            .include
            .iter()
            .map(|entry| Product::of(entry, Some(&product), catalog, faults))
            .collect();
        let room = MOST_VARIANTS.saturating_sub(expansion.cells.len());
        let count = included.iter().fold(product.count(), |sum, more| {
            sum.saturating_add(more.count())
        });
        if count > room {
            faults.push(too_many(&block.entry, count));
        }
        if faults.len() > before || product.machines.is_empty() {
            expansion.complete = false;
            continue;
        }
        let mut hits = vec![0_usize; conditions.len()];
        product.visit(&mut |machine, axes| {
            let subject = Subject {
                machine,
                axes,
                host: None,
            };
            let mut excluded = false;
            for ((_, condition), hits) in conditions.iter().zip(&mut hits) {
                if condition.holds(catalog, subject) {
                    *hits += 1;
                    excluded = true;
                }
            }
            if !excluded {
                expansion.cells.push(Cell {
                    machine,
                    axes: axes.to_vec(),
                    origin: block.entry.span.clone(),
                });
            }
        });
        for ((span, _), _) in conditions.iter().zip(&hits).filter(|(_, hits)| **hits == 0) {
            faults.push(
                Fault::at(
                    span.clone(),
                    "`exclude` leaves out nothing",
                    "matches no combination of this entry",
                )
                .hint("remove it, or correct its values"),
            );
        }
        for (entry, more) in block.include.iter().zip(&included) {
            more.visit(&mut |machine, axes| {
                expansion.cells.push(Cell {
                    machine,
                    axes: axes.to_vec(),
                    origin: entry.span.clone(),
                });
            });
        }
    }
    refuse_duplicates(&mut expansion.cells, catalog, faults);
    expansion
}

fn too_many(entry: &Entry, count: usize) -> Fault {
    Fault::at(
        entry.span.clone(),
        format!("the entry expands to {count} variants"),
        "too many",
    )
    .hint(format!(
        "a file may have {MOST_VARIANTS}; list fewer values, or exclude some"
    ))
}

/// Keeps the first of equal combinations and reports the others.
fn refuse_duplicates(cells: &mut Vec<Cell>, catalog: &Catalog, faults: &mut Faults) {
    let mut seen: HashMap<(u32, &[Option<u32>]), &Cell> = HashMap::with_capacity(cells.len());
    let mut tally = Tally::default();
    let is_first: Vec<bool> = cells
        .iter()
        .map(|cell| {
            let key = (cell.machine, cell.axes.as_slice());
            let Some(first) = seen.get(&key) else {
                seen.insert(key, cell);
                return true;
            };
            tally.add(cell.origin.start, "twice", || {
                let message = format!("the variant {} is there twice", describe(cell, catalog));
                let mut fault = Fault::at(cell.origin.clone(), message, "here again");
                if first.origin != cell.origin {
                    fault = fault.also(first.origin.clone(), "first here");
                }
                fault.hint("remove one, or exclude it")
            });
            false
        })
        .collect();
    tally.report(faults);
    let mut is_first = is_first.into_iter();
    cells.retain(|_| is_first.next().unwrap_or(true));
}

/// A combination in words: `machine qemu, role base`.
#[must_use]
pub fn describe(cell: &Cell, catalog: &Catalog) -> String {
    let machine = &catalog.machines[cell.machine as usize].name.value;
    let mut words = format!("`machine = {machine}");
    for (axis, value) in catalog.axes.iter().zip(&cell.axes) {
        if let Some(value) = value {
            let value = &axis.values[*value as usize].name.value;
            words.push_str(&format!(", {} = {value}", axis.name));
        }
    }
    words.push('`');
    words
}

/// The choices of an entry: what its product is taken over.
#[derive(Debug, Clone)]
struct Product {
    machines: Vec<u32>,
    axes: Vec<Vec<Option<u32>>>,
}

impl Product {
    /// Resolves an entry; what it does not say is taken from `base`, else unset.
    fn of(
        entry: &Entry,
        base: Option<&Product>,
        catalog: &Catalog,
        faults: &mut Faults,
    ) -> Product {
        let mut product = base.cloned().unwrap_or_else(|| Product {
            machines: Vec::new(),
            axes: vec![vec![None]; catalog.axes.len()],
        });
        for (key, choice) in &entry.choices {
            let name = key.value.as_str();
            let values = match choice {
                Choice::Unset => &[],
                Choice::Values(values) => values.as_slice(),
            };
            if matches!(choice, Choice::Values(values) if values.is_empty()) {
                faults.push(
                    Fault::at(key.span.clone(), format!("`{name}` has no values"), "empty").hint(
                        format!("name one, or write `{name} = false` to leave it unset"),
                    ),
                );
            }
            if name == "machine" {
                let known: Vec<&str> = catalog.machine_names().collect();
                product.machines = resolve(values, "machine", &known, faults, |name| {
                    catalog.machine(name)
                });
            } else if let Some(axis) = catalog.axis(name) {
                let known: Vec<&str> = catalog.axes[axis].names().collect();
                let what = format!("value of axis `{name}`");
                let numbers = resolve(values, &what, &known, faults, |name| {
                    catalog.axes[axis].value(name)
                });
                product.axes[axis] = match choice {
                    Choice::Unset => vec![None],
                    Choice::Values(_) => numbers.into_iter().map(Some).collect(),
                };
            } else {
                faults.push(
                    Fault::at(
                        key.span.clone(),
                        format!("there is no axis `{name}`"),
                        "not an axis",
                    )
                    .hint(suggest::hint(
                        name,
                        "the keys here are",
                        catalog
                            .axis_names()
                            .chain(["machine", "include", "exclude"]),
                    )),
                );
            }
        }
        product
    }

    fn count(&self) -> usize {
        self.axes.iter().fold(self.machines.len(), |count, values| {
            count.saturating_mul(values.len())
        })
    }

    /// Calls `each` with every combination, the machine varying slowest and the last axis fastest.
    fn visit(&self, each: &mut impl FnMut(u32, &[Option<u32>])) {
        if self.count() == 0 {
            return;
        }
        let mut at = vec![0_usize; self.axes.len()];
        let mut axes: Vec<Option<u32>> = self.axes.iter().map(|values| values[0]).collect();
        for &machine in &self.machines {
            loop {
                each(machine, &axes);
                let Some(turned) = (0..at.len())
                    .rev()
                    .find(|&axis| at[axis] + 1 < self.axes[axis].len())
                else {
                    break;
                };
                at[turned] += 1;
                axes[turned] = self.axes[turned][at[turned]];
                for axis in turned + 1..at.len() {
                    at[axis] = 0;
                    axes[axis] = self.axes[axis][0];
                }
            }
            for axis in 0..at.len() {
                at[axis] = 0;
                axes[axis] = self.axes[axis][0];
            }
        }
    }
}

fn resolve(
    values: &[Text],
    what: &str,
    known: &[&str],
    faults: &mut Faults,
    number: impl Fn(&str) -> Option<u32>,
) -> Vec<u32> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for text in values {
        match number(&text.value) {
            Some(number) if !seen.insert(number) => faults.push(
                Fault::at(
                    text.span.clone(),
                    format!("`{}` is listed twice", text.value),
                    "listed before",
                )
                .hint("remove one"),
            ),
            Some(number) => out.push(number),
            None => faults.push(
                Fault::at(
                    text.span.clone(),
                    format!("`{}` is no {what}", text.value),
                    "unknown",
                )
                .hint(suggest::hint(
                    &text.value,
                    "the known ones are",
                    known.iter().copied(),
                )),
            ),
        }
    }
    out
}
