//! Application protocols: offered by the client, selected by the server.

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation;
use aqueduct_core::id::{SessionKey, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, headers};
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, SessionClose, SessionEvent,
};
use aqueduct_tests::wt::{capsules, connect_with, limits, settings_15, speaking, the_end, there};
use aqueduct_tests::{bidi, fields};

fn offering(protocols: &[&str], required: bool) -> ConnectRequest {
    let mut request = there();
    request.protocols = protocols.iter().map(|p| (*p).to_owned()).collect();
    request.protocol_required = required;
    request
}

fn selecting(protocol: &str) -> ConnectAnswer {
    ConnectAnswer::new().protocol(protocol)
}

/// A pair whose client has offered two protocols, and the server's key.
fn offered(pair: &mut LoopbackPair) -> SessionKey {
    pair.client()
        .open_session(&offering(&["moq-00", "a \"b\" \\"], false))
        .expect("asks");
    let (key, request) = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(r)) => (key, r)
    );
    assert_eq!(request.protocols, ["moq-00", "a \"b\" \\"]);
    key
}

/// Row B30: offered in order, selected, and told to both.
#[test]
fn offered_and_selected() {
    for protocol in ["moq-00", "a \"b\" \\"] {
        let mut pair = LoopbackPair::connected(Knobs::default());
        let key = offered(&mut pair);
        pair.server()
            .webtransport(key)
            .accept(&selecting(protocol))
            .expect("accepts");
        let answer = expect_event!(
            pair, Side::Client, Event::WebTransport(_, SessionEvent::Established(answer)) => answer
        );
        assert_eq!(answer.protocol.as_deref(), Some(protocol));
    }
}

/// Row B30: a server of ours selects only what was offered, and may select none.
#[test]
fn not_offered_by_the_client() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let key = offered(&mut pair);
    let wrong = pair.server().webtransport(key).accept(&selecting("moq-01"));
    assert_eq!(wrong, Err(AcceptError::ProtocolNotOffered));
    let none = ConnectAnswer::default();
    pair.server()
        .webtransport(key)
        .accept(&none)
        .expect("nothing was sent before");
    let answer = expect_event!(
        pair, Side::Client, Event::WebTransport(_, SessionEvent::Established(answer)) => answer
    );
    assert_eq!(answer.protocol, None);
}

/// Row B30: what arrives as an offer, as the fields stand.
#[test]
fn offers_on_the_wire() {
    let name = "wt-available-protocols";
    let cases: &[(&[&str], &[&str])] = &[
        (&["\"a\", \"b\""], &["a", "b"]),
        (&["\"a\"", "\"b\""], &["a", "b"]),
        (&["\"a\";q=1, \"b\";x"], &["a", "b"]),
        (&["\"\""], &[""]),
        // Anything that is no string voids the field, and so does what is no list.
        (&["\"a\", 7"], &[]),
        (&["(\"a\")"], &[]),
        (&["\"a"], &[]),
        (&[""], &[]),
    ];
    for (lines, expected) in cases {
        let mut peer = RawPeer::greeted(
            Side::Server,
            speaking(Dialects::SET_A, None),
            raw::WEBTRANSPORT,
        );
        let more: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
        peer.request(&connect_with("webtransport", &more));
        let request = expect_event!(
            peer, Side::Server, Event::WebTransport(_, SessionEvent::Requested(request)) => request
        );
        assert_eq!(request.protocols, *expected, "{lines:?}");
    }
}

/// A server of drafts 02 and 07, or one of draft 15.
fn settings(strict: bool) -> Vec<(u64, u64)> {
    if strict {
        settings_15(limits(9, 9, 9))
    } else {
        raw::WEBTRANSPORT.to_vec()
    }
}

/// What becomes of a session of ours when the server answers with a selection.
fn answered(strict: bool, required: bool, selection: &[&str]) -> (RawPeer, SessionKey) {
    let both = Dialects::ALL;
    let config = speaking(both, Some(limits(9, 9, 9)));
    let mut peer = RawPeer::greeted(Side::Client, config, &settings(strict));
    let key = peer
        .access()
        .open_session(&offering(&["a", "b"], required))
        .expect("asks");
    peer.drive();
    let sent = fields(&peer.seen(bidi(0)).bytes, 0);
    assert!(
        sent.contains("wt-available-protocols: \"a\", \"b\""),
        "{sent}"
    );
    let mut lines = vec![(":status", "200")];
    lines.extend(selection.iter().map(|line| ("wt-protocol", *line)));
    peer.write(bidi(0), &headers(&lines));
    (peer, key)
}

/// Row B30: a selection that was offered, in every dialect.
#[test]
fn a_right_selection() {
    for strict in [false, true] {
        for (required, selection) in [(false, "\"b\""), (true, "\"b\";x=1")] {
            let (mut peer, _) = answered(strict, required, &[selection]);
            let answer = expect_event!(
                peer, Side::Client, Event::WebTransport(_, SessionEvent::Established(a)) => a
            );
            assert_eq!(answer.protocol.as_deref(), Some("b"));
        }
    }
}

/// Row B30: a selection that was not offered, or is none: the older drafts take
/// no notice, the newer ones reset the CONNECT stream with WT_ALPN_ERROR; so does every
/// draft when the application cannot do without.
#[test]
fn a_wrong_selection() {
    for lines in [
        &["\"c\""][..],
        &["b"],
        &["\"a\", \"b\""],
        &["7"],
        &[""],
        &["\"a\"", "\"b\""],
        &[],
    ] {
        for (strict, required) in [(false, false), (true, false), (false, true), (true, true)] {
            let what = format!("{lines:?} {strict} {required}");
            let (mut peer, key) = answered(strict, required, lines);
            if required || (strict && !lines.is_empty()) {
                let why = the_end(&peer.events(), key);
                let code = Code::WT_ALPN_ERROR;
                let rule = Violation::ProtocolNotOffered;
                let ours = SessionClose::PeerMisbehaved { code, why: rule };
                assert_eq!(why, ours, "{what}");
                // The code of the stream: that of a capsule is the application's.
                let seen = peer.seen(bidi(0));
                assert_eq!((seen.reset, seen.stop), (Some(code), Some(code)), "{what}");
                assert_eq!(capsules(&peer, bidi(0)), [], "{what}");
            } else {
                let answer = expect_event!(
                    peer, Side::Client, Event::WebTransport(_, SessionEvent::Established(a)) => a
                );
                assert_eq!(answer.protocol, None, "{what}");
                assert!(!answer.headers.contains_key("wt-protocol"), "{what}");
            }
            assert_eq!(peer.closed(), None, "{what}");
        }
    }
}
