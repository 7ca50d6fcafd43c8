//! What stands between a connection and a session is named, whoever lacks it.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, settings};
use aqueduct_core::webtransport::dialect::{Dialects, Requirement};
use aqueduct_tests::wt::{connect_with, limits, settings_15, speaking, there};
use aqueduct_tests::{assert_closed, assert_refused, config};

use Requirement::{
    Dialect, ExtendedConnect, HttpDatagrams, QuicDatagrams, ResetStreamAt, Settings,
};
use Side::{Client, Server};

/// What a connection of ours says about a peer with these settings.
fn missing(ours: Side, config: Config, pairs: &[(u64, u64)]) -> Vec<(Side, Requirement)> {
    let mut peer = RawPeer::greeted(ours, config, pairs);
    let negotiated = peer.access().negotiated();
    negotiated.map_or_else(|failure| failure.missing, |_| Vec::new())
}

/// Row B2: each requirement, missing alone, on the peer's side.
#[test]
fn what_the_peer_lacks() {
    let any = Config::default;
    let new = || {
        speaking(
            Dialects::NONE.with(aqueduct_core::webtransport::dialect::Dialect::Draft15),
            None,
        )
    };
    let without = |lost: u64| -> Vec<(u64, u64)> {
        let all = [(0x08, 1), (0x33, 1), (0xc671_706a, 1)];
        all.into_iter().filter(|(id, _)| *id != lost).collect()
    };
    assert_eq!(missing(Client, any(), &without(0)), []);
    assert_eq!(
        missing(Client, any(), &without(0x08)),
        [(Server, ExtendedConnect)]
    );
    assert_eq!(
        missing(Client, any(), &without(0x33)),
        [(Server, HttpDatagrams)]
    );
    assert_eq!(
        missing(Client, any(), &without(0xc671_706a)),
        [(Server, Dialect)]
    );
    // A client need not take extended CONNECT, and may ask without a setting.
    assert_eq!(missing(Server, any(), &without(0x08)), []);
    assert_eq!(
        missing(Server, any(), &without(0x33)),
        [(Client, HttpDatagrams)]
    );
    assert_eq!(missing(Server, any(), &without(0xc671_706a)), []);
    assert_eq!(missing(Server, new(), &without(0)), [(Client, Dialect)]);
    // Draft 02 implies extended CONNECT.
    assert_eq!(missing(Client, any(), &[(0x33, 1), (0x2b60_3742, 1)]), []);
    for side in [Client, Server] {
        let mut peer = RawPeer::new(side, any());
        let failure = peer.access().negotiated().expect_err("too early");
        assert_eq!(failure.missing, [(side.peer(), Settings)]);
    }
}

/// Row B2: each requirement, missing alone, on our side.
#[test]
fn what_we_lack() {
    let off = config(|c| c.webtransport.enabled = false);
    let no_connect = config(|c| c.connect_protocol = false);
    let no_datagrams = config(|c| c.datagrams = false);
    let strict = config(|c| c.webtransport.dialects = Dialects::SET_C);
    let all = raw::WEBTRANSPORT;
    for side in [Client, Server] {
        assert_eq!(missing(side, off.clone(), all), [(side, Dialect)]);
        assert_eq!(
            missing(side, no_datagrams.clone(), all),
            [(side, HttpDatagrams)]
        );
        let newest = settings_15(limits(1, 1, 1));
        assert_eq!(
            missing(side, strict.clone(), &newest),
            [(side, ResetStreamAt)]
        );
    }
    assert_eq!(
        missing(Server, no_connect, all),
        [(Server, ExtendedConnect)]
    );
}

/// Row B2: a peer whose QUIC takes no datagrams.
#[test]
fn datagrams_of_the_transport() {
    let none = Knobs {
        datagram_size: None,
        ..Knobs::default()
    };
    let net = Loopback::with_ends(Knobs::default(), none);
    let mut peer = RawPeer::over(Client, Config::default(), net);
    peer.control(&settings(&[(0x08, 1), (0xc671_706a, 1)]));
    let failure = peer.access().negotiated().expect_err("no datagrams");
    let lacks = [HttpDatagrams, QuicDatagrams].map(|what| (Server, what));
    assert_eq!(failure.missing, lacks);
    assert!(peer.access().open_session(&there()).is_err());
    // Every requirement reads as a sentence.
    let text = failure.to_string();
    assert!(
        text.starts_with("the server lacks HTTP datagrams"),
        "{text}"
    );
    assert!(text.contains("; the server lacks QUIC datagrams"), "{text}");
}

/// A server refuses as malformed what a requirement rules out.
#[test]
fn a_request_without_the_requirements() {
    let new = speaking(Dialects::SET_B, Some(limits(9, 9, 9)));
    let lacking: &[&[(u64, u64)]] = &[&[(0x2c7c_f000, 1)], &[(0x33, 1)], &[]];
    for pairs in lacking {
        let mut peer = RawPeer::greeted(Server, new.clone(), pairs);
        let id = peer.request(&connect_with("webtransport-h3", &[]));
        assert_refused(
            &peer,
            id,
            Code::H3_MESSAGE_ERROR,
            "a requirement is missing",
        );
        assert!(
            peer.events()
                .iter()
                .all(|event| { !matches!(event, aqueduct_core::event::Event::WebTransport(..)) })
        );
    }
}

/// Draft 16: a server that sends WT_ENABLED above 1 is wrong; a client may, as
/// in draft 15, and to who does not speak the draft the setting means nothing.
#[test]
fn enabled_is_one() {
    let two = &[(0x08, 1), (0x33, 1), (0xc671_706a, 1), (0x2c7c_f000, 2)];
    let new = speaking(Dialects::SET_C, None);
    let mut peer = RawPeer::greeted(Client, new.clone(), two);
    assert_closed(&mut peer, Code::H3_SETTINGS_ERROR, "WT_ENABLED is 2");
    assert_eq!(missing(Server, new, two), []);
    assert_eq!(missing(Client, Config::default(), two), []);
}
