//! Builds beside each other: how many, with how many threads, who leads, and what holds them back.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::project::{Project, Said, outcome};

const AMD64: [&str; 3] = [
    "qemuamd64/base",
    "qemuamd64/server-server-1",
    "qemuamd64/server-server-2",
];

/// Files of a machine of eight cores and 16 GiB, all of it available, on which builds may start at once.
fn machine(project: &Project) {
    project.write("system/sys/devices/system/cpu/online", "0-7\n");
    project.write(
        "system/proc/meminfo",
        "MemTotal: 16777216 kB\nMemAvailable: 16777216 kB\n",
    );
    project.write(
        "system/proc/pressure/memory",
        "some avg10=0.00 avg60=0.00\n",
    );
    project.write("system/proc/sys/fs/binfmt_misc/qemu-aarch64", "enabled\n");
    project.write(
        ".isar-build-all/repos/github.com.ilbers.isar/HEAD",
        "ref: x\n",
    );
}

/// Runs on that machine, with further variables.
fn run(project: &Project, args: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = project.command(args);
    command.env("ISAR_BUILD_ALL_SYSTEM_ROOT", project.path().join("system"));
    command.envs(variables.iter().copied());
    project.said(&mut command)
}

/// What kas-container got of a variable, for a variant written `machine.id`.
fn given(project: &Project, variant: &str, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    let env = project.read(&format!("fake/{variant}.env"));
    env.lines()
        .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
}

/// The place in the events of the first of this kind about this node.
fn place(events: &[Value], kind: &str, node: &str) -> usize {
    events
        .iter()
        .position(|event| event["kind"] == kind && event["node"] == node)
        .unwrap_or_else(|| panic!("no {kind} of {node}"))
}

/// A script that waits until a variant (`machine.id`) has been started.
fn until_started(variant: &str) -> String {
    format!(
        "i=0; until [ -f \"$FAKE_DIR/{variant}.argv\" ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.05; done\n"
    )
}

/// A script that fails where another one of its kind runs.
const ALONE: &str =
    "mkdir \"$FAKE_DIR/busy\" || exit 1; sleep 0.4; rmdir \"$FAKE_DIR/busy\"; deploy\n";

#[test]
fn the_cores_are_divided_unless_the_user_has_divided_them() {
    let project = Project::new();
    machine(&project);
    let threads = |args: &[&str], variables: &[(&str, &str)]| {
        let said = run(&project, args, variables);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        ["BB_NUMBER_THREADS", "PARALLEL_MAKE"].map(|name| given(&project, "qemuarm64.base", name))
    };
    let arm64 = "qemuarm64/base";
    let some = |words: [&str; 2]| words.map(|word| Some(word.to_owned()));
    assert_eq!(
        threads(&["--variant", arm64], &[]),
        some(["8", "-j 8"]),
        "alone"
    );
    project.write("kas/qemuarm64.yml", "header:\n  version: 15\n");
    assert_eq!(
        threads(&["--variant", "base", "-j", "2"], &[]),
        some(["4", "-j 4"]),
        "one of two"
    );
    project.write("kas/qemuarm64.yml", "header:\n  version: 16\n");
    assert_eq!(
        threads(&["--variant", arm64], &[("BB_NUMBER_THREADS", "3")]),
        some(["3", "-j 8"])
    );
    project.write("kas/qemuarm64.yml", "header:\n  version: 17\n");
    let [bitbake, make] = threads(
        &["--variant", arm64],
        &[("ISAR_BUILD_ALL_ENV", "BB_NUMBER_THREADS=5")],
    );
    assert_eq!((bitbake, make.as_deref()), (None, Some("-j 8")));
    let argv = project.read("fake/qemuarm64.base.argv");
    assert!(argv.contains("-e BB_NUMBER_THREADS=5"), "{argv}");
}

#[test]
fn one_leads_and_the_others_follow_as_it_begins_with_its_image() {
    let project = Project::new();
    machine(&project);
    project.instead("qemuamd64.base.before", "sleep 1");
    // The leader ends only when both followers have started: they do not wait for its end.
    let both =
        ["server-1", "server-2"].map(|node| until_started(&format!("qemuamd64.server-{node}")));
    project.instead("qemuamd64.base", &format!("{}deploy\n", both.concat()));
    let said = run(
        &project,
        &[
            "--machine",
            "qemuamd64",
            "-j",
            "4",
            "--events",
            "events.jsonl",
            "--verbose",
        ],
        &[],
    );
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let events = project.events("events.jsonl");
    let begins = place(&events, "progress", "build:qemuamd64/base");
    for follower in &AMD64[1..] {
        let node = format!("build:{follower}");
        assert!(
            place(&events, "node_ready", &node) > begins,
            "{follower} waits for its leader"
        );
        let started = place(&events, "node_started", &node);
        assert!(started < place(&events, "node_finished", "build:qemuamd64/base"));
    }
    for words in [
        "leads 2 builds, until its shared state",
        "2 builds may start",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
}

#[test]
fn after_a_leader_that_failed_the_next_one_leads() {
    let project = Project::new();
    machine(&project);
    project.instead("qemuamd64.base.before", "exit 1");
    project.instead("qemuamd64.server-server-1.before", "sleep 0.5");
    let args = [
        "--machine",
        "qemuamd64",
        "-j",
        "4",
        "-k",
        "--events",
        "events.jsonl",
    ];
    assert_eq!(run(&project, &args, &[]).code, Some(10));
    let events = project.events("events.jsonl");
    let [first, second, third] = AMD64.map(|variant| format!("build:{variant}"));
    assert_eq!(outcome(&events, &first), "failed");
    assert!(place(&events, "node_ready", &second) > place(&events, "node_finished", &first));
    assert!(place(&events, "node_ready", &third) > place(&events, "progress", &second));
    assert_eq!(outcome(&events, &third), "succeeded");
}

#[test]
fn where_the_shared_state_is_warm_nobody_waits() {
    let project = Project::new();
    machine(&project);
    let said = run(&project, &["--variant", "qemuamd64/base"], &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let select = [
        "--variant",
        "server-*",
        "-j",
        "2",
        "--events",
        "events.jsonl",
    ];
    let beside = |one: &str, other: &str| {
        let wait = until_started(&format!("qemuamd64.server-{other}"));
        project.instead(&format!("qemuamd64.server-{one}.before"), &wait);
    };
    // The mark alone says nothing where the cache is empty.
    project.instead("qemuamd64.server-server-1.before", "sleep 0.5");
    assert_eq!(run(&project, &select, &[]).code, Some(0));
    let events = project.events("events.jsonl");
    let [_, first, second] = AMD64.map(|variant| format!("build:{variant}"));
    assert!(place(&events, "node_ready", &second) > place(&events, "progress", &first));

    project.write("home/.cache/yocto/sstate/00/sstate:x.tar.zst", "state");
    for node in ["server-1", "server-2"] {
        fs::remove_file(
            project
                .path()
                .join(format!("fake/qemuamd64.server-{node}.argv")),
        )
        .unwrap();
        project.write(&format!("kas/{node}.yml"), "header:\n  version: 15\n");
    }
    beside("server-1", "server-2");
    beside("server-2", "server-1");
    let said = run(&project, &select, &[]);
    assert_eq!(said.code, Some(0), "both run at once: {}", said.stderr);

    // Another base makes another state. Who took longer before leads.
    project.write("kas/base.yml", "header:\n  version: 15\n");
    for node in ["server-1", "server-2"] {
        project.instead(&format!("qemuamd64.server-{node}.before"), "sleep 0.5");
    }
    assert_eq!(run(&project, &select, &[]).code, Some(0));
    let events = project.events("events.jsonl");
    let ready = |node: &str| place(&events, "node_ready", node);
    let mut builds = [&first, &second];
    builds.sort_by_key(|node| ready(node));
    let [leader, follower] = builds;
    assert!(ready(follower) > place(&events, "progress", leader));
}

#[test]
fn memory_pressure_keeps_the_next_build_back_and_says_so_once() {
    let project = Project::new();
    machine(&project);
    project.write(
        "system/proc/pressure/memory",
        "some avg10=50.00 avg60=0.00\n",
    );
    for variant in ["qemuamd64.base", "qemuarm64.base"] {
        project.instead(variant, ALONE);
    }
    let args = ["--variant", "base", "-j", "2"];
    let said = run(&project, &args, &[]);
    assert_eq!(
        said.code,
        Some(0),
        "one always runs, never two: {}",
        said.stderr
    );
    let warning = "processes waited for memory in 50 % of the last 10 seconds";
    assert_eq!(said.stderr.matches(warning).count(), 1, "{}", said.stderr);

    // As soon as it is less, the other starts: this one waits for that.
    let project = Project::new();
    machine(&project);
    project.write(
        "system/proc/pressure/memory",
        "some avg10=50.00 avg60=0.00\n",
    );
    let file = project.path().join("system/proc/pressure/memory");
    let less = format!("echo 'some avg10=9.00 avg60=0' > {}\n", file.display());
    let wait = until_started("qemuarm64.base");
    project.instead("qemuamd64.base", &format!("{less}{wait}deploy\n"));
    assert_eq!(run(&project, &args, &[]).code, Some(0));

    // And nobody looks where it is switched off.
    let project = Project::new();
    machine(&project);
    project.write(
        "system/proc/pressure/memory",
        "some avg10=50.00 avg60=0.00\n",
    );
    project.instead("qemuamd64.base", &format!("{wait}deploy\n"));
    let said = run(&project, &args, &[("ISAR_BUILD_ALL_MEMORY_PRESSURE", "0")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn the_first_build_goes_alone_until_it_has_prepared_what_all_start_from() {
    // Each fails where another one prepares, too, and ends only when the other has started.
    let alone = "mkdir \"$FAKE_DIR/busy\" || exit 1; sleep 0.4; rmdir \"$FAKE_DIR/busy\"";
    let pair = ["qemuamd64.base", "qemuarm64.base"];
    let both = |project: &Project| {
        machine(project);
        for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            project.instead(&format!("{one}.before"), alone);
            project.instead(one, &format!("{}deploy\n", until_started(other)));
        }
    };
    let args = ["--variant", "base", "-j", "2"];
    for lacks in ["system/proc/sys/fs/binfmt_misc", ".isar-build-all/repos"] {
        let project = Project::new();
        both(&project);
        fs::remove_dir_all(project.path().join(lacks)).unwrap();
        let said = run(&project, &args, &[]);
        assert_eq!(said.code, Some(0), "{lacks}: {}", said.stderr);
    }
    // Where nothing is lacking, they start at once.
    let project = Project::new();
    both(&project);
    assert_eq!(run(&project, &args, &[]).code, Some(10));
}

/// The document of `plan --simulate` with the machine's own number of builds.
fn simulated(project: &Project, args: &[&str]) -> Value {
    let words = [&["plan", "--simulate", "--format", "json"], args].concat();
    let said = run(project, &words, &[("ISAR_BUILD_ALL_JOBS", "auto")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn limits_of_control_groups_are_the_machines_size() {
    let project = Project::new();
    machine(&project);
    let lanes = simulated(&project, &[])["lanes"].clone();
    let expected =
        serde_json::json!({"build": 16, "capture": 4, "register": 1, "cpu": 800, "memory": 15564});
    assert_eq!(lanes, expected, "a twentieth of 16 GiB stays");

    project.write(
        "system/proc/self/mountinfo",
        "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    project.write("system/proc/self/cgroup", "0::/ci/job\n");
    project.write("system/sys/fs/cgroup/ci/cpu.max", "150000 100000\n");
    project.write("system/sys/fs/cgroup/ci/job/memory.max", "4294967296\n");
    let lanes = simulated(&project, &[])["lanes"].clone();
    assert_eq!(
        (&lanes["cpu"], &lanes["memory"]),
        (&150.into(), &3276.into())
    );
}

#[test]
fn what_a_build_took_is_what_the_next_one_is_expected_to_take() {
    let project = Project::new();
    machine(&project);
    project.write(
        "system/proc/self/mountinfo",
        "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    project.write("system/proc/self/cgroup", "0::/us\n");
    project.write("system/proc/4711/cgroup", "0::/libpod-1\n");
    project.write("fake/first-process", "4711\n");
    let group = "system/sys/fs/cgroup/libpod-1";
    project.write("system/sys/fs/cgroup/us/cpu.stat", "usage_usec 1\n");
    project.write(&format!("{group}/memory.current"), "4294967296\n");
    project.write(&format!("{group}/memory.stat"), "active_file 1073741824\n");
    project.write(&format!("{group}/cpu.stat"), "usage_usec 1000000\n");
    project.instead("qemuarm64.base", "sleep 3; deploy");
    let auto = [("ISAR_BUILD_ALL_JOBS", "auto")];
    let said = run(&project, &["--machine", "qemuarm64"], &auto);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = run(&project, &["plan", "--format", "json"], &auto);
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    let lanes = |id: &str| {
        let node = plan["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|node| node["id"] == id);
        node.unwrap()["lanes"].clone()
    };
    let measured = lanes("build:qemuarm64/base");
    assert_eq!(measured["memory"], 3840, "3 GiB and a quarter more");
    assert_eq!(measured["cpu"], 50, "it waited all the time");
    let guessed = lanes("build:qemuamd64/base");
    assert_eq!(
        (&guessed["memory"], &guessed["cpu"]),
        (&2048.into(), &100.into())
    );
    let schedule = simulated(&project, &[]);
    assert_eq!(schedule["assumed"], 3);
    assert_eq!(
        schedule["skipped"],
        serde_json::json!(["qemuarm64/base"]),
        "it is unchanged"
    );
    project.write("kas/qemuarm64.yml", "header:\n  version: 15\n");
    let schedule = simulated(&project, &[]);
    assert_eq!(
        (&schedule["measured"], &schedule["assumed"]),
        (&1.into(), &3.into())
    );
    assert_eq!(schedule["skipped"], serde_json::json!([]));
}

#[test]
fn what_cannot_be_measured_is_said_to_those_who_look_closely() {
    let project = Project::new();
    machine(&project);
    project.write("fake/first-process", "4711\n");
    let words = "cannot be measured: its control group was not found";
    let said = run(&project, &["--machine", "qemuarm64", "--verbose"], &[]);
    assert_eq!(said.code, Some(0));
    assert!(said.stderr.contains(words), "{}", said.stderr);
    project.write("kas/qemuarm64.yml", "header:\n  version: 15\n");
    let said = run(&project, &["--machine", "qemuarm64"], &[]);
    assert!(!said.stderr.contains(words), "{}", said.stderr);
}

#[test]
fn a_schedule_is_drawn_from_given_durations() {
    let project = Project::new();
    machine(&project);
    let durations = "# measured elsewhere\nserver-server-1 = 90\n\nqemuamd64/base=100\nqemuarm64/base=60\ncapture:qemuamd64/base=10\n";
    project.write("durations", durations);
    let args = [
        "plan",
        "--simulate",
        "-j",
        "2",
        "--durations",
        "durations",
        "--durations",
        "server-server-2=30",
    ];
    let said = run(&project, &args, &[]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    insta::assert_snapshot!(said.stdout);

    let document = simulated(&project, &["-j", "4", "--durations", "durations"]);
    assert_eq!(document["jobs"], 4);
    let why =
        "the unknown one takes three minutes and leads, the longest of the others follows after 90";
    assert_eq!(document["makespan"], 205.0, "{why}");
    assert_eq!(document["critical_path"]["seconds"], 188.0);

    for (word, message) in [
        (
            "nobody=3",
            "`nobody` is not a selected variant, nor a node of one",
        ),
        (
            "qemuamd64/base=soon",
            "`qemuamd64/base=soon` has no duration",
        ),
        ("absent", "absent cannot be read"),
    ] {
        let said = run(&project, &["plan", "--simulate", "--durations", word], &[]);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(message), "{}", said.stderr);
    }
}

#[test]
fn the_history_of_a_build_knows_nothing_of_its_wait_for_the_first_one() {
    let project = Project::new();
    // There are no clones yet, so one of the two goes alone until BitBake speaks.
    for variant in ["qemuamd64.base", "qemuarm64.base"] {
        project.instead(&format!("{variant}.before"), "sleep 2");
    }
    let begin = Instant::now();
    let said = project.run(&["--variant", "base", "-j", "2"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(begin.elapsed() > Duration::from_secs(4), "one waited");
    project.write("kas/base.yml", "header:\n  version: 15\n");
    let plan = simulated(&project, &["-j", "2", "--variant", "base"]);
    let builds = plan["nodes"].as_array().unwrap().iter();
    let took: Vec<f64> = builds
        .filter(|node| node["id"].as_str().unwrap().starts_with("build:"))
        .map(|node| node["end"].as_f64().unwrap() - node["start"].as_f64().unwrap())
        .collect();
    assert_eq!(took.len(), 2, "{plan}");
    assert!(
        took.iter().all(|took| (2.0..3.9).contains(took)),
        "{took:?}"
    );
}

/// What waits for the last of a run keeps its locks, which are open files, and a usual limit is soon reached.
#[test]
fn a_run_that_publishes_all_at_once_may_open_what_it_needs() {
    let project = Project::new();
    let nodes: Vec<String> = (1..=60).map(|node| format!("\"node-{node}\"")).collect();
    for node in &nodes {
        project.write(
            &format!("kas/{}.yml", node.trim_matches('"')),
            "header:\n  version: 14\n",
        );
    }
    let bmap = "bmap = { extension = \".wic.bmap\", optional = true, format = \"any\" }\n";
    let matrix = project
        .read("variants.toml")
        .replace(r#""server-1", "server-2""#, &nodes.join(", "))
        .replace(r#".wic","#, r#".wic", compress = "zst", bmap = true,"#)
        .replace(bmap, "")
        .replace(r#"["wic", "bmap"]"#, r#"["wic"]"#);
    project.write("variants.toml", &matrix);
    let limited = |limits: &str, variants: &str| {
        let tool = project.command(&["--publish-if", "all", "--variant", variants, "-j", "4"]);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit {limits} && exec \"$@\""), "sh"])
            .arg(tool.get_program())
            .args(tool.get_args())
            .current_dir(project.path())
            .env_clear();
        for (name, value) in tool.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        project.said(&mut command)
    };
    let said = limited("-n 300", "server-node-1*");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let warning = "--publish-if all may need 545 open files for 11 variants; the limit is 300";
    assert!(said.stderr.contains(warning), "{}", said.stderr);
    let said = limited("-Sn 100", "server-*");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!said.stderr.contains("open files"), "{}", said.stderr);
    assert_eq!(project.hashed().len(), 60);
}
