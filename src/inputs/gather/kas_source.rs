//! Kas files of a gatherer: each read and hashed once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use crate::base::fault::Fault;
use crate::base::hex;
use crate::fs::PathError;
use crate::inputs::chain::RepoLocations;
use crate::inputs::checkout;
use crate::kas::config::{self, ChainFault, KasRepo, KasSource};
use crate::kas::yaml::YamlNode;

/// A kas file that was read: its hash and what it says.
pub(super) struct KasFileContent {
    pub(super) hash: String,
    parsed: Result<Arc<YamlNode>, Fault>,
}

/// Kas files as a gatherer reads them: each once, and those of clones only at the pinned commit.
pub(super) struct GatherSource<'g> {
    pub(super) files: &'g mut HashMap<PathBuf, Option<KasFileContent>>,
    pub(super) locations: &'g RepoLocations,
}

impl KasSource for GatherSource<'_> {
    fn read(&mut self, path: &Path) -> Option<Result<Arc<YamlNode>, Fault>> {
        let content = self.files.entry(path.to_owned()).or_insert_with(|| {
            let bytes = fs::read(path).ok()?;
            Some(KasFileContent {
                hash: hex::encode(&Sha256::digest(&bytes)),
                parsed: config::parse_bytes(path, bytes),
            })
        });
        content.as_ref().map(|content| content.parsed.clone())
    }

    fn has_file(&self, path: &Path) -> bool {
        path.exists()
    }

    fn real(&self, path: &Path) -> PathBuf {
        config::real_path(path)
    }

    fn checkout(&self, repo: &KasRepo) -> Option<PathBuf> {
        let path = self.locations.host(&repo.path);
        checkout::is_usable(repo, &path).then_some(path)
    }
}

/// A chain that kas would refuse counts as unreadable: the variant is built, and kas says why.
pub(super) fn refused(fault: &ChainFault) -> PathError {
    let message = match &fault.fault.label {
        label if label.is_empty() => fault.fault.message.clone(),
        label => format!("{}: {label}", fault.fault.message),
    };
    PathError::on("read", &fault.file)(io::Error::new(io::ErrorKind::InvalidData, message))
}
