use super::*;
use crate::model::processes::{LookTexts, ProcessTexts, ThreadTexts};

const GAP: Duration = Duration::from_secs(10);

/// `stat` as a kernel writes it, with what counts here put in.
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

fn look(processes: Vec<ProcessTexts>, kernel: Vec<ThreadTexts>) -> Look {
    Look::read(&LookTexts {
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

/// sync(2) as it waits for a thread of the kernel that writes.
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

/// kas-container's family around `last`.
fn family(mut last: Vec<ProcessTexts>) -> Vec<ProcessTexts> {
    let shell = one((20, 10), "run.do_image_wi", 'S', 7, 5, ASLEEP);
    let init = one((10, 1), "catatonit", 'S', 0, 3, ASLEEP);
    let mut family = vec![init, shell];
    family.append(&mut last);
    family
}

#[test]
fn a_thread_in_sync_hangs_where_it_was_never_put_on_a_processor() {
    let sgdisk = |switches| family(vec![one((30, 20), "sgdisk", 'D', 4, switches, IN_SYNC)]);
    let twice = |first, second, kernel: Vec<ThreadTexts>| {
        compare(
            &look(sgdisk(first), kernel.clone()),
            &look(sgdisk(second), kernel),
            GAP,
        )
    };
    let Finding::Stuck(stuck) = twice(12, 12, vec![writer()]) else {
        panic!("not stuck")
    };
    assert_eq!(
        stuck[0].to_string(),
        "sgdisk (pid 30) hangs in p9_client_rpc: a 9p file system, as a Windows drive is one, does not \
         answer (FM-6), with /build/tmp/image.wic open"
    );
    let Finding::Stuck(stuck) = twice(12, 12, Vec::new()) else {
        panic!("not stuck")
    };
    assert_eq!(stuck[0].place, Place::Sync);
    // A disk that is slow gives it something to do now and then.
    let Finding::Waiting(waiting) = twice(12, 13, vec![writer()]) else {
        panic!("not waiting")
    };
    assert_eq!(
        waiting[0].to_string(),
        "sgdisk (pid 30) waits for a disk or file system"
    );
}

#[test]
fn a_thread_of_the_kernel_that_worked_in_between_explains_no_hang() {
    let sgdisk = || family(vec![one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC)]);
    let mut earlier = writer();
    earlier.status = earlier.status.replace("switches:\t50", "switches:\t49");
    for before in [vec![earlier], Vec::new()] {
        let found = compare(
            &look(sgdisk(), before),
            &look(sgdisk(), vec![writer()]),
            GAP,
        );
        let Finding::Stuck(stuck) = found else {
            panic!("not stuck")
        };
        assert_eq!(stuck[0].place, Place::Sync);
    }
}

#[test]
fn a_call_into_9p_hangs_by_itself_and_by_its_number_where_no_function_is_known() {
    let of = |places: [&str; 3]| {
        let now = || {
            look(
                family(vec![one((30, 20), "cp", 'D', 4, 12, places)]),
                Vec::new(),
            )
        };
        match compare(&now(), &now(), GAP) {
            Finding::Stuck(stuck) => stuck[0].place.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        of(["p9_client_rpc", "", ""]),
        Place::NineP("p9_client_rpc".to_owned())
    );
    let deep = "[<0>] rwsem_down_read_slowpath+0x1/0x2\n[<0>] v9fs_file_write_iter+0x1/0x2 [9p]\n";
    assert_eq!(
        of([
            "rwsem_down_read_slowpath",
            "1 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f01",
            deep
        ]),
        Place::NineP("v9fs_file_write_iter".to_owned())
    );
    assert_eq!(of(["0", IN_SYNC[1], ""]), Place::Sync);
    assert_eq!(
        of(["percpu_rwsem_wait", "", ""]),
        Place::Elsewhere("percpu_rwsem_wait".to_owned())
    );
    assert_eq!(of(["0", "", ""]), Place::Unknown);
}

#[test]
fn sleeping_like_this_by_intent_is_no_hang() {
    for wchan in [
        "__refrigerator",
        "do_freezer_trap",
        "wait_for_vfork_done",
        "kernel_clone",
    ] {
        let now = || {
            look(
                family(vec![one((30, 20), "make", 'D', 4, 12, [wchan, "", ""])]),
                Vec::new(),
            )
        };
        let found = compare(&now(), &now(), GAP);
        assert!(matches!(found, Finding::Waiting(_)), "{wchan}: {found:?}");
    }
}

/// Of Debian's Linux 6.1, where the trap is a part of its caller.
#[test]
fn one_that_is_paused_as_it_leaves_sync_is_told_to_be_paused() {
    let paused = ["get_signal", IN_SYNC[1], "[<0>] get_signal+0x1e3/0x880\n"];
    let now = || {
        look(
            family(vec![one((30, 20), "sgdisk", 'S', 4, 12, paused)]),
            Vec::new(),
        )
    };
    let Finding::Waiting(waiting) = compare(&now(), &now(), GAP) else {
        panic!("it waits");
    };
    assert_eq!(
        waiting[0].to_string(),
        "sgdisk (pid 30) is paused with its container"
    );
}

#[test]
fn a_number_that_now_is_anothers_is_not_the_same_thread() {
    let before = look(
        family(vec![one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC)]),
        Vec::new(),
    );
    let mut texts = one((30, 20), "sgdisk", 'D', 4, 12, IN_SYNC);
    for text in [&mut texts.stat, &mut texts.threads[0].stat] {
        *text = text.replace("775345", "775999");
    }
    let found = compare(&before, &look(family(vec![texts]), Vec::new()), GAP);
    assert!(!matches!(found, Finding::Stuck(_)), "{found:?}");
}

#[test]
fn whoever_uses_the_processor_or_moves_bytes_or_would_run_is_busy() {
    let compiler = |state, ticks| {
        look(
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
    assert_eq!(compare(&before, &compiler('S', 130), GAP), Finding::Busy);
    assert_eq!(
        compare(&before, &compiler('R', 100), GAP),
        Finding::Busy,
        "starved"
    );
    assert_ne!(compare(&before, &compiler('S', 105), GAP), Finding::Busy);
    // What has come since counts whole, and what has ended counts in its parent.
    assert_eq!(
        compare(&look(family(Vec::new()), Vec::new()), &before, GAP),
        Finding::Busy
    );
    let mut copies = one((30, 20), "rsync", 'D', 100, 12, ["folio_wait_bit", "", ""]);
    let first = look(family(vec![copies.clone()]), Vec::new());
    copies.io = copies.io.replace("rchar: 2012", "rchar: 9012");
    copies.threads[0].status = copies.threads[0].status.replace("12", "13");
    assert_eq!(
        compare(&first, &look(family(vec![copies]), Vec::new()), GAP),
        Finding::Busy
    );
}

#[test]
fn bitbake_that_looks_about_is_not_busy_and_a_task_of_its_worker_is() {
    let bitbake = |server: u64, worker: u64, task: u64| {
        let of = |pid, parent, command: &str, ticks| {
            let stat = stat(pid, "python3", 'S', parent, ticks);
            process(
                &stat,
                command,
                vec![thread(&stat, 9, "poll_schedule_timeout", "", "")],
            )
        };
        look(
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
    let Finding::Waiting(waiting) = compare(&before, &bitbake(1030, 60, 10), GAP) else {
        panic!("not waiting")
    };
    assert_eq!((waiting.len(), waiting[0].pid), (1, 43));
    assert_eq!(compare(&before, &bitbake(1000, 50, 30), GAP), Finding::Busy);
    // Parsing is work of the server.
    assert_eq!(compare(&before, &bitbake(1900, 50, 10), GAP), Finding::Busy);
}

#[test]
fn what_is_waited_for_is_told() {
    let told = |wchan: &str, syscall: &str| {
        let now = || {
            let mut last = one((30, 20), "tool", 'S', 4, 12, [wchan, syscall, ""]);
            last.files.push((5, "socket:[99]".to_owned()));
            last.files.push((6, "/dev/pts/0".to_owned()));
            look(family(vec![last]), Vec::new())
        };
        match compare(&now(), &now(), GAP) {
            Finding::Waiting(waiting) => waiting[0].what.clone(),
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
fn a_thread_that_only_waits_for_the_others_says_less_than_they() {
    let stat_of = |pid| stat(pid, "java", 'S', 20, 4);
    let threads = vec![
        thread(&stat_of(30), 5, "futex_wait_queue", "", ""),
        thread(&stat_of(31), 5, "sk_wait_data", "", ""),
    ];
    let now = || {
        look(
            family(vec![process(&stat_of(30), "java", threads.clone())]),
            Vec::new(),
        )
    };
    let Finding::Waiting(waiting) = compare(&now(), &now(), GAP) else {
        panic!("not waiting")
    };
    assert_eq!(waiting[0].what, NETWORK);
}

#[test]
fn what_ended_or_is_no_process_is_left_out() {
    for stat in ["", "(", ") ( 3", "30 (x", "x (y) S 1", "30 (x) S"] {
        let texts = ProcessTexts {
            stat: stat.to_owned(),
            ..ProcessTexts::default()
        };
        assert_eq!(look(vec![texts], Vec::new()).processes, [], "{stat}");
    }
    assert_eq!(
        compare(&Look::default(), &Look::default(), GAP),
        Finding::Nobody
    );
}
