//! Target `hashes`: a parsed hashes file can be updated; an update changes only the requested lines, can be
//! parsed again, and is idempotent.

use std::collections::BTreeMap;

use isar_build_all::hashes_file::{VariantHashes, parse, update};
use isar_build_all::matrix::VariantKey;

/// The first byte selects the update; the rest is the text.
pub fn hashes(data: &[u8]) {
    let Some((&what, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let file = match parse(text) {
        Ok(file) => file,
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.hint().is_some());
            assert_eq!(update(text, &[]).is_err(), !text.trim().is_empty());
            return;
        }
    };
    assert_eq!(update(text, &[]).as_deref(), Ok(text));
    let old: Vec<(&str, [u8; 32])> = file.entries().collect();
    for (name, sha256) in &old {
        assert_eq!(file.get(name), Some(*sha256));
    }
    let variants = wishes(what, &old);
    let new = update(text, &variants).expect("fit names into a fit file");
    let after: Vec<(String, [u8; 32])> = parse(&new)
        .expect("an update can be read")
        .entries()
        .map(|(name, sha256)| (name.to_owned(), sha256))
        .collect();
    assert_eq!(update(&new, &variants).as_ref(), Ok(&new), "twice is once");

    let wanted: BTreeMap<&str, [u8; 32]> = variants
        .iter()
        .flat_map(|variant| &variant.entries)
        .map(|(name, sha256)| (name.as_str(), *sha256))
        .collect();
    let gone = |name: &str| {
        !wanted.contains_key(name)
            && variants
                .iter()
                .any(|variant| variant.gone.iter().any(|gone| gone == name))
    };
    let mut expected: BTreeMap<&str, [u8; 32]> = old
        .iter()
        .filter(|(name, _)| !gone(name))
        .copied()
        .collect();
    expected.extend(&wanted);
    let found: BTreeMap<&str, [u8; 32]> = after
        .iter()
        .map(|(name, sha256)| (name.as_str(), *sha256))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), after.len());

    // Every line without a changed entry is still there, in order. `{ }` on one line is split.
    let is_open = text
        .lines()
        .any(|line| line.trim_start().starts_with('{') && line.contains('}'));
    if is_open {
        return;
    }
    let changed = |line: &str| {
        let name = line
            .trim_start()
            .strip_prefix('"')
            .and_then(|rest| rest.split('"').next());
        name.is_some_and(|name| gone(name) || wanted.contains_key(name))
    };
    let mut lines = new.split_inclusive('\n');
    for line in text.split_inclusive('\n').filter(|line| !changed(line)) {
        assert!(lines.any(|kept| kept == line), "lost: {line:?}");
    }
}

/// Up to four variants: one with the names of the file, one with more, one that shares a file with it, and one
/// whose file was removed.
fn wishes(what: u8, old: &[(&str, [u8; 32])]) -> Vec<VariantHashes> {
    let variant = |id: &str| VariantHashes {
        key: VariantKey {
            machine: "qemu".to_owned(),
            id: id.to_owned(),
        },
        names: Vec::new(),
        entries: Vec::new(),
        gone: Vec::new(),
    };
    let mut wishes = Vec::new();
    if what & 1 != 0 {
        let mut has = variant("has");
        has.entries = old
            .iter()
            .step_by(2)
            // Two hashes for one name are refused, which is correct.
            .filter(|(name, _)| !name.starts_with("new-"))
            .map(|(name, _)| ((*name).to_owned(), [what; 32]))
            .collect();
        wishes.push(has);
    }
    if what & 2 != 0 {
        let mut more = variant("more");
        more.names = old
            .iter()
            .skip(1)
            .take(1)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        more.entries = vec![
            ("new-a.wic".to_owned(), [1; 32]),
            ("new-b.wic".to_owned(), [2; 32]),
        ];
        wishes.push(more);
    }
    if what & 4 != 0 {
        let mut shares = variant("shares");
        shares.entries = vec![("new-a.wic".to_owned(), [1; 32])];
        wishes.push(shares);
    }
    if what & 8 != 0 {
        let mut lost = variant("lost");
        lost.gone = old
            .iter()
            .skip(1)
            .step_by(3)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        wishes.push(lost);
    }
    wishes
}
