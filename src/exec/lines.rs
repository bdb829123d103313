//! Cuts a stream of bytes into lines as they arrive.

/// The longest line in bytes; a longer one is cut into several.
pub const MAX_LINE: usize = 64 * 1024;

/// Cuts bytes into lines. A line ends at `\n`, at `\r` (progress displays) or at `\r\n`.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    after_return: bool,
}

impl Lines {
    /// Adds bytes and calls `each` for every complete line, without its end. An empty line before `\r` is
    /// dropped.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &bytes[..end.unwrap_or(bytes.len())];
            self.extend(text, &mut each);
            let Some(end) = end else { return };
            let is_return = bytes[end] == b'\r';
            if !(is_return && self.partial.is_empty()) {
                each(&self.partial);
                self.partial.clear();
            }
            self.after_return = is_return;
            bytes = &bytes[end + 1..];
        }
    }

    /// Returns the last line if it has no end.
    pub fn finish(&mut self, each: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            each(&self.partial);
            self.partial.clear();
        }
    }

    fn extend(&mut self, mut text: &[u8], each: &mut impl FnMut(&[u8])) {
        while self.partial.len() + text.len() > MAX_LINE {
            let (now, later) = text.split_at(MAX_LINE - self.partial.len());
            self.partial.extend_from_slice(now);
            text = later;
            // A character at the cut moves to the next piece as a whole.
            let cut = character_boundary(&self.partial);
            each(&self.partial[..cut]);
            self.partial.drain(..cut);
        }
        self.partial.extend_from_slice(text);
    }
}

/// The end of the last complete UTF-8 character, or the whole length if the bytes are not UTF-8.
fn character_boundary(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let mut each = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        lines.finish(&mut each);
        seen
    }

    #[test]
    fn every_kind_of_end_ends_a_line() {
        assert_eq!(lines_of(&[b"a\nb\r\nc\rd"]), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_line_may_come_in_pieces_and_its_end_too() {
        assert_eq!(
            lines_of(&[b"hel", b"lo\r", b"\nwor", b"ld"]),
            ["hello", "world"]
        );
    }

    #[test]
    fn empty_lines_count_but_what_a_return_leaves_does_not() {
        assert_eq!(lines_of(&[b"a\n\nb\r\r  1%\r"]), ["a", "", "b", "  1%"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(lines_of(&[b"\xff\xfeok\n"]), ["\u{fffd}\u{fffd}ok"]);
    }

    #[test]
    fn an_overlong_line_is_cut_between_characters() {
        let long = "ü".repeat(MAX_LINE);
        let pieces = lines_of(&[b"x", long.as_bytes(), b"\n"]);
        assert!(pieces.len() >= 2);
        assert_eq!(pieces.concat(), format!("x{long}"));
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_LINE));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_up_changes_nothing(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cut in 0_usize..200,
        ) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(lines_of(&[&bytes]), lines_of(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}
