//! Build directories in which something else was built before: nothing of it comes into an image.

use std::process::Output;

use crate::image;
use crate::project::Project;
use support::counts::refused;

const BASE: &str = "qemuamd64/base";
const SERVER: &str = "qemuamd64/server-static-server-1";
const ONE: &str = "{ machine = \"qemuamd64\", profile = \"static\", node = \"server-1\" }";

/// A file that the server's package brings, and one that a root directory has in the middle of its
/// installation only.
const FOREIGN: [&str; 2] = ["/usr/sbin/nft", "/etc/apt/apt.conf.d/50isar-stubs"];

fn build(project: &Project, sharing: &str, variant: &str) -> Output {
    let output = project
        .command(&["--variant", variant, "--store", "local"])
        .env("ISAR_BUILD_ALL_BUILD_SHARING", sharing)
        .output()
        .unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn has(project: &Project, variant: &str, file: &str) -> bool {
    let (machine, id) = variant.split_once('/').unwrap();
    let image = project
        .path()
        .join(format!("artifacts/{machine}/isar-{id}-{machine}.wic"));
    let marker = image::read(&image, "/etc/image-variant");
    assert!(!marker.is_empty(), "the image can be read");
    !image::read(&image, file).is_empty()
}

#[test]
fn a_shared_build_directory_does_not_contaminate() {
    let project = Project::new();
    project.overlay("fault", ONE, "");
    let built = |variant: &str| build(&project, "all", variant).status.code();
    assert_eq!(built(BASE), Some(0));
    assert_eq!(built(SERVER), Some(0));
    assert!(has(&project, SERVER, FOREIGN[0]));
    project.set("fault", "STANDIN_FAIL_TASK = \"do_rootfs_install\"");
    assert_eq!(built(SERVER), Some(10));
    project.set("fault", "");
    assert_eq!(built(SERVER), Some(0));
    assert!(
        !has(&project, SERVER, FOREIGN[1]),
        "stubs of the failed build"
    );
    let last = build(&project, "all", BASE);
    assert_eq!(last.status.code(), Some(0));
    let said = String::from_utf8_lossy(&last.stderr);
    assert!(
        said.contains(&format!("the last build in it was {SERVER}'s")),
        "{said}"
    );
    for file in FOREIGN {
        assert!(!has(&project, BASE, file), "{file} in the base image");
    }
}

#[test]
fn an_image_that_is_kept_is_never_another_variants() {
    let project = Project::new();
    project.overlay("keep", ONE, "STANDIN_KEEP_IMAGE = \"1\"");
    assert_eq!(build(&project, "all", BASE).status.code(), Some(0));
    // Without cleaning, the build would succeed and leave the base image where the server's belongs.
    assert_eq!(build(&project, "all", SERVER).status.code(), Some(0));
    assert!(has(&project, SERVER, FOREIGN[0]));
}

#[test]
fn a_variant_that_is_what_it_was_before_is_not_contaminated_by_what_it_was_in_between() {
    let project = Project::new();
    project.overlay("more", "{ machine = \"qemuamd64\" }", "");
    let built = || build(&project, "none", BASE).status.code();
    assert_eq!(built(), Some(0));
    assert!(!has(&project, BASE, FOREIGN[0]));
    project.set("more", "IMAGE_PREINSTALL:append = \" nftables\"");
    assert_eq!(built(), Some(0));
    assert!(has(&project, BASE, FOREIGN[0]));
    // Its root directory comes from shared state now, and would be unpacked over the fuller one.
    project.set("more", "");
    assert_eq!(built(), Some(0));
    assert!(!has(&project, BASE, FOREIGN[0]));
}

#[test]
fn with_its_gate_open_the_contaminated_image_is_registered_with_a_warning() {
    let project = Project::new();
    let open = |variant: &str| {
        project
            .command(&["--variant", variant, "--store", "local"])
            .env("ISAR_BUILD_ALL_BUILD_SHARING", "all")
            .env("ISAR_BUILD_ALL_SKIP_GATES", "contamination")
            .output()
            .unwrap()
    };
    for variant in [BASE, SERVER, BASE] {
        let built = open(variant);
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        assert_eq!(built.status.code(), Some(0), "{said}");
        if variant == SERVER {
            assert!(said.contains("is not cleaned before the build"), "{said}");
        }
    }
    // What the other tests here prove to be kept out is what comes in without the gate.
    assert!(has(&project, BASE, FOREIGN[0]));
    assert_eq!(build(&project, "all", SERVER).status.code(), Some(0));
    assert_eq!(build(&project, "all", BASE).status.code(), Some(0));
    assert!(!has(&project, BASE, FOREIGN[0]));
    refused("contaminated");
}
