//! Updates a hashes file with new hashes. Every other byte is kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::base::nix32;
use crate::hashes_file::error::HashesError;
use crate::hashes_file::parse::{ParsedHashes, parse};
use crate::matrix::VariantKey;
use crate::store::path::check_name;

/// The new hashes of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantHashes {
    /// The variant, for the comment over its first entries.
    pub key: VariantKey,
    /// Every unique name of the variant, with or without a new hash: a new entry is added after the last entry
    /// with one of these names.
    pub names: Vec<String>,
    /// Unique names and hashes of the registered files.
    pub entries: Vec<(String, [u8; 32])>,
    /// Unique names of optional artifacts that the build did not make. Their old entries are removed, because
    /// beside the new ones they would describe another image.
    pub gone: Vec<String>,
}

/// The text with the hashes of `variants`, and without the entries of [`VariantHashes::gone`]. An empty text
/// becomes a new file with [`crate::hashes_file::FRESH`] as its head. Idempotent.
///
/// # Errors
/// When the text does not have the right shape, a name is not a store name, or one name has two hashes.
pub fn update(text: &str, variants: &[VariantHashes]) -> Result<String, HashesError> {
    let text = if text.trim().is_empty() {
        crate::hashes_file::FRESH
    } else {
        text
    };
    let mut wanted: HashMap<&str, [u8; 32]> = HashMap::new();
    for (name, sha256) in variants.iter().flat_map(|variant| &variant.entries) {
        check_name(name)?;
        if wanted
            .insert(name, *sha256)
            .is_some_and(|first| first != *sha256)
        {
            return Err(HashesError::TwoHashes(name.clone()));
        }
    }
    let file = parse(text)?;
    let gone: HashSet<&str> = variants
        .iter()
        .flat_map(|variant| variant.gone.iter().map(String::as_str))
        .collect();
    Ok(Edit::new(&file, &wanted, &gone).apply(variants))
}

/// The lines to write: those of the file, some of them changed, and new ones before or after them.
struct Edit<'a> {
    file: &'a ParsedHashes<'a>,
    lines: Vec<Cow<'a, str>>,
    line_of: HashMap<&'a str, usize>,
    line_end: &'static str,
    indent: &'a str,
}

impl<'a> Edit<'a> {
    fn new(
        file: &'a ParsedHashes<'a>,
        wanted: &HashMap<&str, [u8; 32]>,
        gone: &HashSet<&str>,
    ) -> Edit<'a> {
        let mut lines: Vec<Cow<'a, str>> = file.lines.iter().map(|&line| line.into()).collect();
        let mut start_of = Vec::with_capacity(lines.len());
        let mut start = 0;
        for line in &file.lines {
            start_of.push(start);
            start += line.len();
        }
        for entry in &file.entries {
            if gone.contains(entry.name) && !wanted.contains_key(entry.name) {
                lines[entry.line] = "".into();
            }
            if let Some(sha256) = wanted.get(entry.name)
                && *sha256 != entry.sha256
            {
                let start = start_of[entry.line];
                let mut line = file.lines[entry.line].to_owned();
                line.replace_range(
                    entry.hash_at.start - start..entry.hash_at.end - start,
                    &nix32::encode(sha256),
                );
                lines[entry.line] = line.into();
            }
        }
        Edit {
            file,
            lines,
            line_of: file
                .entries
                .iter()
                .map(|entry| (entry.name, entry.line))
                .collect(),
            line_end: line_end(file.lines[file.open]),
            indent: file
                .entries
                .last()
                .map_or("  ", |entry| indent(file.lines[entry.line])),
        }
    }

    fn apply(self, variants: &[VariantHashes]) -> String {
        let mut after: HashMap<usize, String> = HashMap::new();
        let mut at_end = String::new();
        // If several variants have the same name, the first one writes it.
        let mut written: HashSet<&str> = HashSet::new();
        for variant in variants {
            let new: Vec<&(String, [u8; 32])> = variant
                .entries
                .iter()
                .filter(|(name, _)| !self.line_of.contains_key(name.as_str()))
                .filter(|(name, _)| written.insert(name))
                .collect();
            if new.is_empty() {
                continue;
            }
            let last = variant
                .names
                .iter()
                .chain(variant.entries.iter().map(|(name, _)| name))
                .filter_map(|name| self.line_of.get(name.as_str()))
                .max();
            match last {
                Some(&line) => {
                    let place = after.entry(line).or_default();
                    let near = self.file.lines[line];
                    for entry in new {
                        self.entry(place, indent(near), line_end(near), entry);
                    }
                }
                None => self.section(&mut at_end, &variant.key, &new),
            }
        }
        let mut out = String::new();
        for (index, line) in self.lines.iter().enumerate() {
            if index == self.file.close && !at_end.is_empty() {
                self.end(&mut out, line, &at_end);
            } else {
                out.push_str(line);
            }
            if let Some(new) = after.get(&index) {
                out.push_str(new);
            }
        }
        out
    }

    /// The closing line with new sections before it.
    fn end(&self, out: &mut String, line: &str, sections: &str) {
        if self.file.open == self.file.close {
            // `{ }` on one line is split.
            let brace = line.find('{').map_or(0, |at| at + 1);
            out.push_str(&line[..brace]);
            out.push_str(self.line_end);
            out.push_str(sections.trim_start_matches(self.line_end));
            out.push_str(line[brace..].trim_start());
            return;
        }
        let previous = out.lines().next_back().unwrap_or_default().trim();
        if previous.is_empty() || self.file.open + 1 == self.file.close {
            out.push_str(sections.trim_start_matches(self.line_end));
        } else {
            out.push_str(sections);
        }
        out.push_str(line);
    }

    fn section(&self, out: &mut String, key: &VariantKey, new: &[&(String, [u8; 32])]) {
        let Edit {
            indent, line_end, ..
        } = self;
        let rule = "=".repeat(73);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{line_end}{indent}# {rule}{line_end}{indent}# {} - {}{line_end}{indent}# {rule}{line_end}",
            key.machine, key.id
        );
        for entry in new {
            self.entry(out, indent, line_end, entry);
        }
    }

    fn entry(&self, out: &mut String, indent: &str, line_end: &str, entry: &(String, [u8; 32])) {
        let (name, sha256) = entry;
        let hash = nix32::encode(sha256);
        // Writing to a String cannot fail.
        let _ = write!(out, "{indent}\"{name}\" = \"{hash}\";{line_end}");
    }
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn line_end(line: &str) -> &'static str {
    if line.ends_with("\r\n") { "\r\n" } else { "\n" }
}
