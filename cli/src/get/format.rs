//! What `--write-out` prints.

use std::fmt::Write as _;

use aqueduct_tokio::protocol::escape::escaped;

use super::report::Report;

/// A text with variables, as curl has them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Format(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// The names, and what each is of a [`Report`]. Times are seconds since the transfer began.
macro_rules! variables {
    ($($name:literal => $variable:ident: $value:expr;)*) => {
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        enum Variable { $($variable),* }

        impl Variable {
            fn of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variable),)*
                    _ => None,
                }
            }

            fn value(self, report: &Report, exit: u8) -> String {
                match self {
                    $(Self::$variable => {
                        let value: fn(&Report, u8) -> String = $value;
                        value(report, exit)
                    })*
                }
            }
        }
    };
}

fn seconds(time: std::time::Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

variables! {
    "http_code" => HttpCode: |it, _| format!("{:03}", it.status.map_or(0, |it| it.as_u16()));
    "response_code" => ResponseCode: |it, _| format!("{:03}", it.status.map_or(0, |it| it.as_u16()));
    "http_version" => HttpVersion: |it, _| if it.status.is_some() { "3" } else { "0" }.to_owned();
    "method" => Method: |it, _| it.method.to_string();
    "url" => Url: |it, _| it.target.to_string();
    "url_effective" => UrlEffective: |it, _| it.effective.to_string();
    "num_redirects" => NumRedirects: |it, _| it.redirects.to_string();
    "num_retries" => NumRetries: |it, _| it.retries.to_string();
    "remote_ip" => RemoteIp: |it, _| it.remote.map(|it| it.ip().to_string()).unwrap_or_default();
    "remote_port" => RemotePort: |it, _| it.remote.map_or(0, |it| it.port()).to_string();
    "early_data" => EarlyDataWord: |it, _| it.early_data().to_owned();
    "content_type" => ContentType: |it, _| it.field("content-type").map(|it| escaped(it).to_string()).unwrap_or_default();
    "filename_effective" => Filename: |it, _| it.file.as_ref().map(|it| it.display().to_string()).unwrap_or_default();
    "size_download" => SizeDownload: |it, _| it.received.to_string();
    "size_upload" => SizeUpload: |it, _| it.sent.to_string();
    "speed_download" => SpeedDownload: |it, _| it.speed(it.received).to_string();
    "speed_upload" => SpeedUpload: |it, _| it.speed(it.sent).to_string();
    "time_namelookup" => TimeNameLookup: |it, _| seconds(it.times.lookup);
    "time_connect" => TimeConnect: |it, _| seconds(it.times.connect);
    "time_appconnect" => TimeAppConnect: |it, _| seconds(it.times.connect);
    "time_pretransfer" => TimePreTransfer: |it, _| seconds(it.times.sent);
    "time_starttransfer" => TimeStartTransfer: |it, _| seconds(it.times.first);
    "time_redirect" => TimeRedirect: |it, _| seconds(it.times.redirect);
    "time_total" => TimeTotal: |it, _| seconds(it.times.total);
    "exitcode" => ExitCode: |_, exit| exit.to_string();
}

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// A variable that there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            let after = rest.as_str();
            match (char, after.chars().next()) {
                ('%', Some('%')) => {
                    plain.push('%');
                    rest.next();
                }
                ('%', Some('{')) => {
                    let inner = after.strip_prefix('{').and_then(|it| it.split_once('}'));
                    let (name, then) = inner.ok_or("`%{` has no end `}`")?;
                    let variable =
                        Variable::of(name).ok_or_else(|| format!("there is no `%{{{name}}}`"))?;
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Variable(variable));
                    rest = then.chars();
                }
                ('\\', Some(code @ ('n' | 'r' | 't' | '\\'))) => {
                    plain.push(match code {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        other => other,
                    });
                    rest.next();
                }
                (other, _) => plain.push(other),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// The text about a transfer.
    pub(super) fn fill(&self, report: &Report, exit: u8) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            // Writing into a `String` cannot fail.
            let _ = match piece {
                Piece::Text(plain) => text.write_str(plain),
                Piece::Variable(variable) => text.write_str(&variable.value(report, exit)),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};

    use super::*;

    #[test]
    fn variables_have_the_forms_of_curl() {
        let mut report = Report::new("https://a.example/x".parse().unwrap(), Method::GET, None);
        let fill = |report: &Report, text| Format::parse(text).unwrap().fill(report, 1);
        assert_eq!(fill(&report, "%{http_code} %{exitcode}"), "000 1");
        report.status = Some(StatusCode::OK);
        report.received = 1000;
        report.times.total = Duration::from_millis(500);
        report.fields = vec![("content-type".to_owned(), "a\u{1b}b".to_owned())];
        assert_eq!(
            fill(
                &report,
                r"%{http_code}\t%{time_total}\n%{speed_download} 5%% \x %"
            ),
            "200\t0.500000\n2000 5% \\x %"
        );
        assert_eq!(fill(&report, "%{content_type}"), r"a\u{1b}b");
        assert_eq!(fill(&report, "%{url_effective}"), "https://a.example/x");
        for wrong in ["%{nonsense}", "%{http_code"] {
            assert!(Format::parse(wrong).is_err(), "{wrong}");
        }
    }
}
