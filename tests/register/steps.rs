//! From a deploy directory to the store and the hashes file, through the steps themselves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, gate, variant, worlds};
use isar_build_all::event::outcome::Outcome;
use isar_build_all::event::{EventKind, GateVerdict};
use isar_build_all::exec::StopLevel;
use isar_build_all::settings::StoreWrite;
use isar_build_all::state::records::BuildStart;
use isar_build_all::state::records::deploys::SnapshotMoment;
use isar_build_all::steps::capture::Provenance;
use isar_build_all::steps::deploy_snapshot::DeploySnapshot;
use isar_build_all::steps::result::StepResult;
use isar_build_all::steps::variant_state::VariantState;
use isar_build_all::store::CaptureWay;
use support::PrivateNix;

#[test]
fn what_was_deployed_is_registered() {
    for world in worlds() {
        world.deploy("image-debian-qemuamd64.wic", b"an image");
        world.deploy("image-debian-qemuamd64-vmlinuz", b"a kernel");
        let mut state = VariantState::default();
        let captured = world.capture("base", &mut state, &world.built());
        assert_eq!(captured.result, StepResult::succeeded());
        let staging = match world.registry.store.capture_way("run") {
            CaptureWay::InPlace => None,
            CaptureWay::Staged(Some(dir)) => Some(dir.join("qemuamd64/base")),
            CaptureWay::Staged(None) => Some(world.path("artifacts/qemuamd64/.captured/run/base")),
        };
        if let Some(staging) = &staging {
            assert_eq!(
                world.left(staging.to_str().unwrap()),
                ["isar-base-qemuamd64-vmlinuz", "isar-base-qemuamd64.wic"]
            );
        }
        let registered = world.register("base", &mut state);
        assert_eq!(registered.result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"an image");
        world.assert_registered("base", "-vmlinuz", b"a kernel");
        assert_eq!(
            world.left("artifacts/qemuamd64"),
            ["isar-base-qemuamd64-vmlinuz", "isar-base-qemuamd64.wic"]
        );
        assert!(staging.is_none_or(|staging| !staging.exists()));
        if world.nix.is_none() {
            let lines: Vec<String> = captured
                .events
                .iter()
                .chain(&registered.events)
                .map(|event| serde_json::to_string(event).unwrap())
                .collect();
            insta::assert_snapshot!(world.shown(&lines.join("\n")), @r#"
            {"kind":"warning","node":"step:qemuamd64/base","message":"no image-debian-qemuamd64.wic.bmap in DIR/build/tmp/deploy/images/qemuamd64","hint":"it is optional; isar-base-qemuamd64.wic.bmap is not registered"}
            {"kind":"gate","node":"step:qemuamd64/base","name":"freshness","verdict":"passed","why":"2 written by this build"}
            {"kind":"gate","node":"step:qemuamd64/base","name":"shape","verdict":"passed","why":"isar-base-qemuamd64.wic: not inspected: of no format that is known here"}
            {"kind":"gate","node":"step:qemuamd64/base","name":"shape","verdict":"passed","why":"isar-base-qemuamd64-vmlinuz: not inspected: of no format that is known here"}
            {"kind":"artifact","node":"step:qemuamd64/base","variant":"qemuamd64/base","type":"wic","name":"isar-base-qemuamd64.wic","bytes":8,"sha256":"a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9","nix32":"1y8j2wn9fv7p9hx3v1mdqvacwaswbkhcfi0ig6i3y310ggg3zpx5","how":"copied"}
            {"kind":"artifact","node":"step:qemuamd64/base","variant":"qemuamd64/base","type":"vmlinuz","name":"isar-base-qemuamd64-vmlinuz","bytes":8,"sha256":"4fff0d3e643b3894c17a0738fbdc591953aa722c9d42774425090accc4377126","nix32":"09ki6z2cq2h94m27fhlx5irallqrb7fgnf07gb0r8f1vchz0vzsg","how":"copied"}
            {"kind":"artifact","node":"step:qemuamd64/base","variant":"qemuamd64/base","type":"wic","name":"isar-base-qemuamd64.wic","bytes":8,"sha256":"a5df3fde7b200c3fa2791144c7e05c5c2bced4c6ad863d3a4cf76c972c1712f9","nix32":"1y8j2wn9fv7p9hx3v1mdqvacwaswbkhcfi0ig6i3y310ggg3zpx5","store_path":"DIR/.isar-build-all/store/1n9fyklnbrw81rjiqdhjhx0n3j0w2rx4-isar-base-qemuamd64.wic","how":"added"}
            {"kind":"artifact","node":"step:qemuamd64/base","variant":"qemuamd64/base","type":"vmlinuz","name":"isar-base-qemuamd64-vmlinuz","bytes":8,"sha256":"4fff0d3e643b3894c17a0738fbdc591953aa722c9d42774425090accc4377126","nix32":"09ki6z2cq2h94m27fhlx5irallqrb7fgnf07gb0r8f1vchz0vzsg","store_path":"DIR/.isar-build-all/store/7j5z2x8kx699az52d1z7q59h6khjc2la-isar-base-qemuamd64-vmlinuz","how":"added"}
            "#);
            insta::assert_snapshot!(world.hashes(), @r#"
            # SHA-256 hashes of the registered artifacts: unique file name to hash in Nix base32.
            #
            # isar-build-all writes the hashes and adds entries; comments, order and other entries stay as they
            # are. By hand: nix-hash --type sha256 --flat --base32 FILE
            {
              # =========================================================================
              # qemuamd64 - base
              # =========================================================================
              "isar-base-qemuamd64.wic" = "1y8j2wn9fv7p9hx3v1mdqvacwaswbkhcfi0ig6i3y310ggg3zpx5";
              "isar-base-qemuamd64-vmlinuz" = "09ki6z2cq2h94m27fhlx5irallqrb7fgnf07gb0r8f1vchz0vzsg";
            }
            "#);
        }

        // The next build changes one; a second variant comes.
        world.deploy("image-debian-qemuamd64.wic", b"a newer image");
        assert_eq!(world.both("base").result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"a newer image");
        world.assert_registered("base", "-vmlinuz", b"a kernel");
        world.deploy("image-debian-qemuamd64.wic", b"the server's image");
        assert_eq!(world.both("server").result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"a newer image");
        world.assert_registered("server", ".wic", b"the server's image");
    }
}

#[test]
fn what_cannot_be_captured_is_said() {
    let mut out = String::new();
    let mut refused = |what: &str, prepare: &dyn Fn(&World)| {
        let world = World::local();
        prepare(&world);
        let ended = world.both("base");
        out += &format!("== {what}\n{}", world.why(&ended));
        assert_eq!(world.left("artifacts/qemuamd64"), Vec::<String>::new());
        assert_eq!(world.hashes(), "");
    };
    refused("no build", &|_| {});
    refused("missing", &|world| {
        world.deploy("image-debian-qemuamd64.wic.zst", b"x");
        world.deploy("image-debian-qemuamd64.manifest", b"x");
        world.deploy("README", b"x");
    });
    refused("two", &|world| {
        world.deploy("image-debian-qemuamd64.wic", b"x");
        world.write(
            "build/tmp-old/deploy/images/qemuamd64/image-debian-qemuamd64.wic",
            b"x",
        );
    });
    refused("a link, a directory", &|world| {
        let wic = world.deploy("image-debian-qemuamd64.wic", b"x");
        fs::remove_file(&wic).unwrap();
        symlink("/etc/passwd", &wic).unwrap();
        fs::create_dir(wic.with_file_name("image-debian-qemuamd64-vmlinuz")).unwrap();
    });
    refused("a pipe, an empty file", &|world| {
        let wic = world.deploy("image-debian-qemuamd64.wic", b"");
        let pipe = wic.with_file_name("image-debian-qemuamd64-vmlinuz");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, pipe, kind, mode, 0).unwrap();
    });
    insta::assert_snapshot!(out, @"
    == no build
    failed: no deploy directory of qemuamd64 under DIR/build
    hint: find where the build deployed: find DIR/build -name deploy
    == missing
    failed: DIR/build/tmp/deploy/images/qemuamd64 has no image-debian-qemuamd64.wic, no image-debian-qemuamd64-vmlinuz
    hint: there are image-debian-qemuamd64.wic.zst, image-debian-qemuamd64.manifest; if one is meant, correct naming.deploy_name or the artifact's extension
    == two
    failed: several deploy directories hold files of this variant: DIR/build/tmp/deploy/images/qemuamd64, DIR/build/tmp-old/deploy/images/qemuamd64
    hint: one belongs to another build; move it out of the build directory
    == a link, a directory
    refused: DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic is a symbolic link, not a file; DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64-vmlinuz is a directory, not a file
    hint: have the file itself made there, under this name
    == a pipe, an empty file
    refused: DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic is empty; DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64-vmlinuz is a named pipe, not a file
    hint: have the file itself made there, under this name
    ");
}

#[test]
fn a_missing_optional_artifact_is_said() {
    let world = World::local();
    world.deploy("image-debian-qemuamd64.wic", b"x");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"y");
    let ended = world.capture("base", &mut VariantState::default(), &world.built());
    let warning = ended.events.iter().find_map(|event| match event {
        EventKind::Warning { message, hint, .. } => Some(format!("{message}\nhint: {hint:?}")),
        _ => None,
    });
    insta::assert_snapshot!(world.shown(&warning.unwrap()), @r#"
    no image-debian-qemuamd64.wic.bmap in DIR/build/tmp/deploy/images/qemuamd64
    hint: Some("it is optional; isar-base-qemuamd64.wic.bmap is not registered")
    "#);
}

#[test]
fn existing_files_are_taken_only_where_it_is_known_whose_they_are() {
    let world = World::local();
    world.deploy("image-debian-qemuamd64.wic", b"x");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"y");
    let records = &world.registry.records;
    let recorded = Provenance::Recorded(Arc::clone(records));
    let built = |id: &str, outcome| {
        let variant = variant(id);
        let names: Vec<String> = variant
            .artifacts
            .iter()
            .map(|artifact| artifact.deploy_name.clone())
            .collect();
        let build = records
            .record_build_started(&BuildStart {
                run: "run",
                variant: &variant.key,
                build_dir: &world.build_dir(),
                kas: "a.yml",
                deploy_names: &names,
                started: jiff::Timestamp::UNIX_EPOCH,
            })
            .unwrap();
        let after = DeploySnapshot::default().after(&world.build_dir(), &variant);
        records
            .record_deploy_states(build, SnapshotMoment::After, &after)
            .unwrap();
        records
            .record_build_finished(build, outcome, 1.0, jiff::Timestamp::UNIX_EPOCH)
            .unwrap();
    };
    let mut out = world.why(&world.capture("base", &mut VariantState::default(), &recorded));
    built("server", Outcome::Succeeded);
    out += &world.why(&world.capture("base", &mut VariantState::default(), &recorded));
    insta::assert_snapshot!(out, @"
    refused: no record says whose DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic is; no record says whose DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64-vmlinuz is
    hint: build it (isar-build-all --variant qemuamd64/base), or declare that the files are qemuamd64/base's: --adopt
    refused: DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic is qemuamd64/server's; DIR/build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64-vmlinuz is qemuamd64/server's
    hint: build it (isar-build-all --variant qemuamd64/base), or declare that the files are qemuamd64/base's: --adopt
    ");
    let adopted = world.capture("base", &mut VariantState::default(), &Provenance::Adopted);
    assert_eq!(adopted.result, StepResult::succeeded());
    built("base", Outcome::Succeeded);
    let owned = world.capture("base", &mut VariantState::default(), &recorded);
    assert_eq!(owned.result, StepResult::succeeded());
    // What was written since is nobody's, under whatever name and time.
    let wic = world.path("build/tmp/deploy/images/qemuamd64/image-debian-qemuamd64.wic");
    let time = fs::metadata(&wic).unwrap().modified().unwrap();
    fs::write(&wic, b"z").unwrap();
    let written = fs::OpenOptions::new().write(true).open(&wic).unwrap();
    written.set_modified(time).unwrap();
    let foreign = world.capture("base", &mut VariantState::default(), &recorded);
    assert_eq!(foreign.result.outcome, Outcome::Refused);
    assert_eq!(gate(&foreign), Some(("freshness", GateVerdict::Refused)));
}

/// The last gate that spoke.
#[test]
fn nothing_is_staged_in_a_store_whose_collector_runs() {
    use rustix::fs::{FlockOperation, flock};

    let nix = PrivateNix::new();
    let (lock, store) = (nix.state_dir().join("gc.lock"), nix.store_dir());
    let lock = fs::File::create(lock).unwrap();
    let world = World::new(Some((nix, StoreWrite::Direct)));
    world.deploy("image-debian-qemuamd64.wic", b"x");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"y");
    let staged = || {
        let names = world.left(store.to_str().unwrap());
        names
            .iter()
            .any(|name| name.starts_with(".isar-build-all-"))
    };
    // As a collector has it.
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut state = VariantState::default();
    std::thread::scope(|scope| {
        let capture = scope.spawn(|| world.capture("base", &mut state, &world.built()));
        std::thread::sleep(Duration::from_millis(400));
        assert!(!capture.is_finished() && !staged());
        flock(&lock, FlockOperation::Unlock).unwrap();
        assert_eq!(capture.join().unwrap().result, StepResult::succeeded());
    });
    assert!(staged());
    let collector = || flock(&lock, FlockOperation::NonBlockingLockExclusive);
    assert!(collector().is_err(), "held back until it is registered");
    let registered = world.register("base", &mut state);
    assert_eq!(registered.result, StepResult::succeeded());
    assert!(collector().is_ok());
}

#[test]
fn a_kill_ends_a_capture() {
    let world = World::local();
    world.deploy("image-debian-qemuamd64.wic", b"x");
    world.deploy("image-debian-qemuamd64-vmlinuz", b"y");
    world.level.send_replace(StopLevel::Graceful);
    let graceful = world.capture("base", &mut VariantState::default(), &world.built());
    assert_eq!(graceful.result, StepResult::succeeded());
    world.level.send_replace(StopLevel::Kill);
    let killed = world.capture("base", &mut VariantState::default(), &world.built());
    assert_eq!(killed.result, StepResult::cancelled());
}

#[test]
fn a_registration_that_fails_changes_nothing() {
    for world in worlds() {
        world.deploy("image-debian-qemuamd64.wic", b"old image");
        world.deploy("image-debian-qemuamd64-vmlinuz", b"old kernel");
        assert_eq!(world.both("base").result, StepResult::succeeded());
        let good = world.hashes();
        world.deploy("image-debian-qemuamd64.wic", b"new image");
        world.deploy("image-debian-qemuamd64-vmlinuz", b"new kernel");

        // The file cannot be edited.
        let bad = good.replace("{\n", "{\n  nested = { };\n");
        world.write("artifact-hashes.nix", bad.as_bytes());
        let refused = world.both("base");
        assert_eq!(refused.result.outcome, Outcome::Failed);
        assert_eq!(world.hashes(), bad);
        if world.nix.is_none() {
            insta::assert_snapshot!(world.why(&refused), @r#"
            failed: DIR/artifact-hashes.nix is unchanged: line 6: neither an entry, nor a comment, nor a brace: nested = { };
            hint: write entries as `"<name>" = "<52 characters>";`, one a line, and comments with #
            "#);
        }
        world.write("artifact-hashes.nix", good.as_bytes());
        world.assert_registered("base", ".wic", b"old image");
        world.assert_registered("base", "-vmlinuz", b"old kernel");

        // The second entry cannot be turned when the first has been.
        let kernel = world.path("artifacts/qemuamd64/isar-base-qemuamd64-vmlinuz");
        let target = fs::read_link(&kernel).unwrap();
        fs::remove_file(&kernel).unwrap();
        fs::create_dir(&kernel).unwrap();
        let failed = world.both("base");
        assert_eq!(failed.result.outcome, Outcome::Failed);
        assert_eq!(world.hashes(), good);
        fs::remove_dir(&kernel).unwrap();
        symlink(target, &kernel).unwrap();
        world.assert_registered("base", ".wic", b"old image");

        assert_eq!(world.both("base").result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"new image");
        world.assert_registered("base", "-vmlinuz", b"new kernel");
        assert_eq!(world.left("artifacts/qemuamd64").len(), 2);
    }
}

#[test]
fn output_entries_are_hashed_anew() {
    for world in worlds() {
        let mut out = String::new();
        let again = |world: &World| {
            let mut state = VariantState::default();
            let taken = world.take_output("base", &mut state);
            if taken.result.outcome == Outcome::Succeeded {
                world.register("base", &mut state)
            } else {
                taken
            }
        };
        out += &world.why(&again(&world));
        // Files by hand are registered from where they are.
        world.write("artifacts/qemuamd64/isar-base-qemuamd64.wic", b"by hand");
        world.write("artifacts/qemuamd64/isar-base-qemuamd64-vmlinuz", b"kernel");
        assert_eq!(again(&world).result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"by hand");
        world.assert_registered("base", "-vmlinuz", b"kernel");
        // Links into the store are what they point to; a lost hashes file comes back.
        fs::remove_file(world.path("artifact-hashes.nix")).unwrap();
        assert_eq!(again(&world).result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"by hand");
        // A link to somewhere else is registered under the unique name.
        let wic = world.path("artifacts/qemuamd64/isar-base-qemuamd64.wic");
        let elsewhere = world.write("elsewhere.img", b"from elsewhere");
        fs::remove_file(&wic).unwrap();
        symlink(&elsewhere, &wic).unwrap();
        assert_eq!(again(&world).result, StepResult::succeeded());
        world.assert_registered("base", ".wic", b"from elsewhere");
        assert!(elsewhere.exists());
        // What rotted in the store is not made official.
        let target = fs::canonicalize(&wic).unwrap();
        make_writable(&target);
        fs::write(&target, b"fr0m elsewhere").unwrap();
        out += &world.why(&again(&world));
        // And what is gone is said.
        fs::remove_file(&target).unwrap();
        out += &world.why(&again(&world));
        if world.nix.is_none() {
            insta::assert_snapshot!(out, @"
            failed: DIR/artifacts/qemuamd64 has no isar-base-qemuamd64.wic, no isar-base-qemuamd64-vmlinuz
            hint: build it: isar-build-all --variant qemuamd64/base
            failed: DIR/.isar-build-all/store/77cv863dkwdypjajswqn1j0jnxw0n39q-isar-base-qemuamd64.wic is valid in the store, but what lies there is not what its name says
            hint: take it away and run again: rm DIR/.isar-build-all/store/77cv863dkwdypjajswqn1j0jnxw0n39q-isar-base-qemuamd64.wic
            failed: DIR/artifacts/qemuamd64/isar-base-qemuamd64.wic is a link to DIR/.isar-build-all/store/77cv863dkwdypjajswqn1j0jnxw0n39q-isar-base-qemuamd64.wic, which is gone
            hint: build it: isar-build-all --variant qemuamd64/base
            ");
        }
    }
}

fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}
