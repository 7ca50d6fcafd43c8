//! What of WebTransport is announced: dialects, session flow control, application protocols.

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::webtransport::SessionFlow;
use aqueduct_tokio::protocol::webtransport::dialect::{Dialect, Dialects};
use clap::Args;

use crate::units::parse_bytes;

/// What of WebTransport this side announces.
#[derive(Args, Clone, Debug)]
pub struct WebTransport {
    /// Drafts to speak: a (02 and 07 to 12), b (02 and 13 to 16), c (a, 15 and 16), all, or numbers
    /// such as 02,15
    /// [default: all; with a peer that has no RESET_STREAM_AT, a of a server]
    #[arg(long, global = true, value_name = "SET|LIST", value_parser = parse_dialects)]
    pub dialects: Option<Dialects>,
    /// Speak drafts 13 and later with peers that have no RESET_STREAM_AT, too, which they call for
    #[arg(long, global = true)]
    pub tolerate_missing_reset_stream_at: bool,
    /// Bytes on streams the peer may send ahead in a session, with drafts 13 and later; 0 for no
    /// session flow control
    #[arg(long, global = true, value_name = "SIZE", default_value = "1MiB",
          value_parser = parse_bytes)]
    pub session_max_data: u64,
    /// Streams of each kind the peer may have ahead in a session, with drafts 13 and later
    #[arg(long, global = true, value_name = "N", default_value_t = 100)]
    pub session_max_streams: u64,
    /// Application protocols to offer or to select from, the preferred first (repeatable)
    #[arg(long, global = true, value_name = "NAME,...", value_delimiter = ',',
          value_parser = parse_protocol)]
    pub protocols: Vec<String>,
}

impl WebTransport {
    /// How a server's HTTP/3 behaves.
    pub fn config(&self) -> Config {
        self.change(Config::default())
    }

    /// How a client's HTTP/3 behaves.
    pub fn client_config(&self) -> Config {
        self.change(Config::client())
    }

    fn change(&self, mut config: Config) -> Config {
        if let Some(dialects) = self.dialects {
            config.webtransport.dialects = dialects;
            config.webtransport.tolerate_missing_reset_stream_at =
                self.tolerate_missing_reset_stream_at;
        }
        config.webtransport.tolerate_missing_reset_stream_at |=
            self.tolerate_missing_reset_stream_at;
        config.webtransport.flow = (self.session_max_data > 0).then_some(SessionFlow::new(
            self.session_max_data,
            self.session_max_streams,
            self.session_max_streams,
        ));
        config
    }
}

fn parse_dialects(text: &str) -> Result<Dialects, String> {
    match text.to_ascii_lowercase().as_str() {
        "a" => return Ok(Dialects::SET_A),
        "b" => return Ok(Dialects::SET_B),
        "c" => return Ok(Dialects::SET_C),
        "all" => return Ok(Dialects::ALL),
        _ => {}
    }
    text.split(',').try_fold(Dialects::NONE, |set, draft| {
        let dialect = match draft.trim().parse::<u8>() {
            Ok(2..=5) => Dialect::Draft02,
            Ok(7..=12) => Dialect::Draft07,
            Ok(13 | 14) => Dialect::Draft13,
            Ok(15 | 16) => Dialect::Draft15,
            _ => {
                return Err(format!(
                    "`{draft}` is neither a draft from 02 to 16 nor a, b, c, all"
                ));
            }
        };
        Ok(set.with(dialect))
    })
}

/// An entry of `wt-available-protocols` is a string of visible ASCII and spaces.
fn parse_protocol(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not printable ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_are_sets_or_drafts() {
        assert_eq!(parse_dialects("C"), Ok(Dialects::SET_C));
        assert_eq!(parse_dialects("02,07,15"), Ok(Dialects::SET_C));
        assert_eq!(parse_dialects("2,14,16"), Ok(Dialects::SET_B));
        for wrong in ["", "d", "1", "6", "17", "02,"] {
            assert!(parse_dialects(wrong).is_err(), "{wrong}");
        }
    }
}
