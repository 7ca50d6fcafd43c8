//! What a peer wrote, as it may stand in a log or on a terminal.
//!
//! Close reasons, fields and names are a stranger's text. Printed raw it moves cursors, writes
//! to clipboards, begins lines that look like ours, and turns the direction of what follows.
//! Every `Display` and log line of this workspace shows such text through [`escaped`].

use std::fmt::{self, Write as _};

/// The most that [`escaped`] shows of one text, in bytes of what is shown.
pub const LIMIT: usize = 200;

/// Stands at the end of a text that was cut.
const CUT: char = '…';

/// Text that shows as nothing but visible characters and spaces, in at most [`LIMIT`] bytes.
///
/// Letters of every script stay as they are. Written as `\n`, `\u{9b}` or `\xff` are: controls,
/// C1 among them; controls of format, which are those of direction and those without width;
/// separators other than the space; combining marks; letters that look like nothing; what is
/// assigned to no character; and bytes that are not UTF-8. A backslash stays one, so text that
/// was escaped before stays as it is. Longer text ends with `…`. O(`LIMIT`), whatever its length.
///
/// ```
/// use aqueduct_core::escape::escaped;
/// assert_eq!(escaped(b"bye\n\x1b[2J\xff").to_string(), r"bye\n\u{1b}[2J\xff");
/// ```
pub fn escaped<T: AsRef<[u8]> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped {
        text: text.as_ref(),
        limit: LIMIT,
    }
}

/// Shows a text escaped; see [`escaped`].
#[derive(Clone, Copy)]
#[must_use]
pub struct Escaped<'a> {
    text: &'a [u8],
    limit: usize,
}

impl Escaped<'_> {
    /// The same with room for this many bytes.
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

/// Whether a character stays as it is: one that can be seen, or a space.
#[must_use]
pub fn is_visible(char: char) -> bool {
    match char {
        ' '..='~' => true,
        // The fillers of Hangul are letters, and the empty pattern of Braille a symbol.
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' => false,
        _ => char.escape_debug().len() == 1,
    }
}

/// A piece of the text, which is shown whole or not at all.
#[derive(Clone, Copy)]
enum Piece {
    Char(char),
    Byte(u8),
}

impl Piece {
    fn len(self) -> usize {
        match self {
            Self::Char(char) if is_visible(char) => char.len_utf8(),
            Self::Char(char) => char.escape_default().len(),
            Self::Byte(_) => r"\xff".len(),
        }
    }

    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char(char) if is_visible(char) => f.write_char(char),
            Self::Char(char) => write!(f, "{}", char.escape_default()),
            Self::Byte(byte) => write!(f, "\\x{byte:02x}"),
        }
    }
}

fn pieces(text: &[u8]) -> impl Iterator<Item = Piece> + '_ {
    text.utf8_chunks().flat_map(|chunk| {
        let bytes = chunk.invalid().iter().copied().map(Piece::Byte);
        chunk.valid().chars().map(Piece::Char).chain(bytes)
    })
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each byte shows as at least one, so no more of them matter.
        let most = self.limit.saturating_add(1).min(self.text.len());
        let (text, _) = self.text.split_at(most);
        let mut total = 0;
        let whole = most == self.text.len()
            && pieces(text).all(|piece| {
                total += piece.len();
                total <= self.limit
            });
        if whole {
            return pieces(text).try_for_each(|piece| piece.write(f));
        }
        let mut room = self.limit.saturating_sub(CUT.len_utf8());
        for piece in pieces(text) {
            let Some(rest) = room.checked_sub(piece.len()) else {
                break;
            };
            room = rest;
            piece.write(f)?;
        }
        f.write_char(CUT)
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: impl AsRef<[u8]>) -> String {
        escaped(&text).to_string()
    }

    #[test]
    fn letters_of_every_script_stay() {
        for text in [
            "",
            "no \"longer\" C:\\new",
            "Zoë",
            "Ωμέγα",
            "日本語",
            "привет",
            "שלום",
            "👍",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_or_hides_is_left() {
        for (hostile, wanted) in [
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("\u{1b}]52;c;ZXZpbA==\u{7}", r"\u{1b}]52;c;ZXZpbA==\u{7}"),
            ("bye\nerror: root\r\n\t", r"bye\nerror: root\r\n\t"),
            (
                "\u{9b}2J\u{9d}\u{85}\u{7f}\0",
                r"\u{9b}2J\u{9d}\u{85}\u{7f}\u{0}",
            ),
            (
                "\u{202e}txt\u{2066}\u{2069}\u{200f}\u{61c}",
                r"\u{202e}txt\u{2066}\u{2069}\u{200f}\u{61c}",
            ),
            (
                "a\u{200b}\u{200d}\u{2060}\u{feff}\u{ad}b",
                r"a\u{200b}\u{200d}\u{2060}\u{feff}\u{ad}b",
            ),
            (
                "\u{2028}\u{2029}\u{a0}\u{3000}",
                r"\u{2028}\u{2029}\u{a0}\u{3000}",
            ),
            (
                "\u{3164}\u{115f}\u{ffa0}\u{2800}",
                r"\u{3164}\u{115f}\u{ffa0}\u{2800}",
            ),
            (
                "Z\u{301}\u{489}\u{fe0f}\u{e0041}",
                r"Z\u{301}\u{489}\u{fe0f}\u{e0041}",
            ),
            ("\u{e000}\u{378}\u{10ffff}", r"\u{e000}\u{378}\u{10ffff}"),
        ] {
            assert_eq!(shown(hostile), wanted);
        }
        assert_eq!(shown(b"so \xff\xc3(\xe2\x82"), r"so \xff\xc3(\xe2\x82");
    }

    #[test]
    fn what_fits_is_whole_and_what_does_not_is_cut() {
        let fits = "x".repeat(LIMIT);
        assert_eq!(shown(&fits), fits);
        assert_eq!(shown(fits + "x"), "x".repeat(LIMIT - 3) + "…");
        // An escape counts as long as it is shown, and is never cut in two.
        let fits = "\u{1b}".repeat(33) + "xx";
        assert_eq!(shown(&fits).len(), LIMIT);
        assert_eq!(shown(fits + "x"), r"\u{1b}".repeat(32) + "…");
        assert_eq!(shown("é".repeat(101)), "é".repeat(98) + "…");
        assert_eq!(
            escaped(&[0xff; 1 << 20]).to_string(),
            r"\xff".repeat(49) + "…"
        );
    }

    #[test]
    fn what_was_escaped_stays_as_it_is() {
        for char in ('\0'..=char::MAX).step_by(7) {
            let once = shown(char.to_string());
            assert!(once.chars().all(is_visible), "{once}");
            assert_eq!(shown(&once), once);
        }
        let long = shown("\u{202e}".repeat(1000));
        assert_eq!(shown(&long), long);
        assert!(long.len() <= LIMIT);
    }
}
