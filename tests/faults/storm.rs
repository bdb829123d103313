//! The kill storm with a container that is a process of its own. The one on the real container is in
//! tests/real.

use std::time::{Duration, Instant};

use crate::scale;
use crate::world::{World, Wrong, kill, watcher_of};
use support::counts::count;
use support::random::{Random, fresh_seed};

/// Kills the tool `kills` times at instants spread over the whole of a run, every fifth time in a run that
/// publishes all at once; every other time with its watcher, so that nobody clears up. After each, the
/// world is put in order by `recover`, or every third time by the next run; that run then has to succeed.
fn storm(world: &World, seed: u64, kills: u64) {
    println!("seed {seed}, {kills} kills");
    let mut random = Random::of(seed);
    let begin = Instant::now();
    let first = world.run(&["-j", "2"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(world.check(), Wrong::default());
    let whole = begin.elapsed();
    let (mut killed, mut late) = (0, 0);
    while killed < kills {
        let mut args = vec!["-j", "2"];
        if random.below(5) == 0 {
            args.extend(["--publish-if", "all"]);
        }
        let mut tool = world.start(&args);
        let instant = Duration::from_micros(random.below(whole.as_micros() as u64 * 3));
        std::thread::sleep(instant / 2);
        if random.below(2) == 0
            && let Some(watcher) = watcher_of(tool.id())
        {
            kill(watcher);
        }
        kill(tool.id() as i32);
        if tool.wait().unwrap().code().is_some() {
            late += 1;
            assert!(
                late < 10 * kills + 20,
                "the tool ends too early to be killed"
            );
            continue;
        }
        killed += 1;
        count(&[("kills", 1)]);
        let at = format!("seed {seed}, kill {killed}");
        if random.below(3) > 0 {
            let said = world.run(&["recover"]);
            assert_eq!(said.code, Some(0), "{at}: {}{}", said.stdout, said.stderr);
            in_order(world, &format!("{at}, after\n{}", said.stdout));
            // What was registered before the kill, or what the killed run registered in its place.
            assert_eq!(world.project.hashed().len(), 7, "{at}\n{}", said.stdout);
            let again = world.run(&["recover"]);
            assert_eq!(again.stdout, "Nothing to recover.\n", "{at}");
        }
        let rerun = world.run(&["-j", "2"]);
        assert_eq!(rerun.code, Some(0), "{at}: {}", rerun.stderr);
        in_order(world, &format!("{at}, after the run\n{}", rerun.stderr));
        assert_eq!(world.project.hashed().len(), 7, "{at}");
    }
    assert!(world.nix_keeps_all(), "seed {seed}");
    println!("seed {seed}: {killed} kills, {late} too late, all in order");
}

fn in_order(world: &World, at: &str) {
    let wrong = world.check();
    wrong.count();
    assert_eq!(wrong, Wrong::default(), "{at}");
}

/// A quarter of all kills; what does not divide goes to the first.
fn quarter(which: u64) -> u64 {
    let kills = scale("ISAR_FAULTS_KILLS", 40);
    kills / 4 + u64::from(which < kills % 4)
}

fn fresh() -> u64 {
    fresh_seed(crate::number("ISAR_FAULTS_SEED"))
}

#[test]
fn a_kill_at_any_instant_leaves_what_recover_puts_in_order() {
    storm(&World::new().packed(), 20_260_601, quarter(0));
}

#[test]
fn and_at_instants_that_nobody_has_tried() {
    storm(&World::new(), fresh(), quarter(1));
}

#[test]
fn also_with_a_nix_store() {
    storm(&World::with_nix(), 20_260_602, quarter(2));
}

#[test]
fn also_with_a_nix_store_at_instants_that_nobody_has_tried() {
    storm(&World::with_nix().packed(), fresh(), quarter(3));
}
