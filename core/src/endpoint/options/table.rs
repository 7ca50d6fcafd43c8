//! The table of options, as data.

use std::fmt;

use super::value::{Unit, Value};
use super::{OptionError, Options};

pub use super::sections::sections;

/// Options that belong together.
#[derive(Debug)]
#[non_exhaustive]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The options.
    pub entries: &'static [Entry],
}

/// One option.
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// What it becomes, where it is given, or why there is none: Markdown.
    pub says: &'static str,
    pub(super) rule: Rule,
}

/// What an option takes, and what that does.
pub(super) enum Rule {
    Flag(fn(&mut Options, bool)),
    /// From, to, and what else.
    Number(Unit, u64, u64, fn(&mut Options, u64)),
    Word(&'static [&'static str], fn(&mut Options, usize)),
    /// Names of ALPN.
    Names(fn(&mut Options, Vec<Vec<u8>>)),
    /// It has one value alone.
    Always(bool),
    Elsewhere,
    Refused,
}

/// All options, in the order of the table.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    sections().iter().flat_map(|section| section.entries)
}

impl Entry {
    /// Whether [`Options::set`] takes it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        !matches!(self.rule, Rule::Elsewhere | Rule::Refused)
    }

    /// Whether it is refused, whatever its value.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.rule, Rule::Refused)
    }

    /// What it takes, with units and ranges; `None` where it is not taken.
    #[must_use]
    pub fn takes(&self) -> Option<String> {
        Some(match &self.rule {
            Rule::Flag(_) => "yes or no".into(),
            Rule::Number(unit, from, to, _) => {
                format!("{} to {}{}", Power(*from), Power(*to), unit.shown())
            }
            Rule::Word(words, _) => words.join(", "),
            Rule::Names(_) => "names of 1 to 255 bytes, with commas between, not `h3`".into(),
            Rule::Always(true) => "yes".into(),
            Rule::Always(false) => "no".into(),
            Rule::Elsewhere | Rule::Refused => return None,
        })
    }

    pub(super) fn set(&self, options: &mut Options, value: Value<'_>) -> Result<(), OptionError> {
        let name = self.name;
        let done = match &self.rule {
            Rule::Flag(set) => value.flag().map(|flag| set(options, flag)),
            Rule::Number(unit, from, to, set) => value
                .number(*unit)
                .filter(|number| (from..=to).contains(&number))
                .map(|number| set(options, number)),
            Rule::Word(words, set) => value
                .text()
                .and_then(|text| words.iter().position(|word| *word == text))
                .map(|word| set(options, word)),
            Rule::Names(set) => value
                .text()
                .and_then(names)
                .map(|names| set(options, names)),
            Rule::Always(so) => match value.flag() {
                Some(flag) if flag != *so => {
                    let because = self.says;
                    return Err(OptionError::NotSupported { name, because });
                }
                flag => flag.map(drop),
            },
            Rule::Elsewhere => {
                let how = self.says;
                return Err(OptionError::Elsewhere { name, how });
            }
            Rule::Refused => {
                let because = self.says;
                return Err(OptionError::NotSupported { name, because });
            }
        };
        done.ok_or_else(|| OptionError::OutOfRange {
            name,
            takes: self.takes().unwrap_or_default(),
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("takes", &self.takes())
            .field("says", &self.says)
            .finish()
    }
}

/// Names of ALPN, with commas between.
fn names(text: &str) -> Option<Vec<Vec<u8>>> {
    let names: Vec<Vec<u8>> = text
        .split(',')
        .map(|name| name.trim().as_bytes().to_vec())
        .collect();
    //= https://www.rfc-editor.org/rfc/rfc7301#section-3.1
    // A name has 1 to 255 bytes.
    let fits =
        |name: &Vec<u8>| (1..=255).contains(&name.len()) && name != crate::endpoint::tls::ALPN;
    names.iter().all(fits).then_some(names)
}

/// A number; one of the large powers of two, or what is just below, as people write it.
struct Power(u64);

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let large = |number: u64| number.is_power_of_two() && number >= 1 << 20;
        if large(self.0) {
            return write!(f, "2^{}", self.0.trailing_zeros());
        }
        match self.0.checked_add(1).filter(|above| large(*above)) {
            Some(above) => write!(f, "2^{} - 1", above.trailing_zeros()),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The page of the module and the data are the same table.
    #[test]
    fn the_page_shows_this_table() {
        let mut page = String::new();
        for section in sections() {
            writeln!(page, "# {}\n", section.title).expect("text");
            page.push_str("| option | takes | what becomes of it |\n|---|---|---|\n");
            for entry in section.entries {
                let takes = match entry.takes() {
                    Some(takes) => takes,
                    None if entry.is_refused() => "**refused**".into(),
                    None => "*elsewhere*".into(),
                };
                writeln!(page, "| `{}` | {takes} | {} |", entry.name, entry.says).expect("text");
            }
            page.push('\n');
        }
        let shown = include_str!("table.md");
        assert_eq!(shown, page, "make table.md of this:\n{page}");
    }

    #[test]
    fn no_name_is_there_twice_and_none_goes_without_a_word() {
        let mut names: Vec<_> = entries().map(|entry| entry.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(entries().all(|entry| entry.says.len() > 10));
    }
}
