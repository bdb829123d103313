//! Selection of variants by globs, of the command line or of `[release]`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::fault::{Fault, Faults};
use crate::base::pattern::Pattern;
use crate::base::suggest;
use crate::matrix::variant::{Matrix, Variant, VariantKey};

/// A glob over variants: `id` (on every machine) or `machine/id`.
#[derive(Debug, Clone)]
pub struct VariantGlob {
    machine: Option<Pattern>,
    id: Pattern,
}

impl VariantGlob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// Why the glob is invalid.
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

    /// Whether a variant matches.
    #[must_use]
    pub fn matches(&self, key: &VariantKey) -> bool {
        self.id.matches(&key.id)
            && self
                .machine
                .as_ref()
                .is_none_or(|machine| machine.matches(&key.machine))
    }
}

/// An index of variants, for lookups by glob.
#[derive(Debug)]
pub struct VariantIndex<'m> {
    keys: Vec<&'m VariantKey>,
    by_id: HashMap<&'m str, Vec<usize>>,
}

impl<'m> VariantIndex<'m> {
    /// An index of `keys`.
    pub fn new(keys: impl IntoIterator<Item = &'m VariantKey>) -> VariantIndex<'m> {
        let keys: Vec<&VariantKey> = keys.into_iter().collect();
        let mut by_id: HashMap<&str, Vec<usize>> = HashMap::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            by_id.entry(&key.id).or_default().push(index);
        }
        VariantIndex { keys, by_id }
    }

    /// The positions of the variants that match, in order.
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

    /// The hint for a glob that matches no variant.
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

/// The part of a matrix that `--variant` and `--machine` select; all of it if both are empty.
///
/// A variant is selected if one glob of `variants` (`id` or `machine/id`) matches it, and one of
/// `machines` matches its machine. Releases are reduced to the same variants. Order is kept.
///
/// # Errors
/// A fault for each glob that is invalid or matches nothing.
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

/// For each variant, whether a glob matches its machine.
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
                    let fault = Fault::nowhere(format!("no machine matches `{glob}`"));
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

/// For each variant, whether its machine is selected and a glob matches it.
fn named(
    matrix: &Matrix,
    globs: &[String],
    on_machines: &[bool],
    faults: &mut Faults,
) -> Vec<bool> {
    if globs.is_empty() {
        return on_machines.to_vec();
    }
    let index = VariantIndex::new(matrix.variants.iter().map(|variant| &variant.key));
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
            let elsewhere: Vec<String> = found
                .iter()
                .map(|place| index.keys[*place].to_string())
                .collect();
            let fault = Fault::nowhere(format!(
                "no variant on the selected machines matches `{glob}`"
            ));
            faults.push(fault.hint(format!(
                "it matches {}",
                suggest::list(elsewhere.iter().map(String::as_str))
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
        .hint("a glob can contain `*`, `?`, `[a-z]` and `{a,b}`")
}
