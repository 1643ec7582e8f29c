use super::directories::{maker, with_build};
use super::*;
use crate::spec::Limit;

fn limits() -> Limits {
    Limits {
        memory_bytes: Some(Limit::required(1 << 30)),
        swap_bytes: Some(Limit::optional(0)),
        pids: Some(Limit::required(100)),
        cpus: Some(Limit::required(1.5)),
        ..Limits::default()
    }
}

/// A host whose files are those of `files`.
fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, CgroupFacts) {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let facts = CgroupFacts::probe_at(dir.path());
    (dir, facts)
}

const V2_MOUNT: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn v2_delegated_scope() {
    let (dir, facts) = host(&[
        ("proc/self/cgroup", "0::/user.slice/run.scope\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/user.slice/run.scope/cgroup.procs", ""),
        ("sys/fs/cgroup/user.slice/run.scope/cgroup.type", "domain\n"),
        ("sys/fs/cgroup/user.slice/run.scope/cgroup.controllers", "cpu memory pids\n"),
        ("sys/fs/cgroup/user.slice/run.scope/cgroup.subtree_control", "memory\n"),
    ]);
    let plan = plan("t", &limits(), &facts).unwrap();
    assert_eq!(plan.version, Version::V2);
    let own = dir.path().join("sys/fs/cgroup/user.slice/run.scope");
    let written: Vec<_> = plan.writes.iter().map(|w| (w.file, w.value.as_str())).collect();
    assert_eq!(
        written,
        [
            ("memory.max", "1073741824"),
            ("memory.oom.group", "1"),
            ("memory.swap.max", "0"),
            ("pids.max", "101"),
            ("cpu.max", "150000 100000"),
        ]
    );

    let cgroup = Cgroup::create(&plan).unwrap();
    let aside = fs::read_to_string(own.join("albs-node-supervisor/cgroup.procs")).unwrap();
    assert_eq!(aside, std::process::id().to_string());
    assert_eq!(fs::read_to_string(own.join("cgroup.subtree_control")).unwrap(), "+pids +cpu");
    let group = &cgroup.directories()[0];
    assert!(group.starts_with(&own));
    assert_eq!(fs::read_to_string(group.join("pids.max")).unwrap(), "101");

    fs::write(group.join("cpu.stat"), "usage_usec 30\nuser_usec 20\nsystem_usec 10\n").unwrap();
    fs::write(group.join("memory.peak"), "4096\n").unwrap();
    fs::write(group.join("memory.events"), "oom 1\noom_kill 2\noom_group_kill 1\n").unwrap();
    let stat = "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:1 rbytes=10 wbytes=20 rios=30 wios=40\n";
    fs::write(group.join("io.stat"), stat).unwrap();
    let stalled = |number| format!("some avg10=1.00 avg60=0.00 avg300=0.00 total={number}\n");
    for (name, number) in [("cpu", 3), ("memory", 4), ("io", 5)] {
        fs::write(group.join(format!("{name}.pressure")), stalled(number)).unwrap();
    }
    fs::write(group.join("pids.peak"), "9\n").unwrap();
    fs::write(group.join("pids.events"), "max 6\n").unwrap();
    let usage = cgroup.usage(&Rusage::default());
    assert_eq!((usage.cpu_user_us, usage.cpu_system_us, usage.oom_kills), (20, 10, 2));
    assert_eq!((usage.io_read_bytes, usage.io_write_bytes), (Some(11), Some(22)));
    assert_eq!((usage.io_read_ops, usage.io_write_ops), (Some(33), Some(44)));
    assert_eq!(usage.memory_peak_bytes, Some(4096));
    let pressure = usage.pressure.unwrap();
    assert_eq!((pressure.cpu_us, pressure.memory_us, pressure.io_us), (3, 4, 5));
    assert_eq!((usage.pids_peak, usage.pids_refused), (Some(9), 6));
    // Killed by somebody else: the host has run out of memory.
    fs::write(group.join("memory.events"), "oom 0\noom_kill 2\n").unwrap();
    let usage = cgroup.usage(&Rusage::default());
    assert_eq!((usage.oom_kills, usage.host_oom_kills), (0, 2));
    // A plain directory is not empty as a control group would be; removal must say so.
    assert!(cgroup.remove().is_err());
}

#[test]
fn limits_that_only_slow_down() {
    let mut limits = Limits {
        memory_high_bytes: Some(Limit::required(512)),
        cpu_weight: Some(Limit::required(200)),
        ..Limits::default()
    };
    limits.io.disk = Some("8:0".to_owned());
    limits.io.read_bytes = Some(Limit::required(1));
    limits.io.write_bytes = Some(Limit::optional(2));
    let written = |files: &[(&str, &str)], limits: &Limits| {
        let plan = plan("t", limits, &host(files).1).unwrap();
        let written = plan.writes.iter().map(|w| format!("{}={}", w.file, w.value));
        (written.collect::<Vec<_>>(), plan.unenforced)
    };
    let v2 = [
        ("proc/self/cgroup", "0::/a\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/a/cgroup.procs", ""),
        ("sys/fs/cgroup/a/cgroup.controllers", "cpu io memory pids\n"),
    ];
    let expected = ["memory.high=512", "cpu.weight=200", "io.max=8:0 rbps=1", "io.max=8:0 wbps=2"];
    assert_eq!(written(&v2, &limits), (expected.map(str::to_owned).to_vec(), Vec::new()));
    // Version 1 has no such limit of memory.
    limits.memory_high_bytes = None;
    let v1 = [
        ("proc/self/cgroup", "4:blkio:/\n3:cpu,cpuacct:/\n"),
        (
            "proc/self/mountinfo",
            "30 24 0:26 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
             31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
        ),
        ("sys/fs/cgroup/blkio/cgroup.procs", ""),
        ("sys/fs/cgroup/cpu/cgroup.procs", ""),
    ];
    let expected = [
        "cpu.shares=2048",
        "blkio.throttle.read_bps_device=8:0 1",
        "blkio.throttle.write_bps_device=8:0 2",
    ];
    let cached = vec!["io write through the page cache".to_owned()];
    assert_eq!(written(&v1, &limits), (expected.map(str::to_owned).to_vec(), cached));
}

#[test]
fn v2_without_the_cpu_controller() {
    let (_dir, facts) = host(&[
        ("proc/self/cgroup", "0::/a\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/a/cgroup.procs", ""),
        ("sys/fs/cgroup/a/cgroup.controllers", "memory pids\n"),
    ]);
    let error = plan("t", &limits(), &facts).unwrap_err();
    assert!(error.hint().unwrap().contains("Delegate='cpu"), "{error}");
    let mut optional = limits();
    optional.cpus = Some(Limit::optional(1.0));
    let plan = plan("t", &optional, &facts).unwrap();
    assert_eq!(plan.enforcement(), Enforcement::Partial("not enforced here: cpu".to_owned()));
}

#[test]
fn hybrid_host_uses_the_v1_hierarchies() {
    let (dir, facts) = host(&[
        ("proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/\n2:pids:/\n0::/\n"),
        (
            "proc/self/mountinfo",
            "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             32 24 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/fs/cgroup/memory/a/cgroup.procs", ""),
        ("sys/fs/cgroup/cpu/cgroup.procs", ""),
        ("sys/fs/cgroup/pids/cgroup.procs", ""),
        ("sys/fs/cgroup/unified/cgroup.procs", ""),
        ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n"),
    ]);
    let plan = plan("t", &limits(), &facts).unwrap();
    assert_eq!(plan.version, Version::V1);
    assert_eq!(plan.parents.len(), 3, "cpu and cpuacct are one hierarchy: {:?}", plan.parents);
    let cgroup = Cgroup::create(&plan).unwrap();
    let memory = &cgroup.directories()[0];
    assert!(memory.starts_with(dir.path().join("sys/fs/cgroup/memory/a")));
    assert_eq!(fs::read_to_string(memory.join("memory.limit_in_bytes")).unwrap(), "1073741824");
    fs::write(memory.join("memory.oom_control"), "oom_kill_disable 0\noom_kill 3\n").unwrap();
    fs::write(memory.join("memory.max_usage_in_bytes"), "1073737728\n").unwrap();
    assert_eq!(cgroup.usage(&Rusage::default()).oom_kills, 3);
    // Killed by somebody else: the host has run out of memory.
    fs::write(memory.join("memory.max_usage_in_bytes"), "536870912\n").unwrap();
    assert_eq!(cgroup.usage(&Rusage::default()).host_oom_kills, 3);
}

#[test]
fn nothing_usable() {
    let (_dir, facts) = host(&[]);
    assert!(plan("t", &limits(), &facts).is_err());
    let plan = plan("t", &Limits::default(), &facts).unwrap();
    assert!(matches!(plan.enforcement(), Enforcement::Off(_)));
    assert!(Cgroup::create(&plan).unwrap().procs_files().is_empty());
}

#[test]
fn names_are_unique_and_tell_their_maker() {
    let dir = tempfile::tempdir().unwrap();
    let one = make_group(dir.path(), "build").unwrap();
    let two = make_group(dir.path(), "build").unwrap();
    assert_ne!(one, two);
    let name = one.file_name().unwrap().to_str().unwrap();
    assert_eq!(maker(name), Some(std::process::id().to_string().as_str()));
    assert_eq!(maker("albs-node.x.1.build"), None);
    let stage = one.join("albs-node.7.1.stage");
    assert_eq!(with_build(&stage).collect::<Vec<_>>(), [stage.as_path(), one.as_path()]);
    assert_eq!(with_build(&one).collect::<Vec<_>>(), [one.as_path()]);
    assert_eq!(maker("other"), None);
}

#[test]
fn a_swap_limit_that_nothing_counts_is_told() {
    let mut facts = CgroupFacts { swap: true, ..Default::default() };
    assert_eq!(IfMissing::for_swap(false, &facts), IfMissing::Report("swap"));
    assert_eq!(IfMissing::for_swap(true, &facts), IfMissing::Fail);
    facts.swap = false;
    assert_eq!(IfMissing::for_swap(true, &facts), IfMissing::Ignore);
}

#[test]
fn the_smallest_number_of_processes_around_counts() {
    let files = [
        ("proc/self/cgroup", "0::/system.slice/node.service/albs-node-supervisor\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/system.slice/node.service/albs-node-supervisor/pids.max", "max\n"),
        ("sys/fs/cgroup/system.slice/node.service/pids.max", "9000\n"),
        ("sys/fs/cgroup/system.slice/pids.max", "20000\n"),
        ("sys/fs/cgroup/cgroup.controllers", "memory pids\n"),
    ];
    assert_eq!(host(&files).1.most_pids(), Some(9000));
    assert_eq!(host(&files[..3]).1.most_pids(), None);
}
