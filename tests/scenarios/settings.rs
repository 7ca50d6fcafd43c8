//! The control stream begins with SETTINGS, and what follows from it.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::fault::Violation;
use aqueduct_core::id::Side;
use aqueduct_core::settings::SettingId;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{RawPeer, data, frame, join, settings, varint};
use aqueduct_tests::{announced, assert_closed, config};

/// Rows A3, B1: ours are sent first and without waiting for the peer's.
#[test]
fn ours_come_first_and_unasked() {
    let client = announced(&RawPeer::new(Side::Client, Config::default()));
    let server = announced(&RawPeer::new(Side::Server, Config::default()));
    let value = |pairs: &[(u64, u64)], id| pairs.iter().find(|p| p.0 == id).map(|p| p.1);
    for pairs in [&client, &server] {
        assert_eq!(value(pairs, 0x33), Some(1), "H3_DATAGRAM");
        assert_eq!(
            value(pairs, 0x06),
            Some(64 * 1024),
            "MAX_FIELD_SECTION_SIZE"
        );
        assert_eq!(value(pairs, 0x01), Some(4096), "QPACK_MAX_TABLE_CAPACITY");
        assert_eq!(value(pairs, 0x07), Some(16), "QPACK_BLOCKED_STREAMS");
        assert_eq!(value(pairs, 0x2b60_3742), Some(1), "draft 02");
        assert_eq!(value(pairs, 0xc671_706a), Some(1), "drafts 07 to 12");
        assert!(
            pairs.iter().any(|p| (p.0.wrapping_sub(0x21)) % 0x1f == 0),
            "GREASE: {pairs:?}"
        );
        // Without RESET_STREAM_AT the newer dialects are not offered.
        assert_eq!(value(pairs, 0x2c7c_f000), None);
        assert_eq!(value(pairs, 0x14e9_cd29), None);
        let mut ids: Vec<_> = pairs.iter().map(|p| p.0).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), pairs.len(), "no identifier twice");
    }
    assert_eq!(value(&server, 0x08), Some(1), "ENABLE_CONNECT_PROTOCOL");
}

/// What is switched off is not announced; further settings are.
#[test]
fn ours_follow_the_configuration() {
    let config = config(|c| {
        c.datagrams = false;
        c.connect_protocol = false;
        c.webtransport.enabled = false;
        c.grease = false;
        c.extra_settings = vec![(0x4242, 7), (0x06, 1)];
    });
    let mut pairs = announced(&RawPeer::new(Side::Server, config));
    pairs.retain(|(_, value)| *value != 0);
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        [(0x01, 4096), (0x06, 65_536), (0x07, 16), (0x4242, 7)]
    );
}

/// Row A3: the peer's are told to the application, unknown ones included.
#[test]
fn the_peers_are_told() {
    for side in [Side::Client, Side::Server] {
        let pairs = [(0x06, 1000), (0x21, 5), (0x1234_5678, 9)];
        let mut peer = RawPeer::greeted(side, Config::default(), &pairs);
        let events = peer.events();
        let told = match &events[..] {
            [Event::Connected { .. }, .., Event::Settings(settings)] => settings,
            other => panic!("{other:?}"),
        };
        assert_eq!(told.max_field_section_size(), Some(1000));
        assert_eq!(told.get(SettingId(0x1234_5678)), Some(9));
        assert_eq!(peer.closed(), None);
    }
}

/// Row A3, RFC 9114 sections 6.2.1, 7.2.4 and 7.2.4.1.
#[test]
fn a_wrong_beginning_closes_the_connection() {
    let pair = |id, value| settings(&[(id, value)]);
    let twice = join(&[&settings(&[]), &settings(&[])]);
    let cases: &[(&str, Vec<u8>, Code)] = &[
        ("GOAWAY first", frame(0x07, &[0]), Code::H3_MISSING_SETTINGS),
        ("GREASE first", frame(0x21, b"x"), Code::H3_MISSING_SETTINGS),
        ("DATA first", data(b"x"), Code::H3_MISSING_SETTINGS),
        ("twice", twice, Code::H3_FRAME_UNEXPECTED),
        (
            "an id twice",
            settings(&[(6, 1), (6, 1)]),
            Code::H3_SETTINGS_ERROR,
        ),
        (
            "an unknown id twice",
            settings(&[(0x99, 1), (0x99, 2)]),
            Code::H3_SETTINGS_ERROR,
        ),
        ("HTTP/2 id 0", pair(0, 0), Code::H3_SETTINGS_ERROR),
        ("HTTP/2 id 2", pair(2, 0), Code::H3_SETTINGS_ERROR),
        ("HTTP/2 id 3", pair(3, 100), Code::H3_SETTINGS_ERROR),
        ("HTTP/2 id 4", pair(4, 100), Code::H3_SETTINGS_ERROR),
        ("HTTP/2 id 5", pair(5, 100), Code::H3_SETTINGS_ERROR),
        ("connect protocol 2", pair(0x08, 2), Code::H3_SETTINGS_ERROR),
        ("datagram 2", pair(0x33, 2), Code::H3_SETTINGS_ERROR),
        ("half a pair", frame(0x04, &[0x06]), Code::H3_FRAME_ERROR),
        (
            "half a value",
            frame(0x04, &[0x06, 0x40]),
            Code::H3_FRAME_ERROR,
        ),
    ];
    for side in [Side::Client, Side::Server] {
        for (what, bytes, code) in cases {
            let mut peer = RawPeer::new(side, Config::default());
            peer.control(bytes);
            assert_closed(&mut peer, *code, what);
        }
    }
}

/// Caps `settings` and `control_frame`: exactly at the cap is fine, and the
/// declared length alone decides.
#[test]
fn settings_have_caps() {
    let many = |n: u64| settings(&(0..n).map(|i| (0x1000 + i, 1)).collect::<Vec<_>>());
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&many(64));
    assert_eq!(peer.closed(), None, "{}", peer.story());
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&many(65));
    let why = assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "65 settings");
    assert_eq!(why, Violation::SettingsTooMany);

    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&join(&[&[0x04], &varint(4096)]));
    assert_eq!(peer.closed(), None);
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&join(&[&[0x04], &varint(4097)]));
    assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "a frame of 4,097 bytes");
}

/// Row A13, RFC 9297 section 2.1.1: the setting needs the transport parameter.
#[test]
fn datagrams_need_the_transport_parameter() {
    let none = Knobs {
        datagram_size: None,
        ..Knobs::default()
    };
    let net = Loopback::with_ends(none, Knobs::default());
    let mut peer = RawPeer::over(Side::Server, Config::default(), net);
    peer.control(&settings(&[(0x33, 1)]));
    assert_closed(
        &mut peer,
        Code::H3_SETTINGS_ERROR,
        "H3_DATAGRAM without QUIC datagrams",
    );
}
