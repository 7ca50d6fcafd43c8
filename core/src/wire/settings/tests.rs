use proptest::prelude::*;

use super::*;
use crate::code::Code;
use crate::wire::testing::{code, hex};

fn decode(text: &str) -> Result<Settings, SettingsError> {
    Settings::decode(&hex(text))
}

fn pairs(settings: &Settings) -> Vec<(u64, u64)> {
    settings.iter().map(|(id, value)| (id.0, value)).collect()
}

// Test-vectors 5: the payloads behind the stream type, frame type and length.
#[test]
fn published_payloads_decode_and_encode_again() {
    let vectors: [(&str, &[(u64, u64)]); 4] = [
        (
            "015000071006800100000801330180ffd27701ab60374201c0000000c671706a0194e9cd2901ac7cf00001",
            &[
                (1, 4096),
                (7, 16),
                (6, 65536),
                (8, 1),
                (0x33, 1),
                (0xff_d277, 1),
                (0x2b60_3742, 1),
                (0xc671_706a, 1),
                (0x14e9_cd29, 1),
                (0x2c7c_f000, 1),
            ],
        ),
        (
            "08013301ac7cf000016b61801000006b6440646b654064",
            &[
                (8, 1),
                (0x33, 1),
                (0x2c7c_f000, 1),
                (0x2b61, 1 << 20),
                (0x2b64, 100),
                (0x2b65, 100),
            ],
        ),
        (
            "0180010000 0714 ab60374201 80ffd27701 3301 0801",
            &[
                (1, 65536),
                (7, 20),
                (0x2b60_3742, 1),
                (0xff_d277, 1),
                (0x33, 1),
                (8, 1),
            ],
        ),
        (
            "017fff 074064 3301 c0000000c671706a01 94e9cd2901 6b6180800000 6b644064 6b654064",
            &[
                (1, 16383),
                (7, 100),
                (0x33, 1),
                (0xc671_706a, 1),
                (0x14e9_cd29, 1),
                (0x2b61, 8_388_608),
                (0x2b64, 100),
                (0x2b65, 100),
            ],
        ),
    ];
    for (bytes, want) in vectors {
        let settings = decode(bytes).unwrap();
        assert_eq!(pairs(&settings), want);
        let mut out = Vec::new();
        settings.put(&mut out);
        assert_eq!(out, hex(bytes));
        assert_eq!(out.len(), settings.encoded_len());
    }
}

#[test]
fn defaults_apply_where_nothing_is_declared() {
    let none = Settings::decode(&[]).unwrap();
    assert_eq!(
        (
            none.qpack_max_table_capacity(),
            none.qpack_blocked_streams()
        ),
        (0, 0)
    );
    assert_eq!(none.max_field_section_size(), None);
    assert!(!none.enable_connect_protocol() && !none.h3_datagram());
    let safari = decode("017fff 074064 3301 6b6180800000 6b644064 6b654065").unwrap();
    assert_eq!(safari.qpack_max_table_capacity(), 16383);
    assert_eq!(safari.wt_initial_max_data(), 8_388_608);
    assert_eq!(safari.wt_initial_max_streams_uni(), 100);
    assert_eq!(safari.wt_initial_max_streams_bidi(), 101);
    assert!(safari.h3_datagram());
}

#[test]
fn the_datagram_setting_of_the_rfc_outranks_the_draft() {
    assert!(decode("80ffd27701").unwrap().h3_datagram());
    assert!(!decode("80ffd27701 3300").unwrap().h3_datagram());
    assert!(decode("3301 80ffd27700").unwrap().h3_datagram());
}

// Row A3.
#[test]
fn each_broken_rule_has_its_error_and_code() {
    for id in [0, 2, 3, 4, 5] {
        let error = Settings::decode(&[id, 0]).unwrap_err();
        assert_eq!(error, SettingsError::Forbidden(SettingId(u64::from(id))));
        assert_eq!(code(error), Code::H3_SETTINGS_ERROR);
    }
    for flag in ["08", "33", "80ffd277", "ab603742"] {
        assert!(decode(&format!("{flag}00")).is_ok() && decode(&format!("{flag}01")).is_ok());
        let error = decode(&format!("{flag}02")).unwrap_err();
        assert!(matches!(error, SettingsError::Invalid(_, 2)), "{flag}");
        assert_eq!(code(error), Code::H3_SETTINGS_ERROR);
    }
    assert_eq!(
        decode("0101 0101"),
        Err(SettingsError::Duplicate(SettingId(1)))
    );
    assert_eq!(
        decode("2101 2101"),
        Err(SettingsError::Duplicate(SettingId(0x21)))
    );
    for cut in ["01", "0140", "40", "0101 07"] {
        assert_eq!(decode(cut), Err(SettingsError::Truncated), "{cut}");
    }
    assert_eq!(code(SettingsError::Truncated), Code::H3_FRAME_ERROR);
}

#[test]
fn what_a_peer_would_refuse_cannot_be_declared() {
    let mut settings = Settings::new();
    let one = VarInt::from_u32(1);
    assert!(settings.set(SettingId::H2_ENABLE_PUSH, one).is_err());
    assert!(
        settings
            .set(SettingId::H3_DATAGRAM, VarInt::from_u32(2))
            .is_err()
    );
    assert!(settings.set(SettingId(u64::MAX), one).is_err());
    settings
        .set(SettingId::H3_DATAGRAM, VarInt::from_u32(0))
        .unwrap();
    settings
        .set(SettingId(grease::reserved(3).get()), one)
        .unwrap();
    settings.set(SettingId::H3_DATAGRAM, one).unwrap();
    assert_eq!(pairs(&settings), [(0x33, 1), (0x7e, 1)]);
}

#[test]
fn as_many_can_be_declared_as_are_kept() {
    let mut settings = Settings::new();
    let mut set = |n: usize| settings.set(SettingId(0x1000 + n as u64), VarInt::from_u32(1));
    assert!((0..MAX_ENTRIES).all(|n| set(n).is_ok()));
    assert_eq!(set(MAX_ENTRIES), Err(SettingsError::TooMany));
}

/// RFC 9114 section 7.2.4.2: what was remembered may stay as it is, and grow.
#[test]
fn remembered_limits_stay_or_grow() {
    let with = |id, value| {
        let mut settings = Settings::new();
        settings.set(id, VarInt::from_u32(value)).unwrap();
        settings
    };
    for id in [
        SettingId::MAX_FIELD_SECTION_SIZE,
        SettingId::QPACK_BLOCKED_STREAMS,
    ] {
        let kept = [4, 5, 6].map(|now| with(id, now).keeps(&with(id, 5)));
        assert_eq!(kept, [false, true, true], "{id:?}");
    }
}

// Row A5, row A20: unknown settings are ignored and what is kept is bounded.
#[test]
fn unknown_settings_are_kept_up_to_a_bound_and_pairs_are_counted() {
    let wire = |count: usize| {
        let mut out = Vec::new();
        for n in 0..count as u32 {
            VarInt::from_u32(0x1000 + n).put(&mut out);
            VarInt::from_u32(n).put(&mut out);
        }
        out
    };
    let mut bytes = wire(MAX_ENTRIES - 1);
    bytes.extend(hex("3301"));
    let settings = Settings::decode(&bytes).unwrap();
    assert_eq!(settings.iter().len(), MAX_UNKNOWN + 1);
    assert!(settings.h3_datagram());
    assert_eq!(
        Settings::decode(&wire(MAX_ENTRIES + 1)),
        Err(SettingsError::TooMany)
    );
    assert_eq!(code(SettingsError::TooMany), Code::H3_EXCESSIVE_LOAD);
}

proptest! {
    #[test]
    fn declared_settings_round_trip(
        wanted in prop::collection::btree_map(0x1000..0x4000_u64, 0..=varint::MAX, 0..MAX_UNKNOWN),
        capacity in 0..=varint::MAX,
    ) {
        let mut settings = Settings::new();
        settings.set(SettingId::QPACK_MAX_TABLE_CAPACITY, VarInt::new(capacity).unwrap()).unwrap();
        let unknown = wanted.into_iter().filter(|(id, _)| SettingId(*id).name().is_none());
        for (id, value) in unknown {
            settings.set(SettingId(id), VarInt::new(value).unwrap()).unwrap();
        }
        let mut out = Vec::new();
        settings.put(&mut out);
        prop_assert_eq!(Settings::decode(&out).unwrap(), settings);
    }

    // Row A20.
    #[test]
    fn random_payloads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(settings) = Settings::decode(&bytes) {
            prop_assert!(settings.iter().len() * 2 <= bytes.len());
        }
    }
}
