//! Proof that a variant's registered files are still there: output entries, store paths, the hashes file and the
//! garbage collector's roots. A file is read only when its stamp differs from the recorded one.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::base::hex;
use crate::fs::stamp::Stamp;
use crate::hashes_file::file::read_text;
use crate::hashes_file::parse;
use crate::inputs::record::{KeyArtifact, KeyRecord, ProductRecord, RegisteredFile};
use crate::matrix::Variant;
use crate::settings::Settings;
use crate::store::backend::{Backend, GcRoots};
use crate::store::choice::backend;
use crate::store::copy;
use crate::store::hashing::Want;

/// The present state of hashes file and roots, read once and compared with the records of many variants.
pub struct Proofs<'a> {
    settings: &'a Settings,
    /// Whether every file is read, also with an unchanged stamp.
    verify: bool,
    /// The entries of the hashes file; `None` when it cannot be read.
    hashes: Option<BTreeMap<String, String>>,
    backends: &'a [&'static dyn Backend],
    /// The roots of each store, by its record; `None` where it has no garbage collector.
    roots: BTreeMap<String, Option<GcRoots>>,
}

impl<'a> Proofs<'a> {
    /// Reads the hashes file.
    #[must_use]
    pub fn new(
        settings: &'a Settings,
        backends: &'a [&'static dyn Backend],
        verify: bool,
    ) -> Proofs<'a> {
        let hashes = read_text(&settings.hashes_file.value)
            .ok()
            .and_then(|text| {
                let file = parse(&text).ok()?;
                let entries = file
                    .entries()
                    .map(|(name, hash)| (name.to_owned(), hex::encode(&hash)));
                Some(entries.collect())
            });
        Proofs {
            settings,
            verify,
            hashes,
            backends,
            roots: BTreeMap::new(),
        }
    }

    /// Checks the registered artifacts. Returns them with new stamps when a file has another stamp and the same
    /// content.
    ///
    /// # Errors
    /// The first difference, as a sentence.
    pub fn check(
        &mut self,
        variant: &Variant,
        record: &KeyRecord,
    ) -> Result<Option<Vec<KeyArtifact>>, String> {
        let dir = self.settings.output_dir.value.join(&variant.key.machine);
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let mut artifacts = record.artifacts.clone();
        let mut moved = false;
        for declared in &variant.artifacts {
            let name = &declared.unique_name;
            let known = artifacts.iter_mut().find(|one| one.unique_name == *name);
            let Some(known) = known else {
                return Err(format!("{name} was not declared at the last build"));
            };
            let entry = dir.join(name);
            match &mut known.made {
                // A product of the same name stands in for an artifact that the build did not deploy.
                None if variant
                    .products()
                    .any(|product| product.unique_name == *name) =>
                {
                    self.is_unnamed(name)?;
                }
                None => self.is_absent(&entry, name)?,
                Some(made) => {
                    self.is_entry(&entry, name, made, &record.store)?;
                    moved |= self.is_whole(name, made)?;
                }
            }
        }
        Ok(moved.then_some(artifacts))
    }

    fn hash_of(&self, name: &str) -> Result<Option<&String>, String> {
        match &self.hashes {
            Some(hashes) => Ok(hashes.get(name)),
            None => Err(format!(
                "{} cannot be read",
                self.settings.hashes_file.value.display()
            )),
        }
    }

    /// Checks the products of the artifacts of `record`. Returns them with new stamps when a file has another stamp
    /// and the same content.
    ///
    /// # Errors
    /// The first difference, as a sentence.
    pub fn check_products(
        &self,
        variant: &Variant,
        record: &KeyRecord,
        known: &[ProductRecord],
    ) -> Result<Option<Vec<ProductRecord>>, String> {
        let dir = self.settings.output_dir.value.join(&variant.key.machine);
        let made = |name: &str| {
            let mut artifacts = record.artifacts.iter();
            artifacts
                .find(|one| one.unique_name == *name)
                .and_then(|one| one.made.as_ref())
        };
        let mut products = known.to_vec();
        let mut moved = false;
        for artifact in &variant.artifacts {
            let Some(of) = made(&artifact.unique_name) else {
                continue;
            };
            for product in &artifact.products {
                let name = &product.unique_name;
                // A file of this name that the build deployed is an artifact, checked above.
                if made(name).is_some() {
                    continue;
                }
                let method = product.method.to_string();
                let Some(known) = products.iter_mut().find(|one| one.unique_name == *name) else {
                    return Err(format!("{name} was not made"));
                };
                if known.method != method || known.of != of.sha256 {
                    return Err(format!(
                        "{name} was made of another file, or with another method"
                    ));
                }
                let mut there = RegisteredFile {
                    sha256: known.sha256.clone(),
                    store_path: dir.join(name),
                    stamp: known.stamp,
                };
                moved |= self.is_whole(name, &mut there)?;
                known.stamp = there.stamp;
            }
        }
        Ok(moved.then_some(products))
    }

    /// Checks that an optional artifact that the last build did not deploy has neither entry nor hash.
    fn is_absent(&self, entry: &Path, name: &str) -> Result<(), String> {
        self.is_unnamed(name)?;
        if entry.symlink_metadata().is_ok() {
            return Err(unmade(name));
        }
        Ok(())
    }

    fn is_unnamed(&self, name: &str) -> Result<(), String> {
        match self.hash_of(name)? {
            Some(_) => Err(unmade(name)),
            None => Ok(()),
        }
    }

    fn is_entry(
        &mut self,
        entry: &Path,
        name: &str,
        made: &RegisteredFile,
        store: &str,
    ) -> Result<(), String> {
        match self.hash_of(name)? {
            None => return Err(format!("the hashes file has no entry for {name}")),
            Some(hash) if *hash != made.sha256 => {
                return Err(format!("the hashes file has another hash for {name}"));
            }
            Some(_) => {}
        }
        let shown = entry.display();
        match fs::read_link(entry) {
            Ok(target) if target == made.store_path => {}
            Ok(target) => return Err(format!("{shown} points to {}", target.display())),
            Err(_) if entry.symlink_metadata().is_ok() => {
                return Err(format!("{shown} is no longer a link into the store"));
            }
            Err(_) => return Err(format!("{shown} is gone")),
        }
        if !self.roots.contains_key(store) {
            let kind = store.split(' ').next().unwrap_or_default();
            let Some(backend) = backend(self.backends, kind) else {
                return Err(format!("{shown} is in an unknown kind of store: {store}"));
            };
            self.roots.insert(store.to_owned(), backend.roots(store));
        }
        match self.roots.get(store).and_then(Option::as_ref) {
            Some(roots) if !roots.links.contains(entry) => {
                Err(format!("{shown} is not a root of {}", roots.collector))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the file in the store has the registered content, and reads it if its stamp differs. Returns
    /// whether the stamp was replaced. Devices are not compared: they change from mount to mount.
    fn is_whole(&self, name: &str, made: &mut RegisteredFile) -> Result<bool, String> {
        let path = &made.store_path;
        let shown = path.display();
        let there = match path.symlink_metadata() {
            Ok(there) if there.is_file() => Stamp::of(&there),
            Ok(_) => return Err(format!("{shown} is not a file")),
            Err(error) => return Err(format!("{shown} cannot be read: {error}")),
        };
        let same = made.stamp.is_of(&there);
        if same && !self.verify {
            return Ok(false);
        }
        let changed = || format!("{shown} ({name}) differs from the registered file");
        if there.bytes != made.stamp.bytes {
            return Err(changed());
        }
        let hashed = copy::hash(path, Want::Flat, &|| false).map_err(|error| error.to_string())?;
        if hex::encode(&hashed.sums.sha256) != made.sha256 {
            return Err(changed());
        }
        made.stamp = hashed.stamp;
        Ok(!same)
    }
}

fn unmade(name: &str) -> String {
    format!("{name} exists, and the last build did not make it")
}
