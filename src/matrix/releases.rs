//! Releases: the variants that are published, and the names of their files.

use std::collections::HashMap;

use crate::base::fault::{Fault, Faults};
use crate::matrix::assembly::{AssembledVariant, Assembler};
use crate::matrix::conditions;
use crate::matrix::document::Text;
use crate::matrix::selection::{VariantGlob, VariantIndex};
use crate::matrix::variant::{Asset, Release};

/// `[release]` of a file.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseRequest<'a> {
    /// The globs of `variants`.
    pub globs: &'a [Text],
    /// The version.
    pub version: &'a Text,
    /// Whether a glob without a match is a fault; not so if variants are missing because of faults.
    pub report_unmatched: bool,
}

/// The releases of the variants that the globs name, in the order of the globs.
pub fn releases(
    request: &ReleaseRequest<'_>,
    variants: &[AssembledVariant],
    assembler: &mut Assembler<'_>,
    faults: &mut Faults,
) -> Vec<Release> {
    let lookup = VariantIndex::new(variants.iter().map(|one| &one.variant.key));
    let mut is_released = vec![false; variants.len()];
    let mut assets: HashMap<String, String> = HashMap::new();
    let mut releases = Vec::new();
    for text in request.globs {
        let matches = match VariantGlob::new(&text.value) {
            Ok(glob) => lookup.find(&glob),
            Err(why) => {
                faults.push(conditions::bad_glob(text, &why));
                continue;
            }
        };
        if matches.is_empty() && request.report_unmatched {
            faults.push(
                Fault::at(
                    text.span.clone(),
                    format!("no variant matches `{}`", text.value),
                    "matches nothing",
                )
                .hint(lookup.hint(&text.value)),
            );
        }
        for index in matches {
            if std::mem::replace(&mut is_released[index], true) {
                continue;
            }
            let assembled = &variants[index];
            let variant = &assembled.variant;
            let machine = assembled.combination.machine as usize;
            let machine = &assembler.catalog().machines[machine];
            if machine.release.is_empty() {
                faults.push(
                    Fault::at(
                        text.span.clone(),
                        format!("`{}` is in the release, but its machine has no release files", variant.key),
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
                let names = assembler.asset(assembled, &file.extension, request.version);
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
