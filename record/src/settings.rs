//! A connection's configuration as words of a recording: one `name=value` each.

use std::time::Duration;

use crate::words::{Line, Malformed, Words};
use aqueduct_core::config::Config;
use aqueduct_core::webtransport::SessionFlow;
use aqueduct_core::webtransport::dialect::{Dialect, Dialects};

/// A value of the configuration as the right half of a word.
trait Value: Sized {
    fn show(&self) -> String;
    fn read(text: &str) -> Result<Self, Malformed>;
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Value for $ty {
            fn show(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Result<Self, Malformed> {
                Ok(text.parse()?)
            }
        }
    )*};
}

numbers! { u32 u64 usize }

impl Value for bool {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        text.parse()
            .map_err(|_| Malformed::new("neither true nor false"))
    }
}

/// In nanoseconds.
impl Value for Duration {
    fn show(&self) -> String {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX).show()
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        u64::read(text).map(Self::from_nanos)
    }
}

/// What the dialects are called.
const DIALECTS: [(&str, Dialect); 4] = [
    ("draft15", Dialect::Draft15),
    ("draft13", Dialect::Draft13),
    ("draft07", Dialect::Draft07),
    ("draft02", Dialect::Draft02),
];

impl Value for Dialects {
    fn show(&self) -> String {
        let named = DIALECTS.iter().filter(|(_, dialect)| self.has(*dialect));
        let words: Vec<&str> = named.map(|(word, _)| *word).collect();
        words.join(",")
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        let mut set = Self::NONE;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let found = DIALECTS.iter().find(|(name, _)| *name == word);
            let (_, dialect) = found.ok_or_else(|| Malformed::new("an unknown dialect"))?;
            set = set.with(*dialect);
        }
        Ok(set)
    }
}

/// Data, bidirectional and unidirectional streams, or nothing.
impl Value for Option<SessionFlow> {
    fn show(&self) -> String {
        self.map_or_else(String::new, |flow| {
            format!("{},{},{}", flow.data, flow.streams_bidi, flow.streams_uni)
        })
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Ok(None);
        }
        let numbers = text.split(',').map(str::parse);
        match numbers.collect::<Result<Vec<u64>, _>>()?[..] {
            [data, bidi, uni] => Ok(Some(SessionFlow::new(data, bidi, uni))),
            _ => Err(Malformed::new("a session's limits are three numbers")),
        }
    }
}

/// Identifier and value of each.
impl Value for Vec<(u64, u64)> {
    fn show(&self) -> String {
        let pairs: Vec<String> = self
            .iter()
            .map(|(id, value)| format!("{id}:{value}"))
            .collect();
        pairs.join(",")
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        let mut pairs = Self::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (id, value) = word
                .split_once(':')
                .ok_or_else(|| Malformed::new("a setting is an identifier and a value"))?;
            pairs.push((id.parse()?, value.parse()?));
        }
        Ok(pairs)
    }
}

/// Words for fields: they stay when a field is renamed.
macro_rules! fields {
    ($($word:literal $($field:ident).+;)*) => {
        /// Writes every field.
        pub(crate) fn put(line: &mut Line, config: &Config) {
            $(line.show(format_args!("{}={}", $word, config.$($field).+.show()));)*
        }

        fn set(config: &mut Config, name: &str, value: &str) -> Result<(), Malformed> {
            match name {
                $($word => config.$($field).+ = Value::read(value)?,)*
                _ => return Err(Malformed(format!("unknown field {name:?}: another version's"))),
            }
            Ok(())
        }

        #[cfg(test)]
        const FIELDS: usize = [$($word),*].len();
    };
}

fields! {
    "field-section-encoded" limits.field_section_encoded;
    "field-section" limits.field_section;
    "control-frame" limits.control_frame;
    "settings" limits.settings;
    "qpack-table" limits.qpack_table;
    "qpack-encoder-table" limits.qpack_encoder_table;
    "qpack-blocked-streams" limits.qpack_blocked_streams;
    "frame-payload" limits.frame_payload;
    "sessions" limits.sessions;
    "early-streams" limits.early_streams;
    "early-datagrams" limits.early_datagrams;
    "early-datagram-bytes" limits.early_datagram_bytes;
    "early-timeout" limits.early_timeout;
    "close-timeout" limits.close_timeout;
    "session-datagrams" limits.datagrams;
    "session-datagram-bytes" limits.datagram_bytes;
    "datagram-capsule" limits.datagram_capsule;
    "early-priorities" limits.early_priorities;
    "nuisance" limits.nuisance;
    "datagrams" datagrams;
    "connect-protocol" connect_protocol;
    "webtransport" webtransport.enabled;
    "dialects" webtransport.dialects;
    "tolerate-missing-reset-stream-at" webtransport.tolerate_missing_reset_stream_at;
    "session-flow" webtransport.flow;
    "strict-draining" webtransport.strict_draining;
    "end-drained-sessions" webtransport.end_drained_sessions;
    "grease" grease;
    "extra-settings" extra_settings;
}

/// Most that a recording's configuration may allow a peer's heads to take in memory at
/// once, in bytes.
const MAX_HEADS: u64 = 64 << 20;

/// Refuses a configuration that lets heads take much more memory than there is text.
fn check(config: &Config) -> Result<(), Malformed> {
    let limits = &config.limits;
    let sections = limits.field_section.max(limits.field_section_encoded);
    let heads = sections
        .saturating_mul(limits.qpack_blocked_streams.saturating_add(1))
        .saturating_add(limits.qpack_table);
    if heads > MAX_HEADS {
        return Err(Malformed(format!(
            "its limits let heads take {heads} bytes, over {MAX_HEADS}"
        )));
    }
    Ok(())
}

/// Reads what `put` wrote; fields that are not named have their default.
pub(crate) fn read(words: &mut Words<'_>) -> Result<Config, Malformed> {
    let mut config = Config::default();
    while let Some(word) = words.maybe() {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| Malformed(format!("{word:?} is no field of a configuration")))?;
        set(&mut config, name, value)?;
    }
    check(&config)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(config: &Config) -> Result<Config, Malformed> {
        let mut line = Line::default();
        put(&mut line, config);
        read(&mut Words::new(&line.0))
    }

    #[test]
    fn a_configuration_is_read_as_written() {
        let mut config = Config::default();
        assert_eq!(again(&config), Ok(config.clone()));
        config.limits.early_timeout = Duration::from_millis(7);
        config.limits.nuisance = 3;
        config.webtransport.dialects = Dialects::SET_C;
        config.webtransport.flow = None;
        config.grease = false;
        config.extra_settings = vec![(77, 1), (78, 1 << 60)];
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
        let wrong = |text| read(&mut Words::new(text)).map_err(|error| error.0);
        assert!(wrong("speed=3").is_err_and(|why| why.contains("speed")));
        assert!(wrong("grease=maybe").is_err());
        assert!(wrong("nuisance").is_err());
        assert!(wrong("dialects=draft9").is_err());
        assert!(wrong("session-flow=1,2").is_err());
        let heads = "field-section=1000000 qpack-blocked-streams=100";
        assert!(wrong(heads).is_err_and(|why| why.contains("heads")));
    }
}
