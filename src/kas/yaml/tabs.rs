//! Tabs that PyYAML refuses and libyaml does not: every one outside of quotes, block texts and comments.
//!
//! PyYAML skips only blanks between tokens, and a plain word ends before a tab, so the tab begins a token and
//! no token begins so.

use std::ops::Range;

/// The first refused tab. `texts` are the spans of quoted and block texts, in order.
pub(super) fn refused(text: &str, texts: &[Range<usize>]) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut texts = texts.iter().peekable();
    let mut at = 0;
    while at < bytes.len() {
        while texts.next_if(|text| text.end <= at).is_some() {}
        if let Some(text) = texts.peek()
            && text.contains(&at)
        {
            at = text.end;
            continue;
        }
        let begins_word = at == 0 || matches!(bytes[at - 1], b' ' | b'\t' | b'\n' | b'\r');
        match bytes[at] {
            b'\t' => return Some(at),
            b'#' if begins_word => at = line_end(bytes, at),
            _ => at += 1,
        }
    }
    None
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..]
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .map_or(bytes.len(), |length| from + length)
}
