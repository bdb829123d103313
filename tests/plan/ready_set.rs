//! Properties of the ready set over random plans: order, lanes, termination, and who is kept from running.

use std::collections::BTreeSet;

use isar_build_all::base::arch::Arch;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::matrix::{Variant, VariantKey};
use isar_build_all::plan::order::longest_first;
use isar_build_all::plan::ready::ReadySet;
use isar_build_all::plan::skip::Skips;
use isar_build_all::plan::{
    ColdGroup, Expected, Lane, LaneIx, Node, NodeIx, Plan, Resources, Scope, VariantIx,
};
use isar_build_all::steps::{build, infos, register};
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

/// A random acyclic plan: each node needs some of those before it, follows some, takes some places of
/// some lanes, and may belong to a group of which one leads.
fn plans() -> impl Strategy<Value = Plan> {
    let sizes = prop::collection::vec(1u32..4, 1..4);
    (sizes, 1usize..40).prop_flat_map(|(sizes, count)| {
        let node = (
            prop::collection::vec(any::<prop::sample::Index>(), 0..3),
            prop::collection::vec(any::<prop::sample::Index>(), 0..2),
            prop::collection::vec(0u32..4, sizes.len()),
            0u64..50,
            prop::option::of(0usize..3),
        );
        prop::collection::vec(node, count).prop_map(move |raw| {
            let lanes: Vec<Lane> = sizes
                .iter()
                .enumerate()
                .map(|(index, &size)| Lane {
                    name: format!("lane{index}"),
                    size,
                })
                .collect();
            let mut groups = vec![Vec::new(); 3];
            let mut nodes = Vec::new();
            for (index, (needs, after, places, millis, group)) in raw.into_iter().enumerate() {
                if let Some(group) = group {
                    groups[group].push(NodeIx(index));
                }
                nodes.push(Node {
                    step: if millis % 3 == 0 {
                        &register::INFO
                    } else {
                        &build::INFO
                    },
                    variant: VariantIx(0),
                    needs: earlier(index, &needs),
                    after: earlier(index, &after),
                    lanes: places
                        .into_iter()
                        .zip(&sizes)
                        .enumerate()
                        .map(|(lane, (places, &size))| (LaneIx(lane), places.min(size)))
                        .filter(|(_, places)| *places > 0)
                        .collect(),
                    millis,
                    shared_millis: 0,
                });
            }
            Plan {
                variants: vec![variant("v")].into(),
                nodes,
                lanes,
                groups: groups
                    .into_iter()
                    .map(|members| ColdGroup {
                        name: "shared".to_owned(),
                        members,
                    })
                    .collect(),
                ..Plan::default()
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
        let mut warm = vec![false; plan.groups.len()];
        let mut steps = 0;
        loop {
            let held = steps % 3 == 1;
            ready.hold_heavy(held);
            while let Some(node) = ready.take_next() {
                for need in &plan.node(node).needs {
                    prop_assert!(succeeded.contains(&need.0), "a node started before its need");
                }
                for before in &plan.node(node).after {
                    prop_assert!(ready.outcome(*before).is_some(), "a node started before the one that it follows had ended");
                }
                prop_assert!(started.insert(node.0), "a node started twice");
                running.push(node);
                for (index, lane) in plan.lanes.iter().enumerate() {
                    let taken: u32 = running
                        .iter()
                        .flat_map(|ix| &plan.node(*ix).lanes)
                        .filter(|(ix, _)| *ix == LaneIx(index))
                        .map(|(_, places)| places)
                        .sum();
                    prop_assert!(taken <= lane.size, "{} holds {taken} of {}", lane.name, lane.size);
                }
                prop_assert!(
                    !(ready.heavy().0 > 1 && held && plan.node(node).step.heavy),
                    "a build started beside another while builds were held"
                );
                for (group, warm) in plan.groups.iter().zip(&warm) {
                    let begun = |ix: &&NodeIx| running.contains(ix);
                    let count = group.members.iter().filter(begun).count();
                    prop_assert!(*warm || count <= 1, "a cold group has one at work");
                }
            }
            if running.is_empty() {
                break;
            }
            // Each time one of those that run says that what it shares is there; most share nothing.
            let sharing = running[picks[steps % picks.len()].index(running.len())];
            if steps % 2 == 0 {
                let leads = ready.followers(sharing) > 0;
                if leads {
                    ready.release_followers(sharing);
                }
                for (group, warm) in plan.groups.iter().zip(&mut warm) {
                    *warm |= leads && group.members.contains(&sharing);
                }
                steps += 1;
                continue;
            }
            let node = running.swap_remove(picks[steps % picks.len()].index(running.len()));
            steps += 1;
            let outcome = if failing.contains(&node.0) { Outcome::Failed } else { Outcome::Succeeded };
            if outcome == Outcome::Succeeded {
                succeeded.insert(node.0);
                for (group, warm) in plan.groups.iter().zip(&mut warm) {
                    *warm |= group.members.contains(&node);
                }
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
        &infos(),
        vec![variant("a"), variant("b")],
        Scope::Full,
        &Resources {
            builds: 1,
            captures: 2,
            build_dirs: vec!["a".into(), "b".into()],
            ..Resources::default()
        },
    );
    let mut ready = ReadySet::new(&plan);
    let id = |node: NodeIx| plan.id(node).to_string();
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
        &infos(),
        vec![variant("a"), variant("b")],
        Scope::Full,
        &Resources {
            builds: 2,
            captures: 2,
            build_dirs: vec!["shared".into(), "shared".into()],
            ..Resources::default()
        },
    );
    let mut ready = ReadySet::new(&plan);
    let build = ready.take_next().unwrap();
    assert_eq!(ready.take_next(), None);
    ready.finish(build, Outcome::Succeeded);
    let capture = ready.take_next().unwrap();
    assert_eq!(
        plan.id(capture).to_string(),
        "capture:m/a",
        "a's output is captured before b may overwrite it"
    );
    assert_eq!(ready.take_next(), None);
}

/// Variants that are ready at once, of which the first `shared` share cold state.
fn beside(count: usize, builds: u32, shared: usize, seconds: &[u64]) -> Plan {
    let names: Vec<String> = (0..count).map(|index| format!("v{index}")).collect();
    let resources = Resources {
        builds,
        captures: 2,
        build_dirs: names.clone(),
        expected: seconds
            .iter()
            .map(|seconds| Expected::default().with(build::INFO.kind, seconds * 1000))
            .collect(),
        cold: vec![("shared".to_owned(), (0..shared).map(VariantIx).collect())],
        ..Resources::default()
    };
    let variants: Vec<_> = names.iter().map(|name| variant(name)).collect();
    let mut plan = Plan::new(&infos(), variants, Scope::Full, &resources);
    plan.order = longest_first(&plan, &Skips::none());
    plan
}

fn startable(ready: &mut ReadySet, plan: &Plan) -> Vec<String> {
    std::iter::from_fn(|| ready.take_next())
        .map(|ix| plan.id(ix).to_string())
        .collect()
}

#[test]
fn the_longest_goes_first_where_several_build_at_once() {
    let plan = beside(4, 2, 0, &[10, 30, 20, 40]);
    assert_eq!(
        startable(&mut ReadySet::new(&plan), &plan),
        ["build:m/v3", "build:m/v1"]
    );
    let one = beside(4, 1, 0, &[10, 30, 20, 40]);
    assert_eq!(
        startable(&mut ReadySet::new(&one), &one),
        ["build:m/v0"],
        "people expect their order"
    );
}

#[test]
fn one_leads_and_the_others_follow_when_what_they_share_is_there() {
    let plan = beside(4, 4, 3, &[10, 30, 20, 5]);
    let mut ready = ReadySet::new(&plan);
    assert_eq!(
        startable(&mut ready, &plan),
        ["build:m/v1", "build:m/v3"],
        "the longest leads"
    );
    assert_eq!(ready.followers(NodeIx(3)), 2);
    ready.release_followers(NodeIx(3));
    assert_eq!(startable(&mut ready, &plan), ["build:m/v2", "build:m/v0"]);
}

#[test]
fn who_builds_in_the_directory_of_a_skipped_one_still_waits_for_those_before_it() {
    let names: Vec<String> = (0..4).map(|index| format!("v{index}")).collect();
    let resources = Resources {
        builds: 4,
        captures: 2,
        build_dirs: vec!["one".to_owned(); 4],
        ..Resources::default()
    };
    let variants: Vec<_> = names.iter().map(|name| variant(name)).collect();
    let plan = Plan::new(&infos(), variants, Scope::Full, &resources);
    let mut ready = ReadySet::new(&plan);
    for node in 3..9 {
        ready.skip(NodeIx(node));
        assert_eq!(ready.outcome(NodeIx(node)), Some(Outcome::Skipped));
    }
    for expected in [["build:m/v0"], ["capture:m/v0"]] {
        let ix = ready.take_next().unwrap();
        assert_eq!([plan.id(ix).to_string()], expected);
        assert_eq!(ready.take_next(), None);
        ready.finish(ix, Outcome::Succeeded);
    }
    assert_eq!(
        startable(&mut ready, &plan),
        ["register:m/v0", "build:m/v3"]
    );
}

/// On a small stack, which a call for each of them would not fit in.
#[test]
fn thousands_that_are_skipped_in_one_directory_end_one_after_the_other() {
    const COUNT: usize = 3000;
    let walk = || {
        let resources = Resources {
            builds: 4,
            captures: 2,
            build_dirs: vec!["one".to_owned(); COUNT],
            ..Resources::default()
        };
        let variants = (0..COUNT).map(|index| variant(&format!("v{index}")));
        let plan = Plan::new(
            &infos(),
            variants.collect::<Vec<_>>(),
            Scope::Full,
            &resources,
        );
        let mut ready = ReadySet::new(&plan);
        let last = plan.nodes.len() - 3;
        for node in 3..last {
            ready.skip(NodeIx(node));
        }
        for expected in ["build:m/v0", "capture:m/v0"] {
            let ix = ready.take_next().unwrap();
            assert_eq!(plan.id(ix).to_string(), expected);
            ready.finish(ix, Outcome::Succeeded);
        }
        let last = format!("build:m/v{}", COUNT - 1);
        assert_eq!(startable(&mut ready, &plan), ["register:m/v0", &last]);
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    thread.spawn(walk).unwrap().join().unwrap();
}

#[test]
fn after_a_leader_that_failed_or_is_skipped_the_next_one_leads() {
    let plan = beside(3, 4, 3, &[10, 30, 20]);
    let mut ready = ReadySet::new(&plan);
    ready.skip(NodeIx(3));
    assert_eq!(startable(&mut ready, &plan), ["capture:m/v1", "build:m/v2"]);
    ready.finish(NodeIx(6), Outcome::Failed);
    assert_eq!(startable(&mut ready, &plan)[0], "build:m/v0");
}
