//! Hand-made event sequences, and a place to write that a test can read back.

use std::io;
use std::sync::{Arc, Mutex};

use isar_build_all::event::Clock;
use isar_build_all::event::outcome::{Outcome, RunOutcome};
use isar_build_all::event::{
    ArtifactOrigin, Event, EventKind, GateVerdict, NodeWords, OutputStream, PlannedNode,
};
use jiff::{SignedDuration, Timestamp};

/// Bytes that a reporter wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub fn output(&self) -> Box<dyn io::Write + Send> {
        Box::new(self.clone())
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// When every sequence starts.
pub fn start() -> Timestamp {
    "2026-07-01T12:00:00Z".parse().unwrap()
}

/// A clock that stands at so many seconds after the start.
pub fn clock_at(seconds: i64) -> Clock {
    let time = start() + SignedDuration::from_secs(seconds);
    Arc::new(move || time)
}

/// Builds a sequence; times are seconds after the start.
pub struct Script {
    pub events: Vec<Event>,
    now: f64,
}

impl Script {
    pub fn new(args: &[&str], variants: &[&str]) -> Script {
        let mut script = Script {
            events: Vec::new(),
            now: 0.0,
        };
        script.push(EventKind::RunStarted {
            version: "0.1.0".to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            store: "nix".to_owned(),
        });
        let steps = [
            ("build", "built", "building"),
            ("capture", "captured", "capturing"),
            ("register", "registered", "registering"),
        ];
        let mut nodes = Vec::new();
        for variant in variants {
            let mut needs = Vec::new();
            for (step, past, doing) in steps {
                let id = format!("{step}:{variant}");
                nodes.push(PlannedNode {
                    id: id.clone(),
                    step: step.to_owned(),
                    words: Some(NodeWords {
                        verb: step.to_owned(),
                        past: past.to_owned(),
                        doing: doing.to_owned(),
                    }),
                    variant: (*variant).to_owned(),
                    needs,
                    after: Vec::new(),
                });
                needs = vec![id];
            }
        }
        script.push(EventKind::Plan { nodes });
        script
    }

    pub fn push(&mut self, kind: EventKind) -> &mut Script {
        let millis = SignedDuration::try_from_secs_f64(self.now).unwrap();
        self.events.push(Event {
            v: 1,
            seq: self.events.len() as u64,
            time: start() + millis,
            run: "20260701-120000-ab12".to_owned(),
            kind,
        });
        self
    }

    pub fn at(&mut self, seconds: f64) -> &mut Script {
        self.now = seconds;
        self
    }

    pub fn ready(&mut self, node: &str) -> &mut Script {
        self.push(EventKind::NodeReady {
            node: node.to_owned(),
        })
    }

    pub fn started(&mut self, node: &str) -> &mut Script {
        let log = node
            .strip_prefix("build:")
            .map(|variant| format!(".isar-build-all/runs/20260701-120000-ab12/{variant}.log"));
        self.push(EventKind::NodeStarted {
            node: node.to_owned(),
            log,
        })
    }

    pub fn progress(&mut self, node: &str, done: u32, total: u32, task: &str) -> &mut Script {
        self.push(EventKind::Progress {
            node: node.to_owned(),
            done,
            total,
            task: task.to_owned(),
            setscene: task.ends_with("_setscene"),
        })
    }

    pub fn output(&mut self, node: &str, line: &str) -> &mut Script {
        self.push(EventKind::Output {
            node: node.to_owned(),
            stream: OutputStream::Stderr,
            line: line.to_owned(),
        })
    }

    pub fn dropped(&mut self, node: &str, lines: u64) -> &mut Script {
        self.push(EventKind::OutputDropped {
            node: node.to_owned(),
            lines,
        })
    }

    pub fn warning(
        &mut self,
        node: Option<&str>,
        message: &str,
        hint: Option<&str>,
    ) -> &mut Script {
        self.push(EventKind::Warning {
            node: node.map(str::to_owned),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        })
    }

    /// Captured where the node is a capture, else registered.
    pub fn artifact(
        &mut self,
        node: &str,
        name: &str,
        bytes: u64,
        how: ArtifactOrigin,
    ) -> &mut Script {
        let letter = name.bytes().map(u32::from).sum::<u32>() % 10;
        let store_path = matches!(how, ArtifactOrigin::Added | ArtifactOrigin::AlreadyValid)
            .then(|| format!("/nix/store/{}-{name}", letter.to_string().repeat(32)));
        self.push(EventKind::Artifact {
            node: node.to_owned(),
            variant: node.split_once(':').unwrap().1.to_owned(),
            artifact_type: name.rsplit('.').next().unwrap().to_owned(),
            name: name.to_owned(),
            bytes,
            sha256: letter.to_string().repeat(64),
            nix32: letter.to_string().repeat(52),
            store_path,
            how,
        })
    }

    pub fn skip(&mut self, node: &str, why: &str) -> &mut Script {
        self.push(EventKind::Skip {
            node: node.to_owned(),
            key: "0f".repeat(32),
            why: why.to_owned(),
        });
        self.ended(node, Outcome::Skipped, 0.0, None, None)
    }

    pub fn done(&mut self, node: &str, seconds: f64) -> &mut Script {
        self.ended(node, Outcome::Succeeded, seconds, None, None)
    }

    pub fn ended(
        &mut self,
        node: &str,
        outcome: Outcome,
        seconds: f64,
        why: Option<&str>,
        hint: Option<&str>,
    ) -> &mut Script {
        self.push(EventKind::NodeFinished {
            node: node.to_owned(),
            outcome,
            seconds,
            why: why.map(str::to_owned),
            hint: hint.map(str::to_owned),
        })
    }

    pub fn finished(&mut self, outcome: RunOutcome) -> &mut Script {
        let seconds = self.now;
        self.push(EventKind::RunFinished {
            outcome,
            exit: outcome.exit_code(),
            seconds,
        })
    }

    /// Capture and registration of a variant with one image and its manifest.
    pub fn captured_and_registered(
        &mut self,
        variant: &str,
        from: f64,
        how: ArtifactOrigin,
    ) -> &mut Script {
        let (machine, id) = variant.split_once('/').unwrap();
        let image = format!("{machine}-{id}.wic");
        let manifest = format!("{machine}-{id}.manifest");
        let (capture, register) = (format!("capture:{variant}"), format!("register:{variant}"));
        self.at(from)
            .ready(&capture)
            .started(&capture)
            .at(from + 4.0)
            .artifact(&capture, &image, 1_170_000_000, ArtifactOrigin::Copied)
            .artifact(&capture, &manifest, 18_432, ArtifactOrigin::Reflinked)
            .done(&capture, 4.1)
            .started(&register)
            .at(from + 5.0)
            .artifact(&register, &image, 1_170_000_000, how)
            .artifact(&register, &manifest, 18_432, how)
            .done(&register, 0.9)
    }
}

/// Two variants, the second builds while the first is captured and registered.
pub fn success() -> Vec<Event> {
    let mut script = Script::new(&[], &["qemuamd64/base", "qemuamd64/server-debug-node1"]);
    let (one, two) = ("build:qemuamd64/base", "build:qemuamd64/server-debug-node1");
    script.ready(one).ready(two).at(1.0).started(one);
    script.output(one, "2026-07-01 12:00:01 - INFO     - kas 5.5 started");
    script
        .at(9.0)
        .progress(one, 1, 6, "isar-image-base:do_generate_initramfs_setscene")
        .progress(one, 2, 6, "isar-image-base:do_rootfs_install_setscene");
    for done in 1..=35 {
        script.at(10.0 + f64::from(done) * 4.0).progress(
            one,
            done,
            35,
            "isar-image-base:do_rootfs_install",
        );
        script.output(one, &format!("NOTE: Running task {done} of 35"));
    }
    script.at(193.0).done(one, 192.0).started(two);
    script.captured_and_registered("qemuamd64/base", 193.0, ArtifactOrigin::Added);
    script
        .at(205.0)
        .progress(two, 20, 35, "isar-image-base:do_image_wic")
        .at(246.0)
        .done(two, 53.0);
    script.captured_and_registered(
        "qemuamd64/server-debug-node1",
        246.0,
        ArtifactOrigin::AlreadyValid,
    );
    script.at(252.0).finished(RunOutcome::Succeeded);
    script.events
}

/// Lines with which a child might try to be taken for the CI system's own, or for a terminal's driver.
pub const NASTY: [&str; 14] = [
    "::error title=owned::from a child",
    "   ::add-mask::secret",
    "\t::warning::after a tab",
    "\u{1b}[31m::error::after a colour\u{1b}[0m",
    "progress\r::error::after a carriage return",
    "\u{a0}::stop-commands::nbsp",
    "##[error]old style",
    "text ##[add-path]/tmp/evil",
    "#\u{1b}[1m#[group]split by a colour",
    "\u{1b}[0Ksection_start:1:evil[collapsed=true]\r\u{1b}[0Kfolded away",
    "section_end:1:variant_1_qemuamd64_base",
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[?25lclears the screen",
    "::endgroup::",
    "| a `pipe` and <b>markup</b> and ``` a fence",
];

/// One of three fails, the others go on.
pub fn keep_going() -> Vec<Event> {
    let args = [
        "-k",
        "-f",
        "my variants.toml",
        "--machine",
        "qemu*",
        "--variant=base",
    ];
    let variants = ["qemuamd64/base", "qemuarm64/base", "qemuarm64/server"];
    let mut script = Script::new(&args, &variants);
    let (one, two, three) = (
        "build:qemuamd64/base",
        "build:qemuarm64/base",
        "build:qemuarm64/server",
    );
    script.started(one).started(two);
    script.warning(
        None,
        "no Nix here: artifacts go to a local store",
        Some("install Nix, or say --store local"),
    );
    script
        .at(20.0)
        .progress(two, 7, 48, "isar-bootstrap:do_bootstrap")
        .warning(Some(two), "the deploy directory has\ntwo machines", None);
    for line in NASTY {
        script.output(two, line);
    }
    script
        .output(two, "Ünïcode: 画像を作る – ✓")
        .output(two, "")
        .output(two, &"long ".repeat(600))
        .dropped(two, 1234)
        .output(
            two,
            "ERROR: Task (mc:qemuarm64:isar-image-base.bb:do_rootfs_install) failed",
        )
        .output(two, "Summary: 1 task failed:");
    script
        .at(62.0)
        .ended(
            two,
            Outcome::Failed,
            62.0,
            Some("task isar-image-base:do_rootfs_install failed, 100 %, a:b,c"),
            Some("isar-build-all doctor"),
        )
        .ended("capture:qemuarm64/base", Outcome::NotRun, 0.0, None, None)
        .ended("register:qemuarm64/base", Outcome::NotRun, 0.0, None, None)
        .at(70.0)
        .done(one, 70.0);
    script.captured_and_registered("qemuamd64/base", 70.0, ArtifactOrigin::Added);
    script.at(80.0);
    script.skip(three, "nothing has changed since run 20260630-090000-cd34");
    script.skip("capture:qemuarm64/server", "nothing has changed");
    script.skip("register:qemuarm64/server", "nothing has changed");
    script.at(81.0).finished(RunOutcome::Failed);
    script.events
}

/// A gate refuses one; a node that the plan did not name appears; a line comes after the end.
pub fn refused() -> Vec<Event> {
    let mut script = Script::new(&["--hash-only"], &["qemuamd64/base"]);
    let capture = "capture:qemuamd64/base";
    script
        .done("build:qemuamd64/base", 61.0)
        .started(capture)
        .push(EventKind::Gate {
            node: capture.to_owned(),
            name: "freshness".to_owned(),
            verdict: GateVerdict::Passed,
            why: "written by this build".to_owned(),
        })
        .push(EventKind::Gate {
            node: capture.to_owned(),
            name: "architecture".to_owned(),
            verdict: GateVerdict::Refused,
            why: "/bin/sh is an arm64 program".to_owned(),
        })
        .ended(
            capture,
            Outcome::Refused,
            3.0,
            Some("the image is not amd64\n/bin/sh is an arm64 program"),
            Some("isar-build-all --variant qemuamd64/base"),
        )
        .ended("register:qemuamd64/base", Outcome::NotRun, 0.0, None, None)
        .started("publish:qemuamd64/other")
        .finished(RunOutcome::Failed)
        .output("build:qemuamd64/base", "late");
    script.events
}

/// Stopped by a signal while one builds and one waits.
pub fn cancelled() -> Vec<Event> {
    let mut script = Script::new(&["-j", "2"], &["qemuamd64/base", "qemuarm64/base"]);
    let (one, two) = ("build:qemuamd64/base", "build:qemuarm64/base");
    script
        .at(1.0)
        .started(one)
        .output(one, "2026-07-01 12:00:01 - INFO     - kas 5.5 started")
        .at(30.0)
        .ended(one, Outcome::Cancelled, 29.0, Some("SIGTERM"), None);
    for node in ["capture:qemuamd64/base", "register:qemuamd64/base"] {
        script.ended(node, Outcome::NotRun, 0.0, None, None);
    }
    for node in [two, "capture:qemuarm64/base", "register:qemuarm64/base"] {
        script.ended(
            node,
            Outcome::NotRun,
            0.0,
            Some("the run was stopped"),
            None,
        );
    }
    script.finished(RunOutcome::Terminated);
    script.events
}
