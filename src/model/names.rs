//! Which words may be names: of Nix store paths, of files, of kas files. Knows nothing of the matrix.

/// The longest name that Nix takes for a store path, in bytes.
///
/// Source: `StorePath::MaxPathLen` of Nix (255 less the 32 characters of the digest, a dash, and room
/// for what the store appends).
pub const LONGEST_NIX_NAME: usize = 211;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, as the end of a sentence that begins with the name.
    pub why: String,
    /// The text in it that is to blame, where it is a part.
    pub part: Option<String>,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    fn new(why: impl Into<String>, part: Option<&str>, hint: impl Into<String>) -> Refusal {
        Refusal {
            why: why.into(),
            part: part.map(str::to_owned),
            hint: hint.into(),
        }
    }
}

/// Checks that Nix takes `name` as the name of a store path: `A-Za-z0-9+-._?=`, no leading dot, at
/// most [`LONGEST_NIX_NAME`] bytes.
///
/// # Errors
/// Says why not.
pub fn nix_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
    let fits = (1..=LONGEST_NIX_NAME).contains(&name.len());
    if fits && !name.starts_with('.') && name.bytes().all(is_plain) {
        return Ok(());
    }
    file_name(name)?;
    if let Some(bad) = name
        .chars()
        .find(|&c| !(c.is_ascii_alphanumeric() || "+-._?=".contains(c)))
    {
        return Err(Refusal::new(
            format!("holds {}, which Nix refuses in a name", quoted(bad)),
            Some(bad.encode_utf8(&mut [0; 4])),
            "Nix takes the letters A-Z and a-z, digits, and `+ - . _ ? =`",
        ));
    }
    if name.starts_with('.') {
        return Err(Refusal::new(
            "begins with a dot, which Nix refuses",
            None,
            "begin the name with a letter",
        ));
    }
    if name.len() > LONGEST_NIX_NAME {
        return Err(Refusal::new(
            format!(
                "is {} bytes long; Nix takes at most {LONGEST_NIX_NAME}",
                name.len()
            ),
            None,
            "shorten the template or the values in it",
        ));
    }
    Ok(())
}

/// Checks that `name` names a file in a directory, and cannot lead out of it.
///
/// # Errors
/// Says why not.
pub fn file_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::new(
            "is empty",
            None,
            "give the template some text that is always there",
        ));
    }
    if name == "." || name == ".." {
        return Err(Refusal::new(
            "names a directory, not a file",
            Some(name),
            "give the file a name of its own",
        ));
    }
    if name.contains('/') {
        let part = if name.contains("../") { "../" } else { "/" };
        return Err(Refusal::new(
            "would leave its directory: it holds `/`",
            Some(part),
            "a name is one file name, without directories",
        ));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control()) {
        return Err(Refusal::new(
            format!("holds the control character {}", quoted(bad)),
            Some(bad.encode_utf8(&mut [0; 4])),
            "remove it",
        ));
    }
    Ok(())
}

/// Checks that `path` is one that kas takes in a chain and that stays below the directory of
/// variants.toml: relative, without `..`, and as [`kas_argument`] asks.
///
/// # Errors
/// Says why not.
pub fn kas_path(path: &str) -> Result<(), Refusal> {
    if path.is_empty() {
        return Err(Refusal::new("is empty", None, "name a file"));
    }
    if path.starts_with('/') {
        return Err(Refusal::new(
            "is an absolute path",
            None,
            "kas files are given relative to the directory of variants.toml",
        ));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Refusal::new(
            "leaves the directory of variants.toml",
            Some(".."),
            "put variants.toml above the files that it names, and write their paths without `..`",
        ));
    }
    if path.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(Refusal::new(
            "is not in its shortest form",
            None,
            "remove `./` and doubled or trailing slashes",
        ));
    }
    kas_argument(path)
}

/// Checks that `path` is one that kas-container takes as a part of a chain: without what it splits its
/// arguments at, and with an extension that kas knows.
///
/// # Errors
/// Says why not.
pub fn kas_argument(path: &str) -> Result<(), Refusal> {
    if let Some(bad) = path
        .chars()
        .find(|&c| c == ':' || c.is_whitespace() || c.is_control())
    {
        return Err(Refusal::new(
            format!(
                "holds {}, at which kas-container splits its arguments",
                quoted(bad)
            ),
            Some(bad.encode_utf8(&mut [0; 4])),
            "rename the file",
        ));
    }
    if ![".yml", ".yaml", ".json"]
        .iter()
        .any(|extension| path.ends_with(extension))
    {
        return Err(Refusal::new(
            "is not a kas file by its extension",
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
    fn names_that_nix_takes() {
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
    fn every_refusal_says_why() {
        let of = |result: Result<(), Refusal>, name: &str| match result {
            Ok(()) => format!("{name:?} is taken"),
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
        "" is empty; give the template some text that is always there
        "." names a directory, not a file; give the file a name of its own
        ".." names a directory, not a file; give the file a name of its own
        "a b" holds a space, which Nix refuses in a name; Nix takes the letters A-Z and a-z, digits, and `+ - . _ ? =`
        "ä" holds `ä`, which Nix refuses in a name; Nix takes the letters A-Z and a-z, digits, and `+ - . _ ? =`
        "a/b" would leave its directory: it holds `/`; a name is one file name, without directories
        "../a" would leave its directory: it holds `/`; a name is one file name, without directories
        ".a" begins with a dot, which Nix refuses; begin the name with a letter
        "a\u{7}" holds the control character '\u{7}'; remove it
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is 212 bytes long; Nix takes at most 211; shorten the template or the values in it
        "" is empty; name a file
        "/a.yml" is an absolute path; kas files are given relative to the directory of variants.toml
        "../a.yml" leaves the directory of variants.toml; put variants.toml above the files that it names, and write their paths without `..`
        "a/../b.yml" leaves the directory of variants.toml; put variants.toml above the files that it names, and write their paths without `..`
        "a:b.yml" holds `:`, at which kas-container splits its arguments; rename the file
        "a b.yml" holds a space, at which kas-container splits its arguments; rename the file
        "./a.yml" is not in its shortest form; remove `./` and doubled or trailing slashes
        "a//b.yml" is not in its shortest form; remove `./` and doubled or trailing slashes
        "a.txt" is not a kas file by its extension; kas reads `.yml`, `.yaml` and `.json`
        "kas/a.yml" is taken
        "#);
    }
}
