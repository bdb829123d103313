//! Files and directories: the built binary, the repository, scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built binary: nextest names it, also where the tests run from an archive; cargo puts it beside the
/// directory of the test binaries.
#[allow(clippy::disallowed_methods, reason = "nextest's interface")]
pub fn tool() -> PathBuf {
    std::env::var_os("NEXTEST_BIN_EXE_isar-build-all").map_or_else(
        || {
            let test = std::env::current_exe().unwrap();
            test.ancestors().nth(2).unwrap().join("isar-build-all")
        },
        PathBuf::from,
    )
}

/// The root of this repository, also where the tests run from an archive.
#[allow(clippy::disallowed_methods)]
pub fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
}

/// A variable that `scripts/test` sets.
#[allow(clippy::disallowed_methods)]
pub fn environment(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is unset; run these through scripts/test"))
}

/// Writes an executable script. It is copied into place by a process of its own: a descriptor that is
/// open for writing here could be inherited by what another test starts meanwhile, and the kernel
/// refuses to execute a file that anybody has open for writing.
pub fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
    let source = dir.join(format!("{name}.source"));
    let path = dir.join(name);
    fs::write(&source, body).unwrap();
    let status = Command::new("install")
        .args(["-m", "755"])
        .arg(&source)
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

/// The names in a directory, sorted; none where there is no such directory.
pub fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
