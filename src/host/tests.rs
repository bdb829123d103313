//! The readers of `/proc` and `/sys`, on directory trees that imitate them.

use std::fs;

use crate::host::capacity::HostCapacity;
use crate::host::freezer::Freezer;
use crate::host::meter::ContainerMeter;

/// Creates files below a directory that stands in for `/`.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

const ONLINE: (&str, &str) = ("sys/devices/system/cpu/online", "0-3,6-7\n");
/// 16 GiB, 12 of them available.
const MEMINFO: (&str, &str) = (
    "proc/meminfo",
    "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:   12582912 kB\n",
);
/// One twentieth of all memory.
const RESERVE: u64 = (16 << 30) / 20;

const V2: (&str, &str) = (
    "proc/self/mountinfo",
    "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
);
const V1: (&str, &str) = (
    "proc/self/mountinfo",
    "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
     32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
     33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
);

#[test]
fn without_control_groups_the_whole_machine_is_available() {
    let dir = tree(&[ONLINE, MEMINFO]);
    let host = HostCapacity::capture(dir.path());
    assert_eq!(host.cpu, 600);
    assert_eq!(host.memory, Some((12 << 30) - RESERVE));
    assert_eq!(host.memory_pressure(), None);
    assert_eq!(host.unknown, [""; 0]);

    let bound = tree(&[
        ONLINE,
        ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0,6\n"),
    ]);
    assert_eq!(HostCapacity::capture(bound.path()).cores(), 2, "two of six");
    let nothing = HostCapacity::capture(tree(&[]).path());
    assert_eq!((nothing.cpu, nothing.memory), (100, None));
    assert_eq!(nothing.unknown.len(), 2);
}

#[test]
fn version_2_limits_of_parent_groups_apply() {
    let slice = "sys/fs/cgroup/user.slice";
    let files = |max: &'static str, high: &'static str| {
        tree(&[
            ONLINE,
            MEMINFO,
            V2,
            ("proc/self/cgroup", "0::/user.slice/run.scope\n"),
            (&format!("{slice}/memory.max"), "max\n"),
            (&format!("{slice}/memory.high"), high),
            (&format!("{slice}/memory.current"), "1073741824\n"),
            (
                &format!("{slice}/memory.stat"),
                "anon 1\nactive_file 268435456\nslab_reclaimable 0\ninactive_file 268435456\n",
            ),
            (&format!("{slice}/cpu.max"), "250000 100000\n"),
            (
                &format!("{slice}/memory.pressure"),
                "some avg10=30.00 avg60=0 avg300=0 total=0\n",
            ),
            (&format!("{slice}/run.scope/memory.max"), max),
            (&format!("{slice}/run.scope/memory.current"), "0\n"),
            (&format!("{slice}/run.scope/cpu.max"), "max 100000\n"),
            (
                &format!("{slice}/run.scope/memory.pressure"),
                "some avg10=20.00 avg60=0 avg300=0 total=0\n",
            ),
            (
                "proc/pressure/memory",
                "some avg10=1.50 avg60=0 avg300=0 total=0\n",
            ),
        ])
    };
    let dir = files("max\n", "4294967296\n");
    let host = HostCapacity::capture(dir.path());
    assert_eq!(host.cpu, 250, "two and a half cores");
    assert_eq!(
        host.memory,
        Some((4 << 30) - (512 << 20) - RESERVE),
        "less memory in use that cannot be reclaimed"
    );
    assert_eq!(
        host.memory_pressure(),
        Some(20.0),
        "the pressure of this process's group is higher"
    );

    let dir = files("2147483648\n", "max\n");
    assert_eq!(
        HostCapacity::capture(dir.path()).memory,
        Some((2 << 30) - RESERVE)
    );
}

#[test]
fn version_1_limits_apply_beside_an_empty_version_2_hierarchy() {
    let dir = tree(&[
        ONLINE,
        MEMINFO,
        V1,
        (
            "proc/self/cgroup",
            "5:memory:/jobs/a\n3:cpu,cpuacct:/jobs\n0::/\n",
        ),
        ("sys/fs/cgroup/unified/cgroup.procs", ""),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        ),
        (
            "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes",
            "3221225472\n",
        ),
        (
            "sys/fs/cgroup/memory/jobs/memory.usage_in_bytes",
            "2147483648\n",
        ),
        (
            "sys/fs/cgroup/memory/jobs/memory.stat",
            "inactive_file 0\ntotal_inactive_file 1073741824\ntotal_active_file 0\n",
        ),
        (
            "sys/fs/cgroup/memory/jobs/a/memory.limit_in_bytes",
            "9223372036854771712\n",
        ),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        (
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us",
            "150000\n",
        ),
        (
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us",
            "100000\n",
        ),
    ]);
    let host = HostCapacity::capture(dir.path());
    assert_eq!(host.cpu, 150);
    assert_eq!(host.cores(), 1);
    assert_eq!(host.memory, Some((2 << 30) - RESERVE));
}

#[test]
fn in_a_container_the_mounted_root_is_the_containers_own_group() {
    let inside = |mountinfo: &'static str, cgroup: &'static str| {
        tree(&[
            ONLINE,
            MEMINFO,
            ("proc/self/mountinfo", mountinfo),
            ("proc/self/cgroup", cgroup),
            ("sys/fs/cgroup/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/memory.limit_in_bytes", "2147483648\n"),
        ])
    };
    let second = "30 25 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    let first = "30 25 0:26 /docker/abc /sys/fs/cgroup ro - cgroup cgroup rw,memory\n";
    for (mountinfo, cgroup) in [
        (second, "0::/docker/abc\n"),
        (second, "0::/../../elsewhere\n"),
        (first, "7:memory:/docker/abc\n"),
        (first, "7:memory:/not/to/be/seen\n"),
    ] {
        let dir = inside(mountinfo, cgroup);
        let host = HostCapacity::capture(dir.path());
        assert_eq!(
            host.memory,
            Some((2 << 30) - RESERVE),
            "{mountinfo}{cgroup}"
        );
    }
}

#[test]
fn the_meter_keeps_peak_memory_and_processor_time_between_samples() {
    let group = "sys/fs/cgroup/machine.slice/libpod-1";
    let dir = tree(&[
        V2,
        ("proc/self/cgroup", "0::/user.slice\n"),
        ("proc/77/cgroup", "0::/machine.slice/libpod-1\n"),
        ("proc/78/cgroup", "0::/\n"),
        ("proc/79/cgroup", "0::/user.slice\n"),
        ("sys/fs/cgroup/user.slice/memory.current", "1\n"),
        ("sys/fs/cgroup/user.slice/cpu.stat", "usage_usec 1\n"),
        ("sys/fs/cgroup/memory.current", "1\n"),
        ("sys/fs/cgroup/cpu.stat", "usage_usec 1\n"),
    ]);
    let root = dir.path();
    let set = |memory: u64, cache: u64, cpu: u64| {
        let group = root.join(group);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.current"), format!("{memory}\n")).unwrap();
        fs::write(
            group.join("memory.stat"),
            format!("inactive_file {cache}\n"),
        )
        .unwrap();
        fs::write(
            group.join("cpu.stat"),
            format!("usage_usec {cpu}\nuser_usec 3\n"),
        )
        .unwrap();
    };
    assert!(ContainerMeter::of(root, 76).is_none(), "no such process");
    assert!(ContainerMeter::of(root, 78).is_none(), "the root group");
    assert!(
        ContainerMeter::of(root, 79).is_none(),
        "the group of this process"
    );
    set(500, 100, 1_000_000);
    let mut meter = ContainerMeter::of(root, 77).unwrap();
    assert!(meter.sample(10.0));
    assert_eq!(meter.usage(), None, "one sample spans no time");
    set(9_000, 8_000, 2_500_000);
    assert!(meter.sample(11.0));
    set(700, 100, 4_000_000);
    assert!(meter.sample(12.0));
    fs::remove_dir_all(root.join(group)).unwrap();
    assert!(!meter.sample(13.0), "the container has ended");
    let usage = meter.usage().unwrap();
    assert_eq!(usage.memory, 1_000, "without page cache");
    assert!((usage.cpu_seconds - 3.0).abs() < 1e-9 && (usage.seconds - 2.0).abs() < 1e-9);
}

#[test]
fn only_a_containers_own_groups_show_that_it_is_frozen() {
    let scope = "sys/fs/cgroup/machine.slice/libpod-4f.scope";
    let dir = tree(&[
        V2,
        // crun and systemd move the process into a group below the one that the engine created.
        (
            "proc/77/cgroup",
            "0::/machine.slice/libpod-4f.scope/container\n",
        ),
        ("proc/78/cgroup", "0::/user.slice\n"),
        ("proc/79/cgroup", "0::/machine.slice/libpod-77.scope\n"),
        ("sys/fs/cgroup/user.slice/cgroup.freeze", "0\n"),
        ("sys/fs/cgroup/machine.slice/cgroup.freeze", "1\n"),
        (
            "sys/fs/cgroup/machine.slice/libpod-77.scope/cgroup.freeze",
            "1\n",
        ),
        (&format!("{scope}/cgroup.freeze"), "0\n"),
        (&format!("{scope}/container/cgroup.freeze"), "0\n"),
    ]);
    let of = |pid, id| Freezer::of(dir.path(), pid, id);
    assert_eq!(of(76, "4f"), None, "no such process");
    assert_eq!(of(77, ""), None, "no container id");
    assert_eq!(of(78, "4f"), None, "no group of its own");
    assert_eq!(of(79, "4f"), None, "the group of another container");
    let freezer = of(77, "4f").unwrap();
    assert!(
        freezer.frozen().is_empty(),
        "the slice also holds other processes"
    );
    for group in [scope.to_owned(), format!("{scope}/container")] {
        let file = dir.path().join(group).join("cgroup.freeze");
        fs::write(&file, "1\n").unwrap();
        let frozen = freezer.frozen();
        assert_eq!(frozen.len(), 1);
        assert_eq!((&frozen[0].path, frozen[0].thawed), (&file, "0"));
        fs::write(&file, "0\n").unwrap();
    }
    fs::remove_dir_all(dir.path().join(scope)).unwrap();
    assert!(freezer.frozen().is_empty(), "the container has ended");
}

#[test]
fn in_version_1_a_freeze_in_progress_counts_as_frozen() {
    let dir = tree(&[
        (
            "proc/self/mountinfo",
            "31 25 0:27 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
             32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        (
            "proc/77/cgroup",
            "7:memory:/docker/4f\n6:freezer:/docker/4f\n0::/\n",
        ),
        ("sys/fs/cgroup/memory/docker/4f/freezer.state", "FROZEN\n"),
        ("sys/fs/cgroup/unified/cgroup.procs", ""),
        ("sys/fs/cgroup/freezer/docker/freezer.state", "THAWED\n"),
        ("sys/fs/cgroup/freezer/docker/4f/freezer.state", "THAWED\n"),
    ]);
    let freezer = Freezer::of(dir.path(), 77, "4f").unwrap();
    assert!(freezer.frozen().is_empty());
    let file = dir
        .path()
        .join("sys/fs/cgroup/freezer/docker/4f/freezer.state");
    for state in ["FREEZING\n", "FROZEN\n"] {
        fs::write(&file, state).unwrap();
        let frozen = freezer.frozen();
        assert_eq!(frozen.len(), 1, "{state}");
        assert_eq!((&frozen[0].path, frozen[0].thawed), (&file, "THAWED"));
    }
}
