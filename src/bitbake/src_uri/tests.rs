use crate::bitbake::src_uri::*;

const BOTH: Differs = Differs {
    archs: true,
    machines: true,
};

/// Line, name and the name to use instead.
fn of(text: &str) -> Vec<(usize, String, String)> {
    let recipes = [Recipe::read("x.bb", text)];
    collisions(&recipes, BOTH)
        .into_iter()
        .map(|collision| (collision.line, collision.name, collision.instead))
        .collect()
}

fn one(line: usize, name: &str, instead: &str) -> Vec<(usize, String, String)> {
    vec![(line, name.to_owned(), instead.to_owned())]
}

#[test]
fn a_name_that_hides_the_architecture_of_its_address_is_told() {
    let text = "# A comment\nSRC_URI = \"https://x/v1/k3s-${DISTRO_ARCH};downloadfilename=k3s;sha256sum=1\"\n";
    assert_eq!(of(text), one(2, "k3s", "k3s-${DISTRO_ARCH}"));
    let text = "SRC_URI += \"\\\n  file://a \\\n  https://x/${MACHINE}/boot.tar.gz?raw=1 \\\n\"\n";
    assert_eq!(of(text), one(3, "boot.tar.gz", "boot-${MACHINE}.tar.gz"));
}

#[test]
fn names_that_tell_it_are_well() {
    for text in [
        "SRC_URI = \"https://x/k3s-${DISTRO_ARCH}\"",
        "SRC_URI = \"https://x/${DISTRO_ARCH}/k3s;downloadfilename=k3s-${DISTRO_ARCH}\"",
        "SRC_URI = \"https://x/${PV}/source.tar.gz\"",
        "SRC_URI = \"git://x/${DISTRO_ARCH}/repo;branch=main\"",
        "SRC_URI:remove = \"https://x/${DISTRO_ARCH}/k3s\"",
        "SRC_URI[sha256sum] = \"https://x/${DISTRO_ARCH}/k3s\"",
        "#SRC_URI = \"https://x/${DISTRO_ARCH}/k3s\"",
        "OTHER = \"https://x/${DISTRO_ARCH}/k3s\"",
    ] {
        assert_eq!(of(text), [], "{text}");
    }
}

#[test]
fn variables_are_followed_to_the_architecture() {
    let text = "K3S_ARCH = \"${DISTRO_ARCH}\"\nFILE ?= \"${K3S_ARCH}/k3s\"\nSRC_URI = 'https://x/${FILE};downloadfilename=k3s'\n";
    assert_eq!(of(text), one(3, "k3s", "k3s-${DISTRO_ARCH}"));
    let text = "SUFFIX = \"\"\nSUFFIX:arm64 = \"-arm64\"\nSRC_URI = \"https://x/k3s${SUFFIX};downloadfilename=k3s.bin\"\n";
    assert_eq!(of(text), one(3, "k3s.bin", "k3s-${DISTRO_ARCH}.bin"));
    let text =
        "SRC_URI = \"https://x/${@'a' if d.getVar('DISTRO_ARCH') == 'amd64' else 'b'}/tool-1.2\"\n";
    assert_eq!(of(text), one(1, "tool-1.2", "tool-1.2-${DISTRO_ARCH}"));
    // A variable that names itself ends nowhere.
    assert_eq!(of("A = \"${A}\"\nSRC_URI = \"https://x/${A}/b\"\n"), []);
}

#[test]
fn addresses_by_override_are_compared() {
    for text in [
        "SRC_URI:append:amd64 = \" https://x/amd64/tool\"\nSRC_URI:append:arm64 = \" https://x/arm64/tool\"\n",
        "SRC_URI_append_amd64 = \" https://x/amd64/tool\"\nSRC_URI_append_arm64 = \" https://x/arm64/tool\"\n",
    ] {
        let lines: Vec<usize> = of(text).iter().map(|found| found.0).collect();
        assert_eq!(lines, [1, 2], "{text}");
    }
    let same = "SRC_URI:amd64 = \"https://x/tool\"\nSRC_URI:arm64 = \"https://x/tool\"\n";
    assert_eq!(of(same), []);
}

#[test]
fn what_does_not_differ_collides_with_nothing() {
    let recipes = [Recipe::read(
        "x.bb",
        "SRC_URI = \"https://x/${DISTRO_ARCH}/k3s https://x/${MACHINE}/y\"",
    )];
    let names = |archs, machines| -> Vec<String> {
        let found = collisions(&recipes, Differs { archs, machines });
        found.into_iter().map(|collision| collision.name).collect()
    };
    assert!(names(false, false).is_empty());
    assert_eq!(names(false, true), ["y"]);
    assert_eq!(names(true, false), ["k3s"]);
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_wild(text in "(SRC_URI|A|:|_|=|\\+|\"|'|\\$\\{|\\}|@|\\\\\n|\n| |https://|;downloadfilename=|k3s|ü){0,40}") {
        let _ = of(&text);
    }
}
