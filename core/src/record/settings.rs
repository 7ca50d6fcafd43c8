//! A connection's configuration as words of a recording: one `name=value` each.

use std::time::Duration;

use super::words::{Line, Malformed, Words};
use crate::config::{Config, Limits, SessionFlow};
use crate::dialect::{Dialects, TABLE};

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

/// By the positions in the table of dialects.
impl Value for Dialects {
    fn show(&self) -> String {
        let rows = TABLE.iter().enumerate();
        let named = rows.filter(|(_, row)| self.has(row.dialect));
        let words: Vec<String> = named.map(|(at, _)| at.to_string()).collect();
        words.join(",")
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        let mut set = Self::NONE;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let row = TABLE.get(word.parse::<usize>()?);
            set = set.with(
                row.ok_or_else(|| Malformed::new("an unknown dialect"))?
                    .dialect,
            );
        }
        Ok(set)
    }
}

/// Data, bidirectional and unidirectional streams, or nothing.
impl Value for Option<SessionFlow> {
    fn show(&self) -> String {
        self.map_or_else(String::new, |flow| {
            let SessionFlow {
                data,
                streams_bidi,
                streams_uni,
            } = flow;
            format!("{data},{streams_bidi},{streams_uni}")
        })
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Ok(None);
        }
        let numbers = text.split(',').map(str::parse);
        match numbers.collect::<Result<Vec<u64>, _>>()?[..] {
            [data, streams_bidi, streams_uni] => Ok(Some(SessionFlow {
                data,
                streams_bidi,
                streams_uni,
            })),
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

macro_rules! fields {
    (limits { $($limit:ident)* } config { $($field:ident)* }) => {
        /// Writes every field.
        pub(super) fn put(line: &mut Line, config: &Config) {
            // Naming all fields makes a new one an error here.
            let Limits { $($limit,)* } = &config.limits;
            $(line.show(format_args!("limits.{}={}", stringify!($limit), $limit.show()));)*
            let Config { limits: _, $($field,)* } = config;
            $(line.show(format_args!("{}={}", stringify!($field), $field.show()));)*
        }

        fn set(config: &mut Config, name: &str, value: &str) -> Result<(), Malformed> {
            if let Some(name) = name.strip_prefix("limits.") {
                $(if name == stringify!($limit) {
                    config.limits.$limit = Value::read(value)?;
                    return Ok(());
                })*
            }
            $(if name == stringify!($field) {
                config.$field = Value::read(value)?;
                return Ok(());
            })*
            Err(Malformed(format!("unknown field {name:?}: another version's")))
        }
    };
}

fields! {
    limits {
        field_section_encoded field_section control_frame settings qpack_table
        qpack_encoder_table qpack_blocked_streams frame_payload sessions early_streams
        early_datagrams early_datagram_bytes early_timeout close_timeout datagrams datagram_bytes
        datagram_capsule early_priorities nuisance
    }
    config {
        datagrams connect_protocol webtransport dialects tolerate_missing_reset_stream_at
        session_flow strict_draining end_drained_sessions grease extra_settings
    }
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
        config.dialects = Dialects::SET_C;
        config.session_flow = None;
        config.grease = false;
        config.extra_settings = vec![(77, 1), (78, 1 << 60)];
        assert_eq!(again(&config), Ok(config));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let wrong = |text| read(&mut Words::new(text)).map_err(|error| error.0);
        assert!(wrong("speed=3").is_err_and(|why| why.contains("speed")));
        assert!(wrong("grease=maybe").is_err());
        assert!(wrong("limits.nuisance").is_err());
        assert!(wrong("dialects=9").is_err());
        assert!(wrong("session_flow=1,2").is_err());
    }
}
