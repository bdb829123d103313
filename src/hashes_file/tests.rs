use proptest::prelude::*;

use crate::base::nix32;
use crate::hashes_file::*;
use crate::matrix::VariantKey;

const FILE: &str = include_str!("testdata/three-machines.nix");

fn key(machine: &str, id: &str) -> VariantKey {
    VariantKey {
        machine: machine.to_owned(),
        id: id.to_owned(),
    }
}

fn variant(machine: &str, id: &str, entries: &[(&str, u8)]) -> VariantHashes {
    let name = |suffix: &str| format!("isar-{id}-{machine}{suffix}");
    VariantHashes {
        gone: Vec::new(),
        key: key(machine, id),
        names: [".wic", "-vmlinuz", "-initrd.img", ".wic.bmap"]
            .map(name)
            .to_vec(),
        entries: entries
            .iter()
            .map(|&(suffix, byte)| (name(suffix), [byte; 32]))
            .collect(),
    }
}

/// The lines that differ, as a reader of a commit would see them.
fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    let mut left = 0;
    for line in &new {
        match old[left..].iter().position(|candidate| candidate == line) {
            Some(ahead) if !line.trim().is_empty() || ahead == 0 => {
                for removed in &old[left..left + ahead] {
                    out += &format!("-{removed}\n");
                }
                left += ahead + 1;
            }
            _ => out += &format!("+{line}\n"),
        }
    }
    for removed in &old[left..] {
        out += &format!("-{removed}\n");
    }
    out
}

#[test]
fn a_hash_is_replaced_in_its_line() {
    let new = update(FILE, &[variant("qemuamd64", "base", &[(".wic", 0)])]).unwrap();
    insta::assert_snapshot!(diff(FILE, &new), @r#"
    +  "isar-base-qemuamd64.wic" = "0000000000000000000000000000000000000000000000000000"; # from the lab
    +
    -  "isar-base-qemuamd64.wic" = "0b5lk30580zn40d2nvl27hb47dgsl3scr1610pi19ima3q7lq76j"; # from the lab
    -
    "#);
    assert_eq!(
        update(&new, &[variant("qemuamd64", "base", &[(".wic", 0)])]).unwrap(),
        new
    );
}

#[test]
fn a_new_key_goes_after_the_last_of_its_machine_and_id() {
    let new = update(
        FILE,
        &[variant(
            "qemuamd64",
            "base",
            &[("-vmlinuz", 1), ("-initrd.img", 2)],
        )],
    )
    .unwrap();
    insta::assert_snapshot!(diff(FILE, &new), @r#"
    +  "isar-base-qemuamd64-vmlinuz" = "0081040h2081040h2081040h2081040h2081040h2081040h2081";
    +  "isar-base-qemuamd64-initrd.img" = "00h2081040h2081040h2081040h2081040h2081040h2081040h2";
    "#);
}

#[test]
fn a_new_variant_goes_to_the_end_under_a_comment() {
    let new = update(
        FILE,
        &[
            variant("amd-v3c18i", "agent", &[(".wic", 3)]),
            variant("jetson", "base", &[(".wic", 4), ("-vmlinuz", 5)]),
        ],
    )
    .unwrap();
    insta::assert_snapshot!(diff(FILE, &new), @r#"
    +
    +	# =========================================================================
    +	# amd-v3c18i - agent
    +	# =========================================================================
    +	"isar-agent-amd-v3c18i.wic" = "00q30c1h60q30c1h60q30c1h60q30c1h60q30c1h60q30c1h60q3";
    +
    +	# =========================================================================
    +	# jetson - base
    +	# =========================================================================
    +	"isar-base-jetson.wic" = "01040h2081040h2081040h2081040h2081040h2081040h208104";
    +	"isar-base-jetson-vmlinuz" = "01850l2ha1850l2ha1850l2ha1850l2ha1850l2ha1850l2ha185";
    "#);
}

#[test]
fn a_fresh_file() {
    let variants = [variant(
        "qemuamd64",
        "base",
        &[(".wic", 0), ("-vmlinuz", 1)],
    )];
    let new = update("", &variants).unwrap();
    insta::assert_snapshot!(new, @r#"
    # SHA-256 hashes of the registered artifacts: unique file name to hash in Nix base32.
    #
    # isar-build-all writes the hashes and adds entries; comments, order and other entries stay as they
    # are. By hand: nix-hash --type sha256 --flat --base32 FILE
    {
      # =========================================================================
      # qemuamd64 - base
      # =========================================================================
      "isar-base-qemuamd64.wic" = "0000000000000000000000000000000000000000000000000000";
      "isar-base-qemuamd64-vmlinuz" = "0081040h2081040h2081040h2081040h2081040h2081040h2081";
    }
    "#);
    assert_eq!(update(" \n\t\n", &variants).unwrap(), new);
    assert_eq!(update(&new, &variants).unwrap(), new);
}

#[test]
fn an_empty_set_in_one_line_is_opened() {
    let variants = [variant("qemuamd64", "base", &[(".wic", 0)])];
    insta::assert_snapshot!(update("{ } # mine\n", &variants).unwrap(), @r#"
    {
      # =========================================================================
      # qemuamd64 - base
      # =========================================================================
      "isar-base-qemuamd64.wic" = "0000000000000000000000000000000000000000000000000000";
    } # mine
    "#);
    insta::assert_snapshot!(update("{}", &variants).unwrap(), @r#"
    {
      # =========================================================================
      # qemuamd64 - base
      # =========================================================================
      "isar-base-qemuamd64.wic" = "0000000000000000000000000000000000000000000000000000";
    }
    "#);
}

#[test]
fn carriage_returns_stay() {
    let dos = FILE.replace('\n', "\r\n");
    let variants = [
        variant("qemuamd64", "base", &[(".wic", 0), ("-vmlinuz", 1)]),
        variant("jetson", "base", &[(".wic", 4)]),
    ];
    let new = update(&dos, &variants).unwrap();
    assert!(!new.replace("\r\n", "").contains(['\r', '\n']));
    assert_eq!(new.replace("\r\n", "\n"), update(FILE, &variants).unwrap());
}

#[test]
fn a_file_without_a_last_line_end_keeps_none() {
    let text = FILE.trim_end().trim_end_matches("\n# After the end.");
    let new = update(text, &[variant("jetson", "base", &[(".wic", 4)])]).unwrap();
    assert!(new.ends_with('}'));
}

#[test]
fn refusals_name_every_line() {
    let mut out = String::new();
    let hash = "0".repeat(52);
    for (name, text) in [
        ("nothing but a comment", "# empty\n".to_owned()),
        ("no end", format!("{{\n  \"a\" = \"{hash}\";\n")),
        ("function", "{ lib }:\n{\n}\n".to_owned()),
        ("rec", "rec {\n}\n".to_owned()),
        ("nested", "{\n  a = {\n    b = 1;\n  };\n}\n".to_owned()),
        ("nested brace", "{\n{\n}\n}\n".to_owned()),
        (
            "twice",
            format!("{{\n\"a\" = \"{hash}\";\n\"a\" = \"{hash}\";\n}}\n"),
        ),
        ("unquoted", format!("{{\n  a = \"{hash}\";\n}}\n")),
        ("no semicolon", format!("{{\n  \"a\" = \"{hash}\"\n}}\n")),
        (
            "two a line",
            format!("{{\n  \"a\" = \"{hash}\"; \"b\" = \"{hash}\";\n}}\n"),
        ),
        ("block comment", "/* x */\n{\n}\n".to_owned()),
        (
            "brace with an entry",
            format!("{{ \"a\" = \"{hash}\";\n}}\n"),
        ),
        ("after the end", "{\n} // { }\n".to_owned()),
        (
            "entry after the end",
            format!("{{\n}}\n\"a\" = \"{hash}\";\n"),
        ),
        (
            "conflict marker",
            "{\n<<<<<<< HEAD\n=======\n>>>>>>> theirs\n}\n".to_owned(),
        ),
        ("short hash", "{\n  \"a\" = \"abc\";\n}\n".to_owned()),
        (
            "hash character",
            format!("{{\n  \"a\" = \"{}\";\n}}\n", "e".repeat(52)),
        ),
        (
            "hash overflow",
            format!("{{\n  \"a\" = \"{}\";\n}}\n", "z".repeat(52)),
        ),
        (
            "interpolation",
            format!("{{\n  \"${{x}}\" = \"{hash}\";\n}}\n"),
        ),
        ("name", format!("{{\n  \"a b\" = \"{hash}\";\n}}\n")),
        (
            "hidden behind a carriage return",
            format!("{{\n# x\r\"a\" = \"{hash}\";\n}}\n"),
        ),
    ] {
        let error = update(&text, &[]).unwrap_err();
        out += &format!("== {name}\n{error}\nhint: {}\n", error.hint().unwrap());
    }
    insta::assert_snapshot!(out);
}

#[test]
fn input_that_could_not_be_read_back_is_refused() {
    let mut bad = variant("m", "i", &[(".wic", 0)]);
    bad.entries[0].0 = "a\"b".to_owned();
    insta::assert_snapshot!(update("", &[bad]).unwrap_err(), @r#"the name `a"b` holds `"`; Nix takes letters, digits and `+-._?=`"#);
    let two = [
        variant("m", "i", &[(".wic", 0)]),
        variant("m", "i", &[(".wic", 1)]),
    ];
    insta::assert_snapshot!(update("", &two).unwrap_err(), @"`isar-i-m.wic` would get two different hashes");
}

fn arbitrary_line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ \t]{0,3}",
        "[ \t]{0,3}#[ -~äß]{0,20}",
    ]
}

/// A file of up to 12 entries `n0`…, in order, with noise between, and which line ends it has.
fn arbitrary_file() -> impl Strategy<Value = (String, usize, &'static str)> {
    let entry = (
        any::<[u8; 32]>(),
        "[ \t]{0,4}",
        "[ \t]{0,2}",
        "( #[ -~]{0,8})?",
    );
    (
        prop::collection::vec(
            (entry, prop::collection::vec(arbitrary_line(), 0..3)),
            0..12,
        ),
        prop::collection::vec(arbitrary_line(), 0..3),
        prop_oneof![Just("\n"), Just("\r\n")],
        any::<bool>(),
    )
        .prop_map(|(entries, head, end, last)| {
            let mut lines = head.clone();
            lines.push("{".to_owned());
            let count = entries.len();
            for (index, ((hash, indent, space, note), noise)) in entries.into_iter().enumerate() {
                let hash = nix32::encode(&hash);
                lines.push(format!(
                    "{indent}\"n{index}\"{space}={space}\"{hash}\"{space};{note}"
                ));
                lines.extend(noise);
            }
            lines.push("}".to_owned());
            lines.extend(head);
            let text = lines.join(end) + if last { end } else { "" };
            (text, count, end)
        })
}

proptest! {
    #[test]
    fn nothing_to_do_changes_nothing((text, count, _) in arbitrary_file()) {
        let file = parse(&text).unwrap();
        prop_assert_eq!(file.entries().count(), count);
        prop_assert_eq!(file.lines.concat(), text.clone());
        prop_assert_eq!(update(&text, &[]).unwrap(), text);
    }

    #[test]
    fn only_the_named_lines_change(
        (text, count, end) in arbitrary_file(),
        chosen in prop::collection::vec((0_usize..24, any::<[u8; 32]>()), 0..6),
        owner in 0_usize..12,
    ) {
        let mut chosen = chosen;
        chosen.sort_by_key(|(index, _)| *index);
        chosen.dedup_by_key(|(index, _)| *index);
        let change = VariantHashes {
            gone: Vec::new(),
            key: key("m", "i"),
            names: vec![format!("n{owner}")],
            entries: chosen.iter().map(|(i, hash)| (format!("n{i}"), *hash)).collect(),
        };
        let changes = std::slice::from_ref(&change);
        let new = update(&text, changes).unwrap();

        // What was asked for is there, and it can be read.
        let (old_file, new_file) = (parse(&text).unwrap(), parse(&new).unwrap());
        for (name, hash) in &change.entries {
            prop_assert_eq!(new_file.get(name), Some(*hash));
        }
        // Every other entry is as before.
        for (name, hash) in old_file.entries() {
            if !change.entries.iter().any(|(changed, _)| changed == name) {
                prop_assert_eq!(new_file.get(name), Some(hash));
            }
        }
        // The old lines stand there in their order, byte for byte but for the hashes that changed.
        let mut old_lines = text.split(end).peekable();
        for line in new.split(end) {
            let mut same = Some(&line) == old_lines.peek();
            if let Some(old) = old_lines.peek()
                && let Some((index, _)) = chosen.iter().find(|(i, _)| *i < count && old.contains(&format!("\"n{i}\"")))
            {
                let (before, after) = (old_file.get(&format!("n{index}")).unwrap(), new_file.get(&format!("n{index}")).unwrap());
                same = line == old.replacen(&nix32::encode(&before), &nix32::encode(&after), 1);
            }
            if same {
                old_lines.next();
            } else {
                let added = line.trim_start();
                prop_assert!(
                    added.is_empty() || added.starts_with("# ===") || added == "# m - i" || added.starts_with("\"n"),
                    "unexpected line {:?}", line
                );
            }
        }
        prop_assert_eq!(old_lines.next(), None);
        // And once more is once.
        prop_assert_eq!(update(&new, changes).unwrap(), new);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[ -~\r\n{}\"=;#]{0,200}") {
        let _ = update(&text, &[variant("m", "i", &[(".wic", 0)])]);
    }
}

#[test]
fn what_a_variant_no_longer_has_goes_and_everything_else_stays() {
    let before = "{\n  # base\n  \"a.wic\" = \"HASH\";\n  \"a.wic.bmap\" = \"HASH\"; # its map\n\n  \"b.wic\" = \"HASH\";\n}\n"
        .replace("HASH", &nix32::encode(&[1; 32]));
    let change = VariantHashes {
        gone: vec!["a.wic.bmap".to_owned(), "never.there".to_owned()],
        entries: vec![("a.wic".to_owned(), [2; 32])],
        ..variant("m", "a", &[])
    };
    let after = update(&before, std::slice::from_ref(&change)).unwrap();
    let expected: String = before
        .split_inclusive('\n')
        .filter(|line| !line.contains("bmap"))
        .map(|line| {
            if line.contains("\"a.wic\"") {
                line.replace(&nix32::encode(&[1; 32]), &nix32::encode(&[2; 32]))
            } else {
                line.to_owned()
            }
        })
        .collect();
    assert_eq!(after, expected);
    assert_eq!(
        update(&after, &[change]).unwrap(),
        after,
        "again changes nothing"
    );
}

#[test]
fn a_new_name_that_two_variants_share_is_written_once() {
    let sharing = |id| VariantHashes {
        entries: vec![("shared.img".to_owned(), [7; 32])],
        ..variant("m", id, &[])
    };
    let new = update(FILE, &[sharing("a"), sharing("b")]).unwrap();
    assert_eq!(new.matches("shared.img").count(), 1);
    assert_eq!(parse(&new).unwrap().get("shared.img"), Some([7; 32]));
    assert!(new.contains("# m - a") && !new.contains("# m - b"));
}
