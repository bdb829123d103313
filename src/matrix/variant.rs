//! The checked types: variants, their artifacts, releases, and the matrix that holds them.
//!
//! A value of these types is correct; no other room validates it again.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::arch::Arch;
use crate::inspect::format::Format;
use crate::store::product::DeclaredProduct;

/// The name of a variant: its machine, and an id that is unique on that machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantKey {
    /// The machine, as in `[machines.<name>]`.
    pub machine: String,
    /// The id, rendered from `naming.id`; variants of several machines can have the same one.
    pub id: String,
}

impl fmt::Display for VariantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_some() || f.precision().is_some() {
            return f.pad(&format!("{}/{}", self.machine, self.id));
        }
        f.write_str(&self.machine)?;
        f.write_char('/')?;
        f.write_str(&self.id)
    }
}

impl Serialize for VariantKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VariantKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VariantKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (machine, id) = text
            .split_once('/')
            .ok_or_else(|| serde::de::Error::custom("a variant is `machine/id`"))?;
        Ok(VariantKey {
            machine: machine.to_owned(),
            id: id.to_owned(),
        })
    }
}

/// One file that a build deploys, which is registered with a name and a hash of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// The artifact type, as in `[artifacts.<type>]`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name, unique in the matrix; a valid name in the Nix store.
    pub unique_name: String,
    /// The file name in ISAR's deploy directory; variants can have the same one.
    pub deploy_name: String,
    /// The name of the attribute in Nix, below `attr_path` of the variant.
    #[serde(skip)]
    pub attr: String,
    /// Whether the build is complete without it; a missing required artifact fails the variant.
    pub optional: bool,
    /// Whether no other variant may have a file with the same content.
    #[serde(skip)]
    pub unique: bool,
    /// The format that the file must have: as declared, else by the end of its deploy name.
    #[serde(skip)]
    pub format: Format,
    /// The products that are made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<DeclaredProduct>,
}

/// One image to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The machine and the id.
    pub key: VariantKey,
    /// The architecture of the machine.
    pub arch: Arch,
    /// Pairs of axis and value, for the axes that are set, in the order of `[axes]`.
    pub axes: Vec<(String, String)>,
    /// The kas files, in order, relative to the directory of variants.toml; overlays included.
    pub kas: Vec<String>,
    /// The path of the attribute set of the variant in Nix.
    pub attr_path: Vec<String>,
    /// The artifacts, in the order of the machine.
    pub artifacts: Vec<Artifact>,
}

impl Variant {
    /// The kas chain as an argument of kas: `a.yml:b.yml`.
    #[must_use]
    pub fn kas_chain(&self) -> String {
        self.kas.join(":")
    }

    /// The value of an axis, if it is set.
    #[must_use]
    pub fn axis(&self, name: &str) -> Option<&str> {
        self.axes
            .iter()
            .find(|(axis, _)| axis == name)
            .map(|(_, value)| value.as_str())
    }

    /// The products of all artifacts.
    pub fn products(&self) -> impl Iterator<Item = &DeclaredProduct> {
        self.artifacts
            .iter()
            .flat_map(|artifact| &artifact.products)
    }

    /// The product that corresponds to a file of this name in the deploy directory, if any.
    #[must_use]
    pub fn product_for(&self, deploy_name: &str) -> Option<&DeclaredProduct> {
        self.artifacts.iter().find_map(|artifact| {
            let ending = deploy_name.strip_prefix(&artifact.deploy_name)?;
            let mut products = artifact.products.iter();
            products.find(|product| product.method.suffix() == ending)
        })
    }
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// The file name in ISAR's deploy directory.
    pub deploy_name: String,
    /// The name under which the file is published.
    pub asset: String,
    /// Whether a release is complete without it.
    pub optional: bool,
    /// The name of its output entry, if it is a product; `None`: the build deploys the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_name: Option<String>,
}

/// A variant that is published, with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The variant.
    pub key: VariantKey,
    /// The files, in the order of the machine.
    pub assets: Vec<Asset>,
}

/// All variants, in the order of variants.toml after expansion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    /// The names of the axes, in the order of `[axes]`.
    pub axes: Vec<String>,
    /// The variants, never empty; shared, because plans refer to them too.
    pub variants: Arc<Vec<Variant>>,
    /// The releases, in the order of `[release].variants`.
    pub releases: Vec<Release>,
}
