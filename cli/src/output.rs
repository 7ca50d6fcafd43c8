//! What the program prints: lines for people, or one JSON object a line for programs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use aqueduct_tokio::protocol::escape::{LIMIT, escaped, is_visible};
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::outlet::{self, Outlet, Pushed};

/// The failure of a result that could not be printed.
pub fn unprinted(error: io::Error) -> Failure {
    Failure::because(Exit::Failure, "cannot write to standard output", error)
}

/// How long the last lines may take to be read at the end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes results to standard output and remarks to standard error.
///
/// A command's results wait for their reader. What a server tells while it serves does not: it goes
/// through an [`Outlet`], as logs do. All text is shown escaped; in JSON, characters that cannot be
/// seen are written as `\u` and their number, so that the value is what it was.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    /// Where logs wait.
    logs: Option<&'static Outlet>,
    /// Where a server's events wait.
    events: Option<&'static Outlet>,
}

impl Output {
    /// Prints JSON when `json`, else text.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            logs: None,
            events: None,
        }
    }

    /// The same beside logs that go to this outlet.
    #[must_use]
    pub fn beside(mut self, logs: &'static Outlet) -> Self {
        self.logs = Some(logs);
        self
    }

    /// The same for a server: from now on nothing but [`Output::object`] waits for a reader.
    ///
    /// # Errors
    /// When there can be no thread that writes.
    pub fn of_a_server(mut self) -> io::Result<Self> {
        let note = if self.json { dropped_json } else { dropped };
        self.events = Some(Outlet::start(outlet::stdout(), outlet::ROOM, note)?.for_ever());
        Ok(self)
    }

    /// Whether JSON is printed.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result: the text, or `fields` with `event` in front. `fields` should be an
    /// object; anything else comes under the name `value`.
    ///
    /// # Errors
    /// When standard output is gone, as after `| head`.
    pub fn result(self, event: &str, text: &str, fields: Value) -> io::Result<()> {
        let line = match self.json {
            true => to_line(&with_event(event, fields)),
            false => to_text(text),
        };
        self.print(line)
    }

    /// Prints what a peer did, as a result whose texts are cut to the length that a peer's texts
    /// have everywhere.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn event(self, event: &str, mut fields: Value) -> io::Result<()> {
        for value in fields.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Value::String(text) = value
                && text.len() > LIMIT
            {
                *text = format!("{}…", beginning(text, LIMIT));
            }
        }
        self.result(event, "", fields)
    }

    /// Prints one result that has a shape of its own: the text, or `object` as it is. It waits for
    /// its reader.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn object(self, text: &str, object: &Value) -> io::Result<()> {
        let line = match self.json {
            true => to_line(object),
            false => to_text(text),
        };
        write_all(&mut io::stdout().lock(), &line)
    }

    /// Prints text as it is, without an end of line of its own. It waits for its reader. What a peer
    /// wrote is to be escaped before.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn raw(self, text: &str) -> io::Result<()> {
        write_all(&mut io::stdout().lock(), text)
    }

    /// Prints a remark for people on standard error; nothing with JSON.
    pub fn remark(self, text: &str) {
        if !self.json {
            self.say(text);
        }
    }

    /// Prints a warning on standard error, in both forms.
    pub fn warning(self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    /// Prints a failure: on standard error, and as an `error` event with JSON.
    pub fn failure(self, failure: &Failure) {
        self.failure_of(failure, json!({}));
    }

    /// The same, with further fields.
    pub fn failure_of(self, failure: &Failure, mut fields: Value) {
        self.say(&format!("error: {failure}"));
        if self.json {
            fields["message"] = failure.to_string().into();
            fields["exit_code"] = (failure.exit() as u8).into();
            // Standard error has it.
            let _ = self.result("error", "", fields);
        }
    }

    /// Waits at the end until what was said is read, but not long.
    pub fn finish(self) {
        let left = self.events.map(|events| events.flush(LAST_LINES));
        if let Some(lines @ 1..) = left {
            self.warning(&format!("{lines} lines of standard output were not read"));
        }
        if let Some(logs) = self.logs {
            logs.flush(LAST_LINES);
        }
    }

    fn print(self, line: String) -> io::Result<()> {
        let Some(events) = self.events else {
            return write_all(&mut io::stdout().lock(), &line);
        };
        if events.push(line)? == (Pushed::Dropped { first: true }) {
            self.warning("nobody reads standard output: lines are dropped");
        }
        Ok(())
    }

    /// Says something on standard error, behind the logs before it.
    fn say(self, text: &str) {
        let line = to_text(text);
        // There is no better place to say that standard error is gone.
        let _ = match (self.logs, self.events) {
            (Some(logs), Some(_)) => logs.push(line).map(drop),
            (logs, _) => {
                if let Some(logs) = logs {
                    logs.flush(LAST_LINES);
                }
                write_all(&mut io::stderr().lock(), &line)
            }
        };
    }
}

/// What stands in the place of lines that nobody read in time.
pub fn dropped(lines: u64) -> String {
    format!("warning: {lines} lines were dropped here: nobody read them in time\n")
}

fn dropped_json(lines: u64) -> String {
    to_line(&with_event("dropped", json!({ "lines": lines })))
}

fn write_all(to: &mut impl Write, line: &str) -> io::Result<()> {
    to.write_all(line.as_bytes())?;
    to.flush()
}

/// The longest beginning of a text that takes at most so many bytes.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let ends = (0..=bytes.min(text.len())).rev();
    let end = ends.into_iter().find(|at| text.is_char_boundary(*at));
    text.split_at(end.unwrap_or_default()).0
}

/// Text of one line or several, escaped for good: what a peer wrote is escaped, with its ends of
/// line, where it becomes part of a text.
pub(crate) fn visible(text: &str) -> String {
    let lines = text
        .split('\n')
        .map(|line| escaped(line).limit(usize::MAX).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

fn with_event(event: &str, fields: Value) -> Value {
    let mut object = Map::new();
    object.insert("event".to_owned(), event.into());
    match fields {
        Value::Object(fields) => object.extend(fields),
        Value::Null => {}
        other => {
            object.insert("value".to_owned(), other);
        }
    }
    object.into()
}

/// Text that is printed, with the end of its last line.
fn to_text(text: &str) -> String {
    visible(text) + "\n"
}

/// JSON in one line, with its end, of characters that can be seen: it has others in strings alone, where each may
/// be its number.
fn to_line(value: &Value) -> String {
    let mut line = String::new();
    for char in value.to_string().chars() {
        match is_visible(char) {
            true => line.push(char),
            // Writing into a `String` cannot fail.
            false => utf16(char).for_each(|unit| {
                let _ = write!(line, "\\u{unit:04x}");
            }),
        }
    }
    line + "\n"
}

//= https://www.rfc-editor.org/rfc/rfc8259#section-7
// A character beyond U+FFFF is escaped as its surrogate pair.
fn utf16(char: char) -> impl Iterator<Item = u16> {
    let mut units = [0; 2];
    let count = char.encode_utf16(&mut units).len();
    units.into_iter().take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_is_one_line_of_json() {
        let fields = json!({ "url": "https://a/", "note": "two\nlines" });
        assert_eq!(
            to_line(&with_event("ready", fields)),
            "{\"event\":\"ready\",\"url\":\"https://a/\",\"note\":\"two\\nlines\"}\n"
        );
        assert_eq!(
            to_line(&with_event("ready", Value::Null)),
            "{\"event\":\"ready\"}\n"
        );
        assert_eq!(
            to_line(&with_event("ready", json!(3))),
            "{\"event\":\"ready\",\"value\":3}\n"
        );
    }

    #[test]
    fn json_shows_nothing_that_a_terminal_obeys_and_loses_nothing() {
        let hostile =
            "Zoë \"\\ \u{1b}]52;c;QQ==\u{7}\u{9b}2J\u{7f}\u{202e}\u{200b}\u{2028}\u{e0041}\n👍";
        let value = json!({ hostile: hostile });
        let line = to_line(&value);
        assert!(line.trim_end().chars().all(is_visible), "{line}");
        assert!(
            line.contains(r"\u202e\u200b\u2028\udb40\udc41\n👍"),
            "{line}"
        );
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }

    #[test]
    fn text_keeps_its_own_lines_alone() {
        assert_eq!(
            visible("a\n  b\u{1b}[31m\u{9b}\u{202e}"),
            "a\n  b\\u{1b}[31m\\u{9b}\\u{202e}"
        );
        let long = "x".repeat(100_000);
        assert_eq!(visible(&long), long);
    }
}
