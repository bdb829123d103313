//! The name and the runtime arguments of a build's container, and the check of every word that kas-container gets.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::matrix::{Variant, VariantKey};
use crate::settings::{Settings, variant_dirs};
use crate::steps::build::words::{UnfitWord, argument, path};
use crate::tools::container::STATE_LABEL;

/// The container name of a variant's build: `isar-build-all-<run>-<machine>-<id>-<hash>` in the characters that engines
/// allow. The short hash keeps names distinct that differ in other characters only.
pub(super) fn container_name(run: &str, key: &VariantKey) -> String {
    let mut name: String = format!("isar-build-all-{run}-{}-{}", key.machine, key.id)
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => character,
            _ => '-',
        })
        .take(120)
        .collect();
    let hash = Sha256::digest(format!("{run}\0{}\0{}", key.machine, key.id));
    name.push('-');
    name.extend(hash[..3].iter().map(|byte| format!("{byte:02x}")));
    name
}

/// The value of `--runtime-args`. There is only one: before kas 5.5, a second one replaces the first.
pub(super) fn runtime_args(
    settings: &Settings,
    run: &str,
    key: &VariantKey,
    name: &str,
    seccomp_profile: Option<&Path>,
) -> Result<String, UnfitWord> {
    let state = settings.state_dir.value.display();
    let mut words = vec![
        "--name".to_owned(),
        name.to_owned(),
        "--label".to_owned(),
        format!("isar-build-all.run={run}"),
        "--label".to_owned(),
        format!("isar-build-all.variant={key}"),
        "--label".to_owned(),
        format!("{STATE_LABEL}={state}"),
        "-e".to_owned(),
        "PYTHONUNBUFFERED=1".to_owned(),
    ];
    if let Some(profile) = seccomp_profile {
        let option = format!("seccomp={}", profile.display());
        words.extend(["--security-opt".to_owned(), option]);
    }
    for mount in &settings.mounts.value {
        argument("the mount", mount)?;
        words.extend(["-v".to_owned(), mount.clone()]);
    }
    for (name, value) in &settings.env.value {
        let assignment = format!("{name}={value}");
        argument("variable", &assignment)?;
        words.extend(["-e".to_owned(), assignment]);
    }
    for entry in &settings.runtime_args.value {
        // One entry may hold several words, as `--cpus 2`.
        for word in entry.split_whitespace() {
            argument("runtime argument", word)?;
            words.push(word.to_owned());
        }
    }
    Ok(words.join(" "))
}

/// Checks that kas-container passes on every word of a variant's build. `run` is the run's id.
///
/// # Errors
/// The first word that it would split or expand.
pub fn check_words(
    settings: &Settings,
    project_dir: &Path,
    variant: &Variant,
    run: &str,
) -> Result<(), UnfitWord> {
    let key = &variant.key;
    let dirs = variant_dirs(settings, &key.machine, &key.id, variant.arch);
    for (what, dir) in [
        ("the project directory", project_dir),
        ("the state directory", &settings.state_dir.value),
        ("the work directory", &dirs.work),
        ("the build directory", &dirs.build),
        ("the download directory", &dirs.dl),
        ("the sstate directory", &dirs.sstate),
        ("the directory of reference clones", &dirs.repo_ref),
    ] {
        path(what, dir)?;
    }
    for file in &variant.kas {
        path("the kas file", Path::new(file))?;
    }
    let kas_args = settings.kas_args.value.iter();
    for word in kas_args.take_while(|word| *word != "--") {
        argument("kas argument", word)?;
    }
    argument("the label", &key.to_string())?;
    runtime_args(settings, run, key, &container_name(run, key), None).map(drop)
}
