//! What is told about a transfer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_tokio::protocol::head::{Field, FieldSection};
use http::StatusCode;
use serde_json::{Value, json};

use crate::args::Target;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::units;

/// A transfer that came to its end, whatever the status.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) target: Target,
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(String, String)>,
    pub(super) trailers: Option<Vec<(String, String)>>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) time: Duration,
    pub(super) file: Option<PathBuf>,
}

impl Report {
    /// Prints the JSON object, or a remark on a file that was written.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        if output.is_json() {
            return output.result("response", "", self.to_json());
        }
        if let Some(file) = &self.file {
            output.remark(&format!(
                "{} in `{}`, {} at {}",
                units::bytes(self.received),
                file.display(),
                units::duration(self.time),
                units::rate(self.received, self.time),
            ));
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        json!({
            "url": self.target.to_string(),
            "status": self.status.as_u16(),
            "fields": self.fields,
            "trailers": self.trailers,
            "bytes": self.received,
            "bytes_sent": self.sent,
            "seconds": self.time.as_secs_f64(),
            "file": self.file.as_ref().map(|file| file.to_string_lossy()),
        })
    }

    /// The failure that an error status is.
    pub(super) fn refusal(&self) -> Option<Failure> {
        let refused = self.status.as_u16() >= 400;
        refused.then(|| {
            let what = format!("{}: the server answered {}", self.target, self.status);
            Failure::new(Exit::Refused, what)
        })
    }
}

/// The fields without the pseudo-header fields, in their order.
pub(super) fn message_fields(fields: &FieldSection) -> impl Iterator<Item = Field<'_>> {
    fields.iter().filter(|field| !field.name.starts_with(b":"))
}

/// Field lines as text, whole. Bytes that are not UTF-8 are replaced.
pub(super) fn lines(fields: &FieldSection) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    message_fields(fields)
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}
