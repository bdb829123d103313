//! Selection: which variants globs of the command line or of `[release]` name.
//! Knows nothing of what is done with them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::faults::{Fault, Faults};
use super::matrix::{Matrix, Variant, VariantKey};
use super::pattern::Pattern;
use super::suggest;

/// A glob that names variants: `id` on every machine, or `machine/id`.
#[derive(Debug, Clone)]
pub struct VariantGlob {
    machine: Option<Pattern>,
    id: Pattern,
}

impl VariantGlob {
    /// Compiles one.
    ///
    /// # Errors
    /// Why it is not a glob.
    pub fn new(text: &str) -> Result<VariantGlob, String> {
        let (machine, id) = match text.split_once('/') {
            Some((machine, id)) => (Some(Pattern::new(machine)?), id),
            None => (None, text),
        };
        Ok(VariantGlob {
            machine,
            id: Pattern::new(id)?,
        })
    }

    /// Whether it names a variant.
    #[must_use]
    pub fn matches(&self, key: &VariantKey) -> bool {
        self.id.matches(&key.id)
            && self
                .machine
                .as_ref()
                .is_none_or(|machine| machine.matches(&key.machine))
    }
}

/// Variants that can be looked up by globs.
#[derive(Debug)]
pub struct Index<'m> {
    keys: Vec<&'m VariantKey>,
    by_id: HashMap<&'m str, Vec<usize>>,
}

impl<'m> Index<'m> {
    /// Indexes variants, which keep their order.
    pub fn new(keys: impl IntoIterator<Item = &'m VariantKey>) -> Index<'m> {
        let keys: Vec<&VariantKey> = keys.into_iter().collect();
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            by_id.entry(&key.id).or_default().push(index);
        }
        Index { keys, by_id }
    }

    /// The places of the variants that a glob names, in order.
    #[must_use]
    pub fn find(&self, glob: &VariantGlob) -> Vec<usize> {
        let matching = |index: &usize| glob.matches(self.keys[*index]);
        if glob.id.is_literal() {
            let same_id = self.by_id.get(glob.id.as_str());
            same_id
                .into_iter()
                .flatten()
                .copied()
                .filter(matching)
                .collect()
        } else {
            (0..self.keys.len()).filter(matching).collect()
        }
    }

    /// The hint for a glob that names none of them.
    #[must_use]
    pub fn hint(&self, glob: &str) -> String {
        let full: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        if glob.contains('/') {
            return suggest::hint(glob, "the variants are", full.iter().map(String::as_str));
        }
        let ids: BTreeSet<&str> = self.by_id.keys().copied().collect();
        match suggest::nearest(glob, ids.iter().copied()) {
            Some(id) => format!("did you mean `{id}`?"),
            None => format!(
                "the variants are: {}",
                suggest::list(full.iter().map(String::as_str))
            ),
        }
    }
}

/// The part of a matrix that `--variant` and `--machine` name; all of it when both are empty.
///
/// A variant is taken when one of `variants` names it (`id`, or `machine/id`; globs) and one of
/// `machines` names its machine. Releases are narrowed with it. The order stays.
///
/// # Errors
/// A fault for each glob that names nothing, with what there is.
pub fn select(matrix: Matrix, variants: &[String], machines: &[String]) -> Result<Matrix, Faults> {
    if variants.is_empty() && machines.is_empty() {
        return Ok(matrix);
    }
    let mut faults = Faults::new();
    let on_machines = on_machines(&matrix, machines, &mut faults);
    let kept = named(&matrix, variants, &on_machines, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let keep: BTreeSet<VariantKey> = matrix
        .variants
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .map(|(variant, _)| variant.key.clone())
        .collect();
    let mut kept = kept.into_iter();
    let mut matrix = matrix;
    Arc::make_mut(&mut matrix.variants).retain(|_| kept.next().unwrap_or(false));
    matrix
        .releases
        .retain(|release| keep.contains(&release.key));
    Ok(matrix)
}

/// Which variants are on the machines that globs name.
fn on_machines(matrix: &Matrix, globs: &[String], faults: &mut Faults) -> Vec<bool> {
    let names: BTreeSet<&str> = matrix
        .variants
        .iter()
        .map(|variant| variant.key.machine.as_str())
        .collect();
    let mut chosen = BTreeSet::new();
    for glob in globs {
        match Pattern::new(glob) {
            Err(why) => faults.push(not_a_glob("--machine", glob, &why)),
            Ok(pattern) => {
                let before = chosen.len();
                let mut any = false;
                for name in names.iter().filter(|name| pattern.matches(name)) {
                    any = true;
                    chosen.insert(*name);
                }
                if !any && chosen.len() == before {
                    let fault = Fault::nowhere(format!("no variant is for machine `{glob}`"));
                    let hint = suggest::hint(glob, "the machines are", names.iter().copied());
                    faults.push(fault.hint(hint));
                }
            }
        }
    }
    let is_on =
        |variant: &Variant| globs.is_empty() || chosen.contains(variant.key.machine.as_str());
    matrix.variants.iter().map(is_on).collect()
}

/// Which variants are on a chosen machine and named by a glob.
fn named(
    matrix: &Matrix,
    globs: &[String],
    on_machines: &[bool],
    faults: &mut Faults,
) -> Vec<bool> {
    if globs.is_empty() {
        return on_machines.to_vec();
    }
    let index = Index::new(matrix.variants.iter().map(|variant| &variant.key));
    let mut kept = vec![false; matrix.variants.len()];
    for glob in globs {
        let found = match VariantGlob::new(glob) {
            Ok(compiled) => index.find(&compiled),
            Err(why) => {
                faults.push(not_a_glob("--variant", glob, &why));
                continue;
            }
        };
        let chosen: Vec<usize> = found
            .iter()
            .copied()
            .filter(|place| on_machines[*place])
            .collect();
        if found.is_empty() {
            let fault = Fault::nowhere(format!("no variant matches `{glob}`"));
            faults.push(fault.hint(index.hint(glob)));
        } else if chosen.is_empty() && faults.is_empty() {
            let there: Vec<String> = found
                .iter()
                .map(|place| index.keys[*place].to_string())
                .collect();
            let fault = Fault::nowhere(format!(
                "no variant on the chosen machines matches `{glob}`"
            ));
            faults.push(fault.hint(format!(
                "it matches {}",
                suggest::list(there.iter().map(String::as_str))
            )));
        }
        for place in chosen {
            kept[place] = true;
        }
    }
    kept
}

fn not_a_glob(option: &str, glob: &str, why: &str) -> Fault {
    Fault::nowhere(format!("`{option} {glob}` is not a glob: {why}"))
        .hint("globs have `*`, `?`, `[a-z]` and `{a,b}`")
}
