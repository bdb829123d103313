//! Cleaning of text from outside before it is drawn. Cleaned text has no control sequence except colour, no
//! control character, no invisible or direction-changing character, and a bounded length. Also the width of
//! drawn text. Pure.
//!
//! Source of the forms of escape sequences: ECMA-48, 5th edition, sections 5.3 to 5.6.

use std::str::Chars;

use unicode_width::UnicodeWidthChar;

/// The most columns of a drawn line. The log has the whole line.
const LONGEST: usize = 2000;
const TAB: usize = 8;
const RESET: &str = "\u{1b}[0m";

/// The treatment of colours in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// Keep SGR sequences, and reset the colour at the end of the line.
    Keep,
    /// Remove them.
    Drop,
}

/// Cleans a line. Of text overwritten by carriage returns the last visible part stays, tabs become spaces, and
/// a line of more than 2000 columns is cut, with the number of missing characters at its end.
#[must_use]
pub fn clean(line: &str, colors: Colors) -> String {
    let mut out = String::with_capacity(line.len().min(4 * LONGEST));
    let mut column = 0;
    let mut painted = false;
    let mut rest = shown(line).chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' | '\u{80}'..='\u{9f}' => {
                if let Some(sgr) = sequence(c, &mut rest)
                    && colors == Colors::Keep
                {
                    painted = !matches!(sgr, "" | "0");
                    out.push_str("\u{1b}[");
                    out.push_str(sgr);
                    out.push('m');
                }
                continue;
            }
            '\t' => {
                let spaces = TAB - column % TAB;
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            '\n' | '\u{2028}' | '\u{2029}' => {
                out.push(' ');
                column += 1;
            }
            c if c.is_control() || is_invisible(c) => continue,
            c => {
                out.push(c);
                column += c.width().unwrap_or(0);
            }
        }
        if column >= LONGEST {
            let left = rest.clone().count();
            if left > 0 {
                out.push_str(&format!(" … ({left} more characters)"));
            }
            break;
        }
    }
    if painted {
        out.push_str(RESET);
    }
    out
}

/// The part of a line with carriage returns that a terminal would show: the last one that is not blank.
fn shown(line: &str) -> &str {
    if !line.contains('\r') {
        return line;
    }
    line.rsplit('\r')
        .find(|part| !part.trim().is_empty())
        .unwrap_or("")
}

/// Consumes the control sequence that `first` opens. Returns its parameters if it sets colours.
fn sequence<'a>(first: char, rest: &mut Chars<'a>) -> Option<&'a str> {
    // An 8-bit form is the character after the escape of the 7-bit form, plus 0x40.
    let kind = match first {
        '\u{1b}' => {
            let mut ahead = rest.clone();
            let kind = ahead.next()?;
            match kind {
                ' '..='/' => {
                    *rest = ahead;
                    skip_while(rest, |c| matches!(c, ' '..='/'));
                    skip_one(rest, |c| matches!(c, '0'..='~'));
                    return None;
                }
                '0'..='~' => *rest = ahead,
                _ => return None,
            }
            kind
        }
        '\u{9b}' => '[',
        '\u{9d}' => ']',
        '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => 'P',
        _ => return None,
    };
    match kind {
        '[' => control_sequence(rest),
        ']' | 'P' | 'X' | '^' | '_' => {
            control_string(rest);
            None
        }
        _ => None,
    }
}

fn control_sequence<'a>(rest: &mut Chars<'a>) -> Option<&'a str> {
    let text = rest.as_str();
    skip_while(rest, |c| matches!(c, '0'..='?'));
    let parameters = &text[..text.len() - rest.as_str().len()];
    let before = rest.as_str().len();
    skip_while(rest, |c| matches!(c, ' '..='/'));
    let has_intermediates = rest.as_str().len() != before;
    let is_sgr = rest.as_str().starts_with('m');
    skip_one(rest, |c| matches!(c, '@'..='~'));
    let is_plain = parameters
        .chars()
        .all(|c| c.is_ascii_digit() || c == ';' || c == ':');
    (is_sgr && is_plain && !has_intermediates && parameters.len() <= 64).then_some(parameters)
}

/// Consumes a control string. One without a terminator stays visible: to hide the rest of the line could hide
/// its message.
fn control_string(rest: &mut Chars<'_>) {
    let text = rest.as_str();
    let ends = ["\u{7}", "\u{1b}\\", "\u{9c}"];
    let end = ends
        .iter()
        .filter_map(|end| text.find(end).map(|at| at + end.len()))
        .min();
    if let Some(end) = end {
        *rest = text[end..].chars();
    }
}

fn skip_while(rest: &mut Chars<'_>, matches: impl Fn(char) -> bool) {
    while skip_one(rest, &matches) {}
}

fn skip_one(rest: &mut Chars<'_>, matches: impl Fn(char) -> bool) -> bool {
    let mut ahead = rest.clone();
    let found = ahead.next().is_some_and(matches);
    if found {
        *rest = ahead;
    }
    found
}

/// Invisible characters that reorder text, or that make equal-looking texts differ.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The columns of cleaned text.
#[must_use]
pub fn width(text: &str) -> usize {
    let mut rest = text.chars();
    let mut columns = 0;
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            sequence(c, &mut rest);
        } else {
            columns += c.width().unwrap_or(0);
        }
    }
    columns
}

/// Cleaned text without its colours.
#[must_use]
pub fn without_colors(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            sequence(c, &mut rest);
        } else {
            out.push(c);
        }
    }
    out
}

/// Cleaned text cut to `columns`, with an ellipsis if it was cut.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let mut out = String::new();
    let mut used = 0;
    let mut painted = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            if let Some(sgr) = sequence(c, &mut rest) {
                painted = !matches!(sgr, "" | "0");
                out.push_str("\u{1b}[");
                out.push_str(sgr);
                out.push('m');
            }
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        out.push(c);
        used += wide;
    }
    out.push('…');
    if painted {
        out.push_str(RESET);
    }
    out
}

/// Cleaned text padded with spaces on the right, or cut, to `columns`.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clean_keeps_no_control_sequence_except_colour() {
        for (line, drawn) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{9b}1mbold\u{9b}m", "\u{1b}[1mbold\u{1b}[m"),
            ("\u{1b}[2J\u{1b}[1;1Hhome", "home"),
            ("\u{1b}[?25lhidden cursor", "hidden cursor"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("\u{1b}]0;never ended", "0;never ended"),
            ("\u{1b}Pdcs\u{9c}x\u{1b}(By\u{1b}cz", "xyz"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}[31", ""),
            ("10 %\r20 %\r30 %\r", "30 %"),
            ("a\tb", "a       b"),
            ("  ", "  "),
            ("\0\t", "        "),
            ("kept\r \r", "kept"),
            (
                "bell\u{7} back\u{8}space \u{202e}txt\u{200b}",
                "bell backspace txt",
            ),
        ] {
            assert_eq!(clean(line, Colors::Keep), drawn, "{line:?}");
        }
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m", Colors::Drop), "red");
    }

    #[test]
    fn clean_cuts_a_long_line_and_counts_the_rest() {
        let drawn = clean(&"x".repeat(5000), Colors::Keep);
        assert!(drawn.ends_with("x … (3000 more characters)"));
        assert_eq!(clean(&"x".repeat(2000), Colors::Keep), "x".repeat(2000));
    }

    #[test]
    fn width_counts_columns_and_fit_respects_them() {
        assert_eq!(width("\u{1b}[31m画像\u{1b}[0m"), 4);
        assert_eq!(fit("画像を作る", 6), "画像…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(
            fit("\u{1b}[31mabcdef\u{1b}[0m", 4),
            "\u{1b}[31mabc…\u{1b}[0m"
        );
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("ab", 4), "ab  ");
    }

    proptest! {
        #[test]
        fn clean_leaves_sgr_as_the_only_escape(line in "([\\x00-\\x20]|\\x1b|[\\[\\]PX^_;0-9mKHJ]|[\u{80}-\u{9f}]|.){0,60}") {
            let drawn = clean(&line, Colors::Keep);
            let mut rest = drawn.chars();
            while let Some(c) = rest.next() {
                if c == '\u{1b}' {
                    prop_assert_eq!(rest.next(), Some('['));
                    let last = rest.find(|c| !c.is_ascii_digit() && *c != ';' && *c != ':');
                    prop_assert_eq!(last, Some('m'));
                } else {
                    prop_assert!(!c.is_control());
                }
            }
            let bare = clean(&line, Colors::Drop);
            prop_assert!(!bare.contains('\x1b'));
            prop_assert_eq!(clean(&drawn, Colors::Keep), drawn.clone(), "cleaning twice changes nothing");
            prop_assert!(width(&fit(&drawn, 10)) <= 10);
        }
    }
}
