//! That what was registered of a variant is there still: output entries, store, hashes file, and the
//! garbage collector's roots. Looks at each and, where nothing contradicts, reads none. Knows nothing of
//! why it was built.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::roots::Roots;
use crate::model::hashes::parse;
use crate::model::matrix::Variant;
use crate::model::store_path::hex;
use crate::settings::Settings;
use crate::state::records::keys::{KeyArtifact, KeyRecord, Made};
use crate::state::records::products::ProductRecord;
use crate::store::copy::{self, Stamp};
use crate::store::hashes_file::read_text;
use crate::store::hashing::Want;

/// What registrations are compared with, read once.
pub struct Proofs<'a> {
    settings: &'a Settings,
    /// Whether every file is read, instead of being looked at.
    verify: bool,
    /// The hashes file; none where it cannot be read.
    hashes: Option<BTreeMap<String, String>>,
    roots: BTreeMap<PathBuf, Roots>,
}

impl<'a> Proofs<'a> {
    /// Reads the hashes file.
    #[must_use]
    pub fn new(settings: &'a Settings, verify: bool) -> Proofs<'a> {
        let hashes = read_text(&settings.hashes_file.value)
            .ok()
            .and_then(|text| {
                let file = parse(&text).ok()?;
                let entries = file
                    .entries()
                    .map(|(name, hash)| (name.to_owned(), hex(&hash)));
                Some(entries.collect())
            });
        Proofs {
            settings,
            verify,
            hashes,
            roots: BTreeMap::new(),
        }
    }

    /// Compares what is there with what was registered. Returns what to record instead where a file has
    /// another state and the same content.
    ///
    /// # Errors
    /// The first thing that is not as it was, in words.
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
                return Err(format!("{name} was not declared when it was built"));
            };
            let entry = dir.join(name);
            match &mut known.made {
                // One that was made here stands for it.
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

    /// Compares what is there with what was made of the artifacts of `record`. Returns what to record
    /// instead where a file has another state and the same content.
    ///
    /// # Errors
    /// The first thing that is not as it was, in words.
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
                // What the build deployed was compared as such.
                if made(name).is_some() {
                    continue;
                }
                let method = product.method.to_string();
                let Some(known) = products.iter_mut().find(|one| one.unique_name == *name) else {
                    return Err(format!("{name} was not made"));
                };
                if known.method != method || known.of != of.sha256 {
                    return Err(format!("{name} was made of another file, or otherwise"));
                }
                let mut there = Made {
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

    /// An optional artifact that was not made must not be there by another way.
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
        made: &Made,
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
        let Some(state_dir) = store.strip_prefix("nix ") else {
            return Ok(());
        };
        let roots = self
            .roots
            .entry(PathBuf::from(state_dir))
            .or_insert_with_key(|dir| Roots::read(dir));
        if roots.has(entry) {
            Ok(())
        } else {
            Err(format!("{shown} is no root of Nix's garbage collector"))
        }
    }

    /// Whether the file in the store is what it was. One whose state is another is read; `true` then, if
    /// its content is the same. Devices are not compared: they change from mount to mount.
    fn is_whole(&self, name: &str, made: &mut Made) -> Result<bool, String> {
        let path = &made.store_path;
        let shown = path.display();
        let there = match path.symlink_metadata() {
            Ok(there) if there.is_file() => Stamp::of(&there),
            Ok(_) => return Err(format!("{shown} is no file")),
            Err(error) => return Err(format!("{shown} cannot be read: {error}")),
        };
        let same = made.stamp.is_of(&there);
        if same && !self.verify {
            return Ok(false);
        }
        let changed = || format!("{shown} ({name}) is not what was registered");
        if there.bytes != made.stamp.bytes {
            return Err(changed());
        }
        let hashed = copy::hash(path, Want::Flat, &|| false).map_err(|error| error.to_string())?;
        if hex(&hashed.sums.sha256) != made.sha256 {
            return Err(changed());
        }
        made.stamp = hashed.stamp;
        Ok(!same)
    }
}

fn unmade(name: &str) -> String {
    format!("{name} is there, and the last build did not make it")
}

#[cfg(test)]
mod tests;
