//! The kill storm.

use std::time::{Duration, Instant};

use crate::scale;
use crate::world::{World, Wrong, kill, watcher_of};

/// Marsaglia's xorshift64: enough for instants.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Kills the tool `kills` times, every fifth in a run that publishes all at once, at instants spread over the whole of a run; every other time with its
/// watcher, so that nobody clears up, and every third time leaving it to the next run to recover.
fn storm(seed: u64, kills: u64) {
    println!("seed {seed}, {kills} kills");
    let world = World::new();
    let mut random = Random(seed.max(1));
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
        if random.below(3) == 0 {
            // The next run finds it.
            continue;
        }
        let said = world.run(&["recover"]);
        assert_eq!(
            said.code,
            Some(0),
            "seed {seed}, kill {killed}: {}{}",
            said.stdout,
            said.stderr
        );
        let wrong = world.check();
        assert_eq!(
            wrong,
            Wrong::default(),
            "seed {seed}, kill {killed}, after\n{}",
            said.stdout
        );
        let again = world.run(&["recover"]);
        assert_eq!(
            again.stdout, "Nothing to recover.\n",
            "seed {seed}, kill {killed}"
        );
    }
    let last = world.run(&["-j", "2"]);
    assert_eq!(last.code, Some(0), "seed {seed}: {}", last.stderr);
    assert_eq!(world.check(), Wrong::default(), "seed {seed}, at the end");
    assert_eq!(world.project.hashed().len(), 7);
    println!("seed {seed}: {killed} kills, {late} too late, all in order");
}

#[test]
fn a_kill_at_any_instant_leaves_what_recover_puts_in_order() {
    storm(20_260_601, scale("ISAR_FAULTS_KILLS", 40) / 2);
}

#[test]
fn and_at_instants_that_nobody_has_tried() {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let kills = scale("ISAR_FAULTS_KILLS", 40);
    storm(scale("ISAR_FAULTS_SEED", now), kills - kills / 2);
}
