//! Why an option is not taken.

use thiserror::Error;

use crate::endpoint::error::ConfigError;

/// Why an option is not taken.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum OptionError {
    /// None has this name.
    #[error("there is no option `{0}`")]
    Unknown(String),
    /// The value is of another kind, has another unit, or is out of range.
    #[error("`{name}` takes {takes}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What it takes.
        takes: String,
    },
    /// It cannot be had, or has one value alone, which this is not.
    #[error("`{name}` is not supported: {because}")]
    NotSupported {
        /// The option.
        name: &'static str,
        /// The reason.
        because: &'static str,
    },
    /// It is there, and no value of an option: a call, or a part of another configuration.
    #[error("`{name}` is given elsewhere: {how}")]
    Elsewhere {
        /// The option.
        name: &'static str,
        /// Where, and how.
        how: &'static str,
    },
    /// It has no default and was not set.
    #[error("`{0}` is to be set")]
    Missing(&'static str),
    /// The options do not suit each other or the TLS configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
