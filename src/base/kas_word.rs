//! The characters at which kas-container, or the shell in it, splits or expands a word. The one place that knows them.
//!
//! kas-container is a shell script that expands most of its words without quotes.

use std::fmt;

/// A character that a word must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfitCharacter(pub char);

impl fmt::Display for UnfitCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ' ' => f.write_str("a space"),
            '\t' => f.write_str("a tab"),
            '\n' => f.write_str("a line break"),
            other if other.is_control() => write!(f, "{other:?}"),
            other => write!(f, "`{other}`"),
        }
    }
}

fn without(word: &str, unfit: impl Fn(char) -> bool) -> Result<(), UnfitCharacter> {
    match word.chars().find(|&character| unfit(character)) {
        Some(character) => Err(UnfitCharacter(character)),
        None => Ok(()),
    }
}

/// Checks that the shell does not split a word.
///
/// # Errors
/// The first character at which it would.
pub fn check_unsplit(word: &str) -> Result<(), UnfitCharacter> {
    without(word, char::is_whitespace)
}

/// Checks that the shell neither splits nor expands a word.
///
/// # Errors
/// The first unfit character.
pub fn check_argument(word: &str) -> Result<(), UnfitCharacter> {
    without(word, |character| {
        character.is_whitespace() || matches!(character, '*' | '?' | '[')
    })
}

/// Checks a path: also without the colon, which separates the parts of a mount and the files of a chain.
///
/// # Errors
/// The first unfit character.
pub fn check_path(word: &str) -> Result<(), UnfitCharacter> {
    check_argument(word)?;
    without(word, |character| character == ':')
}

/// Checks the name of a kas file as a part of a chain, which kas without a container splits too.
///
/// # Errors
/// The first unfit character.
pub fn check_chain_file(word: &str) -> Result<(), UnfitCharacter> {
    without(word, |character| {
        character == ':' || character.is_whitespace() || character.is_control()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfit_characters_are_named_for_people() {
        let named = |check: fn(&str) -> Result<(), UnfitCharacter>, word| {
            check(word).err().map(|unfit| unfit.to_string())
        };

        assert_eq!(named(check_unsplit, "a b").as_deref(), Some("a space"));
        assert_eq!(named(check_unsplit, "a*b"), None);
        assert_eq!(named(check_argument, "a\tb").as_deref(), Some("a tab"));
        assert_eq!(named(check_argument, "*.deb").as_deref(), Some("`*`"));
        assert_eq!(named(check_argument, "a:b"), None);
        assert_eq!(named(check_path, "a:b").as_deref(), Some("`:`"));
        assert_eq!(
            named(check_chain_file, "a\u{7}").as_deref(),
            Some("'\\u{7}'")
        );
        assert_eq!(named(check_chain_file, "a[1].yml"), None);
    }
}
