//! SETTINGS (RFC 9114 section 7.2.4): what one side declared.

pub use crate::wire::settings::{SettingId, Settings, SettingsError};
