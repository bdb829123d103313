//! A virtual machine from its start to its end: what its console says, what it asks of us, and its limit.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::checks::{self, Check};
use crate::kernel::Kernel;
use crate::share::Share;
use crate::system;
use support::eventually;

/// qemu, which is told to die when this is gone. It is not waited for: it may be in a write to a frozen
/// file system and die once that is thawed.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
    }
}

enum Heard {
    Console(String),
    Request(String),
}

/// Boots a machine, runs a scenario in it and fails unless all its checks are told and hold.
pub(crate) fn run(scenario: &str, limit: Duration, expected: &[&str]) {
    let scratch = TempDir::with_prefix("isar-build-all-vm-").unwrap();
    let kernel = Kernel::find();
    let system = scratch.path().join("initramfs");
    system::make(&system, scratch.path(), &kernel);
    let mut told = Vec::new();
    let mut console = String::new();
    let ended = {
        // Declared first, it is dropped last: nobody serves from it any more when it is unmounted.
        let mut share = Share::new(scratch.path());
        let other = scratch.path().join("other");
        std::fs::create_dir(&other).unwrap();
        for dir in [share.dir(), &other] {
            std::fs::write(dir.join("from-windows"), "").unwrap();
        }
        let control = scratch.path().join("control");
        let mut qemu = start(
            scenario,
            &kernel.image,
            &system,
            &control,
            [share.dir(), &other],
        );
        listen(&mut qemu, &control, &mut share, limit, |line| {
            println!("{line}");
            console.push_str(line);
            told.extend(Check::told_by(line));
        })
    };
    let all = checks::complete(&told, expected);
    checks::record(&all);
    let failed: Vec<String> = all
        .iter()
        .filter(|check| !check.ok)
        .map(|check| format!("{}: {}", check.name, check.why))
        .collect();
    assert!(failed.is_empty(), "{}\n({ended})", failed.join("\n"));
    assert!(console.contains(&format!("@end {scenario} 0")), "{ended}");
}

fn start(scenario: &str, kernel: &Path, system: &Path, control: &Path, drives: [&Path; 2]) -> Qemu {
    let mut command = Command::new("setpriv");
    // It dies with us, whatever ends us.
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-smp", "2", "-m", "1024", "-no-reboot", "-nodefaults"]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
    // Without the timer check: on a busy host the emulated timer may be too late for it.
    command.args([
        "-append",
        &format!("console=ttyS0 quiet panic=-1 no_timer_check scenario={scenario}"),
    ]);
    command.arg("-kernel").arg(kernel);
    command.arg("-initrd").arg(system);
    command.arg("-chardev").arg(format!(
        "socket,id=control,server=on,wait=off,path={}",
        control.display()
    ));
    command.args(["-serial", "chardev:control"]);
    // Spelled out, because `-virtfs` takes the tag, a drive's name with its backslash, for an identifier.
    for (drive, letter) in drives.into_iter().zip(["c", "d"]) {
        command.arg("-fsdev").arg(format!(
            "local,id={letter},path={},security_model=none",
            drive.display()
        ));
        command.arg("-device").arg(format!(
            "virtio-9p-pci,fsdev={letter},mount_tag={}:\\",
            letter.to_uppercase()
        ));
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/setup --tests"));
    Qemu(child)
}

/// Until the machine is off or the limit passes; says which.
fn listen(
    qemu: &mut Qemu,
    control: &Path,
    share: &mut Share,
    limit: Duration,
    mut heard: impl FnMut(&str),
) -> String {
    let deadline = Instant::now() + limit;
    let mut control_stream = None;
    eventually(Duration::from_secs(20), || {
        control_stream = UnixStream::connect(control).ok();
        control_stream.is_some() || qemu.0.try_wait().unwrap().is_some()
    });
    let mut answers = control_stream.expect("qemu opens its control socket");
    let (sender, receiver) = channel();
    lines(
        qemu.0.stdout.take().unwrap(),
        sender.clone(),
        Heard::Console,
    );
    lines(answers.try_clone().unwrap(), sender, Heard::Request);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left) {
            Ok(Heard::Console(line)) => heard(&line),
            Ok(Heard::Request(words)) => {
                let word = words.split_whitespace().next().unwrap_or_default();
                let wanted = format!("frozen: {}", word == "freeze");
                let said = share.ask(word);
                heard(&format!("-- host: {words}: {said}"));
                let answer = if said == wanted { "done" } else { "failed" };
                writeln!(answers, "{answer}").unwrap();
            }
            Err(RecvTimeoutError::Disconnected) => return "the machine is off".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                return format!("the machine ran for {} s and was ended", limit.as_secs());
            }
        }
    }
}

fn lines(
    stream: impl std::io::Read + Send + 'static,
    sender: Sender<Heard>,
    kind: fn(String) -> Heard,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(kind(line)).is_err() {
                return;
            }
        }
    });
}
