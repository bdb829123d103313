//! Affinity: which variants share state. Those of one machine and distribution make the same base root file system
//! and packages on their way to an image, and share them through the shared-state cache. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::base::hex;
use crate::kas::tree::KasTree;
use crate::matrix::Variant;

/// The state that a group of variants shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedState {
    /// For people: `machine, distribution`, or the machine alone where no kas file names a distribution.
    pub name: String,
    /// A digest of the machine, the distribution and the kas files that all variants of the group use: when it
    /// changes, the cache may no longer hold what they need. 16 hexadecimal digits.
    pub digest: String,
}

/// The shared states of a matrix.
#[derive(Debug, Clone, Default)]
pub struct Affinity {
    /// By machine, then by distribution.
    groups: HashMap<String, HashMap<String, Arc<SharedState>>>,
    /// The distribution that each file of a chain sets, with its includes.
    distros: HashMap<String, Option<String>>,
}

impl Affinity {
    /// The shared states of all variants of a matrix, selected or not: a selection does not change the cache.
    #[must_use]
    pub fn of(all: &[Variant], kas: &KasTree) -> Affinity {
        let mut members: Vec<(&Variant, &str, usize)> = Vec::new();
        let mut uses: Vec<HashMap<&str, usize>> = Vec::new();
        let mut by_key: HashMap<(&str, &str), usize> = HashMap::new();
        let mut distros: HashMap<&str, Option<&str>> = HashMap::new();
        for variant in all {
            let distro = distro(variant, |file| {
                *distros
                    .entry(file)
                    .or_insert_with(|| distro_of_file(file, kas))
            });
            let distro = distro.unwrap_or_default();
            let key = (variant.key.machine.as_str(), distro);
            let group = *by_key.entry(key).or_insert_with(|| {
                members.push((variant, distro, 0));
                uses.push(HashMap::new());
                members.len() - 1
            });
            members[group].2 += 1;
            for file in &variant.kas {
                *uses[group].entry(file).or_default() += 1;
            }
        }
        let mut groups: HashMap<String, HashMap<String, Arc<SharedState>>> = HashMap::new();
        for ((first, distro, count), uses) in members.into_iter().zip(&uses) {
            let shared = Arc::new(shared_state(first, distro, count, uses, kas));
            let machine = groups.entry(first.key.machine.clone()).or_default();
            machine.insert(distro.to_owned(), shared);
        }
        let own = |text: &str| text.to_owned();
        let distros = distros
            .into_iter()
            .map(|(file, distro)| (own(file), distro.map(own)))
            .collect();
        Affinity { groups, distros }
    }

    /// The state that a variant shares with others.
    #[must_use]
    pub fn shared(&self, variant: &Variant) -> Option<&Arc<SharedState>> {
        let distro = distro(variant, |file| self.distros.get(file)?.as_deref());
        let of_machine = self.groups.get(&variant.key.machine)?;
        of_machine.get(distro.unwrap_or_default())
    }
}

fn shared_state(
    first: &Variant,
    distro: &str,
    count: usize,
    uses: &HashMap<&str, usize>,
    kas: &KasTree,
) -> SharedState {
    let machine = &first.key.machine;
    let mut hash = Sha256::new();
    for word in [machine, distro] {
        hash.update(word);
        hash.update([0]);
    }
    let common: Vec<String> = first
        .kas
        .iter()
        .filter(|file| uses.get(file.as_str()) == Some(&count))
        .cloned()
        .collect();
    for file in kas.closure(&common) {
        let text = kas.sources.get(&file).map_or("", String::as_str);
        hash.update(Sha256::digest(text));
    }
    SharedState {
        name: match distro {
            "" => machine.clone(),
            _ => format!("{machine}, {distro}"),
        },
        digest: hex::encode(&hash.finalize())[..16].to_owned(),
    }
}

/// The distribution that a chain of kas files sets: the last file that sets one wins, and a file wins over its
/// includes.
fn distro<'v, 't>(
    variant: &'v Variant,
    of_file: impl FnMut(&'v str) -> Option<&'t str>,
) -> Option<&'t str> {
    let files = variant.kas.iter().map(String::as_str);
    files.rev().find_map(of_file)
}

/// The distribution that a file or its includes set.
fn distro_of_file<'t>(file: &str, kas: &'t KasTree) -> Option<&'t str> {
    kas.merged(file, |file| top_level(kas.sources.get(file)?, "distro"))
}

/// The value of a top-level YAML key, where it is one word on the key's line.
fn top_level<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        let value = value.split(" #").next().unwrap_or_default().trim();
        let value = value.trim_matches(['"', '\'']);
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::arch::Arch;
    use crate::matrix::VariantKey;

    fn variant(machine: &str, id: &str, kas: &[&str]) -> Variant {
        Variant {
            key: VariantKey {
                machine: machine.into(),
                id: id.into(),
            },
            arch: Arch::Amd64,
            axes: Vec::new(),
            kas: kas.iter().map(|&file| file.to_owned()).collect(),
            attr_path: Vec::new(),
            artifacts: Vec::new(),
        }
    }

    fn tree(files: &[(&str, &str)]) -> KasTree {
        KasTree {
            sources: files
                .iter()
                .map(|&(name, text)| (name.to_owned(), text.to_owned()))
                .collect(),
            includes: [("base.yml".to_owned(), vec!["isar.yml".to_owned()])].into(),
            ..KasTree::default()
        }
    }

    const FILES: [(&str, &str); 5] = [
        ("isar.yml", "repos:\n  isar:\ndistro: debian-bookworm\n"),
        ("base.yml", "header:\n  version: 14\n"),
        (
            "trixie.yml",
            "header:\n  version: 14\ndistro: \"debian-trixie\" # newer\n",
        ),
        ("one.yml", "a: 1\n"),
        ("two.yml", "a: 2\n"),
    ];

    fn all() -> [Variant; 4] {
        [
            variant("m", "one", &["base.yml", "one.yml"]),
            variant("m", "two", &["base.yml", "two.yml"]),
            variant("n", "one", &["base.yml", "one.yml"]),
            variant("m", "trixie", &["base.yml", "trixie.yml"]),
        ]
    }

    #[test]
    fn variants_of_one_machine_and_distribution_share_state() {
        let (all, kas) = (all(), tree(&FILES));
        let affinity = Affinity::of(&all, &kas);
        let names = all
            .each_ref()
            .map(|variant| affinity.shared(variant).unwrap().name.as_str());
        assert_eq!(
            names,
            [
                "m, debian-bookworm",
                "m, debian-bookworm",
                "n, debian-bookworm",
                "m, debian-trixie"
            ]
        );
        let digest = |variant| &affinity.shared(variant).unwrap().digest;
        assert_eq!(digest(&all[0]), digest(&all[1]));
        assert_ne!(digest(&all[0]), digest(&all[2]));
        assert_ne!(digest(&all[0]), digest(&all[3]));
    }

    #[test]
    fn only_a_file_that_all_variants_use_changes_the_digest() {
        let all = all();
        let digest = |change: &str| {
            let mut files = FILES;
            for file in &mut files {
                if file.0 == change {
                    file.1 = "distro: debian-bookworm\nchanged: 1\n";
                }
            }
            let kas = tree(&files);
            Affinity::of(&all, &kas)
                .shared(&all[0])
                .unwrap()
                .digest
                .clone()
        };
        assert_eq!(digest("none"), digest("one.yml"));
        assert_ne!(digest("none"), digest("base.yml"));
        assert_ne!(
            digest("none"),
            digest("isar.yml"),
            "an included file counts"
        );
    }
}
