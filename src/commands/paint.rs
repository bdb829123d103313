//! Coloured words for the commands' text.

/// A colour or style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    Green,
    Yellow,
    Red,
    Bold,
    Dim,
}

/// The text between SGR sequences (ECMA-48, 8.3.117); unchanged unless `wanted`.
pub(crate) fn paint(wanted: bool, color: Color, text: &str) -> String {
    let code = match color {
        Color::Green => "32",
        Color::Yellow => "33",
        Color::Red => "31",
        Color::Bold => "1",
        Color::Dim => "2",
    };
    if wanted {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
