//! Which drafts of WebTransport a server announces.

use aqueduct_tokio::protocol::settings::{SettingId, Settings};

macro_rules! dialects {
    ($($id:ident: $drafts:literal, $ours:literal;)*) => {
        const DIALECTS: &[Dialect] =
            &[$(Dialect { id: SettingId::$id, drafts: $drafts, ours: $ours }),*];
    };
}

/// One way to announce WebTransport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dialect {
    id: SettingId,
    /// The drafts of draft-ietf-webtrans-http3 that use it.
    pub(super) drafts: &'static str,
    /// Whether this program opens sessions on the strength of it.
    pub(super) ours: bool,
}

dialects! {
    ENABLE_WEBTRANSPORT: "02-05", true;
    WEBTRANSPORT_MAX_SESSIONS: "07-12", true;
    WT_MAX_SESSIONS: "13-14", true;
    WT_ENABLED: "15-16", true;
}

/// The dialects that `settings` announce, oldest first.
pub(super) fn announced(settings: &Settings) -> impl Iterator<Item = Dialect> + '_ {
    DIALECTS
        .iter()
        .copied()
        .filter(|dialect| settings.get(dialect.id).is_some_and(|value| value > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_zero_announces_nothing() {
        // ENABLE_WEBTRANSPORT = 0, WEBTRANSPORT_MAX_SESSIONS = 1, WT_ENABLED = 1
        let wire = [
            0xab, 0x60, 0x37, 0x42, 0x00, 0xc0, 0x00, 0x00, 0x00, 0xc6, 0x71, 0x70, 0x6a, 0x01,
            0xac, 0x7c, 0xf0, 0x00, 0x01,
        ];
        let settings = Settings::decode(&wire).expect("well formed");
        let drafts: Vec<_> = announced(&settings).map(|dialect| dialect.drafts).collect();
        assert_eq!(drafts, ["07-12", "15-16"]);
    }
}
