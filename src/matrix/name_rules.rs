//! Rules for names: of Nix store paths, of files, of kas files.

use crate::base::kas_word::check_chain_file;

/// The longest name of a Nix store path, in bytes.
///
/// Source: `StorePath::MaxPathLen` of Nix: 255, minus the 32 characters of the digest, a dash, and
/// room for suffixes of the store such as `.lock`.
pub const MAX_NIX_NAME_LEN: usize = 211;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRefusal {
    /// The reason, as the end of a sentence that starts with the name.
    pub why: String,
    /// The part of the name that breaks the rule, if it is a part.
    pub part: Option<String>,
    /// The remedy.
    pub hint: String,
}

impl NameRefusal {
    fn new(why: impl Into<String>, part: Option<&str>, hint: impl Into<String>) -> NameRefusal {
        NameRefusal {
            why: why.into(),
            part: part.map(str::to_owned),
            hint: hint.into(),
        }
    }
}

/// Checks that `name` is a valid name of a Nix store path: `A-Za-z0-9+-._?=`, no leading dot, at
/// most [`MAX_NIX_NAME_LEN`] bytes.
///
/// # Errors
/// The rule that the name breaks.
pub fn nix_name(name: &str) -> Result<(), NameRefusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
    let fits = (1..=MAX_NIX_NAME_LEN).contains(&name.len());
    if fits && !name.starts_with('.') && name.bytes().all(is_plain) {
        return Ok(());
    }
    file_name(name)?;
    if let Some(bad) = name
        .chars()
        .find(|&c| !(c.is_ascii_alphanumeric() || "+-._?=".contains(c)))
    {
        return Err(NameRefusal::new(
            format!("contains {}, which Nix does not allow", quoted(bad)),
            Some(bad.encode_utf8(&mut [0; 4])),
            "allowed are the letters A-Z and a-z, digits, and `+ - . _ ? =`",
        ));
    }
    if name.starts_with('.') {
        return Err(NameRefusal::new(
            "starts with a dot, which Nix does not allow",
            None,
            "start the name with a letter",
        ));
    }
    if name.len() > MAX_NIX_NAME_LEN {
        return Err(NameRefusal::new(
            format!(
                "is {} bytes long; Nix allows at most {MAX_NIX_NAME_LEN}",
                name.len()
            ),
            None,
            "shorten the template or the values in it",
        ));
    }
    Ok(())
}

/// Checks that `name` is a single file name, without directories.
///
/// # Errors
/// The rule that the name breaks.
pub fn file_name(name: &str) -> Result<(), NameRefusal> {
    if name.is_empty() {
        return Err(NameRefusal::new(
            "is empty",
            None,
            "add text that does not depend on a variable",
        ));
    }
    if name == "." || name == ".." {
        return Err(NameRefusal::new(
            "names a directory, not a file",
            Some(name),
            "use a file name",
        ));
    }
    if name.contains('/') {
        let part = if name.contains("../") { "../" } else { "/" };
        return Err(NameRefusal::new(
            "contains `/`",
            Some(part),
            "write a single file name, without directories",
        ));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control()) {
        return Err(NameRefusal::new(
            format!("contains the control character {}", quoted(bad)),
            Some(bad.encode_utf8(&mut [0; 4])),
            "remove it",
        ));
    }
    Ok(())
}

/// Checks that `path` is a kas file below the directory of variants.toml: relative, normalized,
/// without `..`, and a valid [`kas_argument`].
///
/// # Errors
/// The rule that the path breaks.
pub fn kas_path(path: &str) -> Result<(), NameRefusal> {
    if path.is_empty() {
        return Err(NameRefusal::new("is empty", None, "name a file"));
    }
    if path.starts_with('/') {
        return Err(NameRefusal::new(
            "is an absolute path",
            None,
            "write it relative to the directory of variants.toml",
        ));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(NameRefusal::new(
            "is outside the directory of variants.toml",
            Some(".."),
            "move variants.toml above the files that it names, and write their paths without `..`",
        ));
    }
    if path.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(NameRefusal::new(
            "is not normalized",
            None,
            "remove `./` and doubled or trailing slashes",
        ));
    }
    kas_argument(path)
}

/// Checks that `path` can be part of the chain that kas-container gets: no separator at which it
/// splits its arguments, and an extension that kas reads.
///
/// # Errors
/// The rule that the path breaks.
pub fn kas_argument(path: &str) -> Result<(), NameRefusal> {
    if let Err(unfit) = check_chain_file(path) {
        return Err(NameRefusal::new(
            format!("contains {unfit}, at which kas-container splits its arguments"),
            Some(unfit.0.encode_utf8(&mut [0; 4])),
            "rename the file",
        ));
    }
    if ![".yml", ".yaml", ".json"]
        .iter()
        .any(|extension| path.ends_with(extension))
    {
        return Err(NameRefusal::new(
            "does not have the extension of a kas file",
            None,
            "kas reads `.yml`, `.yaml` and `.json`",
        ));
    }
    Ok(())
}

fn quoted(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        c if c.is_control() => format!("{c:?}"),
        c => format!("`{c}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nix_name_allows_names_that_nix_allows() {
        for name in [
            "a",
            "isar-base-qemuamd64.wic",
            "A+b_c?d=e",
            "-dash",
            &"x".repeat(211),
        ] {
            assert_eq!(nix_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn every_refusal_has_a_reason_and_a_hint() {
        let of = |result: Result<(), NameRefusal>, name: &str| match result {
            Ok(()) => format!("{name:?} is allowed"),
            Err(refusal) => format!("{name:?} {}; {}", refusal.why, refusal.hint),
        };
        let long = "x".repeat(212);
        let nix = [
            "", ".", "..", "a b", "ä", "a/b", "../a", ".a", "a\u{7}", &long,
        ];
        let kas = [
            "",
            "/a.yml",
            "../a.yml",
            "a/../b.yml",
            "a:b.yml",
            "a b.yml",
            "./a.yml",
            "a//b.yml",
            "a.txt",
            "kas/a.yml",
        ];
        let all: Vec<String> = nix
            .iter()
            .map(|name| of(nix_name(name), name))
            .chain(kas.iter().map(|path| of(kas_path(path), path)))
            .collect();
        insta::assert_snapshot!(all.join("\n"), @r#"
        "" is empty; add text that does not depend on a variable
        "." names a directory, not a file; use a file name
        ".." names a directory, not a file; use a file name
        "a b" contains a space, which Nix does not allow; allowed are the letters A-Z and a-z, digits, and `+ - . _ ? =`
        "ä" contains `ä`, which Nix does not allow; allowed are the letters A-Z and a-z, digits, and `+ - . _ ? =`
        "a/b" contains `/`; write a single file name, without directories
        "../a" contains `/`; write a single file name, without directories
        ".a" starts with a dot, which Nix does not allow; start the name with a letter
        "a\u{7}" contains the control character '\u{7}'; remove it
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is 212 bytes long; Nix allows at most 211; shorten the template or the values in it
        "" is empty; name a file
        "/a.yml" is an absolute path; write it relative to the directory of variants.toml
        "../a.yml" is outside the directory of variants.toml; move variants.toml above the files that it names, and write their paths without `..`
        "a/../b.yml" is outside the directory of variants.toml; move variants.toml above the files that it names, and write their paths without `..`
        "a:b.yml" contains `:`, at which kas-container splits its arguments; rename the file
        "a b.yml" contains a space, at which kas-container splits its arguments; rename the file
        "./a.yml" is not normalized; remove `./` and doubled or trailing slashes
        "a//b.yml" is not normalized; remove `./` and doubled or trailing slashes
        "a.txt" does not have the extension of a kas file; kas reads `.yml`, `.yaml` and `.json`
        "kas/a.yml" is allowed
        "#);
    }
}
