//! Lines of a recording as words: how each kind of value is written, and read back.
//!
//! Words are separated by one space. Text and bytes never contain one: in text
//! everything but visible ASCII is percent-encoded, bytes are hexadecimal with
//! runs of zeros told by their length.

use std::fmt::Write as _;
use std::num::ParseIntError;
use std::str::SplitAsciiWhitespace;

use aqueduct_core::id::StreamId;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// Shortest run of zero bytes that is written as its length.
const RUN: usize = 4;

/// Part of what a word of bytes stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Run {
    /// These.
    Bytes(Bytes),
    /// So many zeros.
    Zeros(u64),
}

impl Run {
    /// Bytes it stands for.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(count) => *count,
        }
    }
}

/// A line under construction, its newline not yet written.
#[derive(Debug, Default)]
pub(crate) struct Line(pub(crate) String);

impl Line {
    /// A word that needs no escapes.
    pub(crate) fn word(&mut self, word: &str) -> &mut Self {
        if !self.0.is_empty() && !self.0.ends_with('\n') {
            self.0.push(' ');
        }
        self.0.push_str(word);
        self
    }

    /// Something that prints without spaces.
    pub(crate) fn show(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.word("");
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value}");
        self
    }

    /// A number, or `-` for none.
    pub(crate) fn option(&mut self, value: Option<impl std::fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.show(value),
            None => self.word("-"),
        }
    }

    /// Text, escaped.
    pub(crate) fn text(&mut self, text: &[u8]) -> &mut Self {
        self.word("");
        put_text(&mut self.0, text);
        self
    }

    /// Bytes in hexadecimal.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.word("");
        put_bytes(&mut self.0, bytes);
        self
    }

    /// Zeros that go on with the word before.
    pub(crate) fn zeros_on(&mut self, count: u64) {
        if count > 0 {
            // Writing to a string does not fail.
            let _ = write!(self.0, "*{count}.");
        }
    }

    /// Numbers with commas between them; `-` for none.
    pub(crate) fn list(&mut self, numbers: impl IntoIterator<Item = usize>) -> &mut Self {
        self.word("");
        let start = self.0.len();
        for number in numbers {
            if self.0.len() > start {
                self.0.push(',');
            }
            let _ = write!(self.0, "{number}");
        }
        if self.0.len() == start {
            self.0.push('-');
        }
        self
    }
}

/// What text is not written as: everything else is visible ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'!');

/// `%` alone is the empty text, so that a word is never empty; `-` alone is never
/// text.
pub(crate) fn put_text(out: &mut String, text: &[u8]) {
    match text {
        b"" => out.push('%'),
        b"-" => out.push_str("%2D"),
        _ => out.extend(percent_encode(text, ESCAPED)),
    }
}

/// Hexadecimal; runs of zeros by their length.
pub(crate) fn put_bytes(out: &mut String, mut bytes: &[u8]) {
    if bytes.is_empty() {
        out.push('-');
    }
    while !bytes.is_empty() {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros >= RUN {
            let _ = write!(out, "*{zeros}.");
            bytes = bytes.get(zeros..).unwrap_or_default();
            continue;
        }
        // Up to where the next zeros may be a run.
        let plain = bytes.iter().skip(zeros).take_while(|byte| **byte != 0);
        let (head, tail) = bytes.split_at(zeros + plain.count());
        HEXLOWER.encode_append(head, out);
        bytes = tail;
    }
}

/// What is wrong with a line, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<ParseIntError> for Malformed {
    fn from(error: ParseIntError) -> Self {
        Self(format!("not a number: {error}"))
    }
}

/// Reads a line word by word.
#[derive(Clone, Debug)]
pub(crate) struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self(line.split_ascii_whitespace())
    }

    pub(crate) fn word(&mut self) -> Result<&'a str, Malformed> {
        self.0
            .next()
            .ok_or_else(|| Malformed::new("the line ends too early"))
    }

    /// The next word if there is one.
    pub(crate) fn maybe(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    pub(crate) fn number<N>(&mut self) -> Result<N, Malformed>
    where
        N: std::str::FromStr<Err = ParseIntError>,
    {
        Ok(self.word()?.parse()?)
    }

    /// A number, or none for `-`.
    pub(crate) fn option<N>(&mut self) -> Result<Option<N>, Malformed>
    where
        N: std::str::FromStr<Err = ParseIntError>,
    {
        match self.word()? {
            "-" => Ok(None),
            word => Ok(Some(word.parse()?)),
        }
    }

    pub(crate) fn text(&mut self) -> Result<Vec<u8>, Malformed> {
        read_text(self.word()?)
    }

    pub(crate) fn runs(&mut self) -> Result<Vec<Run>, Malformed> {
        read_runs(self.word()?)
    }

    pub(crate) fn list(&mut self) -> Result<Vec<usize>, Malformed> {
        let word = self.word()?;
        if word == "-" {
            return Ok(Vec::new());
        }
        let numbers = word.split(',').map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// A stream.
    pub(crate) fn stream(&mut self) -> Result<StreamId, Malformed> {
        let id = self.number()?;
        StreamId::from_wire(id).ok_or_else(|| Malformed(format!("{id} is no stream id")))
    }

    /// Whether the next word is the first of these rather than the second.
    pub(crate) fn choice(&mut self, [first, second]: [&str; 2]) -> Result<bool, Malformed> {
        match self.word()? {
            word if word == first => Ok(true),
            word if word == second => Ok(false),
            _ => Err(Malformed(format!("neither {first} nor {second}"))),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Malformed> {
        self.choice(["true", "false"])
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        match self.0.clone().next() {
            None => Ok(()),
            Some(word) => Err(Malformed(format!("{word:?} was not expected"))),
        }
    }
}

pub(crate) fn utf8(text: Vec<u8>) -> Result<String, Malformed> {
    String::from_utf8(text).map_err(|_| Malformed::new("text that is not UTF-8"))
}

/// Only what [`put_text`] writes.
pub(crate) fn read_text(word: &str) -> Result<Vec<u8>, Malformed> {
    let text = match word {
        "%" => Vec::new(),
        _ => percent_decode_str(word).collect(),
    };
    let mut written = String::with_capacity(word.len());
    put_text(&mut written, &text);
    match written == word {
        true => Ok(text),
        false => Err(Malformed::new("text that is escaped otherwise")),
    }
}

fn read_runs(word: &str) -> Result<Vec<Run>, Malformed> {
    let mut runs = Vec::new();
    let mut rest = match word {
        "-" => "",
        word => word,
    };
    while !rest.is_empty() {
        if let Some(run) = rest.strip_prefix('*') {
            let (count, tail) = run
                .split_once('.')
                .ok_or_else(|| Malformed::new("a run of zeros without its end"))?;
            runs.push(Run::Zeros(count.parse()?));
            rest = tail;
            continue;
        }
        let len = rest.find('*').unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(len);
        let bytes = HEXLOWER.decode(digits.as_bytes());
        let bytes = bytes.map_err(|error| Malformed(format!("not bytes: {error}")))?;
        runs.push(Run::Bytes(bytes.into()));
        rest = tail;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes of a word, written out.
    fn bytes(words: &mut Words<'_>) -> Result<Vec<u8>, Malformed> {
        let runs = words.runs()?.into_iter().map(|run| match run {
            Run::Bytes(bytes) => bytes.to_vec(),
            Run::Zeros(count) => vec![0; count as usize],
        });
        Ok(runs.collect::<Vec<_>>().concat())
    }

    #[test]
    fn words_are_read_as_written() {
        let mut line = Line::default();
        line.word("do").show(7).option(None::<u64>).text(b"a b%!");
        line.text(b"").bytes(&[0, 1, 0, 0, 0, 0, 0, 2]).bytes(&[]);
        line.list([1, 20]).list([]).text(b"-");
        assert_eq!(line.0, "do 7 - a%20b%25%21 % 0001*5.02 - 1,20 - %2D");
        let mut words = Words::new(&line.0);
        assert_eq!(words.word(), Ok("do"));
        assert_eq!(words.number(), Ok(7_u32));
        assert_eq!(words.option::<u64>(), Ok(None));
        assert_eq!(words.text().as_deref(), Ok(&b"a b%!"[..]));
        assert_eq!(words.text().as_deref(), Ok(&b""[..]));
        assert_eq!(bytes(&mut words), Ok(vec![0, 1, 0, 0, 0, 0, 0, 2]));
        assert_eq!(bytes(&mut words), Ok(Vec::new()));
        assert_eq!(words.list().as_deref(), Ok(&[1, 20][..]));
        assert_eq!(words.list().as_deref(), Ok(&[][..]));
        assert_eq!(words.text().as_deref(), Ok(&b"-"[..]));
        assert!(words.end().is_ok());
    }

    #[test]
    fn what_is_no_word_is_refused() {
        assert_eq!(
            read_runs("00*99999999999.ff"),
            Ok(vec![
                Run::Bytes(Bytes::from_static(&[0])),
                Run::Zeros(99_999_999_999),
                Run::Bytes(Bytes::from_static(&[0xff]))
            ])
        );
        for wrong in ["0", "zz", "*12", "*.", "+1", "0\u{e9}"] {
            assert!(read_runs(wrong).is_err(), "{wrong}");
        }
        for wrong in ["%2", "%g0", "a%", "%%"] {
            assert!(read_text(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(value: Vec<u8>, zeros in 0..9_usize) {
            let value = [&value[..], &vec![0; zeros], &value].concat();
            let mut line = Line::default();
            line.bytes(&value).text(&value);
            prop_assert_eq!(line.0.split(' ').count(), 2);
            let mut words = Words::new(&line.0);
            prop_assert_eq!(bytes(&mut words).unwrap(), value.clone());
            prop_assert_eq!(words.text().unwrap(), value);
        }
    }
}
