//! Decides whether the headers of kas files pin the Debian archive to a snapshot. Understands a small part of
//! BitBake's language; any other line about the relevant variables counts as no pin.

use std::collections::BTreeMap;

const SWITCH: &str = "ISAR_USE_APT_SNAPSHOT";
/// ISAR reads the moment of the snapshot from one of these. Unset, `SOURCE_DATE_EPOCH` is the time of the last commit
/// or of the build.
const MOMENTS: [&str; 3] = [
    "ISAR_APT_SNAPSHOT_DATE",
    "ISAR_APT_SNAPSHOT_TIMESTAMP",
    "SOURCE_DATE_EPOCH",
];

/// Whether `texts`, in the order in which BitBake reads them, pin the archive. Variables that kas passes from its
/// `environment` have an unknown value until a text sets them.
#[must_use]
pub fn is_pinned<'t>(texts: impl IntoIterator<Item = &'t str>, environment: &[&str]) -> bool {
    let mut values: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for name in names() {
        if environment.contains(&name) {
            values.insert(name, None);
        }
    }
    for text in texts {
        for line in logical_lines(text) {
            match read(&line) {
                AptLine::Irrelevant => {}
                AptLine::Sets(name, value) => {
                    values.insert(name, Some(value));
                }
                AptLine::Fills(name, value) => {
                    values.entry(name).or_insert(Some(value));
                }
                AptLine::ReadsFile => {
                    for name in names() {
                        values.insert(name, None);
                    }
                }
                AptLine::NotUnderstood => return false,
            }
        }
    }
    let value = |name: &str| values.get(name).and_then(Option::as_deref);
    let is_on =
        value(SWITCH).is_some_and(|value| matches!(value, "1" | "true" | "yes" | "y" | "t"));
    let is_literal =
        |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_on && MOMENTS.into_iter().filter_map(value).any(is_literal)
}

fn names() -> impl Iterator<Item = &'static str> {
    [SWITCH].into_iter().chain(MOMENTS)
}

/// The effect of a line on the relevant variables.
enum AptLine {
    Irrelevant,
    /// `=` or `:=`.
    Sets(&'static str, String),
    /// `?=`.
    Fills(&'static str, String),
    /// Reads another file, which may set any variable that no later line sets.
    ReadsFile,
    /// Mentions one of the variables in a way that is not understood.
    NotUnderstood,
}

/// Lines, joined where one ends with a backslash. BitBake joins comment lines too.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for line in text.lines() {
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        if let Some(last) = lines.last_mut() {
            last.push_str(part);
        }
        if !goes_on {
            lines.push(String::new());
        }
    }
    lines
}

fn read(line: &str) -> AptLine {
    let line = line.trim();
    if line.starts_with('#') {
        return AptLine::Irrelevant;
    }
    let first = line.split_whitespace().next().unwrap_or_default();
    if matches!(first, "include" | "include_all" | "require" | "inherit") {
        return AptLine::ReadsFile;
    }
    let mentioned = |text: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| names().any(|name| name == word))
    };
    if !mentioned(line) {
        return AptLine::Irrelevant;
    }
    let Some((left, right)) = line.split_once('=') else {
        return AptLine::NotUnderstood;
    };
    let name = left.trim_end_matches(['?', ':', '+', '.']);
    let operator = &left[name.len()..];
    let name = name.trim_end();
    if !mentioned(name) {
        // An assignment to another variable that only uses one of them.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
        let plain = !name.is_empty() && name.bytes().all(is_plain);
        return if plain {
            AptLine::Irrelevant
        } else {
            AptLine::NotUnderstood
        };
    }
    let right = right.trim();
    let value = right
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .or_else(|| right.strip_prefix('\'')?.strip_suffix('\''));
    match (names().find(|known| *known == name), operator, value) {
        (Some(name), "" | ":", Some(value)) => AptLine::Sets(name, value.to_owned()),
        (Some(name), "?", Some(value)) => AptLine::Fills(name, value.to_owned()),
        // A weak default: any other assignment overrides it, so it pins nothing.
        (Some(_), "??", Some(_)) => AptLine::Irrelevant,
        _ => AptLine::NotUnderstood,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: &str = "ISAR_USE_APT_SNAPSHOT = \"1\"\n";
    const DATE: &str = "ISAR_APT_SNAPSHOT_DATE = '20240702T082400Z'\n";

    fn pinned(texts: &[&str]) -> bool {
        is_pinned([texts.concat().as_str()], &[])
    }

    #[test]
    fn a_snapshot_needs_the_switch_and_a_moment() {
        assert!(pinned(&[ON, DATE]));
        assert!(pinned(&[
            ON,
            "ISAR_APT_SNAPSHOT_TIMESTAMP := \"1719900000\""
        ]));
        assert!(!pinned(&[ON]));
        assert!(!pinned(&[DATE]));
        assert!(!pinned(&["ISAR_USE_APT_SNAPSHOT = \"0\"\n", DATE]));
        assert!(!pinned(&[ON, "ISAR_APT_SNAPSHOT_DATE = \"${DATE}\"\n"]));
        assert!(!pinned(&[ON, DATE, "ISAR_USE_APT_SNAPSHOT = \"0\"\n"]));
        assert!(!pinned(&["# a \\\n", ON, DATE]), "the comment goes on");
    }

    #[test]
    fn a_weaker_assignment_sets_only_an_unset_variable() {
        let off = "ISAR_USE_APT_SNAPSHOT ?= \"0\"\n";
        let weakly_on = "ISAR_USE_APT_SNAPSHOT ?= \"1\"\n";
        assert!(pinned(&[ON, DATE, off]));
        assert!(pinned(&[off, ON, DATE]));
        assert!(!pinned(&[off, weakly_on, DATE]));
        assert!(pinned(&[weakly_on, off, DATE]));
        assert!(!pinned(&["ISAR_USE_APT_SNAPSHOT ??= \"1\"\n", DATE]));
        assert!(pinned(&[ON, DATE, "ISAR_USE_APT_SNAPSHOT ??= \"0\"\n"]));
        let environment = ["ISAR_USE_APT_SNAPSHOT"];
        let from_environment = |text: &str| is_pinned([text, DATE], &environment);
        assert!(!from_environment(weakly_on));
        assert!(from_environment(ON));
    }

    #[test]
    fn a_line_that_is_not_understood_pins_nothing() {
        for text in [
            "ISAR_USE_APT_SNAPSHOT:forcevariable = \"0\"\n",
            "ISAR_APT_SNAPSHOT_DATE:append = \"x\"\n",
            "ISAR_APT_SNAPSHOT_DATE[security] = \"20240702T082400Z\"\n",
            "ISAR_USE_APT_SNAPSHOT += \"0\"\n",
            "unset ISAR_APT_SNAPSHOT_DATE\n",
            "python () { d.setVar('ISAR_USE_APT_SNAPSHOT', '0') }\n",
            "    d.setVar(\"ISAR_USE_APT_SNAPSHOT\", a == \"1\")\n",
            "export ISAR_USE_APT_SNAPSHOT = \"0\"\n",
            "require conf/more.conf\n",
        ] {
            assert!(!pinned(&[ON, DATE, text]), "{text}");
        }
        assert!(pinned(&["require conf/more.conf\n", ON, DATE]));
        assert!(pinned(&[
            ON,
            DATE,
            "STAMP = \"${ISAR_APT_SNAPSHOT_DATE}\"\n"
        ]));
        assert!(pinned(&[ON, DATE, "# unset ISAR_APT_SNAPSHOT_DATE\n"]));
    }
}
