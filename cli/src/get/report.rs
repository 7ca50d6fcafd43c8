//! What is told about a transfer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_tokio::protocol::head::{Field, FieldSection};
use aqueduct_tokio::protocol::transport::EarlyData;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::args::Target;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::units;

/// What became of a URL, as far as it came.
#[derive(Debug)]
pub(super) struct Report {
    /// The URL as it was given.
    pub(super) target: Target,
    /// The one that was asked for last.
    pub(super) effective: Target,
    pub(super) method: Method,
    /// That of the last answer, once there is one.
    pub(super) status: Option<StatusCode>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) trailers: Option<Vec<(String, String)>>,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Bytes that were there before, of a part that was gone on with.
    pub(super) resumed: u64,
    pub(super) redirects: u32,
    pub(super) retries: u32,
    pub(super) remote: Option<SocketAddr>,
    /// What became of the last request that went out ahead of the handshake.
    pub(super) early: EarlyData,
    pub(super) times: Times,
    pub(super) file: Option<PathBuf>,
}

/// When things happened, since the transfer began. As with curl, those of the connection are nothing
/// where there was one before. A request that went out ahead of the handshake was sent before there
/// was a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The host had an address.
    pub(super) lookup: Duration,
    /// There was a connection, its handshake done.
    pub(super) connect: Duration,
    /// The request was about to be sent.
    pub(super) sent: Duration,
    /// The head of the answer was here.
    pub(super) first: Duration,
    /// All redirects were done.
    pub(super) redirect: Duration,
    /// It was over.
    pub(super) total: Duration,
}

impl Report {
    pub(super) fn new(target: Target, method: Method, file: Option<PathBuf>) -> Self {
        Self {
            effective: target.clone(),
            target,
            method,
            status: None,
            fields: Vec::new(),
            trailers: None,
            received: 0,
            sent: 0,
            resumed: 0,
            redirects: 0,
            retries: 0,
            remote: None,
            early: EarlyData::None,
            times: Times::default(),
            file,
        }
    }

    /// Prints the JSON object, or a remark on a file that was written.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        if output.is_json() {
            return output.result("response", "", self.to_json());
        }
        if let Some(file) = &self.file {
            let more = match self.resumed {
                0 => String::new(),
                before => format!(" after the {} that were there", units::bytes(before)),
            };
            output.remark(&format!(
                "{}{more} in `{}`, {} at {}",
                units::bytes(self.received),
                file.display(),
                units::duration(self.times.total),
                units::rate(self.received, self.times.total),
            ));
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let times = &self.times;
        json!({
            "url": self.target.to_string(),
            "status": self.status.map_or(0, |status| status.as_u16()),
            "fields": self.fields,
            "trailers": self.trailers,
            "bytes": self.received,
            "bytes_sent": self.sent,
            "bytes_before": self.resumed,
            "seconds": times.total.as_secs_f64(),
            "file": self.file.as_ref().map(|file| file.to_string_lossy()),
            "method": self.method.as_str(),
            "url_effective": self.effective.to_string(),
            "num_redirects": self.redirects,
            "num_retries": self.retries,
            "remote_ip": self.remote.map(|remote| remote.ip().to_string()),
            "remote_port": self.remote.map(|remote| remote.port()),
            "early_data": self.early_data(),
            "speed_download": self.speed(self.received),
            "speed_upload": self.speed(self.sent),
            "time_namelookup": times.lookup.as_secs_f64(),
            "time_connect": times.connect.as_secs_f64(),
            "time_pretransfer": times.sent.as_secs_f64(),
            "time_starttransfer": times.first.as_secs_f64(),
            "time_redirect": times.redirect.as_secs_f64(),
            "time_total": times.total.as_secs_f64(),
        })
    }

    /// Whether a request went out ahead of the handshake, in a word.
    pub(super) fn early_data(&self) -> &'static str {
        units::early_data(self.early)
    }

    /// Bytes a second, all in all.
    pub(super) fn speed(&self, bytes: u64) -> u64 {
        match self.times.total.as_secs_f64() {
            seconds if seconds > 0.0 => (bytes as f64 / seconds) as u64,
            _ => 0,
        }
    }

    /// The value of a field of the answer.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(this, _)| this == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The failure that an error status is.
    pub(super) fn refusal(&self) -> Option<Failure> {
        let status = self.status.filter(|status| status.as_u16() >= 400)?;
        let what = format!("{}: the server answered {status}", self.effective);
        Some(Failure::new(Exit::Refused, what))
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
