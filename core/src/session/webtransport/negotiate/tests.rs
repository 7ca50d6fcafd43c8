use super::*;
use crate::webtransport;
use crate::webtransport::SessionFlow;
use crate::wire::varint::VarInt;

fn peer(pairs: &[(u64, u64)]) -> Settings {
    let mut settings = Settings::new();
    for (id, value) in pairs {
        let value = VarInt::new(*value).expect("in range");
        settings.set(SettingId(*id), value).expect("valid");
    }
    settings
}

/// A configuration that differs in WebTransport alone.
fn with(webtransport: webtransport::Config) -> Config {
    Config {
        webtransport,
        ..Config::default()
    }
}

fn as_server(dialects: Dialects, pairs: &[(u64, u64)]) -> Result<Negotiated, NegotiationFailure> {
    let config = with(webtransport::Config {
        dialects,
        tolerate_missing_reset_stream_at: true,
        ..Default::default()
    });
    let settings = peer(pairs);
    negotiate(&Facts {
        side: Side::Server,
        config: &config,
        offered: offered(&config, Caps::default()),
        peer: Some(&settings),
        quic_datagrams: true,
        caps: Caps::default(),
    })
}

/// What each client of webtransport.md section 3 sends.
const CHROMIUM: &[(u64, u64)] = &[
    (1, 65_536),
    (6, 16_384),
    (7, 100),
    (0x33, 1),
    (0xff_d277, 1),
    (0x2b60_3742, 1),
];
const FIREFOX: &[(u64, u64)] = &[
    (1, 65_536),
    (7, 20),
    (0x2b60_3742, 1),
    (0xff_d277, 1),
    (0x33, 1),
    (8, 1),
];
const SAFARI: &[(u64, u64)] = &[
    (1, 16_383),
    (7, 100),
    (0x33, 1),
    (0xc671_706a, 1),
    (0x14e9_cd29, 1),
    (0x2b61, 8_388_608),
    (0x2b64, 100),
    (0x2b65, 100),
];
const WEBTRANSPORT_GO: &[(u64, u64)] = &[(0x33, 1), (0x2c7c_f000, 1)];
const WTRANSPORT: &[(u64, u64)] = &[
    (1, 0),
    (7, 0),
    (8, 1),
    (0x2b60_3742, 1),
    (0x33, 1),
    (0xc671_706a, 1),
];
const MOQ: &[(u64, u64)] = &[
    (8, 1),
    (0x33, 1),
    (0xff_d277, 1),
    (0xc671_706a, 16),
    (0x2b60_3743, 16),
    (0x2b60_3742, 1),
];

// Rows B1, B3: each recorded client gets the dialect it speaks.
#[test]
fn recorded_clients_are_understood() {
    for (who, settings, a, b) in [
        (
            "Chromium",
            CHROMIUM,
            Some(Dialect::Draft02),
            Some(Dialect::Draft02),
        ),
        (
            "Firefox",
            FIREFOX,
            Some(Dialect::Draft02),
            Some(Dialect::Draft02),
        ),
        (
            "Safari",
            SAFARI,
            Some(Dialect::Draft07),
            Some(Dialect::Draft13),
        ),
        (
            "webtransport-go",
            WEBTRANSPORT_GO,
            None,
            Some(Dialect::Draft15),
        ),
        (
            "wtransport",
            WTRANSPORT,
            Some(Dialect::Draft07),
            Some(Dialect::Draft02),
        ),
        (
            "moq-dev",
            MOQ,
            Some(Dialect::Draft07),
            Some(Dialect::Draft02),
        ),
        ("draft 09 to 12", &[(0x33, 1)], Some(Dialect::Draft07), None),
    ] {
        let dialect = |set| as_server(set, settings).ok().map(|agreed| agreed.dialect);
        assert_eq!(dialect(Dialects::SET_A), a, "{who} with set A");
        assert_eq!(dialect(Dialects::SET_B), b, "{who} with set B");
    }
}

// Row B21: on only when both said so.
#[test]
fn flow_control_needs_consent_of_both() {
    let on = |dialects, pairs: &[(u64, u64)]| as_server(dialects, pairs).unwrap().flow_control;
    assert!(on(Dialects::SET_B, SAFARI));
    assert!(!on(Dialects::SET_A, SAFARI));
    assert!(!on(Dialects::SET_B, &[(0x33, 1), (0x2c7c_f000, 1)]));
    assert!(on(
        Dialects::SET_B,
        &[(0x33, 1), (0x2c7c_f000, 1), (0x2b64, 1)]
    ));
    assert!(on(Dialects::SET_B, &[(0x33, 1), (0x14e9_cd29, 2)]));
    assert!(!on(Dialects::SET_B, &[(0x33, 1), (0x14e9_cd29, 1)]));
}

#[test]
fn everything_that_is_missing_is_named() {
    let config = Config {
        datagrams: false,
        ..with(webtransport::Config {
            dialects: Dialects::SET_A,
            ..Default::default()
        })
    };
    let settings = peer(&[(0x2c7c_f000, 1)]);
    let mut facts = Facts {
        side: Side::Client,
        config: &config,
        offered: offered(&config, Caps::default()),
        peer: None,
        quic_datagrams: false,
        caps: Caps::default(),
    };
    let missing = |facts: &Facts<'_>| negotiate(facts).unwrap_err().missing;
    assert_eq!(missing(&facts), [(Side::Server, Requirement::Settings)]);
    facts.peer = Some(&settings);
    assert_eq!(
        missing(&facts),
        [
            (Side::Server, Requirement::Dialect),
            (Side::Server, Requirement::ExtendedConnect),
            (Side::Client, Requirement::HttpDatagrams),
            (Side::Server, Requirement::HttpDatagrams),
        ]
    );
}

#[test]
fn a_dialect_the_transport_cannot_carry_is_not_offered() {
    let mut config = with(webtransport::Config {
        dialects: Dialects::SET_C,
        ..Default::default()
    });
    assert_eq!(offered(&config, Caps::default()), Dialects::SET_A);
    assert_eq!(
        offered(&config, Caps::new().reliable_reset(true)),
        Dialects::SET_C
    );
    let settings = peer(&[(0x33, 1), (0x2c7c_f000, 1)]);
    // Row B37: the side that lacks it is named.
    for (theirs, lacking) in [
        (None, Side::Server),
        (Some(true), Side::Server),
        (Some(false), Side::Client),
    ] {
        let caps = Caps::new().peer_reliable_reset(theirs);
        let failure = negotiate(&Facts {
            side: Side::Server,
            config: &config,
            offered: offered(&config, caps),
            peer: Some(&settings),
            quic_datagrams: true,
            caps,
        });
        let missing = failure.unwrap_err().missing;
        assert_eq!(missing, [(lacking, Requirement::ResetStreamAt)]);
    }
    config.webtransport.tolerate_missing_reset_stream_at = true;
    assert_eq!(offered(&config, Caps::default()), Dialects::SET_C);
    config.webtransport.enabled = false;
    assert_eq!(offered(&config, Caps::default()), Dialects::NONE);
}

// Set A sends these two and nothing else of WebTransport.
#[test]
fn the_sets_announce_what_they_say() {
    let config = with(webtransport::Config {
        tolerate_missing_reset_stream_at: true,
        ..Default::default()
    });
    let ids = |set| -> Vec<u64> { settings(&config, set).iter().map(|(id, _)| id.0).collect() };
    assert_eq!(ids(Dialects::SET_A), [0xc671_706a, 0x2b60_3742]);
    assert_eq!(
        ids(Dialects::SET_B),
        [
            0x2c7c_f000,
            0x14e9_cd29,
            0x2b60_3742,
            0x2b61,
            0x2b64,
            0x2b65
        ]
    );
    assert!(
        settings(&config, Dialects::SET_A)
            .iter()
            .all(|(_, value)| *value == 1)
    );
}

// Row B21: what we announce and what we do are the same.
#[test]
fn without_limits_no_flow_control_is_declared() {
    let none = SessionFlow::new(0, 0, 0);
    for session_flow in [None, Some(none)] {
        let config = with(webtransport::Config {
            dialects: Dialects::SET_B,
            tolerate_missing_reset_stream_at: true,
            flow: session_flow,
            ..Default::default()
        });
        let ours = settings(&config, Dialects::SET_B);
        assert!(ours.contains(&(SettingId::WT_MAX_SESSIONS, 1)), "{ours:?}");
        let limits = ours
            .iter()
            .filter(|(id, _)| (0x2b61..=0x2b65).contains(&id.0));
        assert_eq!(limits.count(), 0);
        let theirs = peer(&[(0x33, 1), (0x14e9_cd29, 16), (0x2b61, 9)]);
        let agreed = negotiate(&Facts {
            side: Side::Server,
            config: &config,
            offered: Dialects::SET_B,
            peer: Some(&theirs),
            quic_datagrams: true,
            caps: Caps::default(),
        });
        assert_eq!(agreed.map(|agreed| agreed.flow_control), Ok(false));
    }
}
