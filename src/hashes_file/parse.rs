//! Parser of the hashes file. A parsed file borrows its text and reproduces it byte for byte.

use std::collections::HashMap;
use std::ops::Range;

use crate::base::nix32;
use crate::hashes_file::error::{HashesError, HashesFault};
use crate::store::path::check_name;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashEntry<'a> {
    /// The unique name.
    pub name: &'a str,
    /// The hash.
    pub sha256: [u8; 32],
    /// Its line, as an index into the file's lines.
    pub(crate) line: usize,
    /// The bytes of the hash in the text.
    pub(crate) hash_at: Range<usize>,
}

/// A hashes file of the right shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedHashes<'a> {
    /// The lines with their ends.
    pub(crate) lines: Vec<&'a str>,
    /// The entries in the order of the file.
    pub(crate) entries: Vec<HashEntry<'a>>,
    /// The line of `}`; for `{}` on one line, that line.
    pub(crate) close: usize,
    /// The line of `{`.
    pub(crate) open: usize,
}

impl ParsedHashes<'_> {
    /// The hash of a unique name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<[u8; 32]> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.sha256)
    }

    /// Unique names and hashes in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, [u8; 32])> {
        self.entries.iter().map(|entry| (entry.name, entry.sha256))
    }
}

enum HashesLine<'a> {
    Nothing,
    Open,
    Close,
    OpenClose,
    Entry {
        name: &'a str,
        sha256: [u8; 32],
        hash_at: Range<usize>,
    },
}

type What = (String, &'static str);

const HINT_SHAPE: &str = "write entries as `\"<name>\" = \"<52 characters>\";`, one a line, and \
                          comments with #";
const HINT_HASH: &str = "take it from `nix-hash --type sha256 --flat --base32 FILE`, or remove the \
                         line and register again";
const HINT_SET: &str = "the file is one attribute set: `{`, entries, `}`";
const HINT_TWICE: &str = "remove one of the two lines";
const HINT_NAME: &str =
    "rename it as naming.unique_name in variants.toml names it, or remove the line";

/// Parses a file.
///
/// # Errors
/// [`HashesError::Shape`] with every line that does not have the shape.
pub fn parse(text: &str) -> Result<ParsedHashes<'_>, HashesError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut faults = Vec::new();
    let mut entries: Vec<HashEntry<'_>> = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let (mut open, mut close) = (None, None);
    let mut start = 0;
    for (index, line) in lines.iter().enumerate() {
        let mut fault = |(what, hint): What| {
            faults.push(HashesFault {
                line: index + 1,
                text: line.trim_end_matches(['\n', '\r']).to_owned(),
                what,
                hint,
            });
        };
        match classify(line, start) {
            Ok(HashesLine::Nothing) => {}
            Ok(HashesLine::Open | HashesLine::OpenClose) if open.is_some() => fault((
                "a second `{`; nested sets are not edited".to_owned(),
                HINT_SET,
            )),
            Ok(HashesLine::Open) => open = Some(index),
            Ok(HashesLine::OpenClose) => {
                open = Some(index);
                close = Some(index);
            }
            Ok(HashesLine::Close) if open.is_none() => {
                fault(("`}` before any `{`".to_owned(), HINT_SET));
            }
            Ok(HashesLine::Close) if close.is_some() => {
                fault(("a second `}`".to_owned(), HINT_SET))
            }
            Ok(HashesLine::Close) => close = Some(index),
            Ok(HashesLine::Entry {
                name,
                sha256,
                hash_at,
            }) => {
                if open.is_none() || close.is_some() {
                    fault(("an entry outside of the braces".to_owned(), HINT_SET));
                } else if let Some(first) = seen.insert(name, index + 1) {
                    fault((
                        format!("`{name}` is defined twice, first on line {first}"),
                        HINT_TWICE,
                    ));
                } else {
                    entries.push(HashEntry {
                        name,
                        sha256,
                        line: index,
                        hash_at,
                    });
                }
            }
            Err(what) => fault(what),
        }
        start += line.len();
    }
    if faults.is_empty() && (open.is_none() || close.is_none()) {
        let brace = if open.is_none() { '{' } else { '}' };
        faults.push(HashesFault {
            line: lines.len().max(1),
            text: String::new(),
            what: format!("the file ends without `{brace}`"),
            hint: HINT_SET,
        });
    }
    match (open, close) {
        (Some(open), Some(close)) if faults.is_empty() => Ok(ParsedHashes {
            lines,
            entries,
            close,
            open,
        }),
        _ => Err(HashesError::Shape(faults)),
    }
}

/// Parses a line; `start` is its position in the text.
fn classify(line: &str, start: usize) -> Result<HashesLine<'_>, What> {
    let body = line.strip_suffix('\n').unwrap_or(line);
    let body = body.strip_suffix('\r').unwrap_or(body);
    if body.contains('\r') {
        // For Nix a lone carriage return ends a comment, so an entry could hide behind it.
        return Err((
            "a carriage return inside of a line".to_owned(),
            "end lines with LF or CR LF",
        ));
    }
    let mut rest = Cursor { body, at: 0 };
    rest.blanks();
    if rest.comment_or_end() {
        return Ok(HashesLine::Nothing);
    }
    if rest.eat("{") {
        rest.blanks();
        let closed = rest.eat("}");
        rest.blanks();
        return match (rest.comment_or_end(), closed) {
            (true, true) => Ok(HashesLine::OpenClose),
            (true, false) => Ok(HashesLine::Open),
            (false, _) => Err(("`{` must be on a line of its own".to_owned(), HINT_SHAPE)),
        };
    }
    if rest.eat("}") {
        rest.blanks();
        return if rest.comment_or_end() {
            Ok(HashesLine::Close)
        } else {
            Err(("unexpected text after `}`".to_owned(), HINT_SET))
        };
    }
    entry(rest, start)
}

fn entry(mut rest: Cursor<'_>, start: usize) -> Result<HashesLine<'_>, What> {
    let not_an_entry = || {
        (
            "neither an entry, nor a comment, nor a brace".to_owned(),
            HINT_SHAPE,
        )
    };
    let name = rest.string().ok_or_else(not_an_entry)?;
    rest.blanks();
    if !rest.eat("=") {
        return Err(not_an_entry());
    }
    rest.blanks();
    let hash = rest.string().ok_or_else(not_an_entry)?;
    let hash_end = start + rest.at - 1;
    rest.blanks();
    if !rest.eat(";") {
        return Err(("the entry does not end with `;`".to_owned(), HINT_SHAPE));
    }
    rest.blanks();
    if !rest.comment_or_end() {
        return Err((
            "unexpected text after the entry's `;`".to_owned(),
            HINT_SHAPE,
        ));
    }
    check_name(name).map_err(|error| (error.to_string(), HINT_NAME))?;
    let sha256 = nix32::decode(hash).map_err(|error| (format!("bad hash: {error}"), HINT_HASH))?;
    Ok(HashesLine::Entry {
        name,
        sha256,
        hash_at: hash_end - hash.len()..hash_end,
    })
}

/// A position in a line.
struct Cursor<'a> {
    body: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.body[self.at..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn comment_or_end(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    /// A string in double quotes. Escapes and interpolation need no handling: their characters are refused in
    /// names and hashes.
    fn string(&mut self) -> Option<&'a str> {
        let inner = self.rest().strip_prefix('"')?;
        let end = inner.find('"')?;
        self.at += end + 2;
        Some(&inner[..end])
    }
}
