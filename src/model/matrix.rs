//! The checked matrix: what to build, under which names. A value of these types is correct;
//! nothing downstream validates again.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::arch::Arch;
use super::format::Format;
use super::product::Product;

/// What names a variant: the machine and an id that is unique on that machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantKey {
    /// The machine, as in `[machines.<name>]`.
    pub machine: String,
    /// The id that `naming.id` yields; several machines may share it.
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

/// One file that a build deploys and that gets a name and a hash of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// The artifact type, as in `[artifacts.<type>]`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name that no other artifact of the matrix has; valid as a Nix store name.
    pub unique_name: String,
    /// The file name in ISAR's deploy directory, which variants may share.
    pub deploy_name: String,
    /// The attribute under the variant's `attr_path` in Nix.
    #[serde(skip)]
    pub attr: String,
    /// A missing optional artifact is said; a missing required one fails its variant.
    pub optional: bool,
    /// Whether no other variant may have a file of the same content.
    #[serde(skip)]
    pub unique: bool,
    /// What the file has to be: as declared, else as its deploy name says.
    #[serde(skip)]
    pub format: Format,
    /// What is made of it here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Product>,
}

/// One image to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Machine and id.
    pub key: VariantKey,
    /// The machine's architecture.
    pub arch: Arch,
    /// Axis and value, for the axes that are set, in the order of `[axes]`.
    pub axes: Vec<(String, String)>,
    /// The kas files in order, relative to the directory of variants.toml, overlays included.
    pub kas: Vec<String>,
    /// The path of this variant's attribute set in Nix.
    pub attr_path: Vec<String>,
    /// The artifacts in the machine's order.
    pub artifacts: Vec<Artifact>,
}

impl Variant {
    /// The chain as kas takes it: `a.yml:b.yml`.
    #[must_use]
    pub fn kas_chain(&self) -> String {
        self.kas.join(":")
    }

    /// The value of an axis, where it is set.
    #[must_use]
    pub fn axis(&self, name: &str) -> Option<&str> {
        self.axes
            .iter()
            .find(|(axis, _)| axis == name)
            .map(|(_, value)| value.as_str())
    }

    /// All that is made here of its artifacts.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.artifacts
            .iter()
            .flat_map(|artifact| &artifact.products)
    }

    /// What is made here that a build could have deployed under this name.
    #[must_use]
    pub fn product_for(&self, deploy_name: &str) -> Option<&Product> {
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
    /// The name under which it is published.
    pub asset: String,
    /// Whether a release is complete without it.
    pub optional: bool,
    /// The output entry that it is, where it is made here and not deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_name: Option<String>,
}

/// A variant that is published, and its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The variant.
    pub key: VariantKey,
    /// The files, in the machine's order.
    pub assets: Vec<Asset>,
}

/// Every variant that is to be built, in the order of variants.toml after expansion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    /// The names of the axes, in the order of `[axes]`.
    pub axes: Vec<String>,
    /// The variants; never empty. Plans share them.
    pub variants: Arc<Vec<Variant>>,
    /// The releases, in the order of `[release].variants`.
    pub releases: Vec<Release>,
}
