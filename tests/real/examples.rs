//! The example matrices build, too.

use crate::image;
use crate::project::Project;

/// The failure that this project began with: both servers deploy under one name, and the second one's
/// image was registered as the first one's.
#[test]
fn n3x_server_1_and_server_2_are_each_their_own() {
    let project = Project::of("examples/n3x");
    let run = project.run(&[
        "--variant",
        "server-simple-server-*",
        "--store",
        "local",
        "-j",
        "2",
    ]);
    assert_eq!(run.status.code(), Some(0));
    for node in ["server-1", "server-2"] {
        let name = format!("artifacts/qemuamd64/isar-server-simple-{node}-qemuamd64.wic");
        let hostname = image::read(&project.path().join(name), "/etc/hostname");
        assert_eq!(hostname.trim(), node);
    }
    assert_eq!(project.hashes().len(), 6);
}
