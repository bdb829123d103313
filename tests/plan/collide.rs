//! Properties of plans in which variants share build directories: whoever captures finds its own build's
//! files, whatever fails, and in whatever order things end.

use std::collections::BTreeMap;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::inspect::format::Format;
use isar_build_all::matrix::{Artifact, Variant, VariantKey};
use isar_build_all::plan::collide::{capture_clash, collisions};
use isar_build_all::plan::ready::ReadySet;
use isar_build_all::plan::{BuildDirUse, NodeIx, Plan, Resources, Scope};
use proptest::prelude::*;

fn variant(index: usize, deploys: u8) -> Variant {
    let artifact = Artifact {
        kind: "wic".to_owned(),
        unique_name: format!("isar-{index}.wic"),
        deploy_name: format!("image-{deploys}.wic"),
        attr: "wic".to_owned(),
        optional: false,
        unique: false,
        products: Vec::new(),
        format: Format::Any,
    };
    Variant {
        key: VariantKey {
            machine: "m".to_owned(),
            id: format!("v{index}"),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: Vec::new(),
        attr_path: Vec::new(),
        artifacts: vec![artifact],
    }
}

/// For each variant the name that it deploys and its build directory, of a few each.
type Shape = Vec<(u8, u8)>;

fn plan(shape: &Shape, scope: Scope, builds: u32) -> Plan {
    let variants: Vec<_> = shape
        .iter()
        .enumerate()
        .map(|(index, (deploys, _))| variant(index, *deploys))
        .collect();
    let resources = Resources {
        builds,
        captures: 2,
        build_dirs: shape.iter().map(|(_, dir)| format!("dir{dir}")).collect(),
        ..Resources::default()
    };
    Plan::new(&isar_build_all::steps::infos(), variants, scope, &resources)
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop::collection::vec((0u8..3, 0u8..4), 1..12)
}

proptest! {
    #[test]
    fn two_captures_never_meet(
        shape in shapes(),
        builds in 1u32..5,
        failing in prop::collection::btree_set(0usize..36, 0..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
        stop_at in prop::option::of(0usize..40),
    ) {
        let plan = plan(&shape, Scope::Full, builds);
        prop_assert_eq!(capture_clash(&plan), None);
        let dir = |node: NodeIx| shape[plan.node(node).variant.0].1;
        let mut ready = ReadySet::new(&plan);
        let mut running: Vec<NodeIx> = Vec::new();
        // Whose files lie in each directory, once its build has ended well and nobody builds there.
        let mut lies: BTreeMap<u8, Option<usize>> = BTreeMap::new();
        let mut owed: BTreeMap<u8, usize> = BTreeMap::new();
        let mut steps = 0;
        loop {
            while let Some(node) = ready.take_next() {
                let (step, variant) = (plan.node(node).step, plan.node(node).variant.0);
                match step.build_dir {
                    BuildDirUse::Writes => {
                        prop_assert_eq!(
                            owed.get(&dir(node)), None,
                            "a build began where somebody's output was not captured yet"
                        );
                        lies.insert(dir(node), None);
                    }
                    BuildDirUse::Reads => {
                        prop_assert_eq!(lies[&dir(node)], Some(variant), "another's output");
                    }
                    BuildDirUse::None => {}
                }
                running.push(node);
            }
            if running.is_empty() {
                break;
            }
            let node = running.swap_remove(picks[steps % picks.len()].index(running.len()));
            steps += 1;
            let fails = failing.contains(&node.0);
            let variant = plan.node(node).variant.0;
            match plan.node(node).step.build_dir {
                BuildDirUse::Writes if !fails => {
                    lies.insert(dir(node), Some(variant));
                    owed.insert(dir(node), variant);
                }
                BuildDirUse::Reads => {
                    owed.remove(&dir(node));
                }
                _ => {}
            }
            ready.finish(node, if fails { Outcome::Failed } else { Outcome::Succeeded });
            if stop_at == Some(steps) {
                ready.give_up_waiting(|ix| !plan.node(ix).step.heavy);
            }
        }
        prop_assert!(ready.is_done());
    }

    #[test]
    fn only_shared_directories_make_edges(shape in shapes()) {
        let plan = plan(&shape, Scope::Full, 2);
        let mut seen = BTreeMap::new();
        for (_, dir) in &shape {
            *seen.entry(dir).or_insert(0usize) += 1;
        }
        let expected: usize = seen.values().map(|count| count - 1).sum();
        prop_assert_eq!(collisions(&plan).len(), expected);
    }

    #[test]
    fn captures_without_builds_meet_where_directory_and_name_are_one(shape in shapes()) {
        let plan = plan(&shape, Scope::FromDeploy, 1);
        let mut seen = std::collections::BTreeSet::new();
        let twice = shape.iter().find(|&file| !seen.insert(file));
        let found = capture_clash(&plan);
        prop_assert_eq!(found.is_some(), twice.is_some());
        if let (Some(found), Some((deploys, dir))) = (found, twice) {
            prop_assert_eq!(found.build_dir, format!("dir{dir}"));
            prop_assert_eq!(found.deploy_name, format!("image-{deploys}.wic"));
        }
        prop_assert_eq!(capture_clash(&self::plan(&shape, Scope::FromOutput, 1)), None);
    }
}

#[test]
fn a_plan_without_its_edge_is_refused() {
    let shape = vec![(0, 0), (0, 0)];
    let mut plan = plan(&shape, Scope::Full, 1);
    assert_eq!(capture_clash(&plan), None);
    for node in &mut plan.nodes {
        node.after.clear();
    }
    let found = capture_clash(&plan).unwrap();
    assert_eq!(
        format!("{found}\nhint: {}", found.hint()),
        "m/v0 and m/v1 would both capture image-0.wic from dir0, but it belongs to one of them\n\
         hint: select the one that it belongs to: --variant m/v0"
    );
}
