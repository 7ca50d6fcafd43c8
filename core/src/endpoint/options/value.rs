//! Values of options, and what they are read as.

use std::time::Duration;

/// What an option is set to.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Value<'v> {
    /// Yes or no.
    Flag(bool),
    /// A number, in the option's unit.
    Number(u64),
    /// A time.
    Time(Duration),
    /// A word, or any of the others as people write them.
    Text(&'v str),
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<Duration> for Value<'_> {
    fn from(value: Duration) -> Self {
        Self::Time(value)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(value)
    }
}

/// What a number counts.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    Ms,
    Us,
    Bytes,
    One,
}

impl Unit {
    /// As people write it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Ms => " ms",
            Self::Us => " µs",
            Self::Bytes => " bytes",
            Self::One => "",
        }
    }

    /// Units that text may have instead, and how many of this one each is; a time's in
    /// nanoseconds.
    fn suffixes(self) -> &'static [(&'static str, u64)] {
        match self {
            // `ms` and `us` end with `s`, so they come first.
            Self::Ms | Self::Us => &[("ms", 1_000_000), ("us", 1000), ("s", 1_000_000_000)],
            Self::Bytes => &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)],
            Self::One => &[],
        }
    }

    /// Nanoseconds of one, of a time.
    fn nanos(self) -> u64 {
        match self {
            Self::Ms => 1_000_000,
            Self::Us => 1000,
            Self::Bytes | Self::One => 1,
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Ms | Self::Us)
    }

    /// So many nanoseconds, if they come out even.
    fn of_nanos(self, nanos: u128) -> Option<u64> {
        let one = u128::from(self.nanos());
        nanos
            .is_multiple_of(one)
            .then(|| u64::try_from(nanos / one).ok())?
    }
}

impl Value<'_> {
    /// As a number of these; `None` if it is none, or does not come out even.
    pub(super) fn number(self, unit: Unit) -> Option<u64> {
        match self {
            Self::Flag(_) => None,
            Self::Number(number) => Some(number),
            Self::Time(time) => unit.of_nanos(time.as_nanos()).filter(|_| unit.is_time()),
            Self::Text(text) => {
                let with = |(suffix, each): &(&str, u64)| {
                    let number: u64 = text.strip_suffix(suffix)?.trim_end().parse().ok()?;
                    let all = u128::from(number) * u128::from(*each);
                    unit.of_nanos(all)
                };
                let plain = || text.parse().ok();
                unit.suffixes().iter().find_map(with).or_else(plain)
            }
        }
    }

    /// As yes or no.
    pub(super) fn flag(self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(flag),
            Self::Number(1) | Self::Text("yes" | "true" | "on" | "1") => Some(true),
            Self::Number(0) | Self::Text("no" | "false" | "off" | "0") => Some(false),
            _ => None,
        }
    }

    /// As a word.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_units_of_the_option() {
        let number = |text: &'static str, unit| Value::from(text).number(unit);
        assert_eq!(number("250", Unit::Ms), Some(250));
        assert_eq!(number("250ms", Unit::Ms), Some(250));
        assert_eq!(number("30s", Unit::Ms), Some(30_000));
        assert_eq!(number("2000us", Unit::Ms), Some(2));
        assert_eq!(number("1500us", Unit::Ms), None, "not even");
        assert_eq!(number("3ms", Unit::Us), Some(3000));
        assert_eq!(number("64KiB", Unit::Bytes), Some(65_536));
        assert_eq!(number("64ms", Unit::Bytes), None, "another unit");
        assert_eq!(number("7s", Unit::One), None, "no unit");
        assert_eq!(number("18446744073709551615s", Unit::Ms), None, "too many");
        let time = Value::from(Duration::from_secs(2));
        assert_eq!(time.number(Unit::Ms), Some(2000));
        assert_eq!(time.number(Unit::Bytes), None, "a time is no size");
    }
}
