//! A connection's configuration as words of a recording: name and value of each field.

use aqueduct_core::config::Config;
use aqueduct_core::webtransport::dialect::{Dialect, Dialects};
use aqueduct_core::webtransport::{Origins, SessionFlow};

use crate::budget::HEADS;
use crate::heads::{put_list, read_list};
use crate::value::{Cx, Get, Put, named};
use crate::words::{Line, Malformed, Words};

named! {
    Dialect { "draft15" Draft15 "draft13" Draft13 "draft07" Draft07 "draft02" Draft02 }
}

/// How many, and each.
impl Put for Dialects {
    fn put(&self, line: &mut Line, cx: Cx) {
        line.show(self.iter().count());
        self.iter().for_each(|dialect| dialect.put(line, cx));
    }
}

impl Get for Dialects {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let mut count = 0..words.number::<usize>()?;
        count.try_fold(Self::NONE, |set, _| Ok(set.with(Get::get(words, cx)?)))
    }
}

/// Data, bidirectional and unidirectional streams, or nothing.
impl Put for Option<SessionFlow> {
    fn put(&self, line: &mut Line, _: Cx) {
        line.option(self.map(|flow| flow.data));
        if let Some(flow) = self {
            line.show(flow.streams_bidi).show(flow.streams_uni);
        }
    }
}

impl Get for Option<SessionFlow> {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        let Some(data) = words.option()? else {
            return Ok(None);
        };
        let (bidi, uni) = (words.number()?, words.number()?);
        Ok(Some(SessionFlow::new(data, bidi, uni)))
    }
}

impl Put for Origins {
    fn put(&self, line: &mut Line, _: Cx) {
        put_list(line, self.iter());
    }
}

impl Get for Origins {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        read_list(words).map(Self::listed)
    }
}

/// Words for fields: they stay when a field is renamed.
macro_rules! fields {
    ($($word:literal $($field:ident).+;)*) => {
        impl Put for Config {
            fn put(&self, line: &mut Line, cx: Cx) {
                $(self.$($field).+.put(line.word($word), cx);)*
            }
        }

        /// Fields that are not named have their default.
        impl Get for Config {
            fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
                let mut config = Self::default();
                while let Some(name) = words.maybe() {
                    match name {
                        $($word => config.$($field).+ = Get::get(words, cx)?,)*
                        _ => return Err(Malformed(format!("unknown field {name:?}"))),
                    }
                }
                check(&config)?;
                Ok(config)
            }
        }

        #[cfg(test)]
        const FIELDS: usize = [$($word),*].len();
    };
}

fields! {
    "field-section-encoded" limits.field_section_encoded;  "field-section" limits.field_section;
    "fields" limits.fields;  "field-lines" field_lines;  "control-frame" limits.control_frame;
    "settings" limits.settings;  "qpack-table" limits.qpack_table;  "qpack-encoder-table" limits.qpack_encoder_table;
    "qpack-blocked-streams" limits.qpack_blocked_streams;  "frame-payload" limits.frame_payload;
    "open-requests" limits.open_requests;  "head-bytes" limits.head_bytes;  "sessions" limits.sessions;
    "early-streams" limits.early_streams;  "early-datagrams" limits.early_datagrams;
    "early-datagram-bytes" limits.early_datagram_bytes;  "early-timeout" limits.early_timeout;
    "head-timeout" limits.head_timeout;  "section-timeout" limits.section_timeout;
    "progress-window" limits.progress_window;  "min-rate" limits.min_rate;  "connect-timeout" limits.connect_timeout;  "response-timeout" limits.response_timeout;
    "idle-timeout" limits.idle_timeout;  "close-timeout" limits.close_timeout;  "session-datagrams" limits.datagrams;
    "session-datagram-bytes" limits.datagram_bytes;  "datagram-capsule" limits.datagram_capsule;
    "all-datagram-bytes" limits.all_datagram_bytes;  "early-priorities" limits.early_priorities;
    "nuisance" limits.nuisance;  "work" limits.work;  "datagrams" datagrams;  "connect-protocol" connect_protocol;
    "webtransport" webtransport.enabled;  "origins" webtransport.origins;  "dialects" webtransport.dialects;
    "tolerate-missing-reset-stream-at" webtransport.tolerate_missing_reset_stream_at;  "session-flow" webtransport.flow;
    "strict-draining" webtransport.strict_draining;  "end-drained-sessions" webtransport.end_drained_sessions;
    "grease" grease;  "qpack-streams-at-once" qpack_streams_at_once;  "extra-settings" extra_settings;  "claimed-uni" claimed_uni;  "claimed-bidi" claimed_bidi;
}

/// Size in which interim responses are counted as nuisances.
const INTERIM: u64 = 4096;

/// Refuses a configuration that lets the heads of one stream, and those that one
/// insertion unblocks, take much more memory than there is text.
fn check(config: &Config) -> Result<(), Malformed> {
    let limits = &config.limits;
    let sections = limits.field_section.max(limits.field_section_encoded);
    let heads = sections
        .saturating_mul(limits.qpack_blocked_streams.saturating_add(1))
        .saturating_add(limits.qpack_table)
        .saturating_add(INTERIM * u64::from(limits.nuisance));
    if heads > HEADS {
        return Err(Malformed(format!(
            "its limits let heads take {heads} bytes, over {HEADS}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn again(config: &Config) -> Result<Config, Malformed> {
        let mut line = Line::default();
        config.put(&mut line, Cx::PLAIN);
        read(&line.0)
    }

    fn read(text: &str) -> Result<Config, Malformed> {
        Get::get(&mut Words::new(text), Cx::PLAIN)
    }

    #[test]
    fn a_configuration_is_read_as_written() {
        let mut config = Config::default();
        assert_eq!(again(&config), Ok(config.clone()));
        config.limits.early_timeout = Duration::from_millis(7);
        config.limits.nuisance = 3;
        config.webtransport.dialects = Dialects::SET_C;
        config.webtransport.flow = None;
        config.webtransport.origins = Origins::listed(["https://a.test"]);
        config.grease = false;
        config.extra_settings = vec![(77, 1), (78, 1 << 60)];
        config.claimed_uni = vec![0x1f0, 7];
        assert_eq!(again(&config), Ok(config));
    }

    /// Every field has a word: a new one is missed here.
    #[test]
    fn no_field_is_left_out() {
        let text = format!("{:?}", Config::default());
        let names = text.matches(": ").count();
        // `limits`, `webtransport` and its `flow` have fields of their own.
        assert_eq!(names, FIELDS + 2 + 3, "{text}");
    }

    #[test]
    fn what_is_not_known_is_named() {
        let wrong = |text| read(text).map_err(|error| error.0);
        assert!(wrong("speed 3").is_err_and(|why| why.contains("speed")));
        assert!(wrong("grease maybe").is_err());
        assert!(wrong("nuisance").is_err());
        assert!(wrong("dialects 1 draft9").is_err());
        assert!(wrong("session-flow 1 2").is_err());
        let heads = "field-section 1000000 qpack-blocked-streams 100";
        assert!(wrong(heads).is_err_and(|why| why.contains("heads")));
    }
}
