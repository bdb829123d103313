//! The records of complete builds that skip decisions read. Plain data, without a database.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fs::stamp::Stamp;
use crate::inputs::key::{KeyLine, Unpinned};
use crate::matrix::VariantKey;

/// A file in the store, as it was when it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredFile {
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its path in the store.
    pub store_path: PathBuf,
    /// The stamp of the file at that path.
    pub stamp: Stamp,
}

/// A declared artifact of a complete build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyArtifact {
    /// Its unique name.
    pub unique_name: String,
    /// The registered file; `None` for an optional artifact that the build did not deploy.
    pub made: Option<RegisteredFile>,
}

/// The input key of a variant's last complete build, and what that build registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The input key.
    pub key: String,
    /// The inputs that nothing pins.
    pub unpinned: Vec<Unpinned>,
    /// Every declared artifact.
    pub artifacts: Vec<KeyArtifact>,
    /// The store, as [`OpenStore::record`](crate::store::OpenStore::record) says it.
    pub store: String,
    /// The id of the run.
    pub run: String,
    /// Start of the build.
    pub started: Timestamp,
}

impl KeyRecord {
    /// The name of its store's backend.
    #[must_use]
    pub fn store_kind(&self) -> &str {
        self.store.split(' ').next().unwrap_or_default()
    }
}

/// The versions that kas-container (or kas) and the engine reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsRecord {
    /// The version of kas-container, or of kas.
    pub version: Option<String>,
    /// The digest of the container image.
    pub digest: Option<String>,
    /// Time of the report.
    pub asked: Timestamp,
}

/// A file in the output directory that was made of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRecord {
    /// Its unique name.
    pub unique_name: String,
    /// The method, as variants.toml spells it.
    pub method: String,
    /// SHA-256 of the artifact that it was made of, in hexadecimal.
    pub of: String,
    /// Its own SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its stamp.
    pub stamp: Stamp,
}

/// Loads the lines of a variant's recorded key; `None` where there are none.
pub type LoadKeyLines<'a> = Box<dyn Fn(&VariantKey) -> Option<Vec<KeyLine>> + 'a>;

/// Everything recorded that a skip decision reads.
pub struct DecisionRecords<'a> {
    /// The last complete build of each variant.
    pub keys: BTreeMap<VariantKey, KeyRecord>,
    /// Why the last build of a variant left no key, as the end of a sentence.
    pub doubts: BTreeMap<VariantKey, String>,
    /// The products of each variant.
    pub products: BTreeMap<VariantKey, Vec<ProductRecord>>,
    /// The last report of the tools.
    pub tools: Option<ToolsRecord>,
    /// Loads key lines on demand: they are large, and only a variant that changed needs them.
    pub key_lines: LoadKeyLines<'a>,
}

/// Files that were found with another stamp and the recorded content; the caller records the new stamps.
/// Without them, the next decision reads these files once more.
#[derive(Debug, Default)]
pub struct RefreshedStamps {
    /// All artifacts of each such variant.
    pub artifacts: Vec<(VariantKey, Vec<KeyArtifact>)>,
    /// All products of each such variant.
    pub products: Vec<(VariantKey, Vec<ProductRecord>)>,
}
