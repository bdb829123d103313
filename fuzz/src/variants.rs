//! Target `variants`: any text becomes a matrix that keeps the promises of its type, or faults that can be
//! rendered.

use std::collections::HashSet;

use isar_build_all::base::arch::Arch;
use isar_build_all::matrix::parse::{ParseOptions, parse};
use isar_build_all::plan::collide;
use isar_build_all::plan::json;
use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::{Plan, Resources, Scope};
use isar_build_all::store::path::check_name;
use isar_build_all::store::product::{BMAP, ZST};

/// Parses any text.
pub fn variants(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let options = ParseOptions {
        host: Some(Arch::Amd64),
        overlays: vec!["kas/overlay.yml".to_owned()],
        release_version: None,
        products: vec![&ZST, &BMAP],
    };
    let reading = parse(source, &options);
    for fault in reading.faults.iter() {
        let places = fault
            .span
            .iter()
            .chain(fault.also.iter().map(|(span, _)| span));
        for span in places {
            assert!(
                source.get(span.clone()).is_some(),
                "{span:?} is no part of the source: {fault:?}"
            );
        }
        assert!(!fault.message.is_empty());
    }
    let shown = reading.faults.render("variants.toml", source, false);
    assert_eq!(shown.is_empty(), reading.faults.is_empty());
    let Some(matrix) = reading.matrix else {
        assert!(!reading.faults.is_empty(), "no matrix and no reason");
        return;
    };
    assert!(reading.faults.is_empty() && !matrix.variants.is_empty());
    let mut keys = HashSet::new();
    let mut names = HashSet::new();
    for variant in matrix.variants.iter() {
        assert!(keys.insert(&variant.key), "{} twice", variant.key);
        assert!(!variant.kas.is_empty());
        for artifact in &variant.artifacts {
            let name = &artifact.unique_name;
            assert_eq!(check_name(name), Ok(()));
            assert!(names.insert(name), "{name} twice");
        }
    }
    let resources = Resources {
        builds: 2,
        captures: 2,
        build_dirs: vec!["build".to_owned(); matrix.variants.len()],
        ..Resources::default()
    };
    let plan = Plan::new(
        &isar_build_all::steps::infos(),
        matrix.variants,
        Scope::Full,
        &resources,
    );
    let _ = collide::collisions(&plan);
    let _ = json::document(&plan, &matrix.releases, &Skips::none());
}
