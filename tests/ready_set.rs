//! Properties of the ready set over random plans: order, lanes, termination, and who is kept from running.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};

use isar_build_all::model::arch::Arch;
use isar_build_all::model::matrix::{Variant, VariantKey};
use isar_build_all::model::outcome::Outcome;
use isar_build_all::model::plan::{Node, NodeIx, Plan, Resources, Scope, StepKind, VariantIx};
use isar_build_all::model::ready::ReadySet;
use proptest::prelude::*;

fn variant(name: &str) -> Variant {
    Variant {
        key: VariantKey {
            machine: "m".into(),
            id: name.into(),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: Vec::new(),
        attr_path: Vec::new(),
        artifacts: Vec::new(),
    }
}

fn earlier(index: usize, picks: &[prop::sample::Index]) -> Vec<NodeIx> {
    if index == 0 {
        return Vec::new();
    }
    let set: BTreeSet<usize> = picks.iter().map(|pick| pick.index(index)).collect();
    set.into_iter().map(NodeIx).collect()
}

/// A random acyclic plan: each node needs some of those before it, follows some, and takes some places
/// of some lanes.
fn plans() -> impl Strategy<Value = Plan> {
    let sizes = prop::collection::vec(1u32..4, 1..4);
    (sizes, 1usize..40).prop_flat_map(|(sizes, count)| {
        let lanes: BTreeMap<String, u32> = sizes
            .iter()
            .enumerate()
            .map(|(index, &size)| (format!("lane{index}"), size))
            .collect();
        let node = {
            let lanes = lanes.clone();
            (
                prop::collection::vec(any::<prop::sample::Index>(), 0..3),
                prop::collection::vec(any::<prop::sample::Index>(), 0..2),
                prop::collection::vec(0u32..4, lanes.len()),
            )
        };
        prop::collection::vec(node, count).prop_map(move |raw| {
            let nodes = raw
                .into_iter()
                .enumerate()
                .map(|(index, (needs, after, places))| Node {
                    id: format!("n{index}"),
                    step: StepKind::Build,
                    variant: VariantIx(0),
                    needs: earlier(index, &needs),
                    after: earlier(index, &after),
                    lanes: lanes
                        .iter()
                        .zip(places)
                        .map(|((name, &size), places)| (name.clone(), places.min(size)))
                        .filter(|(_, places)| *places > 0)
                        .collect(),
                })
                .collect();
            Plan {
                variants: vec![variant("v")],
                nodes,
                lanes: lanes.clone(),
            }
        })
    })
}

fn descendants(plan: &Plan, of: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        if node
            .needs
            .iter()
            .any(|need| of.contains(&need.0) || found.contains(&need.0))
        {
            found.insert(index);
        }
    }
    found
}

proptest! {
    #[test]
    fn walks_keep_order_and_lanes_and_end(
        plan in plans(),
        failing in prop::collection::btree_set(0usize..40, 0..4),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let mut ready = ReadySet::new(&plan);
        let mut running: Vec<NodeIx> = Vec::new();
        let mut started = BTreeSet::new();
        let mut succeeded = BTreeSet::new();
        let mut not_run = BTreeSet::new();
        let mut steps = 0;
        loop {
            while let Some(node) = ready.take_next() {
                for need in &plan.node(node).needs {
                    prop_assert!(succeeded.contains(&need.0), "a node started before its need");
                }
                for before in &plan.node(node).after {
                    prop_assert!(ready.outcome(*before).is_some(), "a node started before the one that it follows had ended");
                }
                prop_assert!(started.insert(node.0), "a node started twice");
                running.push(node);
                for (lane, size) in &plan.lanes {
                    let taken: u32 =
                        running.iter().filter_map(|ix| plan.node(*ix).lanes.get(lane)).sum();
                    prop_assert!(taken <= *size, "lane {lane} holds {taken} of {size}");
                }
            }
            if running.is_empty() {
                break;
            }
            let node = running.swap_remove(picks[steps % picks.len()].index(running.len()));
            steps += 1;
            let outcome = if failing.contains(&node.0) { Outcome::Failed } else { Outcome::Succeeded };
            if outcome == Outcome::Succeeded {
                succeeded.insert(node.0);
            }
            not_run.extend(ready.finish(node, outcome).into_iter().map(|ix| ix.0));
        }
        prop_assert!(ready.is_done(), "nothing runs, yet the walk is not done");
        let failed: BTreeSet<usize> =
            started.iter().copied().filter(|index| failing.contains(index)).collect();
        prop_assert_eq!(&not_run, &descendants(&plan, &failed), "exactly the descendants are kept from running");
        prop_assert_eq!(started.len() + not_run.len(), plan.nodes.len());
    }

    #[test]
    fn giving_up_ends_the_walk(plan in plans(), taken in 0usize..10) {
        let mut ready = ReadySet::new(&plan);
        let running: Vec<NodeIx> = std::iter::from_fn(|| ready.take_next()).take(taken).collect();
        let given_up = ready.give_up_waiting(|_| false);
        prop_assert!(given_up.iter().all(|node| !running.contains(node)));
        prop_assert_eq!(ready.take_next(), None);
        for node in running {
            ready.finish(node, Outcome::Succeeded);
        }
        prop_assert!(ready.is_done());
    }
}

#[test]
fn a_variant_registers_while_the_next_one_builds() {
    let plan = Plan::new(
        vec![variant("a"), variant("b")],
        Scope::Full,
        &Resources {
            builds: 1,
            captures: 2,
            build_dirs: vec!["a".into(), "b".into()],
        },
    );
    let mut ready = ReadySet::new(&plan);
    let id = |node: NodeIx| plan.node(node).id.clone();
    let first = ready.take_next().unwrap();
    assert_eq!(id(first), "build:m/a");
    assert_eq!(ready.take_next(), None, "one build at a time");
    ready.finish(first, Outcome::Succeeded);
    let started: Vec<String> = std::iter::from_fn(|| ready.take_next()).map(id).collect();
    assert_eq!(
        started,
        ["capture:m/a", "build:m/b"],
        "the capture goes first, the next build beside it"
    );
}

#[test]
fn two_variants_of_one_build_directory_never_build_and_capture_at_once() {
    let plan = Plan::new(
        vec![variant("a"), variant("b")],
        Scope::Full,
        &Resources {
            builds: 2,
            captures: 2,
            build_dirs: vec!["shared".into(), "shared".into()],
        },
    );
    let mut ready = ReadySet::new(&plan);
    let build = ready.take_next().unwrap();
    assert_eq!(ready.take_next(), None);
    ready.finish(build, Outcome::Succeeded);
    let capture = ready.take_next().unwrap();
    assert_eq!(
        plan.node(capture).id,
        "capture:m/a",
        "a's output is captured before b may overwrite it"
    );
    assert_eq!(ready.take_next(), None);
}
