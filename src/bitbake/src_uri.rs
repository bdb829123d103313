//! Ambiguous downloads of a BitBake recipe: the URL differs between architectures and the file name does not.
//! Two architectures that share a DL_DIR would then use each other's file.
//!
//! Assignments are read as text (syntax: BitBake User Manual, "Syntax and Operators"); nothing is evaluated.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

/// Variables whose value differs between architectures.
const OF_ARCH: &[&str] = &[
    "DISTRO_ARCH",
    "DPKG_ARCH",
    "HOST_ARCH",
    "MACHINE_ARCH",
    "PACKAGE_ARCH",
    "TARGET_ARCH",
    "TARGET_SYS",
    "TRANSLATED_TARGET_ARCH",
    "TUNE_ARCH",
];

/// The variable whose value differs between machines.
const OF_MACHINE: &str = "MACHINE";

/// The variable for a suggested name if the URL itself contains none.
const DISTRO_ARCH: &str = "DISTRO_ARCH";

/// The fetchers that store a download as one file under its own name.
const SCHEMES: &[&str] = &["http://", "https://", "ftp://", "sftp://", "s3://", "gs://"];

/// An assignment of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    line: usize,
    variable: String,
    /// The overrides (architectures, machines and the like) under which it applies.
    overrides: Vec<String>,
    value: String,
}

/// A parsed recipe file.
#[derive(Debug, Clone)]
pub struct Recipe {
    file: String,
    assignments: Vec<Assignment>,
}

/// A download with an ambiguous name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Collision {
    /// The recipe file, as passed in.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// The URL as written, without parameters.
    pub url: String,
    /// The ambiguous name.
    pub name: String,
    /// The suggested name, which contains the architecture.
    pub instead: String,
}

/// The properties that differ among the variants.
#[derive(Debug, Clone, Copy)]
pub struct Differs {
    /// There is more than one architecture.
    pub archs: bool,
    /// There is more than one machine.
    pub machines: bool,
}

impl Recipe {
    /// Parses a recipe, an append file or an include.
    #[must_use]
    pub fn read(file: &str, text: &str) -> Recipe {
        Recipe {
            file: file.to_owned(),
            assignments: logical_lines(text)
                .iter()
                .filter_map(|(line, text)| assignment(*line, text))
                .collect(),
        }
    }
}

/// The ambiguous downloads of files that share variables: those of one recipe or one directory.
#[must_use]
pub fn collisions(recipes: &[Recipe], differs: Differs) -> Vec<Collision> {
    if !differs.archs && !differs.machines {
        return Vec::new();
    }
    let variables = Variables::of(recipes, differs);
    let mut downloads = Vec::new();
    for recipe in recipes {
        for assignment in &recipe.assignments {
            if assignment.variable == "SRC_URI" {
                downloads.extend(entries(&recipe.file, assignment));
            }
        }
    }
    let mut found = Vec::new();
    for download in &downloads {
        if variables.varies(&download.name).is_some() {
            continue;
        }
        let by = variables.varies(&download.url).or_else(|| {
            let conditional = downloads.iter().any(|other| {
                other.name == download.name
                    && other.url != download.url
                    && !download.overrides.is_empty()
                    && !other.overrides.is_empty()
                    && other.overrides != download.overrides
            });
            conditional.then(|| DISTRO_ARCH.to_owned())
        });
        if let Some(by) = by {
            found.push(Collision {
                file: download.file.clone(),
                line: download.line,
                url: download.url.clone(),
                name: download.name.clone(),
                instead: with_variable(&download.name, &by),
            });
        }
    }
    found
}

struct Download {
    file: String,
    line: usize,
    overrides: Vec<String>,
    url: String,
    name: String,
}

/// The downloads in a value of SRC_URI.
fn entries(file: &str, assignment: &Assignment) -> Vec<Download> {
    words(&assignment.value)
        .into_iter()
        .filter(|(_, word)| SCHEMES.iter().any(|scheme| word.starts_with(scheme)))
        .filter_map(|(lines, word)| {
            let mut parts = word.split(';');
            let url = parts.next()?;
            let named = parts.find_map(|part| part.strip_prefix("downloadfilename="));
            let name = match named {
                Some(name) => name,
                None => url.split(['?', '#']).next()?.rsplit('/').next()?,
            };
            (!name.is_empty()).then(|| Download {
                file: file.to_owned(),
                line: assignment.line + lines,
                overrides: assignment.overrides.clone(),
                url: url.to_owned(),
                name: name.to_owned(),
            })
        })
        .collect()
}

/// Words with the number of line ends before each. White space within `${…}` does not separate words.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut depth, mut start, mut lines, mut lines_at_start) = (0_usize, None, 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if character.is_whitespace() && depth == 0 {
            if let Some(start) = start.take() {
                found.push((lines_at_start, &text[start..at]));
            }
        } else if start.is_none() {
            start = Some(at);
            lines_at_start = lines;
        }
        lines += usize::from(character == '\n');
    }
    if let Some(start) = start {
        found.push((lines_at_start, &text[start..]));
    }
    found
}

/// Lines joined with their continuation lines, each with its first line number. The line end at a backslash is
/// kept.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in text.lines().enumerate() {
        let (content, more) = match line.trim_end().strip_suffix('\\') {
            Some(content) => (content, true),
            None => (line, false),
        };
        match found.last_mut() {
            Some((_, last)) if goes_on => {
                last.push('\n');
                last.push_str(content);
            }
            _ => found.push((number + 1, content.to_owned())),
        }
        goes_on = more;
    }
    found
}

fn assignment(line: usize, text: &str) -> Option<Assignment> {
    if text.starts_with('#') {
        return None;
    }
    let (left, right) = text.split_once('=')?;
    let left = left.trim_end_matches(['?', ':', '+', '.']).trim();
    let left = left.strip_prefix("export ").unwrap_or(left).trim();
    let is_name = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '_' | ':' | '-' | '.')
    };
    if left.is_empty() || !left.chars().all(is_name) {
        return None;
    }
    let right = right.trim_start_matches(['+', '.']);
    let indent = right.len() - right.trim_start().len();
    // Line ends before the opening quote still count.
    let skipped = right[..indent].matches('\n').count();
    let right = right[indent..].trim_end();
    let quote = right
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    let value = right[1..].strip_suffix(quote)?;
    let (variable, overrides) = split_name(left)?;
    Some(Assignment {
        line: line + skipped,
        variable,
        overrides,
        value: value.to_owned(),
    })
}

/// The variable and the overrides in a name, in today's syntax and, for SRC_URI, in that before BitBake 1.52.
/// `None` for an operator that removes values.
fn split_name(name: &str) -> Option<(String, Vec<String>)> {
    let (variable, rest) = match name.split_once(':') {
        Some((variable, rest)) => (variable, rest.split(':').collect::<Vec<_>>()),
        None => match name.strip_prefix("SRC_URI_") {
            Some(rest) => ("SRC_URI", rest.split('_').collect()),
            None => (name, Vec::new()),
        },
    };
    if rest.contains(&"remove") {
        return None;
    }
    let overrides = rest
        .into_iter()
        .filter(|word| !matches!(*word, "append" | "prepend"))
        .map(str::to_owned)
        .collect();
    Some((variable.to_owned(), overrides))
}

/// The variables that differ, each with the variable of an architecture or machine that it depends on.
struct Variables {
    base: Vec<&'static str>,
    values: BTreeMap<String, Vec<String>>,
    conditional: BTreeSet<String>,
}

impl Variables {
    fn of(recipes: &[Recipe], differs: Differs) -> Variables {
        let mut base = Vec::new();
        if differs.archs {
            base.extend(OF_ARCH);
        }
        if differs.machines {
            base.push(OF_MACHINE);
        }
        let mut variables = Variables {
            base,
            values: BTreeMap::new(),
            conditional: BTreeSet::new(),
        };
        for assignment in recipes.iter().flat_map(|recipe| &recipe.assignments) {
            let name = assignment.variable.clone();
            if assignment.overrides.iter().any(|word| is_condition(word)) {
                variables.conditional.insert(name.clone());
            }
            let values = variables.values.entry(name).or_default();
            values.push(assignment.value.clone());
        }
        variables
    }

    /// The variable by which a text differs; `None` if it does not differ.
    fn varies(&self, text: &str) -> Option<String> {
        self.varies_within(text, &mut BTreeSet::new())
    }

    fn varies_within(&self, text: &str, seen: &mut BTreeSet<String>) -> Option<String> {
        for reference in references(text) {
            let found = match reference.strip_prefix('@') {
                Some(python) => self.base.iter().find(|name| mentions(python, name)),
                None => self.base.iter().find(|name| **name == reference),
            };
            if let Some(name) = found {
                return Some((*name).to_owned());
            }
            if self.conditional.contains(reference) {
                return Some(DISTRO_ARCH.to_owned());
            }
            if seen.insert(reference.to_owned()) {
                let values = self.values.get(reference).into_iter().flatten();
                for value in values {
                    if let Some(name) = self.varies_within(value, seen) {
                        return Some(name);
                    }
                }
            }
        }
        None
    }
}

/// Whether an override is an architecture or a machine, and not, for example, a class or a distribution.
fn is_condition(word: &str) -> bool {
    word.parse::<crate::base::arch::Arch>().is_ok() || word.starts_with("qemu")
}

/// The names in `${…}`.
fn references(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find('}') else { break };
        found.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    found
}

/// Whether a text contains a name as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part)
    })
}

/// The name with a variable inserted before its extension.
fn with_variable(name: &str, variable: &str) -> String {
    let at = name.find(".tar").or_else(|| {
        let dot = name.rfind('.').filter(|dot| *dot > 0)?;
        let extension = &name[dot + 1..];
        let plain = extension.chars().all(|c| c.is_ascii_alphanumeric());
        let lettered = extension.starts_with(|c: char| c.is_ascii_alphabetic());
        (plain && lettered && extension.len() <= 5).then_some(dot)
    });
    let (stem, extension) = name.split_at(at.unwrap_or(name.len()));
    format!("{stem}-${{{variable}}}{extension}")
}

/// The name with `${DISTRO_ARCH}` before its extension: the suggested name of an ambiguous download.
#[must_use]
pub fn with_arch(name: &str) -> String {
    with_variable(name, DISTRO_ARCH)
}
