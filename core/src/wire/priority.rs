//! The priority field value (RFC 9218): urgency and incremental.
use super::sf::{Invalid, Member, dictionary};

/// Priority of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Priority {
    /// 0 is the most urgent, 7 the least; 3 unless stated.
    pub urgency: u8,
    /// Whether parts of the response are of use before the rest.
    pub incremental: bool,
}

/// What a field value states; `None` where it is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stated {
    /// 0 to 7.
    pub urgency: Option<u8>,
    /// Whether to interleave.
    pub incremental: Option<bool>,
}

/// Least urgent level.
pub const MAX_URGENCY: u8 = 7;

impl Default for Priority {
    fn default() -> Self {
        Self {
            urgency: 3,
            incremental: false,
        }
    }
}

impl Priority {
    /// A priority. An urgency above 7 counts as 7.
    #[must_use]
    pub const fn new(urgency: u8, incremental: bool) -> Self {
        Self {
            urgency,
            incremental,
        }
    }

    /// Reads a field value; what it does not state, or states wrongly, is the
    /// default. For the request field and PRIORITY_UPDATE, which replace the
    /// whole priority.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        Self::default().merged(Stated::parse(value).unwrap_or_default())
    }

    /// This priority with `stated` on top, as a response field changes the
    /// priority its request had (RFC 9218 section 8).
    #[must_use]
    pub const fn merged(self, stated: Stated) -> Self {
        Self {
            urgency: match stated.urgency {
                Some(urgency) => urgency,
                None => self.urgency,
            },
            incremental: match stated.incremental {
                Some(incremental) => incremental,
                None => self.incremental,
            },
        }
    }

    /// The shortest field value that states this priority; empty for the
    /// default. An urgency above 7 counts as 7.
    #[must_use]
    pub const fn encode(self) -> &'static str {
        match (self.urgency, self.incremental) {
            (0, false) => "u=0",
            (1, false) => "u=1",
            (2, false) => "u=2",
            (3, false) => "",
            (4, false) => "u=4",
            (5, false) => "u=5",
            (6, false) => "u=6",
            (_, false) => "u=7",
            (0, true) => "u=0, i",
            (1, true) => "u=1, i",
            (2, true) => "u=2, i",
            (3, true) => "i",
            (4, true) => "u=4, i",
            (5, true) => "u=5, i",
            (6, true) => "u=6, i",
            (_, true) => "u=7, i",
        }
    }
}

impl Stated {
    /// Reads a field value. Unknown parameters and values of the wrong type or
    /// range are passed over.
    ///
    /// # Errors
    /// [`Invalid`] if the value is no dictionary at all. A PRIORITY_UPDATE may
    /// then be answered with H3_GENERAL_PROTOCOL_ERROR; a field is ignored.
    pub fn parse(value: &[u8]) -> Result<Self, Invalid> {
        let mut stated = Self::default();
        dictionary(value, |key, member| match key {
            //= https://www.rfc-editor.org/rfc/rfc9218#section-4
            // A repeated key counts as its last value, usable or not.
            "u" => {
                stated.urgency = match member {
                    Member::Integer(urgency) => u8::try_from(urgency)
                        .ok()
                        .filter(|urgency| *urgency <= MAX_URGENCY),
                    _ => None,
                };
            }
            "i" => {
                stated.incremental = match member {
                    Member::Boolean(incremental) => Some(incremental),
                    _ => None,
                };
            }
            _ => {}
        })?;
        Ok(stated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &str) -> (u8, bool) {
        let priority = Priority::parse(value.as_bytes());
        (priority.urgency, priority.incremental)
    }

    // Row A19.
    #[test]
    fn what_is_stated_counts_and_the_rest_is_default() {
        for (value, want) in [
            ("", (3, false)),
            ("u=0", (0, false)),
            ("u=5, i", (5, true)),
            ("i, u=7", (7, true)),
            ("u=1,i=?0", (1, false)),
            ("i;x=1;y, u=2;z=\"a,b\"", (2, true)),
            ("x=\"u=1, i\", u=6", (6, false)),
            (
                "a=(1 2;q \"x\");p, b=tok/en:1, c=1.5, d=:AAA=:, i",
                (3, true),
            ),
            ("u=1, u=4", (4, false)),
        ] {
            assert_eq!(parse(value), want, "{value}");
        }
    }

    #[test]
    fn what_is_out_of_range_or_mistyped_is_passed_over() {
        for value in [
            "u=8", "u=-1", "u=300", "u=\"1\"", "u=1.0", "u", "i=1", "i=yes", "u=(1)",
        ] {
            assert_eq!(parse(value), (3, false), "{value}");
            assert_eq!(Stated::parse(value.as_bytes()), Ok(Stated::default()));
        }
        assert_eq!(parse("u=9, i"), (3, true));
        assert_eq!(parse("u=1, u=9"), (3, false));
        assert_eq!(parse("u=1, u=(5)"), (3, false), "the last one counts");
    }

    #[test]
    fn what_is_no_dictionary_is_ignored_whole() {
        for value in [
            "u=1,",
            "u=1 i",
            "U=1",
            "u=",
            "=1",
            "u=1;;",
            "i=?2",
            "u=1, \u{e9}",
            "a=(1",
        ] {
            assert_eq!(Stated::parse(value.as_bytes()), Err(Invalid), "{value}");
            assert_eq!(parse(value), (3, false));
        }
    }

    #[test]
    fn a_response_changes_only_what_it_states() {
        let request = Priority::parse(b"u=5, i");
        let merged = request.merged(Stated::parse(b"u=1").unwrap());
        assert_eq!(
            merged,
            Priority {
                urgency: 1,
                incremental: true
            }
        );
        assert_eq!(request.merged(Stated::default()), request);
    }

    #[test]
    fn every_priority_round_trips() {
        for urgency in 0..=MAX_URGENCY {
            for incremental in [false, true] {
                let priority = Priority {
                    urgency,
                    incremental,
                };
                assert_eq!(Priority::parse(priority.encode().as_bytes()), priority);
            }
        }
        assert_eq!(
            Priority {
                urgency: 200,
                incremental: false
            }
            .encode(),
            "u=7"
        );
    }

    proptest! {
        // Row A20.
        #[test]
        fn random_values_stay_in_range(value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..30),
            r#"[ui=?0-9,; ()"a.]{0,30}"#.prop_map(String::into_bytes),
        ]) {
            prop_assert!(Priority::parse(&value).urgency <= MAX_URGENCY);
        }
    }
}
