//! What Nix itself reads in a hashes file that we wrote. Passes where Nix is not installed.

use isar_build_all::base::nix32;
use isar_build_all::hashes_file::{VariantHashes, update};
use isar_build_all::matrix::VariantKey;
use support::PrivateNix;

#[test]
fn nix_reads_what_we_write() {
    let nix = PrivateNix::new();
    let variants: Vec<VariantHashes> = ["base", "server"]
        .iter()
        .zip(0_u8..)
        .map(|(id, byte)| VariantHashes {
            gone: Vec::new(),
            key: VariantKey {
                machine: "qemuamd64".to_owned(),
                id: (*id).to_owned(),
            },
            names: Vec::new(),
            entries: vec![
                (format!("isar-{id}.wic"), [byte; 32]),
                (format!("isar-{id}-vmlinuz+a=?_"), [byte + 100; 32]),
            ],
        })
        .collect();
    let start = "# mine\r\n{ # open\r\n\t\"kept-1.0.img\"= \
                 \"17nvnhvxr84r3210749ivlwa2qvgpjpjzj42kssy1bh02wzqrcg3\" ; # note\r\n}\r\n# end";
    for text in ["", "{ }", start] {
        let new = update(text, &variants).unwrap();
        let file = nix.dir().join("hashes.nix");
        std::fs::write(&file, &new).unwrap();
        let json = nix.output(
            "nix-instantiate",
            ["--eval", "--strict", "--json", file.to_str().unwrap()],
        );
        let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&json).unwrap();
        let mut expected: std::collections::BTreeMap<String, String> = variants
            .iter()
            .flat_map(|variant| &variant.entries)
            .map(|(name, hash)| (name.clone(), nix32::encode(hash)))
            .collect();
        if text == start {
            expected.insert(
                "kept-1.0.img".to_owned(),
                "17nvnhvxr84r3210749ivlwa2qvgpjpjzj42kssy1bh02wzqrcg3".to_owned(),
            );
        }
        assert_eq!(read, expected);
    }
}
