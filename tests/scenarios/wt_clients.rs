//! Every client whose SETTINGS have been recorded, let in by our server.

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::raw::{RawPeer, frame, settings, varint};
use aqueduct_core::webtransport::dialect::{Dialect, Dialects, Requirement};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::wt::{
    CLOSE_SESSION, MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, capsules, connect_with, limits,
    numbers, open_raw, opened_raw, read_raw, speaking, the_end,
};
use aqueduct_tests::{assert_refused, fields_on};

use Dialect::{Draft02, Draft07, Draft13, Draft15};

/// What a client sends, and what it gets from the sets A, B and C. All dialects are what
/// one with RESET_STREAM_AT is offered by default, and the first of A to C's is spoken.
struct Client {
    name: &'static str,
    settings: &'static [(u64, u64)],
    token: &'static str,
    fields: &'static [(&'static str, &'static str)],
    dialects: [Option<Dialect>; 3],
    /// With set B, which alone offers it.
    flow_control: bool,
}

const BROWSER: &[(&str, &str)] = &[
    ("sec-webtransport-http3-draft02", "1"),
    ("origin", "https://example.com"),
];

/// As recorded in 2026 (webtransport.md section 3).
const CLIENTS: &[Client] = &[
    Client {
        name: "Chromium",
        settings: &[
            (0x01, 65_536),
            (0x06, 16_384),
            (0x07, 100),
            (0x33, 1),
            (0xff_d277, 1),
            (0x2b60_3742, 1),
        ],
        token: "webtransport",
        fields: BROWSER,
        dialects: [Some(Draft02), Some(Draft02), Some(Draft02)],
        flow_control: false,
    },
    Client {
        name: "Chromium with draft 07",
        settings: &[
            (0x01, 65_536),
            (0x06, 16_384),
            (0x07, 100),
            (0x33, 1),
            (0xff_d277, 1),
            (0x2b60_3742, 1),
            (0xc671_706a, 16),
        ],
        token: "webtransport",
        fields: BROWSER,
        dialects: [Some(Draft07), Some(Draft02), Some(Draft07)],
        flow_control: false,
    },
    Client {
        name: "Firefox 152",
        settings: &[
            (0x01, 65_536),
            (0x07, 20),
            (0x2b60_3742, 1),
            (0xff_d277, 1),
            (0x33, 1),
            (0x08, 1),
        ],
        token: "webtransport",
        fields: BROWSER,
        dialects: [Some(Draft02), Some(Draft02), Some(Draft02)],
        flow_control: false,
    },
    Client {
        name: "Safari 26.4",
        settings: &[
            (0x01, 16_383),
            (0x07, 100),
            (0x33, 1),
            (0xc671_706a, 1),
            (0x14e9_cd29, 1),
            (0x2b61, 8_388_608),
            (0x2b64, 100),
            (0x2b65, 100),
        ],
        token: "webtransport",
        fields: &[
            ("origin", "https://example.com"),
            ("wt-available-protocols", ""),
        ],
        dialects: [Some(Draft07), Some(Draft13), Some(Draft07)],
        flow_control: true,
    },
    Client {
        name: "webtransport-go 0.12",
        settings: &[(0x33, 1), (0x2c7c_f000, 1)],
        token: "webtransport-h3",
        fields: &[],
        dialects: [None, Some(Draft15), Some(Draft15)],
        flow_control: false,
    },
    Client {
        name: "webtransport-go 0.12 with limits",
        settings: &[
            (0x33, 1),
            (0x2c7c_f000, 1),
            (0x2b61, 1 << 20),
            (0x2b64, 100),
            (0x2b65, 100),
        ],
        token: "webtransport-h3",
        fields: &[],
        dialects: [None, Some(Draft15), Some(Draft15)],
        flow_control: true,
    },
    Client {
        name: "wtransport 0.7.1",
        settings: &[
            (0x01, 0),
            (0x07, 0),
            (0x08, 1),
            (0x2b60_3742, 1),
            (0x33, 1),
            (0xc671_706a, 1),
        ],
        token: "webtransport",
        fields: &[],
        dialects: [Some(Draft07), Some(Draft02), Some(Draft07)],
        flow_control: false,
    },
    Client {
        name: "moq-dev/web-transport",
        settings: &[
            (0x08, 1),
            (0x33, 1),
            (0xff_d277, 1),
            (0xc671_706a, 16),
            (0x2b60_3743, 16),
            (0x2b60_3742, 1),
        ],
        token: "webtransport",
        fields: &[],
        dialects: [Some(Draft07), Some(Draft02), Some(Draft07)],
        flow_control: false,
    },
    Client {
        name: "aioquic",
        settings: &[
            (0x01, 4_096),
            (0x07, 16),
            (0x08, 1),
            (0x33, 1),
            (0x2b60_3742, 1),
        ],
        token: "webtransport",
        fields: &[("sec-webtransport-http3-draft02", "1")],
        dialects: [Some(Draft02), Some(Draft02), Some(Draft02)],
        flow_control: false,
    },
    // Announces all and asks as the older drafts do.
    Client {
        name: "picoquic, by aiopquic 0.6",
        settings: &[
            (0x01, 0),
            (0x06, 65_536),
            (0x07, 0),
            (0x08, 1),
            (0x33, 1),
            (0x2c7c_f000, 1),
            (0x14e9_cd29, 1),
            (0xc671_706a, 1),
            (0x2b60_3742, 1),
        ],
        token: "webtransport",
        fields: &[],
        dialects: [Some(Draft07), Some(Draft13), Some(Draft07)],
        flow_control: false,
    },
    Client {
        name: "a client of drafts 09 to 12",
        settings: &[(0x33, 1)],
        token: "webtransport",
        fields: &[],
        dialects: [Some(Draft07), None, Some(Draft07)],
        flow_control: false,
    },
];

/// The first flight: control and QPACK streams, and the CONNECT before or after.
fn first_flight(peer: &mut RawPeer, client: &Client, connect_first: bool) -> StreamId {
    let connect = connect_with(client.token, client.fields);
    let early = connect_first.then(|| peer.request(&connect));
    let reserved = frame(0x21 + 0x1f * 1_000, b"any");
    peer.control(&[settings(client.settings), reserved].concat());
    peer.uni(&[0x02]);
    peer.uni(&[0x03]);
    early.unwrap_or_else(|| peer.request(&connect))
}

/// Rows B1, B3, B5, B21: what is negotiated with each, and that a session works.
#[test]
fn recorded_clients_get_a_session() {
    let some = Some(limits(1 << 20, 100, 100));
    let sets = [
        speaking(Dialects::SET_A, some),
        speaking(Dialects::SET_B, some),
        speaking(Dialects::SET_C, None),
        speaking(Dialects::ALL, some),
    ];
    for client in CLIENTS {
        let newest = Dialects::ALL
            .iter()
            .find(|all| client.dialects.contains(&Some(*all)));
        let dialects = client.dialects.into_iter().chain([newest]);
        for (set, dialect) in dialects.enumerate() {
            for connect_first in [false, true] {
                let what = format!("{} with set {set}, {connect_first}", client.name);
                let mut peer = RawPeer::new(Side::Server, sets[set].clone());
                let id = first_flight(&mut peer, client, connect_first);
                let negotiated = peer.access().negotiated();
                let Some(dialect) = dialect else {
                    let failure = negotiated.expect_err(&what);
                    assert_eq!(
                        failure.missing,
                        [(Side::Client, Requirement::Dialect)],
                        "{what}"
                    );
                    assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, &what);
                    continue;
                };
                let negotiated = negotiated.expect(&what);
                let flow_control = client.flow_control && (set == 1 || set == 3);
                assert_eq!(negotiated.dialect, dialect, "{what}");
                assert_eq!(negotiated.flow_control, flow_control, "{what}");
                use_session(&mut peer, id, client, &what);
            }
        }
    }
}

/// Accepts, exchanges a stream each way and datagrams, and closes.
fn use_session(peer: &mut RawPeer, id: StreamId, client: &Client, what: &str) {
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let answer = ConnectAnswer::default();
    peer.access()
        .webtransport(session)
        .accept(&answer)
        .expect(what);
    peer.drive();
    let sent = fields_on(peer, id, 0);
    assert!(sent.starts_with(":status: 200"), "{what}: {sent}");
    let asks = client
        .fields
        .contains(&("sec-webtransport-http3-draft02", "1"));
    let echo = "sec-webtransport-http3-draft: draft02";
    assert_eq!(sent.contains(echo), asks, "{what}: {sent}");

    let theirs = open_raw(peer, Dir::Bi, id, b"hello");
    let stream = opened_raw(peer, theirs);
    assert_eq!(read_raw(peer, stream).0, b"hello", "{what}");
    let mut access = peer.access();
    let mut send = access.send(stream).expect(what);
    send.write(&mut ["world".into()]).expect(what);
    let uni = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect(what);
    peer.datagram(&[&varint(id.wire() / 4)[..], b"ping"].concat());
    assert_eq!(
        peer.access().recv_datagram(session).as_deref(),
        Some(&b"ping"[..]),
        "{what}"
    );
    peer.access().send_datagram(session, b"pong").expect(what);
    peer.drive();
    assert_eq!(peer.seen(theirs).bytes, b"world", "{what}");
    assert!(
        peer.seen(uni.id()).bytes.starts_with(&[0x40, 0x54]),
        "{what}"
    );
    assert_eq!(peer.datagrams().len(), 1, "{what}");
    peer.access()
        .webtransport(session)
        .close(5, "bye")
        .expect(what);
    let _ = the_end(&peer.events(), session);
    let last = capsules(peer, id).pop().expect(what);
    assert_eq!(last, (CLOSE_SESSION, b"\0\0\0\x05bye".to_vec()), "{what}");
    assert_eq!(peer.closed(), None, "{what}");
}

/// Row B23: clients that wait for credit although none was negotiated get it with
/// the answer, each capsule in a DATA frame of its own.
#[test]
fn waiting_clients_get_first_credit() {
    for client in CLIENTS {
        let mut peer = RawPeer::new(Side::Server, speaking(Dialects::SET_A, None));
        let id = first_flight(&mut peer, client, false);
        if client.dialects[0].is_none() {
            continue;
        }
        let session = expect_event!(
            peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        let answer = ConnectAnswer::default();
        peer.access()
            .webtransport(session)
            .accept(&answer)
            .expect("accepts");
        peer.drive();
        let waits = client
            .settings
            .iter()
            .any(|(id, _)| [0xc671_706a, 0x14e9_cd29].contains(id));
        let credit = [MAX_STREAMS_BIDI, MAX_STREAMS_UNI, MAX_DATA].map(|ty| (ty, 1 << 60));
        let expected = if waits { &credit[..] } else { &[] };
        assert_eq!(numbers(&peer, id), expected, "{}", client.name);
    }
}
