//! Field sections: the ordered, possibly repeating name/value lines of a
//! message, held in one buffer.

use std::fmt;

use bytes::Bytes;

/// What every field line costs on top of its bytes when a section is measured.
const LINE_OVERHEAD: u64 = 32;

/// One field line, borrowed from wherever it is stored.
///
/// Nothing is validated here: names and values are arbitrary bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field<'a> {
    /// Field name as received or as it shall be sent, lowercase by HTTP/3 rule.
    pub name: &'a [u8],
    /// Field value.
    pub value: &'a [u8],
    /// The value must stay out of every compression table, on this hop and on
    /// later ones (the `N` bit of RFC 9204 section 4.5.4).
    pub never_indexed: bool,
}

impl<'a> Field<'a> {
    /// A field that compression may index.
    #[must_use]
    pub const fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            never_indexed: false,
        }
    }

    /// A field whose value must not enter a compression table.
    #[must_use]
    pub const fn new_never_indexed(name: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            name,
            value,
            never_indexed: true,
        }
    }

    /// Size in bytes as limits count it: name, value and 32.
    #[must_use]
    pub const fn size(&self) -> u64 {
        (self.name.len() as u64)
            .saturating_add(self.value.len() as u64)
            .saturating_add(LINE_OVERHEAD)
    }
}

impl<'a> From<(&'a [u8], &'a [u8])> for Field<'a> {
    fn from((name, value): (&'a [u8], &'a [u8])) -> Self {
        Self::new(name, value)
    }
}

impl<'a> From<(&'a str, &'a str)> for Field<'a> {
    fn from((name, value): (&'a str, &'a str)) -> Self {
        Self::new(name.as_bytes(), value.as_bytes())
    }
}

/// Prints `name: value`, escaped; never-indexed values show their length only.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name.escape_ascii())?;
        if self.never_indexed {
            write!(f, "<redacted, {} bytes>", self.value.len())
        } else {
            write!(f, "{}", self.value.escape_ascii())
        }
    }
}

/// Where one line lies in the buffer; it starts where the line before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Line {
    name_end: usize,
    value_end: usize,
    never_indexed: bool,
}

/// An ordered list of field lines in one contiguous buffer.
///
/// Order, duplicates and the never-indexed flag are kept as pushed. A section
/// of `n` lines makes two allocations that grow, never one per line.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSection {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

impl FieldSection {
    /// An empty section; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Appends a line.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_field(Field::new(name, value));
    }

    /// Appends a line whose value must not enter a compression table.
    pub fn push_never_indexed(&mut self, name: &[u8], value: &[u8]) {
        self.push_field(Field::new_never_indexed(name, value));
    }

    /// Appends a copy of `field`.
    pub fn push_field(&mut self, field: Field<'_>) {
        self.bytes.extend_from_slice(field.name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(field.value);
        self.lines.push(Line {
            name_end,
            value_end: self.bytes.len(),
            never_indexed: field.never_indexed,
        });
    }

    /// The lines in order.
    #[must_use]
    pub fn iter(&self) -> FieldIter<'_> {
        FieldIter {
            bytes: &self.bytes,
            start: 0,
            lines: self.lines.iter(),
        }
    }

    /// The text of all lines, in a buffer that values can share.
    pub(crate) fn shared(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    /// The lines in order, whose text stands in `text`, a copy of this section's.
    pub(crate) fn iter_in<'a>(&'a self, text: &'a [u8]) -> FieldIter<'a> {
        FieldIter {
            bytes: text,
            start: 0,
            lines: self.lines.iter(),
        }
    }

    /// Takes the lines out; keeps room for the next ones, when that is little.
    pub(crate) fn emptied(mut self) -> Self {
        const KEPT_BYTES: usize = 1024;
        const KEPT_LINES: usize = 32;
        if self.bytes.capacity() > KEPT_BYTES || self.lines.capacity() > KEPT_LINES {
            return Self::new();
        }
        self.bytes.clear();
        self.lines.clear();
        self
    }

    /// The value of the first line called `name`, compared byte for byte.
    /// Linear in the number of lines.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }

    /// Number of lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Size in bytes as `SETTINGS_MAX_FIELD_SECTION_SIZE` counts it.
    #[must_use]
    pub fn size(&self) -> u64 {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
        // Uncompressed names and values, and 32 bytes for every line.
        let lines = self.lines.len() as u64;
        lines
            .saturating_mul(LINE_OVERHEAD)
            .saturating_add(self.bytes.len() as u64)
    }

    /// Bytes appended through the returned buffer become the next line once
    /// [`Self::commit`] is called.
    pub(crate) fn open_line(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the line appended through [`Self::open_line`]; `name_end` is the
    /// length of the buffer after its name.
    pub(crate) fn commit(&mut self, name_end: usize, never_indexed: bool) {
        self.lines.push(Line {
            name_end,
            value_end: self.bytes.len(),
            never_indexed,
        });
    }
}

impl fmt::Debug for FieldSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterator over the lines of a [`FieldSection`].
#[derive(Clone, Debug)]
pub struct FieldIter<'a> {
    bytes: &'a [u8],
    start: usize,
    lines: std::slice::Iter<'a, Line>,
}

impl<'a> Iterator for FieldIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let line = self.lines.next()?;
        let name = self.bytes.get(self.start..line.name_end)?;
        let value = self.bytes.get(line.name_end..line.value_end)?;
        self.start = line.value_end;
        Some(Field {
            name,
            value,
            never_indexed: line.never_indexed,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lines.size_hint()
    }
}

impl ExactSizeIterator for FieldIter<'_> {}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name_end, self.value_end)
    }
}

impl<'a> IntoIterator for &'a FieldSection {
    type Item = Field<'a>;
    type IntoIter = FieldIter<'a>;

    fn into_iter(self) -> FieldIter<'a> {
        self.iter()
    }
}

impl<'a, F: Into<Field<'a>>> Extend<F> for FieldSection {
    fn extend<I: IntoIterator<Item = F>>(&mut self, fields: I) {
        for field in fields {
            self.push_field(field.into());
        }
    }
}

impl<'a, F: Into<Field<'a>>> FromIterator<F> for FieldSection {
    fn from_iter<I: IntoIterator<Item = F>>(fields: I) -> Self {
        let mut section = Self::new();
        section.extend(fields);
        section
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section<const N: usize>(lines: [(&str, &str); N]) -> FieldSection {
        lines.into_iter().collect()
    }

    #[test]
    fn order_duplicates_and_flags_are_kept() {
        let mut section = section([(":method", "GET"), ("a", "1"), ("a", "")]);
        section.push_never_indexed(b"cookie", b"secret");
        assert_eq!(section.len(), 4);
        let lines: Vec<_> = section.iter().collect();
        assert_eq!(lines[1], Field::new(b"a", b"1"));
        assert_eq!(lines[2], Field::new(b"a", b""));
        assert_eq!(lines[3], Field::new_never_indexed(b"cookie", b"secret"));
        assert_eq!(section.get(b"a"), Some(&b"1"[..]), "first match");
        assert_eq!(section.get(b"b"), None);
        assert_eq!(section, section.iter().collect::<FieldSection>());
    }

    #[test]
    fn size_counts_thirty_two_bytes_per_line() {
        let mut section = FieldSection::new();
        assert_eq!((section.size(), section.is_empty()), (0, true));
        section.push(b"", b"");
        section.push(b"name", b"value");
        assert_eq!(section.size(), 32 + 41);
        assert!(!section.is_empty());
        assert_eq!(
            section.iter().map(|field| field.size()).sum::<u64>(),
            section.size()
        );
    }

    #[test]
    fn lines_that_split_differently_are_not_equal() {
        let one = section([("ab", "c")]);
        let other = section([("a", "bc")]);
        assert_ne!(one, other);
        let mut flagged = FieldSection::new();
        flagged.push_never_indexed(b"ab", b"c");
        assert_ne!(one, flagged);
    }

    #[test]
    fn debug_hides_never_indexed_values() {
        let mut section = section([("a", "b\n")]);
        section.push_never_indexed(b"cookie", b"secret");
        assert_eq!(
            format!("{section:?}"),
            r"[a: b\n, cookie: <redacted, 6 bytes>]"
        );
    }
}
