//! What writes into the store does not outlive a tool that is killed.

use std::fs;
use std::time::Duration;

use crate::world::{World, Wrong};
use support::{eventually, kill, lives, pid_in, script};

#[test]
fn a_program_that_adds_to_the_store_ends_within_ten_seconds_of_a_killed_tool() {
    for args in [
        &["--machine", "qemuarm64"][..],
        &["--machine", "qemuarm64", "--rename-existing"],
    ] {
        let world = World::with_nix();
        assert_eq!(world.run(&["--machine", "qemuarm64"]).code, Some(0));
        // Another image than that which is registered.
        let deployed = ".isar-build-all/build/qemuarm64/base/build/tmp/deploy/images/qemuarm64";
        let image = world.path(deployed).join("image-qemuarm64.wic");
        assert!(image.exists(), "{}", image.display());
        // Nix's programs of one installation lie beside each other; the evaluator has a child that does the work.
        let bin = world.path("bin");
        fs::create_dir(&bin).unwrap();
        let nix_store = which::which("nix-store").unwrap();
        script(
            &bin,
            "nix-store",
            &format!("#!/bin/sh\nexec {} \"$@\"\n", nix_store.display()),
        );
        let slow = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\nsleep 300 &\necho $! > child.new; mv child.new child\necho $$ > parent.new; mv parent.new parent\nwait\n";
        script(&bin, "nix-instantiate", slow);
        fs::remove_dir_all(world.path("artifacts")).unwrap();
        world.collect_garbage();
        let mut command = world.command(args);
        let path = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then_some(value?))
            .unwrap();
        let path = format!("{}:{}", bin.display(), path.to_str().unwrap());
        let mut tool = command.env("PATH", path).spawn().unwrap();
        let adding = ["parent", "child"].map(|name| pid_in(&bin.join(name)));
        assert!(adding.iter().all(|pid| lives(*pid)));
        kill(tool.id().try_into().unwrap());
        tool.wait().unwrap();
        let gone = eventually(Duration::from_secs(10), || {
            adding.iter().all(|pid| !lives(*pid))
        });
        adding
            .iter()
            .filter(|pid| lives(**pid))
            .for_each(|pid| kill(*pid));
        assert!(gone, "{args:?}");
        // The next run finds everything as it should be.
        assert_eq!(world.run(&["--machine", "qemuarm64"]).code, Some(0));
        assert_eq!(world.check(), Wrong::default());
    }
}
