//! The input key of a variant: one hash over everything that decides the result of its build.
//!
//! One walk over the inputs feeds both the hash and the lines that `explain` prints, so what is hashed and what is
//! shown cannot drift apart. Only [`Inputs`] counts: the user, the time, the current directory and the terminal do
//! not. [`crate::inputs::gather`] fills in the inputs.

pub mod change;
#[cfg(test)]
mod tests;
pub mod unpinned;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::arch::Arch;
use crate::base::hex;
use crate::matrix::{Artifact, VariantKey};

pub use crate::inputs::key::change::{InputChange, UnknownInputs, changed_meanwhile, changes};
pub use crate::inputs::key::unpinned::Unpinned;

/// Version of the key. Increment it when this tool builds, captures or checks differently: every key then differs.
pub const KEY_VERSION: u32 = 1;

/// The class of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputClass {
    /// isar-build-all.
    Tool,
    /// The variant itself.
    Variant,
    /// The machine that builds.
    Host,
    /// A position in the chain of kas files.
    Chain,
    /// A kas file or lock file, of the chain or included.
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
    /// kas-container or kas.
    Program,
    /// The container image.
    Image,
    /// A declared artifact and its products.
    Artifact,
}

impl InputClass {
    /// The noun for it in a message.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            InputClass::Tool => "isar-build-all",
            InputClass::Variant => "variant",
            InputClass::Host => "host",
            InputClass::Chain => "chain",
            InputClass::KasFile => "kas file",
            InputClass::Repository => "repository",
            InputClass::Include => "include",
            InputClass::Layer => "layer",
            InputClass::Patch => "patch",
            InputClass::Input => "input",
            InputClass::Variable => "variable",
            InputClass::Setting => "setting",
            InputClass::Program => "program",
            InputClass::Image => "image",
            InputClass::Artifact => "artifact",
        }
    }
}

/// The container image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerImage {
    /// The name that kas-container is given, or chooses.
    pub name: String,
    /// The digest that the engine last reported for the name; `None` before the first build.
    pub digest: Option<String>,
}

/// The program that runs kas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KasProgram {
    /// `kas-container` or `kas`.
    pub name: String,
    /// SHA-256 of the program file, in hexadecimal; `absent` without one.
    pub content: String,
    /// The version that it last reported.
    pub version: Option<String>,
    /// The container image; `None` when kas runs without a container.
    pub image: Option<ContainerImage>,
}

/// Everything that decides the result of a variant's build. Pairs are a name and a value that stands for the
/// content: a hash, a pin, a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The variant.
    pub variant: VariantKey,
    /// The target architecture.
    pub arch: Arch,
    /// The architecture of the building host; `None` if this tool does not support it.
    pub host: Option<Arch>,
    /// The kas files in order, overlays included.
    pub chain: Vec<String>,
    /// Every kas file that is read, with its hash: the chain, included files, lock files.
    pub kas_files: Vec<(String, String)>,
    /// The repositories with their pins.
    pub repositories: Vec<(String, String)>,
    /// Kas files included from other repositories, with their pins.
    pub includes: Vec<(String, String)>,
    /// The layers of local repositories, with their tree hashes.
    pub layers: Vec<(String, String)>,
    /// Patches of local repositories, with their hashes.
    pub patches: Vec<(String, String)>,
    /// Files and directories of the setting `inputs`, with their hashes.
    pub further: Vec<(String, String)>,
    /// The variables that reach the build.
    pub variables: Vec<(String, String)>,
    /// The settings that reach the build.
    pub settings: Vec<(String, String)>,
    /// The program that runs kas.
    pub program: KasProgram,
    /// The artifacts.
    pub artifacts: Vec<Artifact>,
}

/// One line of the walk: class, name, value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyLine(pub InputClass, pub String, pub String);

/// Passes every line to `sink`. The order of the chain counts; other lists are sorted.
fn walk(inputs: &Inputs, sink: &mut dyn FnMut(InputClass, &str, &str)) {
    sink(InputClass::Tool, "key version", &KEY_VERSION.to_string());
    sink(InputClass::Variant, "name", &inputs.variant.to_string());
    sink(InputClass::Variant, "architecture", inputs.arch.as_str());
    sink(
        InputClass::Host,
        "architecture",
        inputs.host.map_or("unknown", Arch::as_str),
    );
    for (place, file) in inputs.chain.iter().enumerate() {
        sink(InputClass::Chain, &format!("place {}", place + 1), file);
    }
    for (class, list) in [
        (InputClass::KasFile, &inputs.kas_files),
        (InputClass::Repository, &inputs.repositories),
        (InputClass::Include, &inputs.includes),
        (InputClass::Layer, &inputs.layers),
        (InputClass::Patch, &inputs.patches),
        (InputClass::Input, &inputs.further),
        (InputClass::Variable, &inputs.variables),
        (InputClass::Setting, &inputs.settings),
    ] {
        let mut sorted: Vec<&(String, String)> = list.iter().collect();
        sorted.sort();
        for (name, value) in sorted {
            sink(class, name, value);
        }
    }
    let program = &inputs.program;
    sink(InputClass::Program, &program.name, &program.content);
    if let Some(version) = &program.version {
        sink(InputClass::Program, "version", version);
    }
    if let Some(image) = &program.image {
        sink(InputClass::Image, "name", &image.name);
        if let Some(digest) = &image.digest {
            sink(InputClass::Image, "digest", digest);
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
        sink(InputClass::Artifact, &artifact.unique_name, &value);
    }
}

/// The key: SHA-256 in hexadecimal.
#[must_use]
pub fn digest(inputs: &Inputs) -> String {
    let mut hasher = Sha256::new();
    walk(inputs, &mut |class, name, value| {
        // Each part is prefixed with its length, so that no two different lines hash alike.
        for part in [class.noun(), name, value] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    });
    hex::encode(&hasher.finalize())
}

/// The lines that the key is the hash of.
#[must_use]
pub fn lines(inputs: &Inputs) -> Vec<KeyLine> {
    let mut lines = Vec::new();
    walk(inputs, &mut |class, name, value| {
        lines.push(KeyLine(class, name.to_owned(), value.to_owned()));
    });
    lines
}
