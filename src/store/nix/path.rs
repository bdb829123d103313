//! Adds a file by `builtins.path`, from where it lies and under any name: Nix reads it once to hash and
//! write it, and its copy once more. Knows nothing of what is in the file.
//!
//! Without `--read-write-mode` the evaluator prints the path and adds nothing (seen with 2.8).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::nix32;
use crate::fs::PathError;
use crate::store::Hold;
use crate::store::copy::Stop;
use crate::store::error::StoreError;
use crate::store::nix::{NixStore, text};
use crate::store::path;

/// A function, so that no path or name has to be quoted.
const EXPRESSION: &str = "{ path, name, sha256 ? null }: builtins.path ({ inherit path name; recursive = false; } \
     // (if sha256 == null then { } else { inherit sha256; }))";

/// A file to add by `builtins.path`.
pub(in crate::store) struct PathAddition<'a> {
    /// Its path.
    pub(in crate::store) source: &'a Path,
    /// Its name in the store.
    pub(in crate::store) name: &'a str,
    /// Its hash, if Nix is to refuse a file with another one.
    pub(in crate::store) sha256: Option<&'a [u8; 32]>,
}

impl NixStore {
    /// Adds a file with `program`, and returns the store path that Nix printed.
    pub(in crate::store) fn add_path(
        &self,
        program: &Path,
        hold: &Hold,
        addition: &PathAddition<'_>,
        stop: Stop<'_>,
    ) -> Result<PathBuf, StoreError> {
        let PathAddition {
            source,
            name,
            sha256,
        } = *addition;
        path::check_name(name)?;
        // Later versions refuse a path with links in it.
        let source = fs::canonicalize(source).map_err(PathError::on("read", source))?;
        let sha256 = sha256.map(|sha256| nix32::encode(sha256));
        let mut args: Vec<&OsStr> = [
            "--eval",
            "--json",
            "--read-write-mode",
            // An installation may forbid expressions of users to read files. This one is ours.
            "--option",
            "restrict-eval",
            "false",
            "--option",
            "pure-eval",
            "false",
            "-E",
            EXPRESSION,
            "--argstr",
            "path",
            text(&source)?,
            "--argstr",
            "name",
            name,
        ]
        .map(OsStr::new)
        .into();
        if let Some(sha256) = &sha256 {
            args.extend(["--argstr", "sha256", sha256.as_str()].map(OsStr::new));
        }
        // The whole of it would bury what Nix says.
        let command = || {
            let program = program.display();
            format!(
                "{program} --eval --read-write-mode … builtins.path … {}",
                source.display()
            )
        };
        let printed = match self.run_program(program, hold, &args, stop) {
            Err(StoreError::Command { status, stderr, .. }) => {
                let command = command();
                return Err(StoreError::Command {
                    command,
                    status,
                    stderr,
                });
            }
            answer => answer?,
        };
        serde_json::from_str::<PathBuf>(&printed).map_err(|_| StoreError::Printed {
            command: command(),
            printed,
            expected: "a store path",
        })
    }
}
