//! The simulator over random plans of up to 1,000 variants: how far its schedules are from the best.
//!
//! Three bounds, from what is certain to what is close. No schedule of the ready set is over the bound that
//! `list_bound` proves, and none under the lower bound. Builds alone are within Graham's 4/3 of the best. And
//! what a run takes, the longest first or an order that was tried and found better, is at most 5 % over the
//! best of dozens of schedules that another, simpler list scheduler makes of the same plan in random orders.
//! The last cannot be proven, for which no rule for the order is free of anomalies; that it says
//! something is shown by orders that do not keep it.

use isar_build_all::base::arch::Arch;
use isar_build_all::event::outcome::Outcome;
use isar_build_all::matrix::{Variant, VariantKey};
use isar_build_all::plan::bounds::{bounds, list_bound};
use isar_build_all::plan::order::{improve, longest_first};
use isar_build_all::plan::resource_need::{BuildCapacity, ResourceNeed};
use isar_build_all::plan::simulate::{Schedule, serial, simulate};
use isar_build_all::plan::skip::{Skip, Skips};
use isar_build_all::plan::{Expected, NodeIx, Plan, Resources, Scope, VariantIx};
use isar_build_all::steps;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

fn variant(index: usize) -> Variant {
    Variant {
        key: VariantKey {
            machine: "m".into(),
            id: format!("v{index}"),
        },
        arch: Arch::Amd64,
        axes: Vec::new(),
        kas: Vec::new(),
        attr_path: Vec::new(),
        artifacts: Vec::new(),
    }
}

/// One variant of a random plan.
#[derive(Debug, Clone)]
struct Drawn {
    expected: Expected,
    need: ResourceNeed,
    group: Option<usize>,
    dir: u16,
    skipped: bool,
    fails: bool,
}

/// What a variant's steps take, in seconds.
fn expected(build: u64, shared: u64, capture: u64, register: u64) -> Expected {
    let mut expected = Expected::default()
        .with(steps::build::INFO.kind, build * 1000)
        .with(steps::capture::INFO.kind, capture * 1000)
        .with(steps::register::INFO.kind, register * 1000);
    expected.shared_millis = shared * 1000;
    expected
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let expected = (1u64..400, 0u64..400, 0u64..20, 0u64..20).prop_map(
        |(build, shared, capture, register)| expected(build, shared.min(build), capture, register),
    );
    let need = (2u32..5, 1u32..20).prop_map(|(cpu, memory)| ResourceNeed {
        cpu: cpu * 25,
        memory: memory * 256,
    });
    let chance = |percent: u32| (0u32..100).prop_map(move |drawn| drawn < percent);
    (
        expected,
        need,
        prop::option::of(0usize..4),
        0u16..2000,
        chance(10),
        chance(3),
    )
        .prop_map(|(expected, need, group, dir, skipped, fails)| Drawn {
            expected,
            need,
            group,
            dir,
            skipped,
            fails,
        })
}

fn resources(drawn: &[Drawn], builds: u32, capacity: Option<BuildCapacity>) -> Resources {
    let mut cold = vec![Vec::new(); 4];
    for (index, one) in drawn.iter().enumerate() {
        if let Some(group) = one.group {
            cold[group].push(VariantIx(index));
        }
    }
    Resources {
        builds,
        captures: 2,
        build_dirs: drawn.iter().map(|one| format!("d{}", one.dir)).collect(),
        capacity,
        needs: drawn.iter().map(|one| one.need).collect(),
        expected: drawn.iter().map(|one| one.expected.clone()).collect(),
        cold: cold
            .into_iter()
            .map(|members| ("shared".to_owned(), members))
            .collect(),
        cores: Some(4),
    }
}

fn plan(drawn: &[Drawn], builds: u32, capacity: Option<BuildCapacity>) -> Plan {
    let variants: Vec<_> = (0..drawn.len()).map(variant).collect();
    let resources = resources(drawn, builds, capacity);
    let mut plan = Plan::new(&steps::infos(), variants, Scope::Full, &resources);
    plan.order = longest_first(&plan, &Skips::none());
    plan
}

fn skips(drawn: &[Drawn]) -> Skips {
    let mut skips = Skips::none();
    for (index, _) in drawn.iter().enumerate().filter(|(_, one)| one.skipped) {
        let (key, why) = ("k".to_owned(), "unchanged".to_owned());
        skips.insert(VariantIx(index), Skip { key, why });
    }
    skips
}

fn capacities() -> impl Strategy<Value = Option<BuildCapacity>> {
    prop::option::of(
        (1u32..17, prop::option::of(1u32..33)).prop_map(|(cores, memory)| BuildCapacity {
            cpu: cores * 100,
            memory: memory.map(|memory| memory * 512),
        }),
    )
}

/// A plan of a run: how many variants there are, more often few, for there one build weighs most.
fn drawn_plan() -> impl Strategy<Value = (Vec<Drawn>, u32, Option<BuildCapacity>)> {
    let count = prop_oneof![
        4 => 1usize..12,
        4 => 12usize..60,
        3 => 60usize..200,
        1 => 200usize..=1000,
    ];
    let drawn = count.prop_flat_map(|count| prop::collection::vec(drawn(), count));
    (drawn, 2u32..12, capacities()).prop_map(|(mut drawn, builds, capacity)| {
        let dirs = u16::try_from(drawn.len() * 2).unwrap();
        for one in &mut drawn {
            one.dir %= dirs;
        }
        (drawn, builds, capacity)
    })
}

/// The shortest of so many schedules in random orders.
fn best_of(plan: &Plan, skips: &Skips, seed: u64) -> u64 {
    let times = match plan.variants.len() {
        ..60 => 50,
        60..200 => 20,
        _ => 10,
    };
    let mut random = crate::list::Random::of(seed);
    let makespans = (0..times).map(|_| {
        let order: Vec<u64> = plan.nodes.iter().map(|_| random.draw()).collect();
        crate::list::makespan(plan, skips, &order)
    });
    makespans.min().unwrap()
}

/// At most 5 % more.
fn is_near(makespan: u64, best: u64) -> bool {
    makespan * 100 <= best * 105
}

/// No lane holds more than its size at any time.
fn lanes_hold(plan: &Plan, schedule: &Schedule) -> Result<(), TestCaseError> {
    let mut changes: Vec<(u64, i64, usize)> = Vec::new();
    for (node, span) in plan.nodes.iter().zip(&schedule.spans) {
        let Some(span) = span else { continue };
        for &(lane, places) in node.lanes.iter().filter(|_| span.end > span.start) {
            changes.push((span.start, i64::from(places), lane.0));
            changes.push((span.end, -i64::from(places), lane.0));
        }
    }
    // What ends makes room for what begins at the same time.
    changes.sort_unstable();
    let mut taken = vec![0i64; plan.lanes.len()];
    for (time, places, lane) in changes {
        taken[lane] += places;
        let size = i64::from(plan.lanes[lane].size);
        prop_assert!(
            taken[lane] <= size,
            "{} holds {} at {time}",
            plan.lanes[lane].name,
            taken[lane]
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_run_takes_hardly_longer_than_the_best_of_many_list_schedules(
        (drawn, builds, capacity) in drawn_plan(),
        seed in any::<u64>(),
    ) {
        let (mut plan, skips) = (plan(&drawn, builds, capacity), skips(&drawn));
        improve(&mut plan, &skips);
        let schedule = simulate(&plan, &skips, |_| Outcome::Succeeded);
        lanes_hold(&plan, &schedule)?;
        let best = best_of(&plan, &skips, seed);
        prop_assert!(best >= bounds(&plan, &skips).lower, "that scheduler is wrong");
        prop_assert!(
            is_near(schedule.makespan, best),
            "{} against {best} at {builds} of {:?}, {} variants",
            schedule.makespan,
            plan.lanes.iter().filter(|lane| !lane.is_build_dir()).collect::<Vec<_>>(),
            drawn.len(),
        );
    }

    #[test]
    fn no_schedule_is_beyond_the_bound_of_list_schedules_or_below_the_least(
        drawn in prop::collection::vec(drawn(), 1..1000),
        builds in 1u32..12,
        capacity in capacities(),
    ) {
        let (plan, skips) = (plan(&drawn, builds, capacity), skips(&drawn));
        let schedule = simulate(&plan, &skips, |_| Outcome::Succeeded);
        for (node, span) in plan.nodes.iter().zip(&schedule.spans) {
            prop_assert_eq!(span.is_some(), !skips.contains(node.variant), "everything ends");
        }
        lanes_hold(&plan, &schedule)?;
        let bound = list_bound(&plan, &skips, &schedule);
        prop_assert!(schedule.makespan <= bound, "{} is over {bound}", schedule.makespan);
        let bounds = bounds(&plan, &skips);
        prop_assert!(schedule.makespan >= bounds.lower, "{} is under {}", schedule.makespan, bounds.lower);
        prop_assert!(bounds.lower >= bounds.critical && schedule.makespan <= serial(&plan, &skips));
        let length: u64 = bounds.critical_path.iter().map(|&ix| plan.node(ix).millis).sum();
        prop_assert_eq!(length, bounds.critical);
    }

    #[test]
    fn a_failure_keeps_exactly_its_own_variant_from_going_on(
        drawn in prop::collection::vec(drawn(), 1..300),
        builds in 1u32..8,
        capacity in capacities(),
    ) {
        let (plan, skips) = (plan(&drawn, builds, capacity), skips(&drawn));
        let failing = |ix: NodeIx| {
            let node = plan.node(ix);
            node.step.heavy && drawn[node.variant.0].fails
        };
        let schedule = simulate(&plan, &skips, |ix| match failing(ix) {
            true => Outcome::Failed,
            false => Outcome::Succeeded,
        });
        for (node, span) in plan.nodes.iter().zip(&schedule.spans) {
            let one = &drawn[node.variant.0];
            let runs = !one.skipped && (node.step.heavy || !one.fails);
            prop_assert_eq!(span.is_some(), runs, "{}", plan.id_of(node));
        }
        lanes_hold(&plan, &schedule)?;
    }

    /// Builds alone, with nothing between them but how many run at once, are Graham's case of independent
    /// jobs: the longest first is at most 4/3 - 1/(3m) of the best (R. L. Graham, "Bounds on Multiprocessing
    /// Timing Anomalies", 1969, theorem 2), and so of any other schedule that is tried.
    #[test]
    fn the_longest_first_is_near_the_best(
        seconds in prop::collection::vec(1u64..1000, 1..60),
        builds in 2u32..9,
        shuffled in prop::collection::vec(any::<prop::sample::Index>(), 60),
    ) {
        let alone: Vec<Drawn> = seconds
            .iter()
            .enumerate()
            .map(|(index, seconds)| Drawn {
                expected: expected(*seconds, 0, 0, 0),
                need: ResourceNeed::default(),
                group: None,
                dir: u16::try_from(index).unwrap(),
                skipped: false,
                fails: false,
            })
            .collect();
        let ours = simulate(&plan(&alone, builds, None), &Skips::none(), |_| Outcome::Succeeded).makespan;
        let mut order = seconds.clone();
        let mut best = in_order(&order, builds);
        for (at, pick) in shuffled.iter().take(order.len()).enumerate() {
            order.swap(at, pick.index(seconds.len()));
            best = best.min(in_order(&order, builds));
        }
        let m = u64::from(builds);
        prop_assert!(ours * 3 * m <= best * (4 * m - 1), "{ours} against {best}");
    }
}

/// The makespan of jobs that are taken in this order by whoever is free.
fn in_order(seconds: &[u64], builds: u32) -> u64 {
    let mut free = vec![0u64; builds as usize];
    for seconds in seconds {
        let next = free.iter_mut().min().unwrap();
        *next += seconds * 1000;
    }
    free.into_iter().max().unwrap()
}

/// That an order is near the best says something: that of variants.toml is not, nor the shortest first, nor the
/// longest first of builds that are all taken to be equal. And a lane that holds too much is seen.
#[test]
fn other_orders_and_wider_lanes_are_not_within_the_bounds() {
    let mut runner = TestRunner::deterministic();
    let mut far = [0; 5];
    let mut too_full = 0;
    for seed in 0..30 {
        let (drawn, builds, capacity) = drawn_plan().new_tree(&mut runner).unwrap().current();
        let (mut plan, skips) = (plan(&drawn, builds, capacity), skips(&drawn));
        let best = best_of(&plan, &skips, seed);
        let longest = longest_first(&plan, &skips);
        let mut equal = plan.clone();
        equal.nodes.iter_mut().for_each(|node| node.millis = 1000);
        let equal = longest_first(&equal, &skips);
        let shortest = longest.iter().map(|way| u64::MAX - way).collect();
        improve(&mut plan, &skips);
        let improved = plan.order.clone();
        let orders = [improved, longest, Vec::new(), shortest, equal];
        for (far, order) in far.iter_mut().zip(orders) {
            plan.order = order;
            let makespan = simulate(&plan, &skips, |_| Outcome::Succeeded).makespan;
            *far += usize::from(!is_near(makespan, best));
        }
        let mut wider = plan.clone();
        wider.lanes.iter_mut().for_each(|lane| lane.size *= 2);
        let schedule = simulate(&wider, &skips, |_| Outcome::Succeeded);
        too_full += usize::from(lanes_hold(&plan, &schedule).is_err());
    }
    let [improved, _, of_file, shortest, equal] = far;
    assert_eq!(improved, 0);
    assert!(of_file > 2 && shortest > 2 && equal > 2, "{far:?}");
    assert!(too_full > 15, "{too_full}");
}

#[test]
fn followers_start_when_the_leader_lets_them_go() {
    let one = |build: u64| Drawn {
        expected: expected(build, 40, 2, 1),
        need: ResourceNeed::default(),
        group: Some(0),
        dir: u16::try_from(build).unwrap(),
        skipped: false,
        fails: false,
    };
    let mut drawn = vec![one(90), one(100), one(80)];
    let spans = |drawn: &[Drawn]| {
        let plan = plan(drawn, 4, None);
        let schedule = simulate(&plan, &skips(drawn), |ix| match drawn[ix.0 / 3].fails {
            true => Outcome::Failed,
            false => Outcome::Succeeded,
        });
        let builds = schedule.spans.iter().step_by(3);
        builds
            .map(|span| span.map(|span| (span.start / 1000, span.end / 1000)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        spans(&drawn),
        [Some((40, 130)), Some((0, 100)), Some((40, 120))]
    );
    drawn[1].skipped = true;
    assert_eq!(
        spans(&drawn),
        [Some((0, 90)), None, Some((40, 120))],
        "a skipped one leads nobody"
    );
}
