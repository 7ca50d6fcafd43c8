//! SETTINGS payloads: what is accepted can be sent and means the same.

use aqueduct_core::wire::settings::{MAX_ENTRIES, Settings};

/// Reads the input as the payload of a SETTINGS frame.
pub fn target(data: &[u8]) {
    let Ok(settings) = Settings::decode(data) else {
        return;
    };
    assert!(settings.iter().len() <= MAX_ENTRIES);
    let mut ids: Vec<_> = settings.iter().map(|(id, _)| id.0).collect();
    ids.sort_unstable();
    assert!(
        ids.windows(2).all(|pair| pair[0] < pair[1]),
        "a setting twice"
    );
    let mut wire = Vec::new();
    settings.put(&mut wire);
    assert_eq!(wire.len(), settings.encoded_len());
    assert_eq!(Settings::decode(&wire).as_ref(), Ok(&settings));
    let flags = [settings.enable_connect_protocol(), settings.h3_datagram()];
    assert!(flags.iter().all(|flag| !flag) || !ids.is_empty());
}
