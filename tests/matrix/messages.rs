//! Every message about a wrong variants.toml, as the user sees it.
//!
//! Each case changes one thing of a right file. To accept changed messages:
//! `INSTA_UPDATE=always cargo test --test matrix`, then read the difference.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use isar_build_all::base::arch::Arch;
use isar_build_all::project::load::{LoadOptions, load};
use tempfile::TempDir;

const RIGHT: &str = r#"schema = 1

[axes]
role = { base = { image = "base" }, server = { image = "k3s" } }
profile = ["simple", "vlans"]
node = ["server-1", "server-2"]

[naming]
id = "{role}[-{profile}][-{node}]"
deploy_name = "image-{role.image}-{machine}{extension}"

[artifacts]
kernel = { extension = "-vmlinuz" }
wic = { extension = ".wic" }

[machines.qemuamd64]
arch = "amd64"
kas = "kas/amd64.yml"
artifacts = ["kernel", "wic"]
release = [".wic"]

[machines.qemuarm64]
arch = "arm64"
kas = "kas/arm64.yml"
artifacts = ["wic"]
vars = { board = "virt" }

[kas]
chain = [
  "kas/base.yml",
  "{machine.kas}",
  { file = "kas/{profile}.yml", when = { profile = "*" } },
  { file = "kas/native.yml", when = { native = true } },
]

[[variants]]
machine = ["qemuamd64", "qemuarm64"]
role = "base"

[[variants]]
machine = "qemuamd64"
role = "server"
profile = ["simple", "vlans"]
node = ["server-1", "server-2"]
exclude = [{ profile = "simple", node = "server-2" }]

[release]
variants = ["qemuamd64/base"]
"#;

const KAS_FILES: [&str; 6] = ["base", "amd64", "arm64", "simple", "vlans", "native"];

/// A repository with the right files.
fn project() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join(".git")).unwrap();
    fs::create_dir_all(dir.path().join("kas")).unwrap();
    for name in KAS_FILES {
        write(
            dir.path(),
            &format!("kas/{name}.yml"),
            "header:\n  version: 14\n",
        );
    }
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

/// Compares with the snapshot, without the text of the expression.
fn assert_messages(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// What loading says; names of temporary directories are taken out.
fn message(dir: &Path, overlays: &[&str]) -> String {
    let options = LoadOptions {
        host: Some(Arch::Amd64),
        overlays: overlays.iter().map(Into::into).collect(),
        ..LoadOptions::new(dir)
    };
    let text = match load(&dir.join("variants.toml"), &options) {
        Ok(loaded) => format!("no fault\n{}", loaded.render_warnings(false)),
        Err(error) => error.render(false),
    };
    let real = fs::canonicalize(dir).unwrap();
    text.replace(&*real.to_string_lossy(), "/project")
        .replace(&*dir.to_string_lossy(), "/project")
}

/// The messages of files in each of which one text is replaced.
fn messages(cases: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (old, new) in cases {
        assert!(old.is_empty() || RIGHT.contains(old), "{old}");
        let text = if old.is_empty() {
            (*new).to_owned()
        } else {
            RIGHT.replacen(old, new, 1)
        };
        let dir = project();
        write(dir.path(), "variants.toml", &text);
        let shown = if old.is_empty() { "another file" } else { new };
        writeln!(
            out,
            "======== {}",
            shown.trim().replace('\n', "\n         ")
        )
        .unwrap();
        writeln!(out, "{}", message(dir.path(), &[])).unwrap();
    }
    out
}

/// The messages of a right file with changed kas files and overlays.
fn kas_messages(cases: &[(&str, &str, &[&str])]) -> String {
    let mut out = String::new();
    for (file, text, overlays) in cases {
        let dir = project();
        write(dir.path(), "variants.toml", RIGHT);
        if text.is_empty() {
            fs::remove_file(dir.path().join(file)).unwrap();
        } else {
            write(dir.path(), file, text);
        }
        writeln!(out, "======== {file}: {text:?} {overlays:?}").unwrap();
        writeln!(out, "{}", message(dir.path(), overlays)).unwrap();
    }
    out
}

#[test]
fn the_right_file_has_no_fault() {
    assert!(messages(&[("schema", "schema")]).contains("no fault"));
}

#[test]
fn syntax() {
    assert_messages(
        "syntax",
        &messages(&[
            ("schema = 1", "schema = "),
            ("arch = \"amd64\"", "arch = amd64"),
            ("[machines.qemuarm64]", "[machines.qemuamd64]"),
            (
                "profile = [\"simple\", \"vlans\"]\nnode",
                "profile = [\"simple\", \"vlans\"\nnode",
            ),
            ("arch = \"amd64\"", "arch = \"amd64\"\narch = \"arm64\""),
            ("", ""),
        ]),
    );
}

#[test]
fn structure() {
    assert_messages(
        "structure",
        &messages(&[
            ("schema = 1", "schema = 2"),
            ("schema = 1\n", ""),
            ("schema = 1", "schema = \"1\""),
            ("[release]", "[realese]"),
            ("[axes]", "[axis]"),
            ("arch = \"amd64\"\n", ""),
            ("arch = \"amd64\"", "arhc = \"amd64\""),
            ("arch = \"amd64\"", "arch = 64"),
            ("artifacts = [\"wic\"]", "artifacts = \"wic\""),
            ("artifacts = [\"wic\"]", "artifacts = [{ tpye = \"wic\" }]"),
            ("role = \"base\"", "role = true"),
            ("role = \"base\"", "role = 1979-05-27"),
            ("{ native = true }", "{ native = \"true\" }"),
            ("deploy_name", "deploy-name"),
        ]),
    );
}

#[test]
fn axes_machines_and_artifacts() {
    assert_messages(
        "axes_machines_and_artifacts",
        &messages(&[
            (
                "node = [\"server-1\", \"server-2\"]\n\n",
                "node = [\"server-1\", \"server-2\", \"server-1\", \"\"]\n\n",
            ),
            (
                "node = [\"server-1\", \"server-2\"]\n\n",
                "node = [\"server-1\", \"server-2\"]\nempty = []\n\n",
            ),
            (
                "node = [\"server-1\", \"server-2\"]\n\n",
                "node = [\"server-1\", \"server-2\"]\nversion = [\"1\"]\n\"a b\" = [\"1\"]\n\n",
            ),
            ("arch = \"amd64\"", "arch = \"adm64\""),
            ("arch = \"amd64\"", "arch = \"sparc\""),
            ("artifacts = [\"wic\"]", "artifacts = [\"wik\"]"),
            ("artifacts = [\"wic\"]", "artifacts = [\"wic\", \"wic\"]"),
            ("artifacts = [\"wic\"]", "artifacts = []"),
            ("wic = {", "rootfs = { extension = \".tar\" }\nwic = {"),
            (
                "[machines.qemuarm64]",
                "[machines.\"qemu/../arm64\"]\narch = \"arm64\"\nartifacts = [\"wic\"]\n\n[machines.qemuarm64]",
            ),
            ("vars = {", "vars = { kas = \"x\", "),
        ]),
    );
}

#[test]
fn templates() {
    assert_messages(
        "templates",
        &messages(&[
            ("{role}[-{profile}]", "{rôle}[-{profil}]"),
            ("{role}[-{profile}]", "{role}-{version}[-{profile}]"),
            ("{role}[-{profile}]", "{role}-{}{profile[-{node}]"),
            ("{role}[-{profile}]", "{role}[-x]]}[-[{profile}"),
            ("{role}[-{profile}]", "{role}-{profile}"),
            ("{role.image}", "{role.imgae}"),
            ("{role.image}", "{machine.board}"),
            (
                "deploy_name = \"image-",
                "deploy_name = \"image\\u002d{foo}-",
            ),
            (
                "kas/{profile}.yml\", when = { profile = \"*\" }",
                "kas/{profile}.yml\"",
            ),
            ("kas = \"kas/arm64.yml\"\n", ""),
            ("server = { image = \"k3s\" }", "server = {}"),
            ("id = \"{role}", "attr_path = [\"{machin}\"]\nid = \"{role}"),
        ]),
    );
}

#[test]
fn names() {
    let long = format!(
        "unique_name = \"{}-{{id}}{{extension}}-{{machine}}\"\nid =",
        "x".repeat(205)
    );
    assert_messages(
        "names",
        &messages(&[
            (
                "id =",
                "unique_name = \"isar {id}{extension}-{machine}\"\nid =",
            ),
            ("id =", "unique_name = \".{id}{extension}-{machine}\"\nid ="),
            ("id =", &long),
            ("id = \"{role}", "id = \"ä{role}"),
            ("deploy_name = \"image", "deploy_name = \"../image"),
            ("deploy_name = \"image", "deploy_name = \"deep/image"),
            (
                "profile = [\"simple\", \"vlans\"]\nnode = [\"server-1\", \"server-2\"]\n\n",
                "profile = [\"simple\", \"vlans\", \"../../etc\"]\nnode = [\"server-1\", \"server-2\"]\n\n[[variants]]\nmachine = \"qemuamd64\"\nrole = \"server\"\nprofile = \"../../etc\"\n\n",
            ),
            ("{ extension = \".wic\" }", "{ extension = \"/../../wic\" }"),
            ("\"kas/base.yml\"", "\"../kas/base.yml\""),
            ("\"kas/base.yml\"", "\"/etc/base.yml\""),
            (
                "\"kas/base.yml\"",
                "\"kas/a b.yml\", \"kas/a:b.yml\", \"kas/base.txt\", \"./kas/base.yml\"",
            ),
        ]),
    );
}

#[test]
fn products() {
    let wic = r#"wic = { extension = ".wic" }"#;
    let with = |keys: &str| format!(r#"wic = {{ extension = ".wic", {keys} }}"#);
    let level = with(r#"compress = "zst:20""#);
    let other = with(r#"compress = "gzip""#);
    let number = with(r#"compress = 3, bmap = "yes""#);
    let right = with(r#"compress = "zst:19", bmap = true"#);
    // What would be made for the one machine is what the other deploys.
    let map = with("bmap = true") + "\nmap = { extension = \".wic.bmap\" }";
    let unique = "[naming]\nunique_name = \"isar-{id}{extension}\"";
    let taken = RIGHT
        .replace(wic, &map)
        .replace("[naming]", unique)
        .replace(r#"artifacts = ["wic"]"#, r#"artifacts = ["map"]"#);
    let cases = [
        (wic, &*level),
        (wic, &*other),
        (wic, &*number),
        (wic, &*right),
        (
            r#"artifacts = ["wic"]"#,
            r#"artifacts = [{ type = "wic", compress = "xz" }]"#,
        ),
        ("", &*taken),
    ];
    assert_messages("products", &messages(&cases));
}

#[test]
fn collisions() {
    assert_messages(
        "collisions",
        &messages(&[
            ("[-{node}]", ""),
            ("id =", "unique_name = \"isar-{id}{extension}\"\nid ="),
            ("{ extension = \"-vmlinuz\" }", "{ extension = \".wic\" }"),
            (
                "{ extension = \"-vmlinuz\" }",
                "{ extension = \"-vmlinuz\", attr = \"wic\" }",
            ),
            ("id =", "attr_path = [\"{machine}\", \"{role}\"]\nid ="),
        ]),
    );
    let run_together = RIGHT
        .replacen(
            "id = \"{role}[-{profile}][-{node}]\"",
            "id = \"{role}{profile}\"",
            1,
        )
        .replacen("role = {", "role = { a = {}, aa = {}, ", 1)
        .replacen(
            "[\"simple\", \"vlans\"]",
            "[\"simple\", \"vlans\", \"aab\", \"ab\"]",
            1,
        )
        .replacen("image-{role.image}", "image", 1);
    let (head, _) = run_together.split_once("[[variants]]").unwrap();
    let run_together = format!(
        "{head}[[variants]]\nmachine = \"qemuamd64\"\nrole = [\"a\", \"aa\"]\nprofile = [\"aab\", \"ab\"]\n"
    );
    let leaf_and_set = RIGHT
        .replacen(
            "id =",
            "attr_path = [\"{machine}\", \"{role}\", \"{profile}\"]\nid =",
            1,
        )
        .replacen("\"vlans\"]", "\"vlans\", \"wic\"]", 1);
    let (head, _) = leaf_and_set.split_once("[[variants]]").unwrap();
    let leaf_and_set = format!(
        "{head}[[variants]]\nmachine = \"qemuamd64\"\nrole = \"base\"\ninclude = [{{ profile = \"wic\" }}]\n"
    );
    assert_messages(
        "further_collisions",
        &messages(&[("", &run_together), ("", &leaf_and_set)]),
    );
}

#[test]
fn conditions() {
    assert_messages(
        "conditions",
        &messages(&[
            ("{ profile = \"*\" }", "{ profil = \"*\" }"),
            ("{ profile = \"*\" }", "{ profile = \"vlan\" }"),
            (
                "{ profile = \"*\" }",
                "{ profile = [\"vlan*\", \"!simpel\", \"[\"] }",
            ),
            (
                "{ native = true }",
                "{ machine = \"qemu\", arch = \"x86_46\", host-arch = [\"arm*\", \"m*\"] }",
            ),
            (
                "{ profile = \"simple\", node = \"server-2\" }",
                "{ native = true }",
            ),
            (
                "{ profile = \"simple\", node = \"server-2\" }",
                "{ profile = \"simple\", node = false }",
            ),
        ]),
    );
}

#[test]
fn variants() {
    assert_messages(
        "variants",
        &messages(&[
            ("machine = \"qemuamd64\"", "machine = \"qemuadm64\""),
            ("machine = \"qemuamd64\"\n", ""),
            ("role = \"base\"", "role = \"bsae\""),
            ("role = \"base\"", "rôle = \"base\""),
            ("role = \"base\"", "role = []"),
            ("role = \"base\"", "role = [\"base\", \"base\"]"),
            (
                "role = \"base\"",
                "role = \"base\"\ninclude = [{ role = \"base\" }, { flavour = \"x\" }]",
            ),
            ("role = \"base\"", "role = \"base\"\ninclude = [{}]"),
            (
                "[release]",
                "[[variants]]\nmachine = \"qemuarm64\"\nrole = \"base\"\n\n[release]",
            ),
            (
                "role = \"base\"",
                "role = \"base\"\nexclude = [{ machine = \"*\" }]",
            ),
        ]),
    );
    let (head, _) = RIGHT.split_once("[[variants]]").unwrap();
    let without =
        |variants: &str| head.replacen("schema = 1\n", &format!("schema = 1\n{variants}\n"), 1);
    let names: Vec<String> = (0..400).map(|number| format!("\"{number}\"")).collect();
    let huge = RIGHT
        .replace(
            "[\"server-1\", \"server-2\"]",
            &format!("[{}]", names.join(", ")),
        )
        .replace(
            "[\"simple\", \"vlans\"]",
            &format!("[{}]", names.join(", ")),
        );
    let many = messages(&[("", &huge)]);
    assert_messages(
        "no_variants",
        &messages(&[("", &without("")), ("", &without("variants = []"))]),
    );
    assert!(
        many.contains("the entry expands to 160000 variants"),
        "{many}"
    );
}

#[test]
fn releases() {
    assert_messages(
        "releases",
        &messages(&[
            (
                "\"qemuamd64/base\"",
                "\"qemuamd64/bsae\", \"basis\", \"*/agent\", \"qemuarm64/server-*\"",
            ),
            ("\"qemuamd64/base\"", "\"base\""),
            ("\"qemuamd64/base\"", "\"[\""),
            ("\"qemuamd64/base\"", "\"server-*-server-1\", \"base\""),
            (
                "variants = [\"qemuamd64/base\"]",
                "variants = [\"qemuamd64/*\"]\nversion = \"1/2\"",
            ),
            (
                "[\"qemuamd64/base\"]\n",
                "[\"qemuamd64/*\"]\n\n[naming.release_asset]\n",
            ),
        ]),
    );
    let same_asset = RIGHT
        .replacen("id =", "release_asset = \"{role}{extension}\"\nid =", 1)
        .replacen("[\"qemuamd64/base\"]", "[\"qemuamd64/*\"]", 1);
    assert_messages("same_asset", &messages(&[("", &same_asset)]));
}

#[test]
fn kas_files() {
    assert_messages(
        "kas_files",
        &kas_messages(&[
            ("kas/vlans.yml", "", &[]),
            ("kas/vlans.yml", "header: [\n  version: 14\n", &[]),
            (
                "kas/vlans.yml",
                "# käse\nheader:\n  version: 14\n\tincludes: []\n",
                &[],
            ),
            ("kas/vlans.yml", "# empty\n", &[]),
            ("kas/vlans.yml", "- a\n", &[]),
            ("kas/vlans.yml", "machine: qemu\n", &[]),
            ("kas/vlans.yml", "header:\n  includes: kas/base.yml\n", &[]),
            (
                "kas/vlans.yml",
                "header:\n  version: 14\n  includes:\n    - kas/bsae.yml\n    - kas\n    - repo: isar\n    - ../../up.yml\n",
                &[],
            ),
            (
                "kas/vlans.yml",
                "header:\n  version: 14\n  includes:\n    - base.yml\n    - kas/base.yml\n",
                &[],
            ),
            (
                "kas/simple.yml",
                "header:\n  version: 14\n  includes:\n    - ../kas/base.yml\nrepos:\n  this:\n    path: .\n",
                &[],
            ),
            (
                "kas/vlans.yml",
                "header:\n  version: 14\n  includes:\n    - { repo: this, file: kas/nwe.yml }\n    - { repo: isar, file: x.yml }\nrepos:\n  this:\n  isar:\n    url: https://example.org/isar\n",
                &[],
            ),
            (
                "kas/vlans.yml",
                "header:\n  version: 14\n  includes: [kas/simple.yml, kas/vlans.yml]\n",
                &[],
            ),
            (
                "kas/base.yml",
                "header: &header\n  version: 14\n  includes: [kas/native.yml]\nother: *header\n",
                &[],
            ),
            (
                "kas/base.yml",
                "header:\n  version: 14\nlocal_conf_header:\n  a: x\n  a: y\n",
                &[],
            ),
            (
                "kas/base.yml",
                "header:\n  version: 14\n",
                &["kas/nativ.yml"],
            ),
            (
                "kas/base.yml",
                "header:\n  version: 14\n",
                &["/etc/hostname"],
            ),
            (
                "kas/base.yml",
                "header:\n  version: 14\n",
                &["../elsewhere.yml"],
            ),
            ("kas/a b.yml", "header:\n  version: 14\n", &["kas/a b.yml"]),
        ]),
    );
}

#[test]
fn links_and_repositories() {
    let dir = project();
    write(dir.path(), "variants.toml", RIGHT);
    let elsewhere = TempDir::new().unwrap();
    write(elsewhere.path(), "vlans.yml", "header:\n  version: 14\n");
    fs::remove_file(dir.path().join("kas/vlans.yml")).unwrap();
    std::os::unix::fs::symlink(
        elsewhere.path().join("vlans.yml"),
        dir.path().join("kas/vlans.yml"),
    )
    .unwrap();
    fs::create_dir_all(dir.path().join("vendor/.git")).unwrap();
    write(dir.path(), "vendor/overlay.yml", "header:\n  version: 14\n");
    assert_messages(
        "links_and_repositories",
        &message(dir.path(), &["vendor/overlay.yml"]),
    );
}

#[test]
fn a_file_that_cannot_be_read() {
    let dir = TempDir::new().unwrap();
    let missing = message(dir.path(), &[]);
    fs::write(dir.path().join("variants.toml"), [0xff, 0xfe]).unwrap();
    let binary = message(dir.path(), &[]);
    let not_found = isar_build_all::project::load::find(dir.path(), None);
    fs::remove_file(dir.path().join("variants.toml")).unwrap();
    assert!(not_found.is_ok());
    let not_found = isar_build_all::project::load::find(dir.path(), None)
        .unwrap_err()
        .render(false)
        .replace(&*dir.path().to_string_lossy(), "/project");
    assert_messages(
        "a_file_that_cannot_be_read",
        &[missing, binary, not_found].join("\n"),
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = RIGHT
        .replacen("schema = 1", "schema = 1\nextra = true", 1)
        .replacen("[-{node}]", "[-{nod}]", 1)
        .replacen("\"kas/base.yml\"", "\"kas/bsae.yml\"", 1)
        .replacen("role = \"server\"\n", "role = \"sever\"\n", 1)
        .replacen("arch = \"arm64\"", "arch = \"amr64\"", 1);
    let dir = project();
    write(dir.path(), "variants.toml", &text);
    write(
        dir.path(),
        "kas/amd64.yml",
        "header:\n  version: 14\n  includes: [gone.yml]\n",
    );
    assert_messages(
        "all_faults_are_told_at_once",
        &message(dir.path(), &["gone.yml"]),
    );
}
