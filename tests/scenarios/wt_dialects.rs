//! Which draft is spoken with whom.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::RequestError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer, headers};
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, OpenSessionError, SessionEvent};
use aqueduct_tests::{assert_closed, bidi, config, fields, wt};

fn there() -> ConnectRequest {
    ConnectRequest::new("https://example.com/wt".parse().expect("an address"))
}

fn client(pairs: &[(u64, u64)]) -> RawPeer {
    RawPeer::greeted(Side::Client, Config::default(), pairs)
}

/// Row B2: what is missing is named, and nothing is sent.
#[test]
fn a_client_waits_and_looks() {
    let cases: &[(&[(u64, u64)], OpenSessionError)] = &[
        (
            &[(0x33, 1), (0xc671_706a, 1)],
            RequestError::ConnectProtocolNotEnabled.into(),
        ),
        (
            &[(0x08, 1), (0x33, 1)],
            OpenSessionError::WebTransportNotEnabled,
        ),
        (
            &[(0x08, 1), (0xc671_706a, 1)],
            OpenSessionError::DatagramsNotEnabled,
        ),
        (
            &[(0x08, 1), (0x33, 1), (0xc671_706a, 0)],
            OpenSessionError::WebTransportNotEnabled,
        ),
        // By default nothing newer than draft 12 is spoken.
        (
            &[(0x08, 1), (0x33, 1), (0x2c7c_f000, 1)],
            OpenSessionError::NoCommonDialect,
        ),
        (
            &[(0x08, 1), (0x33, 1), (0x14e9_cd29, 1)],
            OpenSessionError::NoCommonDialect,
        ),
    ];
    let mut peer = RawPeer::new(Side::Client, Config::default());
    assert_eq!(
        peer.access().open_session(&there()),
        Err(RequestError::SettingsNotReceived.into())
    );
    for (pairs, error) in cases {
        let mut peer = client(pairs);
        assert_eq!(peer.access().may_open_session(), Err(*error), "{pairs:x?}");
        assert_eq!(
            peer.access().open_session(&there()),
            Err(*error),
            "{pairs:x?}"
        );
        peer.drive();
        assert!(peer.seen(bidi(0)).bytes.is_empty());
    }
    let off = config(|c| c.webtransport.enabled = false);
    let mut peer = RawPeer::greeted(Side::Client, off, raw::WEBTRANSPORT);
    assert_eq!(
        peer.access().open_session(&there()),
        Err(OpenSessionError::WebTransportDisabled)
    );
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    assert_eq!(
        peer.access().open_session(&there()),
        Err(RequestError::WrongSide.into())
    );
}

/// Row B3: the request fits the newest dialect that both speak.
#[test]
fn the_request_fits_the_server() {
    let cases: &[(&[(u64, u64)], bool)] = &[
        (&[(0x08, 1), (0x33, 1), (0xc671_706a, 1)], false),
        (&[(0x08, 1), (0x33, 1), (0x2b60_3742, 1)], true),
    ];
    for (pairs, draft02) in cases {
        let mut peer = client(pairs);
        let mut request = there();
        request
            .headers
            .insert("origin", "https://example.com".parse().expect("a value"));
        let session = peer.access().open_session(&request).expect("asks");
        assert_eq!(session.id(), bidi(0));
        peer.drive();
        let sent = fields(&peer.seen(bidi(0)).bytes, 0);
        for line in [
            ":method: CONNECT",
            ":protocol: webtransport",
            ":scheme: https",
            ":authority: example.com",
            ":path: /wt",
            "origin: https://example.com",
        ] {
            assert!(sent.lines().any(|l| l == line), "{line} in {sent}");
        }
        if *draft02 {
            assert!(sent.contains("sec-webtransport-http3-draft02: 1"), "{sent}");
        }
        assert!(!peer.seen(bidi(0)).fin, "the stream stays open");
        peer.write(bidi(0), &raw::status(200));
        expect_event!(peer, Side::Client, Event::WebTransport(_, SessionEvent::Established(_)) => ());
    }
}

/// Row B3: every deployed client is let in, and gets the answer it looks for.
#[test]
fn the_server_takes_all_of_them() {
    let chromium: &[(u64, u64)] = &[
        (0x01, 65_536),
        (0x06, 16_384),
        (0x07, 100),
        (0x33, 1),
        (0xffd277, 1),
        (0x2b60_3742, 1),
    ];
    let firefox: &[(u64, u64)] = &[
        (0x01, 65_536),
        (0x07, 20),
        (0x2b60_3742, 1),
        (0xffd277, 1),
        (0x33, 1),
        (0x08, 1),
    ];
    let safari: &[(u64, u64)] = &[
        (0x01, 16_383),
        (0x07, 100),
        (0x33, 1),
        (0xc671_706a, 1),
        (0x14e9_cd29, 1),
        (0x2b61, 8_388_608),
        (0x2b64, 100),
        (0x2b65, 100),
    ];
    for (pairs, draft02) in [(chromium, true), (firefox, true), (safari, false)] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), pairs);
        let mut lines = vec![
            (":method", "CONNECT"),
            (":protocol", "webtransport"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/wt"),
            ("origin", "https://example.com"),
        ];
        if draft02 {
            lines.push(("sec-webtransport-http3-draft02", "1"));
        }
        let id = peer.request(&headers(&lines));
        let (session, request) = expect_event!(
            peer, Side::Server,
            Event::WebTransport(key, SessionEvent::Requested(request)) => (key, request)
        );
        assert_eq!(request.origin(), Some("https://example.com"));
        peer.access()
            .webtransport(session)
            .accept(&ConnectAnswer::default())
            .expect("accepts");
        peer.drive();
        let sent = aqueduct_tests::frames(&peer.seen(id).bytes);
        assert_eq!(
            sent.first().map(|(ty, _)| *ty),
            Some(1),
            "the answer comes first"
        );
        assert_eq!(peer.closed(), None);
        // Who waits for credit gets it, each capsule in a DATA frame of its own.
        let capsules = sent.iter().filter(|(ty, _)| *ty == 0);
        let capsules: Vec<_> = capsules
            .map(|(_, data)| aqueduct_tests::frames(data))
            .collect();
        assert!(
            capsules.iter().all(|frame| frame.len() == 1),
            "{capsules:x?}"
        );
        let mut types: Vec<_> = capsules.iter().flatten().map(|(ty, _)| *ty).collect();
        types.sort_unstable();
        let credit = [0x190b_4d3d, 0x190b_4d3f, 0x190b_4d40];
        assert_eq!(types, if pairs == safari { &credit[..] } else { &[] });
    }
}

/// A value that the oldest dialect forbids.
#[test]
fn a_setting_out_of_range() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&raw::settings(&[(0x2b60_3742, 2)]));
    assert_closed(
        &mut peer,
        Code::H3_SETTINGS_ERROR,
        "ENABLE_WEBTRANSPORT is 0 or 1",
    );
}

/// Row B3: the echo for draft 02, whatever was negotiated.
#[test]
fn draft_02_is_echoed() {
    let mut pair = aqueduct_core::testing::loopback_pair::LoopbackPair::connected(
        aqueduct_core::testing::loopback::Knobs::default(),
    );
    let mut request = there();
    request.headers.insert(
        "sec-webtransport-http3-draft02",
        "1".parse().expect("a value"),
    );
    pair.client().open_session(&request).expect("asks");
    let session = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    pair.server()
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    let answer = expect_event!(
        pair, Side::Client, Event::WebTransport(_, SessionEvent::Established(answer)) => answer
    );
    let echo = answer
        .headers
        .get("sec-webtransport-http3-draft")
        .map(|v| v.as_bytes().to_vec());
    assert_eq!(echo.as_deref(), Some(&b"draft02"[..]));
}

/// Row B3: token and version field fit the dialect of the connection, or it is 400.
#[test]
fn mixed_signals() {
    const OLD: &str = "webtransport";
    const NEW: &str = "webtransport-h3";
    let base = [(0x08, 1), (0x33, 1)];
    let all = [
        &base[..],
        &[(0x2b60_3742, 1), (0xc671_706a, 1), (0x2c7c_f000, 1)],
    ]
    .concat();
    let [old, new, silent] = [
        raw::WEBTRANSPORT.to_vec(),
        [&base[..], &[(0x2c7c_f000, 1)]].concat(),
        base.to_vec(),
    ];
    for (settings, token, version, asked) in [
        (&old, OLD, false, true),
        (&old, OLD, true, true),
        (&old, NEW, false, false),
        (&old, NEW, true, false),
        (&new, NEW, false, true),
        (&new, NEW, true, false),
        (&new, OLD, false, false),
        (&new, OLD, true, false),
        // Of what both announce, the newest that the first request fits: picoquic's client
        // announces all and asks as the older ones do.
        (&all, NEW, false, true),
        (&all, NEW, true, false),
        (&all, OLD, false, true),
        (&all, OLD, true, true),
        // Drafts 09 to 12 announce nothing.
        (&silent, OLD, false, true),
        (&silent, NEW, false, false),
    ] {
        let server = wt::speaking(Dialects::SET_C, None);
        let mut peer = RawPeer::greeted(Side::Server, server, settings);
        let version = [("sec-webtransport-http3-draft02", "1")].repeat(version.into());
        let id = peer.request(&wt::connect_with(token, &version));
        let what = format!("{token} {version:?} with {settings:x?}");
        let told = peer.events();
        let told = told
            .iter()
            .any(|e| matches!(e, Event::WebTransport(_, SessionEvent::Requested(_))));
        assert_eq!(told, asked, "{what}");
        if !asked {
            let seen = peer.seen(id);
            assert!(fields(&seen.bytes, 0).starts_with(":status: 400"), "{what}");
            assert_eq!((seen.fin, seen.stop), (true, Some(Code::H3_NO_ERROR)));
        }
    }
}

/// The defaults of a client: of what a server announces, the newest is spoken. The second
/// is what webtransport-go announces.
#[test]
fn a_client_speaks_the_newest() {
    for (announced, token) in [
        (&[0x2b60_3742][..], "webtransport"),
        (&[0x2b60_3742, 0x14e9_cd29, 0x2c7c_f000], "webtransport-h3"),
        (&[0x2b60_3742, 0x14e9_cd29], "webtransport"),
        (&[0x2b60_3742, 0xc671_706a], "webtransport"),
    ] {
        let mut pairs = vec![(0x08, 1), (0x33, 1)];
        pairs.extend(announced.iter().map(|id| (*id, 1)));
        let mut peer = RawPeer::greeted(Side::Client, Config::client(), &pairs);
        let negotiated = peer.access().negotiated().expect("both speak one");
        let newest = announced.last().expect("one");
        assert_eq!(negotiated.dialect.rules().setting.0, *newest);
        let session = peer.access().open_session(&there()).expect("asks");
        peer.drive();
        let sent = fields(&peer.seen(session.id()).bytes, 0);
        assert!(sent.contains(&format!(":protocol: {token}\n")), "{sent}");
    }
}

/// The client's SETTINGS come before any session is looked at.
#[test]
fn a_server_waits_for_the_settings() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.request(&raw::connect());
    let told = peer.events();
    assert!(
        told.iter().all(|e| !matches!(e, Event::WebTransport(..))),
        "{told:?}"
    );
    peer.control(&raw::settings(raw::WEBTRANSPORT));
    expect_event!(peer, Side::Server, Event::WebTransport(_, SessionEvent::Requested(_)) => ());
}
