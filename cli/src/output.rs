//! What the program prints: lines for people, or one JSON object a line for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

/// The failure of a result that could not be printed.
pub fn unprinted(error: io::Error) -> Failure {
    Failure::because(Exit::Failure, "cannot write to standard output", error)
}

/// Writes results to standard output and remarks to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON when `json`, else text.
    pub fn new(json: bool) -> Self {
        Self { json }
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
        write_result(&mut io::stdout().lock(), self.json, event, text, fields)
    }

    /// Prints one result that has a shape of its own: the text, or `object` as it is.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn object(self, text: &str, object: Value) -> io::Result<()> {
        let mut to = io::stdout().lock();
        if self.json {
            writeln!(to, "{object}")?;
        } else {
            writeln!(to, "{text}")?;
        }
        to.flush()
    }

    /// Prints a remark for people on standard error; nothing with JSON.
    pub fn remark(self, text: &str) {
        if !self.json {
            // There is no better place to say that standard error is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Prints a warning on standard error, in both forms.
    pub fn warning(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "warning: {text}");
    }

    /// Prints a failure: on standard error, and as an `error` event with JSON.
    pub fn failure(self, failure: &Failure) {
        let _ = writeln!(io::stderr().lock(), "error: {failure}");
        if self.json {
            let fields =
                json!({ "message": failure.to_string(), "exit_code": failure.exit() as u8 });
            let _ = self.result("error", "", fields);
        }
    }
}

fn write_result(
    to: &mut impl Write,
    json: bool,
    event: &str,
    text: &str,
    fields: Value,
) -> io::Result<()> {
    if json {
        let mut object = serde_json::Map::new();
        object.insert("event".to_owned(), event.into());
        match fields {
            Value::Object(fields) => object.extend(fields),
            Value::Null => {}
            other => {
                object.insert("value".to_owned(), other);
            }
        }
        writeln!(to, "{}", Value::Object(object))?;
    } else {
        writeln!(to, "{text}")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: bool, fields: Value) -> String {
        let mut out = Vec::new();
        write_result(&mut out, json, "ready", "listening", fields).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_result_is_one_line_in_either_form() {
        let fields = json!({ "url": "https://a/", "note": "two\nlines" });
        assert_eq!(written(false, fields.clone()), "listening\n");
        assert_eq!(
            written(true, fields),
            "{\"event\":\"ready\",\"url\":\"https://a/\",\"note\":\"two\\nlines\"}\n"
        );
        assert_eq!(written(true, Value::Null), "{\"event\":\"ready\"}\n");
        assert_eq!(
            written(true, json!(3)),
            "{\"event\":\"ready\",\"value\":3}\n"
        );
    }
}
