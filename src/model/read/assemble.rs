//! Assembly: a combination becomes a variant with its id, kas chain, artifacts and attribute path.
//! Knows nothing of whether names of different variants meet, or whether the kas files exist.

use std::collections::HashMap;
use std::ops::Range;

use super::catalog::Catalog;
use super::condition::{Condition, Subject};
use super::document::{ChainEntry, Text};
use super::expand::{self, Cell};
use super::naming::{self, Compiled, Naming};
use super::tally::Tally;
use super::variables::{Allowed, Values};
use crate::model::arch::Arch;
use crate::model::faults::{Fault, Faults};
use crate::model::format::Format;
use crate::model::matrix::{Artifact, Variant, VariantKey};
use crate::model::names;
use crate::model::product::Product;

/// A kas file that a chain names, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KasUse {
    /// The file, relative to the directory of variants.toml.
    pub file: String,
    /// The chain's entry.
    pub span: Range<usize>,
    /// The first variant that uses it, in words.
    pub variant: String,
}

struct Link {
    file: Compiled,
    when: Condition,
}

/// What variants are assembled from.
pub struct Assembler<'a> {
    catalog: &'a Catalog,
    naming: &'a Naming,
    chain: Vec<Link>,
    /// Parallel to the artifacts of each machine: a deploy name of its own, `None` where it has a
    /// fault.
    own_deploy_names: Vec<Vec<Option<Option<Compiled>>>>,
    overlays: &'a [String],
    host: Option<Arch>,
    tally: Tally,
    uses: Vec<KasUse>,
    use_by_file: HashMap<String, bool>,
}

impl<'a> Assembler<'a> {
    /// Compiles chain and deploy names.
    pub fn new(
        catalog: &'a Catalog,
        naming: &'a Naming,
        chain: &[ChainEntry],
        overlays: &'a [String],
        host: Option<Arch>,
        quiet: bool,
        faults: &mut Faults,
    ) -> Assembler<'a> {
        let mut links = Vec::new();
        for entry in chain {
            let file = naming::compile(&entry.file, catalog, Allowed::WITH_ID, quiet, faults);
            if quiet {
                continue;
            }
            let before = faults.len();
            let when = Condition::new(&entry.when, catalog, true, faults);
            // A file whose condition is unclear is not asked for.
            if faults.len() == before {
                links.extend(file.map(|file| Link { file, when }));
            }
        }
        let mut own = |text: &Text| naming::compile(text, catalog, Allowed::DEPLOY, quiet, faults);
        let own_deploy_names = catalog
            .machines
            .iter()
            .map(|machine| {
                machine
                    .artifacts
                    .iter()
                    .map(|artifact| artifact.deploy_name.as_ref().map(&mut own))
                    .collect()
            })
            .collect();
        Assembler {
            catalog,
            naming,
            chain: links,
            own_deploy_names,
            overlays,
            host,
            tally: Tally::default(),
            uses: Vec::new(),
            use_by_file: HashMap::new(),
        }
    }

    /// Ends the assembly: reports what was tallied and gives the kas files that the chains name.
    pub fn finish(self, faults: &mut Faults) -> Vec<KasUse> {
        self.tally.report(faults);
        self.uses
    }

    /// Assembles one variant; `None` when it has no valid id.
    pub fn variant(&mut self, cell: &Cell) -> Option<Variant> {
        let catalog = self.catalog;
        let machine = &catalog.machines[cell.machine as usize];
        let mut values = Values {
            catalog,
            machine: cell.machine,
            axes: &cell.axes,
            id: None,
            extension: None,
            kind: None,
            version: None,
        };
        let id = self.id(cell, &values);
        values.id = id.as_deref();
        let kas = self.kas(cell, &values);
        let key = VariantKey {
            machine: machine.name.value.clone(),
            id: id.clone()?,
        };
        let artifacts = self.artifacts(&key, values);
        Some(Variant {
            key,
            // Where the architecture is unknown that is a fault, and no matrix leaves this room.
            arch: machine.arch.unwrap_or(Arch::Amd64),
            axes: catalog
                .axes
                .iter()
                .zip(&cell.axes)
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
                .filter_map(|element| element.render_if_set(&values))
                .filter(|element| !element.is_empty())
                .collect(),
            artifacts,
        })
    }

    fn id(&mut self, cell: &Cell, values: &Values<'_>) -> Option<String> {
        let template = self.naming.id.as_ref()?;
        let whose = || expand::describe(cell, self.catalog);
        let id = template.render(
            values,
            &whose,
            "put it in an optional group, as `[-{}]`, or give the axis a value",
            &mut self.tally,
        )?;
        self.take(names::nix_name(&id), "id", &id, template, values)
            .then_some(id)
    }

    /// Notes a refused name; whether it was taken.
    fn take(
        &mut self,
        checked: Result<(), names::Refusal>,
        what: &'static str,
        name: &str,
        template: &Compiled,
        values: &Values<'_>,
    ) -> bool {
        let Err(refusal) = checked else { return true };
        // A machine whose own name is refused was reported once already.
        if !self.catalog.machines[values.machine as usize].well_named {
            return false;
        }
        let span = template.blame(&refusal, values);
        self.tally.add(span.start, what, || {
            Fault::at(
                span.clone(),
                format!("{what} `{name}` {}", refusal.why),
                "comes from here",
            )
            .hint(refusal.hint)
        });
        false
    }

    fn kas(&mut self, cell: &Cell, values: &Values<'_>) -> Vec<String> {
        let chain = std::mem::take(&mut self.chain);
        let subject = Subject {
            machine: cell.machine,
            axes: &cell.axes,
            host: self.host,
        };
        let mut files = Vec::with_capacity(chain.len() + self.overlays.len());
        for link in &chain {
            if !link.when.holds(self.catalog, subject) {
                continue;
            }
            let whose = || expand::describe(cell, self.catalog);
            // Without an id a file named after it is unset for a reason that was reported.
            let file = if values.id.is_some() {
                link.file.render(
                    values,
                    &whose,
                    "give the entry a `when` that leaves these variants out",
                    &mut self.tally,
                )
            } else {
                link.file.render_if_set(values)
            };
            let Some(file) = file else { continue };
            if self.is_usable(&file, link, cell, values) {
                files.push(file);
            }
        }
        self.chain = chain;
        files.extend(self.overlays.iter().cloned());
        files
    }

    fn is_usable(&mut self, file: &str, link: &Link, cell: &Cell, values: &Values<'_>) -> bool {
        if let Some(&usable) = self.use_by_file.get(file) {
            return usable;
        }
        let usable = self.take(names::kas_path(file), "kas file", file, &link.file, values);
        self.use_by_file.insert(file.to_owned(), usable);
        if usable {
            self.uses.push(KasUse {
                file: file.to_owned(),
                span: link.file.text.span.clone(),
                variant: expand::describe(cell, self.catalog),
            });
        }
        usable
    }

    fn artifacts(&mut self, key: &VariantKey, values: Values<'_>) -> Vec<Artifact> {
        let machine = &self.catalog.machines[values.machine as usize];
        let mut artifacts = Vec::with_capacity(machine.artifacts.len());
        for (index, artifact) in machine.artifacts.iter().enumerate() {
            let values = Values {
                extension: Some(&artifact.extension),
                kind: Some(&artifact.kind),
                ..values
            };
            let unique_name = self.file_name(
                self.naming.unique_name.as_ref(),
                "unique name",
                key,
                &values,
            );
            let own = std::mem::take(&mut self.own_deploy_names[values.machine as usize][index]);
            let template = match &own {
                Some(own) => own.as_ref(),
                None => self.naming.deploy_name.as_ref(),
            };
            let deploy_name = self.file_name(template, "deploy name", key, &values);
            self.own_deploy_names[values.machine as usize][index] = own;
            if let (Some(unique_name), Some(deploy_name)) = (unique_name, deploy_name) {
                artifacts.push(Artifact {
                    kind: artifact.kind.clone(),
                    products: artifact
                        .products
                        .iter()
                        .map(|&method| Product::of(&unique_name, method))
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

    /// Renders and checks the name of a file of a variant.
    fn file_name(
        &mut self,
        template: Option<&Compiled>,
        what: &'static str,
        key: &VariantKey,
        values: &Values<'_>,
    ) -> Option<String> {
        let template = template?;
        let name = template.render(
            values,
            &|| format!("`{key}`"),
            "put it in an optional group, as `[-{}]`, or name an alternative, as `{a|b}`",
            &mut self.tally,
        )?;
        let checked = if what == "unique name" {
            names::nix_name(&name)
        } else {
            names::file_name(&name)
        };
        self.take(checked, what, &name, template, values)
            .then_some(name)
    }

    /// The names of a file of a release: in the deploy directory and published.
    pub fn asset(
        &mut self,
        key: &VariantKey,
        cell: &Cell,
        extension: &Text,
        version: &Text,
    ) -> Option<(String, String)> {
        let values = Values {
            catalog: self.catalog,
            machine: cell.machine,
            axes: &cell.axes,
            id: Some(&key.id),
            extension: Some(extension),
            kind: None,
            version: Some(version),
        };
        let deploy = self.file_name(
            self.naming.deploy_name.as_ref(),
            "deploy name",
            key,
            &values,
        )?;
        let asset = self.file_name(
            self.naming.release_asset.as_ref(),
            "release asset",
            key,
            &values,
        )?;
        Some((deploy, asset))
    }
}
