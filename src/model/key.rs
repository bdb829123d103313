//! The input key of a variant: one hash over everything that decides what a build of it gives.
//!
//! One walk over the inputs feeds two sinks, the hash and the lines that `explain` prints, so that what
//! is hashed and what is shown cannot drift. What is not in [`Inputs`] is not in the key: who ran it,
//! when, from which directory, on which terminal. Knows nothing of where the inputs come from.

mod age;
mod change;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::arch::Arch;
use super::matrix::{Artifact, VariantKey};
use super::store_path::hex;

pub use age::Unpinned;
pub use change::{Change, Unknown, changed_meanwhile, changes};

/// Raised when this tool begins to build, capture or check in another way: every key then differs.
pub const KEY_VERSION: u32 = 1;

/// What a line of the walk is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// This tool.
    Tool,
    /// The variant itself.
    Variant,
    /// The machine that builds.
    Host,
    /// A place in the chain of kas files.
    Chain,
    /// A kas file or lock file, the chain's or an included one.
    KasFile,
    /// A repository that the kas files name.
    Repository,
    /// A kas file included from another repository.
    Include,
    /// A layer of a local repository.
    Layer,
    /// A patch that a kas file names.
    Patch,
    /// A file or directory of the setting `inputs`.
    Input,
    /// A variable that reaches the build.
    Variable,
    /// A setting that reaches the build.
    Setting,
    /// What runs kas.
    Program,
    /// The container image.
    Image,
    /// What is made of the build.
    Artifact,
}

impl Class {
    /// What it is called in a sentence.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Class::Tool => "isar-build-all",
            Class::Variant => "variant",
            Class::Host => "host",
            Class::Chain => "chain",
            Class::KasFile => "kas file",
            Class::Repository => "repository",
            Class::Include => "include",
            Class::Layer => "layer",
            Class::Patch => "patch",
            Class::Input => "input",
            Class::Variable => "variable",
            Class::Setting => "setting",
            Class::Program => "program",
            Class::Image => "image",
            Class::Artifact => "artifact",
        }
    }
}

/// The container image, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// As kas-container is told, or chooses.
    pub name: String,
    /// What the name meant when the engine was asked last; unknown before the first build.
    pub digest: Option<String>,
}

/// What runs kas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// `kas-container` or `kas`.
    pub name: String,
    /// SHA-256 of the program, in hexadecimal; `absent` where there is none.
    pub content: String,
    /// Its version when it was asked last.
    pub version: Option<String>,
    /// The container; none where kas runs without one.
    pub image: Option<Image>,
}

/// Everything that decides what a build of a variant gives. Lists of pairs are a name and what stands
/// for the content: a hash, a pin, a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The variant.
    pub variant: VariantKey,
    /// What it is built for.
    pub arch: Arch,
    /// What builds it.
    pub host: Option<Arch>,
    /// The kas files in order, overlays included.
    pub chain: Vec<String>,
    /// Every kas file that is read, included ones and lock files too, with its hash.
    pub kas_files: Vec<(String, String)>,
    /// The repositories with their pins.
    pub repositories: Vec<(String, String)>,
    /// What is included from other repositories, with what pins it.
    pub includes: Vec<(String, String)>,
    /// The layers of local repositories, with the hash of their files.
    pub layers: Vec<(String, String)>,
    /// Patches of local repositories, with their hashes.
    pub patches: Vec<(String, String)>,
    /// What `inputs` names, with hashes.
    pub further: Vec<(String, String)>,
    /// The variables that reach the build.
    pub variables: Vec<(String, String)>,
    /// The settings that reach the build.
    pub settings: Vec<(String, String)>,
    /// What runs kas.
    pub program: Program,
    /// The artifacts.
    pub artifacts: Vec<Artifact>,
}

/// One line of the walk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line(pub Class, pub String, pub String);

/// Hands every line to `sink`, in an order that does not depend on that of the lists, the chain's
/// excepted.
fn walk(inputs: &Inputs, sink: &mut dyn FnMut(Class, &str, &str)) {
    sink(Class::Tool, "key version", &KEY_VERSION.to_string());
    sink(Class::Variant, "name", &inputs.variant.to_string());
    sink(Class::Variant, "architecture", inputs.arch.as_str());
    sink(
        Class::Host,
        "architecture",
        inputs.host.map_or("unknown", Arch::as_str),
    );
    for (place, file) in inputs.chain.iter().enumerate() {
        sink(Class::Chain, &format!("place {}", place + 1), file);
    }
    for (class, list) in [
        (Class::KasFile, &inputs.kas_files),
        (Class::Repository, &inputs.repositories),
        (Class::Include, &inputs.includes),
        (Class::Layer, &inputs.layers),
        (Class::Patch, &inputs.patches),
        (Class::Input, &inputs.further),
        (Class::Variable, &inputs.variables),
        (Class::Setting, &inputs.settings),
    ] {
        let mut sorted: Vec<&(String, String)> = list.iter().collect();
        sorted.sort();
        for (name, value) in sorted {
            sink(class, name, value);
        }
    }
    let program = &inputs.program;
    sink(Class::Program, &program.name, &program.content);
    if let Some(version) = &program.version {
        sink(Class::Program, "version", version);
    }
    if let Some(image) = &program.image {
        sink(Class::Image, "name", &image.name);
        if let Some(digest) = &image.digest {
            sink(Class::Image, "digest", digest);
        }
    }
    let mut artifacts: Vec<&Artifact> = inputs.artifacts.iter().collect();
    artifacts.sort_by(|one, other| one.unique_name.cmp(&other.unique_name));
    for artifact in artifacts {
        let mut value = format!(
            "{} {} as {:?}{}{}",
            artifact.kind,
            artifact.deploy_name,
            artifact.format,
            if artifact.optional { " optional" } else { "" },
            if artifact.unique { " unique" } else { "" },
        );
        for product in &artifact.products {
            value += &format!(" {}", product.method);
        }
        sink(Class::Artifact, &artifact.unique_name, &value);
    }
}

/// The key: SHA-256 in hexadecimal.
#[must_use]
pub fn digest(inputs: &Inputs) -> String {
    let mut hasher = Sha256::new();
    walk(inputs, &mut |class, name, value| {
        // Each part with its length, so that none can be taken for a part of its neighbour.
        for part in [class.noun(), name, value] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    });
    hex(&hasher.finalize())
}

/// What the key is made of, line by line.
#[must_use]
pub fn lines(inputs: &Inputs) -> Vec<Line> {
    let mut lines = Vec::new();
    walk(inputs, &mut |class, name, value| {
        lines.push(Line(class, name.to_owned(), value.to_owned()));
    });
    lines
}

#[cfg(test)]
mod tests;
