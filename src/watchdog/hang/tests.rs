use crate::watchdog::hang::*;
use crate::watchdog::snapshot::{ProcessTexts, SnapshotTexts, ThreadTexts};

const GAP: Duration = Duration::from_secs(10);

/// A `stat` file with these values.
fn stat(pid: i32, name: &str, state: char, parent: i32, ticks: u64) -> String {
    format!(
        "{pid} ({name}) {state} {parent} 400 400 0 -1 4194560 189 1201 0 2 {ticks} 3 5 6 20 0 1 0 \
         775345 6459392 483 18446744073709551615 94023 94118 140732 0 0 0 0 4096 17442 0 0 0 17 0 0 0 \
         0 0 0 94139 94140 94985 140732 140732 140732 140732 0\n"
    )
}

fn thread(stat: &str, switches: u64, wchan: &str, syscall: &str, stack: &str) -> ThreadTexts {
    ThreadTexts {
        stat: stat.to_owned(),
        status: format!(
            "Name:\tx\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t{switches}\nnonvoluntary_ctxt_switches:\t2\n"
        ),
        wchan: wchan.to_owned(),
        syscall: syscall.to_owned(),
        stack: stack.to_owned(),
    }
}

fn process(stat: &str, cmdline: &str, threads: Vec<ThreadTexts>) -> ProcessTexts {
    ProcessTexts {
        stat: stat.to_owned(),
        cmdline: cmdline.to_owned(),
        io: "rchar: 2012\nwchar: 40\nsyscr: 7\n".to_owned(),
        files: vec![
            (0, "/dev/null".to_owned()),
            (3, "/build/tmp/image.wic".to_owned()),
            (4, "pipe:[88]".to_owned()),
        ],
        threads,
    }
}

/// One process with one thread.
fn one(
    (pid, parent): (i32, i32),
    name: &str,
    state: char,
    ticks: u64,
    switches: u64,
    [wchan, syscall, stack]: [&str; 3],
) -> ProcessTexts {
    let stat = stat(pid, name, state, parent, ticks);
    process(
        &stat,
        name,
        vec![thread(&stat, switches, wchan, syscall, stack)],
    )
}

fn snapshot(processes: Vec<ProcessTexts>, kernel: Vec<ThreadTexts>) -> ProcessSnapshot {
    ProcessSnapshot::parse(&SnapshotTexts {
        machine: "x86_64".to_owned(),
        processes,
        kernel,
    })
}

const ASLEEP: [&str; 3] = [
    "do_wait",
    "61 0xffffffff 0x7ffe 0x0 0x0 0x0 0x0 0x7ffe 0x7f6d",
    "[<0>] do_wait+0x5b/0x130\n[<0>] kernel_wait4+0xaa/0x150\n",
];

/// sync(2), waiting for a kernel thread that writes back data.
const IN_SYNC: [&str; 3] = [
    "wb_wait_for_completion",
    "162 0x5 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f01",
    "[<0>] wb_wait_for_completion+0x5a/0x90\n[<0>] sync_inodes_sb+0xc9/0x260\n\
     [<0>] iterate_supers+0x8a/0x100\n[<0>] ksys_sync+0x40/0xa0\n[<0>] __do_sys_sync+0xa/0x10\n",
];

fn writer() -> ThreadTexts {
    let stat = stat(77, "kworker/u8:2+flush-9p-1", 'D', 2, 9);
    thread(
        &stat,
        50,
        "p9_client_rpc",
        "-1 0x0 0x0",
        "[<0>] p9_client_rpc+0x1d8/0x3a0 [9pnet]\n[<0>] v9fs_vfs_writepage_locked+0x90/0x120 [9p]\n",
    )
}

/// The processes of a kas-container build, with `last` at the bottom.
fn family(mut last: Vec<ProcessTexts>) -> Vec<ProcessTexts> {
    let shell = one((20, 10), "run.do_image_wi", 'S', 7, 5, ASLEEP);
    let init = one((10, 1), "catatonit", 'S', 0, 3, ASLEEP);
    let mut family = vec![init, shell];
    family.append(&mut last);
    family
}

#[test]
fn a_thread_in_sync_hangs_if_it_did_not_run_between_the_snapshots() {
    let sgdisk = |switches| family(vec![one((30, 20), "sgdisk", 'D', 4, switches, IN_SYNC)]);
    let twice = |first, second, kernel: Vec<ThreadTexts>| {
        compare(
            &snapshot(sgdisk(first), kernel.clone()),
            &snapshot(sgdisk(second), kernel),
            GAP,
        )
    };
    let BuildActivity::Hanging(hung) = twice(12, 12, vec![writer()]) else {
        panic!("not hanging")
    };
    assert_eq!(
        hung[0].to_string(),
        "sgdisk (pid 30) hangs in p9_client_rpc: a 9p file system, such as a Windows drive, does not answer \
         (FM-6), with /build/tmp/image.wic open"
    );
    let BuildActivity::Hanging(hung) = twice(12, 12, Vec::new()) else {
        panic!("not hanging")
    };
    assert_eq!(hung[0].location, HangLocation::Sync);
    // With a slow disk the thread runs now and then.
    let BuildActivity::Waiting(waiting) = twice(12, 13, vec![writer()]) else {
        panic!("not waiting")
    };
    assert_eq!(
        waiting[0].to_string(),
        "sgdisk (pid 30) waits for a disk or file system"
    );
}

#[test]
fn a_kernel_thread_that_ran_between_the_snapshots_does_not_explain_a_hang() {
    let sgdisk = || family(vec![one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC)]);
    let mut earlier = writer();
    earlier.status = earlier.status.replace("switches:\t50", "switches:\t49");
    for before in [vec![earlier], Vec::new()] {
        let found = compare(
            &snapshot(sgdisk(), before),
            &snapshot(sgdisk(), vec![writer()]),
            GAP,
        );
        let BuildActivity::Hanging(hung) = found else {
            panic!("not hanging")
        };
        assert_eq!(hung[0].location, HangLocation::Sync);
    }
}

#[test]
fn the_location_of_a_hang_comes_from_functions_or_the_system_call() {
    let of = |places: [&str; 3]| {
        let now = || {
            snapshot(
                family(vec![one((30, 20), "cp", 'D', 4, 12, places)]),
                Vec::new(),
            )
        };
        match compare(&now(), &now(), GAP) {
            BuildActivity::Hanging(hung) => hung[0].location.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        of(["p9_client_rpc", "", ""]),
        HangLocation::NineP("p9_client_rpc".to_owned())
    );
    let deep = "[<0>] rwsem_down_read_slowpath+0x1/0x2\n[<0>] v9fs_file_write_iter+0x1/0x2 [9p]\n";
    assert_eq!(
        of([
            "rwsem_down_read_slowpath",
            "1 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f01",
            deep
        ]),
        HangLocation::NineP("v9fs_file_write_iter".to_owned())
    );
    assert_eq!(of(["0", IN_SYNC[1], ""]), HangLocation::Sync);
    assert_eq!(
        of(["percpu_rwsem_wait", "", ""]),
        HangLocation::Other("percpu_rwsem_wait".to_owned())
    );
    assert_eq!(of(["0", "", ""]), HangLocation::Unknown);
}

#[test]
fn a_paused_thread_or_one_in_vfork_does_not_hang() {
    for wchan in [
        "__refrigerator",
        "do_freezer_trap",
        "wait_for_vfork_done",
        "kernel_clone",
    ] {
        let now = || {
            snapshot(
                family(vec![one((30, 20), "make", 'D', 4, 12, [wchan, "", ""])]),
                Vec::new(),
            )
        };
        let found = compare(&now(), &now(), GAP);
        assert!(
            matches!(found, BuildActivity::Waiting(_)),
            "{wchan}: {found:?}"
        );
    }
}

/// As in Debian's Linux 6.1, where the freezer's trap is inlined into its caller.
#[test]
fn a_thread_that_was_paused_as_it_left_sync_is_reported_as_paused() {
    let paused = ["get_signal", IN_SYNC[1], "[<0>] get_signal+0x1e3/0x880\n"];
    let now = || {
        snapshot(
            family(vec![one((30, 20), "sgdisk", 'S', 4, 12, paused)]),
            Vec::new(),
        )
    };
    let BuildActivity::Waiting(waiting) = compare(&now(), &now(), GAP) else {
        panic!("it waits");
    };
    assert_eq!(
        waiting[0].to_string(),
        "sgdisk (pid 30) is paused with its container"
    );
}

#[test]
fn a_reused_thread_id_is_not_the_same_thread() {
    let before = snapshot(
        family(vec![one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC)]),
        Vec::new(),
    );
    let mut texts = one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC);
    for text in [&mut texts.stat, &mut texts.threads[0].stat] {
        *text = text.replace("775345", "775999");
    }
    let found = compare(&before, &snapshot(family(vec![texts]), Vec::new()), GAP);
    assert!(!matches!(found, BuildActivity::Hanging(_)), "{found:?}");
}

#[test]
fn processor_time_or_io_or_a_runnable_thread_counts_as_work() {
    let compiler = |state, ticks| {
        snapshot(
            family(vec![one(
                (30, 20),
                "cc1plus",
                state,
                ticks,
                12,
                ["0", "", ""],
            )]),
            Vec::new(),
        )
    };
    let before = compiler('S', 100);
    assert_eq!(
        compare(&before, &compiler('S', 130), GAP),
        BuildActivity::Working
    );
    assert_eq!(
        compare(&before, &compiler('R', 100), GAP),
        BuildActivity::Working,
        "starved"
    );
    assert_ne!(
        compare(&before, &compiler('S', 105), GAP),
        BuildActivity::Working
    );
    // All processor time of a new process counts; that of an ended one counts in its parent.
    assert_eq!(
        compare(&snapshot(family(Vec::new()), Vec::new()), &before, GAP),
        BuildActivity::Working
    );
    let mut copies = one((30, 20), "rsync", 'D', 100, 12, ["folio_wait_bit", "", ""]);
    let first = snapshot(family(vec![copies.clone()]), Vec::new());
    copies.io = copies.io.replace("rchar: 2012", "rchar: 9012");
    copies.threads[0].status = copies.threads[0].status.replace("12", "13");
    assert_eq!(
        compare(&first, &snapshot(family(vec![copies]), Vec::new()), GAP),
        BuildActivity::Working
    );
}

#[test]
fn polling_of_bitbake_is_not_work_and_a_task_of_its_worker_is() {
    let bitbake = |server: u64, worker: u64, task: u64| {
        let of = |pid, parent, command: &str, ticks| {
            let stat = stat(pid, "python3", 'S', parent, ticks);
            process(
                &stat,
                command,
                vec![thread(&stat, 9, "poll_schedule_timeout", "", "")],
            )
        };
        snapshot(
            vec![
                of(
                    40,
                    10,
                    "python3 /work/isar/bitbake/bin/bitbake -c build mc:q:x",
                    server,
                ),
                of(
                    41,
                    40,
                    "/usr/bin/python3 /work/isar/bitbake/bin/bitbake-server decafbad 3 5",
                    server,
                ),
                of(
                    42,
                    41,
                    "/usr/bin/python3 /work/isar/bitbake/bin/bitbake-worker decafbad",
                    worker,
                ),
                of(
                    43,
                    42,
                    "/usr/bin/python3 /work/isar/bitbake/bin/bitbake-worker decafbad",
                    task,
                ),
            ],
            Vec::new(),
        )
    };
    let before = bitbake(1000, 50, 10);
    let BuildActivity::Waiting(waiting) = compare(&before, &bitbake(1030, 60, 10), GAP) else {
        panic!("not waiting")
    };
    assert_eq!((waiting.len(), waiting[0].pid), (1, 43));
    assert_eq!(
        compare(&before, &bitbake(1000, 50, 30), GAP),
        BuildActivity::Working
    );
    // Parsing is work that the server does itself.
    assert_eq!(
        compare(&before, &bitbake(1900, 50, 10), GAP),
        BuildActivity::Working
    );
}

#[test]
fn each_wait_is_described() {
    let told = |wchan: &str, syscall: &str| {
        let now = || {
            let mut last = one((30, 20), "tool", 'S', 4, 12, [wchan, syscall, ""]);
            last.files.push((5, "socket:[99]".to_owned()));
            last.files.push((6, "/dev/pts/0".to_owned()));
            snapshot(family(vec![last]), Vec::new())
        };
        match compare(&now(), &now(), GAP) {
            BuildActivity::Waiting(waiting) => waiting[0].what.clone(),
            other => panic!("{other:?}"),
        }
    };
    let numbers =
        |number: i64, first: u64| format!("{number} {first:#x} 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f01");
    let said: Vec<String> = [
        ("", numbers(73, 3)),
        ("", numbers(72, 9)),
        ("", numbers(202, 0)),
        ("", numbers(0, 4)),
        ("", numbers(0, 5)),
        ("", numbers(0, 6)),
        ("", numbers(0, 3)),
        ("", numbers(7, 0)),
        ("", numbers(47, 5)),
        ("", numbers(230, 0)),
        ("flock_lock_inode_wait", String::new()),
        ("futex_wait_queue", String::new()),
        ("inet_csk_accept", String::new()),
        ("do_epoll_wait", String::new()),
        ("anon_pipe_read", String::new()),
        ("do_wait", String::new()),
        ("hrtimer_nanosleep", String::new()),
        ("something_else", numbers(999, 0)),
        ("0", String::new()),
    ]
    .iter()
    .map(|(wchan, syscall)| told(wchan, syscall))
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_other_threads_wait_for_is_reported_before_a_futex() {
    let stat_of = |pid| stat(pid, "java", 'S', 20, 4);
    let threads = vec![
        thread(&stat_of(30), 5, "futex_wait_queue", "", ""),
        thread(&stat_of(31), 5, "sk_wait_data", "", ""),
    ];
    let now = || {
        snapshot(
            family(vec![process(&stat_of(30), "java", threads.clone())]),
            Vec::new(),
        )
    };
    let BuildActivity::Waiting(waiting) = compare(&now(), &now(), GAP) else {
        panic!("not waiting")
    };
    assert_eq!(waiting[0].what, NETWORK);
}

#[test]
fn processes_that_ended_are_left_out() {
    for stat in ["", "(", ") ( 3", "30 (x", "x (y) S 1", "30 (x) S"] {
        let texts = ProcessTexts {
            stat: stat.to_owned(),
            ..ProcessTexts::default()
        };
        assert_eq!(snapshot(vec![texts], Vec::new()).processes, [], "{stat}");
    }
    assert_eq!(
        compare(
            &ProcessSnapshot::default(),
            &ProcessSnapshot::default(),
            GAP
        ),
        BuildActivity::NoProcesses
    );
}
