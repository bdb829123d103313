//! Releases: which variants are published, and under which names. Knows nothing of publishing.

use std::collections::HashMap;

use super::assemble::Assembler;
use super::catalog::Catalog;
use super::collisions::Made;
use super::condition;
use super::document::Text;
use crate::model::faults::{Fault, Faults};
use crate::model::matrix::{Asset, Release};
use crate::model::select::{Index, VariantGlob};

/// Makes the releases that globs name, in their order. `complete` is false when variants are missing
/// because of faults; then nothing is said of globs that match nothing.
pub fn releases(
    globs: &[Text],
    version: &Text,
    made: &[Made],
    complete: bool,
    catalog: &Catalog,
    assembler: &mut Assembler<'_>,
    faults: &mut Faults,
) -> Vec<Release> {
    let index = Index::new(made.iter().map(|(variant, _)| &variant.key));
    let mut taken = vec![false; made.len()];
    let mut assets: HashMap<String, String> = HashMap::new();
    let mut releases = Vec::new();
    for text in globs {
        let places = match VariantGlob::new(&text.value) {
            Ok(glob) => index.find(&glob),
            Err(why) => {
                faults.push(condition::bad_glob(text, &why));
                continue;
            }
        };
        if places.is_empty() && complete {
            faults.push(
                Fault::at(
                    text.span.clone(),
                    format!("no variant matches `{}`", text.value),
                    "matches nothing",
                )
                .hint(index.hint(&text.value)),
            );
        }
        for place in places {
            if std::mem::replace(&mut taken[place], true) {
                continue;
            }
            let (variant, cell) = &made[place];
            let machine = &catalog.machines[cell.machine as usize];
            if machine.release.is_empty() {
                faults.push(
                    Fault::at(
                        text.span.clone(),
                        format!("`{}` is to be published, but its machine has no release files", variant.key),
                        "matches it",
                    )
                    .hint(format!(
                        "list their extensions in `[machines.{}]`, as `release = [\".wic\"]`, or narrow the glob",
                        machine.name.value
                    )),
                );
            }
            let mut release = Release {
                key: variant.key.clone(),
                assets: Vec::new(),
            };
            for file in &machine.release {
                let names = assembler.asset(&variant.key, cell, &file.extension, version);
                let Some((deploy_name, asset)) = names else {
                    continue;
                };
                if let Some(other) = assets.insert(asset.clone(), variant.key.to_string()) {
                    faults.push(
                        Fault::at(
                            text.span.clone(),
                            format!(
                                "`{}` and `{other}` would both publish `{asset}`",
                                variant.key
                            ),
                            "matches it",
                        )
                        .hint("add what they differ in to `naming.release_asset`"),
                    );
                }
                let product = variant.product_for(&deploy_name);
                release.assets.push(Asset {
                    unique_name: product.map(|product| product.unique_name.clone()),
                    deploy_name,
                    asset,
                    optional: file.optional,
                });
            }
            releases.push(release);
        }
    }
    releases
}
