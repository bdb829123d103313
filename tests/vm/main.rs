//! The guard against hanging Windows drives, on a real 9p mount: Debian's kernel in qemu, by software
//! emulation, with an initramfs of Debian's programs, Windows drives as WSL mounts them, and the built
//! binary, which runs builds there.
//!
//! A test boots one machine and runs one scenario in it (`guest/*.sh`), which tells each check by name.
//! `scripts/setup --tests` provides what these need; where it is missing they fail, they do not skip.
//! docs/wsl.md says what is real here and what is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "test code"
)]

mod archive;
mod checks;
mod kernel;
mod machine;
mod share;
mod system;

use std::time::Duration;

/// How long a machine may run, also on a host that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(600);

/// sync(2) of sgdisk on a drive that does not answer: it hangs, and with each guard it does not.
#[test]
fn no_hang() {
    machine::run(
        "hang",
        LIMIT,
        &[
            "unguarded_hangs",
            "watchdog_names_fm6",
            "seccomp_guard_finishes",
            "no_sync_in_kernel",
            "unmount_guard_finishes",
            "late_pause_is_noticed",
        ],
    );
}

/// What the unmount guard does to the drives, what it insists on, and what it leaves.
#[test]
fn drives_away_and_back() {
    machine::run(
        "drives",
        LIMIT,
        &[
            "superblock_gone",
            "remount_same_options",
            "no_sync_meets_a_drive",
            "two_builds_one_unmount",
            "holder_named",
            "other_namespace_found",
        ],
    );
}

/// Whatever kills the tool, the drives come back.
#[test]
fn sudden_death() {
    machine::run(
        "deaths",
        LIMIT,
        &["sigkill_recovered", "drives_back_within_10_s"],
    );
}
