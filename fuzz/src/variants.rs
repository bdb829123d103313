//! variants.toml: whatever its text, there is a matrix that holds what its type promises, or faults that
//! can be shown.

use std::collections::HashSet;

use isar_build_all::model::arch::Arch;
use isar_build_all::model::collide;
use isar_build_all::model::plan::{Plan, Resources, Scope};
use isar_build_all::model::plan_json;
use isar_build_all::model::read::{Options, read};
use isar_build_all::model::skip::Skips;
use isar_build_all::model::store_path::check_name;

/// Reads a file of any text.
pub fn variants(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let options = Options {
        host: Some(Arch::Amd64),
        overlays: vec!["kas/overlay.yml".to_owned()],
        release_version: None,
    };
    let reading = read(source, &options);
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
    let plan = Plan::new(matrix.variants, Scope::Full, &resources);
    let _ = collide::collisions(&plan);
    let _ = plan_json::document(&plan, &matrix.releases, &Skips::none());
}
