//! Expansion: entries of `[[variants]]` become combinations of a machine and axis values.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::base::fault::{Fault, Faults};
use crate::base::suggest;
use crate::matrix::catalog::Catalog;
use crate::matrix::conditions::{Condition, ConditionSubject};
use crate::matrix::document::{AxisChoice, Text, VariantsBlock, VariantsEntry};
use crate::matrix::fault_tally::FaultTally;

/// The most variants that a file may have. More is a mistake, and would exhaust the memory.
pub const MAX_VARIANTS: usize = 100_000;

/// A machine and a value of each axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    /// The number of the machine.
    pub machine: u32,
    /// For each axis, the number of its value; `None`: unset.
    pub axes: Vec<Option<u32>>,
    /// The span of the entry that it comes from.
    pub origin: Range<usize>,
}

/// The combinations of all entries.
#[derive(Debug, Default)]
pub struct Expansion {
    /// The combinations, entry by entry. Within an entry the machine varies slowest and the last
    /// axis fastest; those of `include` follow.
    pub combinations: Vec<Combination>,
    /// Whether every entry was expanded; `false` was reported.
    pub complete: bool,
}

/// Expands all entries.
pub fn expand(blocks: &[VariantsBlock], catalog: &Catalog, faults: &mut Faults) -> Expansion {
    let mut expansion = Expansion {
        combinations: Vec::new(),
        complete: true,
    };
    for block in blocks {
        let before = faults.len();
        let product = CartesianProduct::of(&block.entry, None, catalog, faults);
        let conditions: Vec<(Range<usize>, Condition)> = block
            .exclude
            .iter()
            .map(|(span, tests)| {
                let condition = Condition::new(tests, catalog, false, faults);
                (span.clone(), condition)
            })
            .collect();
        let included: Vec<CartesianProduct> = block
            .include
            .iter()
            .map(|entry| CartesianProduct::of(entry, Some(&product), catalog, faults))
            .collect();
        let room = MAX_VARIANTS.saturating_sub(expansion.combinations.len());
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
            let subject = ConditionSubject {
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
                expansion.combinations.push(Combination {
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
                    "`exclude` matches no combination of this entry",
                    "matches nothing",
                )
                .hint("remove it, or correct its values"),
            );
        }
        for (entry, more) in block.include.iter().zip(&included) {
            more.visit(&mut |machine, axes| {
                expansion.combinations.push(Combination {
                    machine,
                    axes: axes.to_vec(),
                    origin: entry.span.clone(),
                });
            });
        }
    }
    refuse_duplicates(&mut expansion.combinations, catalog, faults);
    expansion
}

fn too_many(entry: &VariantsEntry, count: usize) -> Fault {
    Fault::at(
        entry.span.clone(),
        format!("the entry expands to {count} variants"),
        "too many",
    )
    .hint(format!("a file can have {MAX_VARIANTS}; list fewer values"))
}

/// Removes repeated combinations and reports them.
fn refuse_duplicates(combinations: &mut Vec<Combination>, catalog: &Catalog, faults: &mut Faults) {
    let mut seen: HashMap<(u32, &[Option<u32>]), &Combination> =
        HashMap::with_capacity(combinations.len());
    let mut tally = FaultTally::default();
    let is_first: Vec<bool> = combinations
        .iter()
        .map(|combination| {
            let key = (combination.machine, combination.axes.as_slice());
            let Some(first) = seen.get(&key) else {
                seen.insert(key, combination);
                return true;
            };
            tally.add(combination.origin.start, "duplicate", || {
                let message = format!(
                    "the variant {} is defined twice",
                    describe(combination, catalog)
                );
                let mut fault = Fault::at(combination.origin.clone(), message, "second definition");
                if first.origin != combination.origin {
                    fault = fault.also(first.origin.clone(), "first definition");
                }
                fault.hint("remove one, or exclude it")
            });
            false
        })
        .collect();
    tally.report(faults);
    let mut is_first = is_first.into_iter();
    combinations.retain(|_| is_first.next().unwrap_or(true));
}

/// A combination for messages: `` `machine = qemu, role = base` ``.
#[must_use]
pub fn describe(combination: &Combination, catalog: &Catalog) -> String {
    let machine = &catalog.machines[combination.machine as usize].name.value;
    let mut words = format!("`machine = {machine}");
    for (axis, value) in catalog.axes.iter().zip(&combination.axes) {
        if let Some(value) = value {
            let value = &axis.values[*value as usize].name.value;
            words.push_str(&format!(", {} = {value}", axis.name));
        }
    }
    words.push('`');
    words
}

/// The values that an entry multiplies.
#[derive(Debug, Clone)]
struct CartesianProduct {
    /// The numbers of the machines.
    machines: Vec<u32>,
    /// For each axis, the numbers of its values; `[None]`: unset.
    axes: Vec<Vec<Option<u32>>>,
}

impl CartesianProduct {
    /// Resolves an entry. Axes that it does not name are those of `base`, else unset.
    fn of(
        entry: &VariantsEntry,
        base: Option<&CartesianProduct>,
        catalog: &Catalog,
        faults: &mut Faults,
    ) -> CartesianProduct {
        let mut product = base.cloned().unwrap_or_else(|| CartesianProduct {
            machines: Vec::new(),
            axes: vec![vec![None]; catalog.axes.len()],
        });
        for (key, choice) in &entry.choices {
            let name = key.value.as_str();
            let values = match choice {
                AxisChoice::Unset => &[],
                AxisChoice::Values(values) => values.as_slice(),
            };
            if matches!(choice, AxisChoice::Values(values) if values.is_empty()) {
                faults.push(
                    Fault::at(key.span.clone(), format!("`{name}` has no values"), "empty").hint(
                        format!("name one, or write `{name} = false` to leave it unset"),
                    ),
                );
            }
            if name == "machine" {
                let known: Vec<&str> = catalog.machine_names().collect();
                product.machines = resolve(values, "a machine", &known, faults, |name| {
                    catalog.machine(name)
                });
            } else if let Some(axis) = catalog.axis(name) {
                let known: Vec<&str> = catalog.axes[axis].names().collect();
                let what = format!("a value of axis `{name}`");
                let numbers = resolve(values, &what, &known, faults, |name| {
                    catalog.axes[axis].value(name)
                });
                product.axes[axis] = match choice {
                    AxisChoice::Unset => vec![None],
                    AxisChoice::Values(_) => numbers.into_iter().map(Some).collect(),
                };
            } else {
                faults.push(
                    Fault::at(
                        key.span.clone(),
                        format!("unknown axis `{name}`"),
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

    /// Calls `each` with every combination; the machine varies slowest, the last axis fastest.
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

/// The numbers of named values; unknown and repeated ones are reported. `what` is a value with its
/// article, for messages.
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
                    format!("`{}` is not {what}", text.value),
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
