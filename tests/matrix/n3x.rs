//! The reference matrix: examples/n3x yields what the project that it is taken from yields.

use std::collections::BTreeMap;

use isar_build_all::base::arch::Arch;
use isar_build_all::plan::json;
use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::{Plan, Resources, Scope};
use isar_build_all::project::load::{LoadOptions, Loaded, load};
use serde_json::{Value, json};

fn reference() -> Value {
    serde_json::from_str(include_str!("n3x.json")).unwrap()
}

fn example(host: Option<Arch>) -> Loaded {
    let root = support::root();
    let options = LoadOptions {
        host,
        ..LoadOptions::new(&root)
    };
    load(&root.join("examples/n3x/variants.toml"), &options)
        .unwrap_or_else(|error| panic!("{}", error.render(false)))
}

fn plan_json(host: Option<Arch>) -> Value {
    let matrix = example(host).matrix;
    let resources = Resources {
        builds: 1,
        captures: 1,
        build_dirs: vec![String::from("build"); matrix.variants.len()],
        ..Resources::default()
    };
    let plan = Plan::new(
        &isar_build_all::steps::infos(),
        matrix.variants,
        Scope::Full,
        &resources,
    );
    serde_json::to_value(json::document(&plan, &matrix.releases, &Skips::none())).unwrap()
}

/// The reference's keys for each host, and the host.
const HOSTS: [(&str, Option<Arch>); 3] = [
    ("ciX86", Some(Arch::Amd64)),
    ("ciArm", Some(Arch::Arm64)),
    ("kasCommand", None),
];

#[test]
fn variants_are_the_references_in_its_order() {
    for (kas_key, host) in HOSTS {
        let expected: Vec<Value> = reference()["variants"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variant| {
                let axes: BTreeMap<&str, &Value> = ["role", "variant", "profile", "node"]
                    .into_iter()
                    .map(|axis| (axis, &variant[axis]))
                    .filter(|(_, value)| !value.is_null())
                    .collect();
                let artifacts: Vec<Value> = variant["artifactNames"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|artifact| {
                        json!({
                            "type": artifact["type"],
                            "unique_name": artifact["uniqueName"],
                            "deploy_name": artifact["isarName"],
                            "optional": false,
                        })
                    })
                    .collect();
                let machine = variant["machine"].as_str().unwrap();
                let arch = match machine {
                    "qemuamd64" | "amd-v3c18i" => "amd64",
                    _ => "arm64",
                };
                json!({
                    "id": variant["id"],
                    "machine": machine,
                    "arch": arch,
                    "axes": axes,
                    "kas": variant[kas_key],
                    "attr_path": variant["attrPath"],
                    "artifacts": artifacts,
                })
            })
            .collect();
        assert_eq!(expected.len(), 16);
        assert_eq!(plan_json(host)["variants"], json!(expected), "{kas_key}");
    }
}

#[test]
fn artifacts_are_the_references_in_its_order() {
    let matrix = example(None).matrix;
    let names: Vec<&str> = matrix
        .variants
        .iter()
        .flat_map(|variant| &variant.artifacts)
        .map(|artifact| artifact.unique_name.as_str())
        .collect();
    assert_eq!(names.len(), 42);
    assert_eq!(json!(names), reference()["all"]);
}

#[test]
fn releases_are_the_references_in_its_order() {
    let expected: Vec<Value> = reference()["release"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| {
            let assets: Vec<Value> = release["assets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|asset| {
                    json!({
                        "deploy_name": asset["isar"],
                        "asset": asset["asset"],
                        "optional": false,
                    })
                })
                .collect();
            json!({ "id": release["id"], "machine": release["machine"], "assets": assets })
        })
        .collect();
    let releases = plan_json(None)["releases"].clone();
    assert_eq!(releases, json!(expected));
    let assets: usize = expected
        .iter()
        .map(|release| release["assets"].as_array().unwrap().len())
        .sum();
    assert_eq!((expected.len(), assets), (5, 9));
}

#[test]
fn nothing_in_the_plan_is_null() {
    fn no_null(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(values) => values.iter().all(no_null),
            Value::Object(map) => map.values().all(no_null),
            _ => true,
        }
    }
    assert!(no_null(&plan_json(Some(Arch::Amd64))));
}
