//! Assembly: a combination of axis values becomes a variant with its id, kas chain, artifacts and
//! attribute path.
//!
//! [`collisions`](crate::matrix::collisions) checks afterwards whether names of two variants are
//! equal; the `kas` room checks whether the kas files exist.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::arch::Arch;
use crate::base::fault::Faults;
use crate::inspect::format::Format;
use crate::matrix::catalog::Catalog;
use crate::matrix::conditions::{Condition, ConditionSubject};
use crate::matrix::document::{ChainEntry, Text};
use crate::matrix::expansion::Combination;
use crate::matrix::names::{NameKind, NameWriter};
use crate::matrix::naming::{NameTemplate, Naming};
use crate::matrix::variables::{AllowedVariables, VariableValues};
use crate::matrix::variant::{Artifact, Variant, VariantKey};
use crate::matrix::{expansion, naming};
use crate::store::product::DeclaredProduct;

/// A variant and the combination that it was assembled from.
#[derive(Debug)]
pub struct AssembledVariant {
    /// The variant.
    pub variant: Variant,
    /// Its machine and axis values, by number.
    pub combination: Combination,
}

/// A kas file that a chain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasFileUse {
    /// The file, relative to the directory of variants.toml.
    pub file: String,
    /// The span of the entry of `kas.chain`.
    pub span: Range<usize>,
    /// The first variant that uses the file, as [`expansion::describe`] prints it.
    pub variant: String,
}

/// The parts of kas chains.
#[derive(Debug, Clone, Copy)]
pub struct ChainSource<'a> {
    /// The entries of `kas.chain`.
    pub entries: &'a [ChainEntry],
    /// Overlays of the command line, appended to each chain.
    pub overlays: &'a [String],
    /// The architecture of the build host, if known.
    pub host: Option<Arch>,
}

/// A compiled entry of `kas.chain`.
struct ChainLink {
    file: NameTemplate,
    when: Condition,
}

/// Assembles variants, and collects the kas files that their chains name.
pub struct Assembler<'a> {
    catalog: &'a Catalog,
    naming: &'a Naming,
    names: NameWriter<'a>,
    chain: Vec<ChainLink>,
    /// For each machine and each of its artifacts: the artifact's own deploy name, if it declares
    /// one. The inner `None` is a template with faults.
    own_deploy_names: Vec<Vec<Option<Option<NameTemplate>>>>,
    overlays: &'a [String],
    host: Option<Arch>,
    kas_files: Vec<KasFileUse>,
    /// Whether the name of a kas file is valid, for each that was seen.
    kas_file_is_valid: HashMap<String, bool>,
}

impl<'a> Assembler<'a> {
    /// Compiles the chain and the deploy names. With `quiet`, unknown variables are not reported,
    /// because the axes or machines have faults themselves.
    pub fn new(
        catalog: &'a Catalog,
        naming: &'a Naming,
        source: &ChainSource<'a>,
        quiet: bool,
        faults: &mut Faults,
    ) -> Assembler<'a> {
        let mut chain = Vec::new();
        for entry in source.entries {
            let file = naming::compile(
                &entry.file,
                catalog,
                AllowedVariables::WITH_ID,
                quiet,
                faults,
            );
            if quiet {
                continue;
            }
            let before = faults.len();
            let when = Condition::new(&entry.when, catalog, true, faults);
            // With a faulty condition it is unknown which variants need the file.
            if faults.len() == before {
                chain.extend(file.map(|file| ChainLink { file, when }));
            }
        }
        let mut compile =
            |text: &Text| naming::compile(text, catalog, AllowedVariables::DEPLOY, quiet, faults);
        let own_deploy_names = catalog
            .machines
            .iter()
            .map(|machine| {
                let artifacts = machine.artifacts.iter();
                artifacts
                    .map(|artifact| artifact.deploy_name.as_ref().map(&mut compile))
                    .collect()
            })
            .collect();
        Assembler {
            catalog,
            naming,
            names: NameWriter::new(catalog),
            chain,
            own_deploy_names,
            overlays: source.overlays,
            host: source.host,
            kas_files: Vec::new(),
            kas_file_is_valid: HashMap::new(),
        }
    }

    /// The axes and machines.
    #[must_use]
    pub fn catalog(&self) -> &'a Catalog {
        self.catalog
    }

    /// Reports the faults of names and returns the kas files that the chains name.
    pub fn finish(self, faults: &mut Faults) -> Vec<KasFileUse> {
        self.names.report(faults);
        self.kas_files
    }

    /// Assembles one variant; `None` if it has no valid id.
    pub fn assemble(&mut self, combination: Combination) -> Option<AssembledVariant> {
        let variant = self.variant(&combination)?;
        Some(AssembledVariant {
            variant,
            combination,
        })
    }

    fn variant(&mut self, combination: &Combination) -> Option<Variant> {
        let catalog = self.catalog;
        let machine = &catalog.machines[combination.machine as usize];
        let mut values = VariableValues {
            catalog,
            machine: combination.machine,
            axes: &combination.axes,
            id: None,
            extension: None,
            kind: None,
            version: None,
        };
        let id = self.naming.id.as_ref().and_then(|template| {
            let owner = || expansion::describe(combination, catalog);
            self.names.write(NameKind::Id, template, &values, &owner)
        });
        values.id = id.as_deref();
        // Before the id is needed, so that the faults of kas files do not hide behind those of ids.
        let kas = self.kas_chain(combination, &values);
        let key = VariantKey {
            machine: machine.name.value.clone(),
            id: id.clone()?,
        };
        let artifacts = self.artifacts(&key, values);
        Some(Variant {
            key,
            // An unknown architecture was reported, so no matrix with this value leaves `parse`.
            arch: machine.arch.unwrap_or(Arch::Amd64),
            axes: catalog
                .axes
                .iter()
                .zip(&combination.axes)
                .filter_map(|(axis, value)| {
                    let value = &axis.values[(*value)? as usize];
                    Some((axis.name.clone(), value.name.value.clone()))
                })
                .collect(),
            kas,
            attr_path: self
                .naming
                .attr_path
                .iter()
                .flatten()
                .filter_map(|element| element.render(&values).ok())
                .filter(|element| !element.is_empty())
                .collect(),
            artifacts,
        })
    }

    fn kas_chain(&mut self, combination: &Combination, values: &VariableValues<'_>) -> Vec<String> {
        let catalog = self.catalog;
        let owner = || expansion::describe(combination, catalog);
        let subject = ConditionSubject {
            machine: combination.machine,
            axes: &combination.axes,
            host: self.host,
        };
        let mut files = Vec::with_capacity(self.chain.len() + self.overlays.len());
        for link in &self.chain {
            if !link.when.holds(catalog, subject) {
                continue;
            }
            let file = if values.id.is_some() {
                self.names
                    .render(NameKind::KasFile, &link.file, values, &owner)
            } else {
                // The missing id has a fault of its own; `{id}` in a file name would repeat it.
                link.file.render(values).ok()
            };
            let Some(file) = file else { continue };
            let is_valid = match self.kas_file_is_valid.get(&file) {
                Some(&is_valid) => is_valid,
                None => {
                    let is_valid = self
                        .names
                        .check(NameKind::KasFile, &file, &link.file, values);
                    self.kas_file_is_valid.insert(file.clone(), is_valid);
                    if is_valid {
                        self.kas_files.push(KasFileUse {
                            file: file.clone(),
                            span: link.file.text.span.clone(),
                            variant: owner(),
                        });
                    }
                    is_valid
                }
            };
            if is_valid {
                files.push(file);
            }
        }
        files.extend(self.overlays.iter().cloned());
        files
    }

    fn artifacts(&mut self, key: &VariantKey, values: VariableValues<'_>) -> Vec<Artifact> {
        let machine = &self.catalog.machines[values.machine as usize];
        let own_deploy_names = &self.own_deploy_names[values.machine as usize];
        let owner = || format!("`{key}`");
        let mut artifacts = Vec::with_capacity(machine.artifacts.len());
        for (artifact, own_deploy_name) in machine.artifacts.iter().zip(own_deploy_names) {
            let values = VariableValues {
                extension: Some(&artifact.extension),
                kind: Some(&artifact.kind),
                ..values
            };
            let deploy_template = match own_deploy_name {
                Some(own) => own.as_ref(),
                None => self.naming.deploy_name.as_ref(),
            };
            let mut write = |kind: NameKind, template: Option<&NameTemplate>| {
                self.names.write(kind, template?, &values, &owner)
            };
            let unique_name = write(NameKind::UniqueName, self.naming.unique_name.as_ref());
            let deploy_name = write(NameKind::DeployName, deploy_template);
            if let (Some(unique_name), Some(deploy_name)) = (unique_name, deploy_name) {
                artifacts.push(Artifact {
                    kind: artifact.kind.clone(),
                    products: artifact
                        .products
                        .iter()
                        .map(|&method| DeclaredProduct::of(&unique_name, method))
                        .collect(),
                    format: artifact
                        .format
                        .unwrap_or_else(|| Format::of_name(&deploy_name)),
                    unique_name,
                    deploy_name,
                    attr: artifact.attr.clone(),
                    optional: artifact.optional,
                    unique: artifact.unique,
                });
            }
        }
        artifacts
    }

    /// The names of a release file: in the deploy directory, and as published.
    pub fn asset(
        &mut self,
        assembled: &AssembledVariant,
        extension: &Text,
        version: &Text,
    ) -> Option<(String, String)> {
        let AssembledVariant {
            variant,
            combination,
        } = assembled;
        let values = VariableValues {
            catalog: self.catalog,
            machine: combination.machine,
            axes: &combination.axes,
            id: Some(&variant.key.id),
            extension: Some(extension),
            kind: None,
            version: Some(version),
        };
        let owner = || format!("`{}`", variant.key);
        let mut write = |kind: NameKind, template: Option<&NameTemplate>| {
            self.names.write(kind, template?, &values, &owner)
        };
        let deploy_name = write(NameKind::DeployName, self.naming.deploy_name.as_ref())?;
        let asset = write(NameKind::ReleaseAsset, self.naming.release_asset.as_ref())?;
        Some((deploy_name, asset))
    }
}
