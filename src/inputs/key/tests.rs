use crate::inputs::key::*;
use crate::inspect::format::Format;
use crate::store::product::{DeclaredProduct, Method};

fn artifact(name: &str) -> Artifact {
    Artifact {
        kind: "wic".into(),
        unique_name: name.into(),
        deploy_name: "image.wic".into(),
        attr: "wic".into(),
        optional: false,
        unique: false,
        format: Format::Disk,
        products: Vec::new(),
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn inputs() -> Inputs {
    Inputs {
        variant: VariantKey {
            machine: "qemuamd64".into(),
            id: "base".into(),
        },
        arch: Arch::Amd64,
        host: Some(Arch::Amd64),
        chain: vec!["a.yml".into(), "b.yml".into()],
        kas_files: vec![pair("a.yml", "11"), pair("b.yml", "22")],
        repositories: vec![pair("isar", "commit 33"), pair("x", "branch y")],
        includes: vec![pair("isar:kas/x.yml", "commit 33")],
        layers: vec![pair("meta-a", "44"), pair("meta-b", "55")],
        patches: vec![pair("p.patch", "66")],
        further: vec![pair("keys", "77")],
        variables: vec![pair("SSTATE_MIRRORS", "m"), pair("TZ", "UTC")],
        settings: vec![pair("env", "A=1"), pair("mounts", "/a:/b")],
        program: KasProgram {
            name: "kas-container".into(),
            content: "88".into(),
            version: Some("5.5".into()),
            image: Some(ContainerImage {
                name: "kas-isar:5.5".into(),
                digest: Some("sha256:99".into()),
            }),
        },
        artifacts: vec![
            artifact("one.wic"),
            Artifact {
                products: vec![DeclaredProduct::of("two.wic", Method::zst(3))],
                ..artifact("two.wic")
            },
        ],
    }
}

/// Asserts that an edit changes both the key and the lines.
fn differs(edit: impl FnOnce(&mut Inputs)) {
    let before = inputs();
    let mut after = inputs();
    edit(&mut after);
    assert_ne!(before, after, "the edit changes nothing");
    assert_ne!(digest(&before), digest(&after));
    let changes = changes(&lines(&before), &lines(&after));
    assert!(!changes.is_empty(), "the key differs and no line differs");
}

macro_rules! differs {
    ($($name:ident: |$inputs:ident| $edit:expr;)+) => {
        $(
            #[test]
            fn $name() {
                differs(|$inputs| { $edit; });
            }
        )+
    };
}

differs! {
    the_machine_differs: |inputs| inputs.variant.machine = "m".into();
    the_id_differs: |inputs| inputs.variant.id = "m".into();
    the_architecture_differs: |inputs| inputs.arch = Arch::Arm64;
    the_host_differs: |inputs| inputs.host = Some(Arch::Arm64);
    no_host_differs: |inputs| inputs.host = None;
    another_file_in_the_chain_differs: |inputs| inputs.chain[1] = "c.yml".into();
    the_order_of_the_chain_differs: |inputs| inputs.chain.reverse();
    an_overlay_differs: |inputs| inputs.chain.push("overlay.yml".into());
    a_kas_file_differs: |inputs| inputs.kas_files[1].1 = "23".into();
    the_name_of_a_kas_file_differs: |inputs| inputs.kas_files[1].0 = "c.yml".into();
    a_lock_file_differs: |inputs| inputs.kas_files.push(pair("a.lock.yml", "12"));
    a_pin_differs: |inputs| inputs.repositories[0].1 = "commit 34".into();
    a_repository_differs: |inputs| drop(inputs.repositories.pop());
    an_include_differs: |inputs| inputs.includes[0].1 = "commit 34".into();
    a_layer_differs: |inputs| inputs.layers[0].1 = "45".into();
    a_layer_less_differs: |inputs| drop(inputs.layers.pop());
    a_patch_differs: |inputs| inputs.patches[0].1 = "67".into();
    a_further_input_differs: |inputs| inputs.further[0].1 = "78".into();
    a_variable_differs: |inputs| inputs.variables[0].1 = "n".into();
    a_variable_less_differs: |inputs| drop(inputs.variables.pop());
    a_setting_differs: |inputs| inputs.settings[0].1 = "A=2".into();
    the_executor_differs: |inputs| inputs.program.name = "kas".into();
    the_program_differs: |inputs| inputs.program.content = "89".into();
    the_version_differs: |inputs| inputs.program.version = Some("5.4".into());
    an_unknown_version_differs: |inputs| inputs.program.version = None;
    no_container_differs: |inputs| inputs.program.image = None;
    the_image_differs: |inputs| inputs.program.image.as_mut().unwrap().name = "i".into();
    the_digest_differs: |inputs| inputs.program.image.as_mut().unwrap().digest = Some("d".into());
    an_unknown_digest_differs: |inputs| inputs.program.image.as_mut().unwrap().digest = None;
    the_kind_of_an_artifact_differs: |inputs| inputs.artifacts[0].kind = "k".into();
    a_unique_name_differs: |inputs| inputs.artifacts[0].unique_name = "u".into();
    a_deploy_name_differs: |inputs| inputs.artifacts[0].deploy_name = "d".into();
    an_optional_artifact_differs: |inputs| inputs.artifacts[0].optional = true;
    a_unique_artifact_differs: |inputs| inputs.artifacts[0].unique = true;
    a_format_differs: |inputs| inputs.artifacts[0].format = Format::Any;
    a_product_differs: |inputs| inputs.artifacts[0].products = vec![DeclaredProduct::of("one.wic", Method::bmap())];
    a_level_differs: |inputs| inputs.artifacts[1].products = vec![DeclaredProduct::of("two.wic", Method::zst(4))];
    an_artifact_less_differs: |inputs| drop(inputs.artifacts.pop());
}

#[test]
fn the_order_of_lists_does_not_matter() {
    let mut other = inputs();
    other.kas_files.reverse();
    other.repositories.reverse();
    other.layers.reverse();
    other.variables.reverse();
    other.settings.reverse();
    other.artifacts.reverse();
    assert_eq!(digest(&inputs()), digest(&other));
    assert_eq!(lines(&inputs()), lines(&other));
}

#[test]
fn lines_with_other_boundaries_hash_differently() {
    let with = |pairs: &[(&str, &str)]| Inputs {
        settings: pairs.iter().map(|(a, b)| pair(a, b)).collect(),
        ..inputs()
    };
    assert_ne!(digest(&with(&[("ab", "c")])), digest(&with(&[("a", "bc")])));
    assert_ne!(
        digest(&with(&[("a", "b"), ("c", "d")])),
        digest(&with(&[("a", "bsettingcd")]))
    );
    let mut moved = inputs();
    let layer = moved.layers.remove(0);
    moved.patches.insert(0, layer);
    assert_ne!(digest(&inputs()), digest(&moved));
}

#[test]
fn a_change_is_shown_as_a_sentence() {
    let hash = |digit: &str| digit.repeat(64);
    let mut before = inputs();
    before.kas_files[0].1 = hash("1");
    let mut after = inputs();
    after.kas_files[0].1 = hash("2");
    after.layers.push(pair("meta-c", &hash("3")));
    after.patches.clear();
    after.variables[0].1 = "n".into();
    after.variables.push(pair("KAS_PREMIRRORS", "p"));
    let said: Vec<String> = changes(&lines(&before), &lines(&after))
        .iter()
        .map(ToString::to_string)
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    kas file a.yml has changed
    layer meta-c is new
    patch p.patch is gone
    variable KAS_PREMIRRORS is new: p
    variable SSTATE_MIRRORS was m, is n
    ");
    assert!(changes(&lines(&after), &lines(&after)).is_empty());
}

#[test]
fn an_unknown_input_that_becomes_known_is_not_a_change() {
    let before = Inputs {
        program: KasProgram {
            image: Some(ContainerImage {
                name: "i".into(),
                digest: None,
            }),
            ..inputs().program
        },
        ..inputs()
    };
    let mut after = before.clone();
    if let Some(image) = &mut after.program.image {
        image.digest = Some("sha256:1".into());
    }
    let old = lines(&before);
    let tools = UnknownInputs {
        tools: true,
        includes: false,
    };
    let includes = UnknownInputs {
        tools: false,
        includes: true,
    };
    let changed = |after: &Inputs, unknown| changed_meanwhile(&old, &lines(after), unknown).len();
    assert_eq!(changed(&after, tools), 0);
    assert_eq!(changed(&after, includes), 1);
    assert_eq!(changed(&after, UnknownInputs::default()), 1);
    let known = after.clone();
    after.layers[0].1 = "46".into();
    assert_eq!(changed(&after, tools), 1);
    after.layers.remove(0);
    assert_eq!(changed(&after, tools), 1);

    // A new lock file or further input was not unknown before.
    let mut after = known.clone();
    after.kas_files.push(pair("a.lock.yml", "1"));
    after.further.push(pair("keys/two.pem", "1"));
    let both = UnknownInputs {
        tools: true,
        includes: true,
    };
    assert_eq!(changed(&after, both), 2);
    let mut after = known;
    after.layers.push(pair("other/meta", "1"));
    after.kas_files.push(pair("other:kas/x.yml", "1"));
    assert_eq!(changed(&after, both), 0);
    assert_eq!(changed(&after, tools), 2);
}

#[test]
fn the_key_of_given_inputs_never_changes_without_a_new_key_version() {
    assert_eq!(KEY_VERSION, 1);
    let expected = "7738620df30cd262896c07fc63652f670aec18b41a6e590777b3781835a5e034";
    assert_eq!(digest(&inputs()), expected);
}
