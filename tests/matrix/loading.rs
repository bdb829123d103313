//! Finding variants.toml, and what is known of the kas files afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use isar_build_all::kas::tree::KasTree;
use isar_build_all::project::load::{LoadError, LoadOptions, find, load};
use tempfile::TempDir;

const VARIANTS: &str = r#"schema = 1
[axes]
role = ["base"]
[naming]
id = "{role}"
deploy_name = "image-{machine}{extension}"
[artifacts]
wic = { extension = ".wic" }
[machines.qemuamd64]
arch = "x86_64"
artifacts = ["wic"]
[kas]
chain = ["kas/base.yml", "kas/role/{role}.yml"]
[[variants]]
machine = "qemuamd64"
role = "base"
"#;

const KAS: &str = "header:\n  version: 14\n";

fn project(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn kas(project: &Path, directory: &str, overlays: &[&str]) -> KasTree {
    let options = LoadOptions {
        overlays: overlays.iter().map(PathBuf::from).collect(),
        ..LoadOptions::new(project)
    };
    let file = project.join(directory).join("variants.toml");
    match load(&file, &options) {
        Ok(loaded) => loaded.kas,
        Err(error) => panic!("{}", error.render(false)),
    }
}

#[test]
fn the_file_is_found_from_below_up_to_the_root_of_the_repository() {
    let outer = project(&[
        ("variants.toml", VARIANTS),
        ("repo/.git/HEAD", ""),
        ("repo/a/variants.toml", VARIANTS),
        ("repo/a/b/c/file", ""),
        ("repo/d/file", ""),
    ]);
    let dir = outer.path();
    let found = |cwd: &str, named: Option<&str>| {
        find(&dir.join(cwd), named.map(Path::new))
            .map(|path| path.strip_prefix(dir).unwrap().to_path_buf())
    };
    let at = |path: &str| PathBuf::from(path);
    assert_eq!(
        found("repo/a/b/c", None).unwrap(),
        at("repo/a/variants.toml")
    );
    assert_eq!(found("repo/a", None).unwrap(), at("repo/a/variants.toml"));
    assert!(matches!(
        found("repo/d", None),
        Err(LoadError::NotFound { .. })
    ));
    assert_eq!(found("", None).unwrap(), at("variants.toml"));
    assert_eq!(
        found("", Some("repo/a")).unwrap(),
        at("repo/a/variants.toml")
    );
    assert_eq!(found("repo", Some("x.toml")).unwrap(), at("repo/x.toml"));
}

#[test]
fn everything_that_a_chain_reads_is_known() {
    let lock = "header:\n  version: 14\noverrides: {}\n";
    let common = "header:\n  version: 14\n  includes:\n    - repo: own\n      file: images/kas/debug.yml\nrepos:\n  own:\n";
    let repo = project(&[
        (".git/HEAD", ""),
        ("images/variants.toml", VARIANTS),
        (
            "images/kas/base.yml",
            "header:\n  version: 14\n  includes:\n    - images/kas/common.yml\n    - other.json\n",
        ),
        ("images/kas/base.lock.yml", lock),
        ("images/kas/common.yml", common),
        ("images/kas/other.json", "{\"header\": {\"version\": 14}}"),
        ("images/kas/debug.yml", KAS),
        ("images/kas/role/base.yml", KAS),
        ("overlay.yml", KAS),
    ]);
    let tree = kas(repo.path(), "images", &["overlay.yml"]);
    assert_eq!(tree.root, "..");
    let chain = ["kas/base.yml", "kas/role/base.yml", "../overlay.yml"].map(str::to_owned);
    assert_eq!(
        tree.closure(&chain),
        [
            "kas/base.lock.yml",
            "kas/debug.yml",
            "kas/common.yml",
            "kas/other.json",
            "kas/base.yml",
            "kas/role/base.yml",
            "../overlay.yml",
        ]
    );
}

#[test]
fn a_kas_file_and_its_lock_file_that_include_each_other_are_refused() {
    let include = |file: &str| format!("header:\n  version: 14\n  includes: [{file}]\n");
    let (lock, base) = (include("kas/base.lock.yml"), include("kas/base.yml"));
    let faults = |kas_file: &str| {
        let files = project(&[
            (".git/HEAD", ""),
            ("variants.toml", VARIANTS),
            ("kas/base.yml", kas_file),
            ("kas/base.lock.yml", &base),
            ("kas/role/base.yml", KAS),
        ]);
        let options = LoadOptions::new(files.path());
        let file = files.path().join("variants.toml");
        load(&file, &options).unwrap_err().render(false)
    };

    // A lock file is read with its kas file, whether or not the kas file includes it.
    for kas_file in [KAS, &lock] {
        let faults = faults(kas_file);
        assert!(
            faults.contains("the include of `kas/base.yml` leads back to this file"),
            "{faults}"
        );
    }
}

#[test]
fn outside_of_a_repository_the_directory_of_the_first_file_is_the_root() {
    let files = project(&[
        ("variants.toml", VARIANTS),
        (
            "kas/base.yml",
            "header:\n  version: 14\n  includes: [role/base.yml]\n",
        ),
        ("kas/role/base.yml", KAS),
        ("overlay.yml", KAS),
    ]);
    assert_eq!(kas(files.path(), "", &[]).root, "kas");
    let options = LoadOptions {
        overlays: vec![PathBuf::from("overlay.yml")],
        ..LoadOptions::new(files.path())
    };
    let error = load(Path::new("variants.toml"), &options).unwrap_err();
    assert!(
        error
            .render(false)
            .contains("overlay `overlay.yml` is outside"),
        "{}",
        error.render(false)
    );
}

#[test]
fn faults_of_matrix_and_settings_are_told_together() {
    let text = VARIANTS.replace("role = \"base\"", "role = \"bsae\"") + "[settings]\njbos = 2\n";
    let files = project(&[
        ("variants.toml", &text),
        ("kas/base.yml", KAS),
        ("kas/role/base.yml", KAS),
    ]);
    let output = std::process::Command::new(support::tool())
        .arg("check")
        .current_dir(files.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("`bsae` is not a value of axis `role`"),
        "{stderr}"
    );
    assert!(stderr.contains("jbos"), "{stderr}");
}
