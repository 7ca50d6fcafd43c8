//! A session's own limits on bytes and streams, where both sides want them.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, data, frame, headers, settings, varint};
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::dialect::{Dialect, Dialects};
use aqueduct_core::webtransport::{
    ConnectRequest, OpenStreamError, SessionClose, SessionEvent, SessionFlow,
};
use aqueduct_tests::wt::admit;
use aqueduct_tests::{assert_refused, bidi, config, content, frames, seeds};

use super::wt_streams::opened;

const MAX_DATA: u64 = 0x190b_4d3d;
const MAX_BIDI: u64 = 0x190b_4d3f;
const MAX_UNI: u64 = 0x190b_4d40;
const DATA_BLOCKED: u64 = 0x190b_4d41;
const UNI_BLOCKED: u64 = 0x190b_4d44;

/// Drafts 15 and 16 alone, with these limits for the peer.
pub(crate) fn limits(data: u64, streams: u64) -> Config {
    config(|c| {
        c.webtransport.dialects = Dialects::NONE.with(Dialect::Draft15);
        c.webtransport.flow = Some(SessionFlow::new(data, streams, streams));
    })
}

fn reliable(knobs: Knobs) -> Knobs {
    Knobs {
        reliable_reset: true,
        ..knobs
    }
}

/// What a peer of those drafts announces.
fn peers(data: u64, streams: u64) -> Vec<(u64, u64)> {
    let base = [(0x08, 1), (0x33, 1), (0x2c7c_f000, 1)];
    let flow = [(0x2b61, data), (0x2b64, streams), (0x2b65, streams)];
    base.into_iter().chain(flow).collect()
}

fn peer(ours: Side, config: Config, pairs: &[(u64, u64)]) -> RawPeer {
    let net = Loopback::new(reliable(Knobs::default()));
    let mut peer = RawPeer::over(ours, config, net);
    peer.control(&settings(pairs));
    peer
}

fn connect() -> Vec<u8> {
    headers(&[
        (":method", "CONNECT"),
        (":protocol", "webtransport-h3"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
    ])
}

/// A scripted client in a session with our server.
fn server(config: Config) -> (RawPeer, SessionKey, StreamId) {
    let mut peer = peer(Side::Server, config, &peers(1_000_000, 100));
    let (id, session) = admit(&mut peer, &connect());
    (peer, session, id)
}

/// Our client in a session with a scripted server.
fn client(data: u64, streams: u64) -> (RawPeer, SessionKey) {
    let mut peer = peer(Side::Client, limits(1000, 10), &peers(data, streams));
    let there = "https://example.com/wt".parse().expect("an address");
    let session = peer
        .access()
        .open_session(&ConnectRequest::new(there))
        .expect("asks");
    peer.drive();
    peer.write(bidi(0), &raw::status(200));
    expect_event!(peer, Side::Client, Event::WebTransport(_, SessionEvent::Established(_)) => ());
    (peer, session)
}

/// The capsules our side has sent on a CONNECT stream.
fn capsules(peer: &RawPeer, id: StreamId) -> Vec<(u64, Vec<u8>)> {
    frames(&content(&peer.seen(id).bytes))
}

/// Rows B22, B23: far more than the limits, as the receiver reads and streams end.
#[test]
fn credit_is_renewed() {
    for seed in seeds(15) {
        let knobs = reliable(Knobs::adversarial(seed));
        let mut pair = LoopbackPair::new(limits(700, 2), limits(500, 3), knobs);
        pair.connect();
        let (client, server) = pair.session("https://example.com/wt");
        let body: Vec<u8> = (0..2_500u32).map(|n| n as u8).collect();
        for (side, session) in [(Side::Client, client), (Side::Server, server)] {
            for n in 0..8 {
                let dir = if n % 2 == 0 { Dir::Bi } else { Dir::Uni };
                let here = pair
                    .access(side)
                    .webtransport(session)
                    .open_stream(dir)
                    .expect("credit");
                let there = opened(&mut pair, side.peer());
                assert_eq!(pair.transfer(side, here, there, &body), body, "SEED={seed}");
                if dir == Dir::Bi {
                    pair.transfer(side.peer(), there, here, b"");
                }
                pair.drive();
            }
        }
    }
}

/// Row B24: what does not fit waits, the peer is told once per limit, and a larger
/// limit lets it go on.
#[test]
fn a_blocked_sender() {
    let (mut peer, session) = client(10, 5);
    let stream = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("a stream");
    let mut chunks = [bytes::Bytes::from_static(b"0123456789abcdefghij")];
    let mut write = |peer: &mut RawPeer| {
        let taken = peer
            .access()
            .send(stream)
            .expect("a stream")
            .write(&mut chunks);
        peer.drive();
        taken
    };
    assert_eq!(write(&mut peer), Ok(10));
    assert_eq!(write(&mut peer), Ok(0));
    assert_eq!(&peer.seen(stream.id()).bytes[3..], b"0123456789");
    let blocked = [(DATA_BLOCKED, vec![10])];
    assert_eq!(
        capsules(&peer, bidi(0)),
        blocked,
        "the header is not counted"
    );
    peer.events();
    peer.write(bidi(0), &data(&frame(MAX_DATA, &[15])));
    let writable = StreamEvent::Writable;
    expect_event!(
        peer, Side::Client, Event::Stream(key, event) if key == stream && event == writable => ()
    );
    assert_eq!(write(&mut peer), Ok(5));
    assert_eq!(write(&mut peer), Ok(0));
    assert_eq!(capsules(&peer, bidi(0)).len(), 2, "once for each limit");
    peer.write(bidi(0), &data(&frame(MAX_DATA, &varint(1000))));
    assert_eq!(write(&mut peer), Ok(5));
    peer.access()
        .send(stream)
        .expect("a stream")
        .finish()
        .expect("an end");
    peer.drive();
    assert!(peer.seen(stream.id()).fin);
    assert_eq!(&peer.seen(stream.id()).bytes[3..], b"0123456789abcdefghij");
}

/// Rows B24, B26, B27: streams ever opened are counted, ended ones too.
#[test]
fn a_blocked_opener() {
    let (mut peer, session) = client(1000, 2);
    for _ in 0..2 {
        let stream = peer
            .access()
            .webtransport(session)
            .open_stream(Dir::Uni)
            .expect("a stream");
        peer.access()
            .send(stream)
            .expect("a stream")
            .finish()
            .expect("an end");
        peer.drive();
    }
    for _ in 0..2 {
        let opened = peer.access().webtransport(session).open_stream(Dir::Uni);
        assert_eq!(opened, Err(OpenStreamError::StreamLimit));
    }
    peer.access()
        .webtransport(session)
        .open_stream(Dir::Bi)
        .expect("the other kind");
    peer.drive();
    assert_eq!(capsules(&peer, bidi(0)), [(UNI_BLOCKED, vec![2])]);
    peer.write(bidi(0), &data(&frame(MAX_UNI, &[3])));
    expect_event!(
        peer, Side::Client, Event::WebTransport(_, SessionEvent::StreamsAvailable(Dir::Uni)) => ()
    );
    peer.access()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("one more");
    let opened = peer.access().webtransport(session).open_stream(Dir::Uni);
    assert_eq!(opened, Err(OpenStreamError::StreamLimit));
}

/// That the session ended by a reset with WT_FLOW_CONTROL_ERROR, and only it.
#[track_caller]
fn assert_violated(peer: &mut RawPeer, id: StreamId, what: &str) {
    let ours = peer.connection().side();
    let end = expect_event!(peer, ours, Event::WebTransport(_, SessionEvent::Closed(end)) => end);
    let code = Code::WT_FLOW_CONTROL_ERROR;
    let told = matches!(*end, SessionClose::PeerMisbehaved { code: c, .. } if c == code);
    assert!(told, "{what}: {end:?}");
    assert_refused(peer, id, code, what);
}

/// Row B25.
#[test]
fn limits_that_are_wrong() {
    let cases = [
        (MAX_DATA, varint(9)),
        (MAX_BIDI, varint(4)),
        (MAX_UNI, varint(4)),
        (MAX_BIDI, varint((1 << 60) + 1)),
        (MAX_UNI, varint((1 << 60) + 1)),
        (UNI_BLOCKED, varint((1 << 60) + 1)),
        (0x190b_4d3e, vec![0, 0]),
        (0x190b_4d42, vec![0, 0]),
    ];
    for (ty, payload) in cases {
        let (mut peer, _) = client(10, 5);
        peer.write(bidi(0), &data(&frame(ty, &payload)));
        assert_violated(&mut peer, bidi(0), &format!("{ty:x} {payload:x?}"));
    }
    for (ty, payload) in [
        (MAX_DATA, varint(10)),
        (MAX_UNI, varint(5)),
        (MAX_BIDI, varint(1 << 60)),
    ] {
        let (mut peer, session) = client(10, 5);
        peer.write(bidi(0), &data(&frame(ty, &payload)));
        assert!(
            peer.access().webtransport(session).stats().is_some(),
            "{ty:x} {payload:x?}"
        );
    }
}

/// Row B25: more than was granted.
#[test]
fn a_peer_that_takes_too_much() {
    let (mut peer, _, id) = server(limits(1_000, 2));
    for _ in 0..2 {
        peer.uni(&[0x40, 0x54, 0x00]);
    }
    assert_eq!(peer.seen(id).stop, None);
    peer.uni(&[0x40, 0x54, 0x00]);
    assert_violated(&mut peer, id, "a third stream");

    let (mut peer, _, id) = server(limits(10, 5));
    peer.uni(&[&[0x40, 0x54, 0x00][..], &[7; 11]].concat());
    let stream = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    let mut out = [const { bytes::Bytes::new() }; 4];
    let read = peer
        .access()
        .recv(stream)
        .map(|mut recv| recv.read(100, &mut out));
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    peer.drive();
    assert_violated(&mut peer, id, "an eleventh byte");
}

/// Row B21: where one side sets no limits, there is one session at a time.
#[test]
fn without_flow_control() {
    let mut peer = peer(Side::Server, limits(1_000, 10), &peers(0, 0));
    peer.request(&connect());
    expect_event!(peer, Side::Server, Event::WebTransport(_, SessionEvent::Requested(_)) => ());
    let second = peer.request(&connect());
    assert_refused(&peer, second, Code::H3_REQUEST_REJECTED, "a second session");
    let told = peer.events();
    assert!(
        told.iter().all(|e| !matches!(e, Event::WebTransport(..))),
        "{told:?}"
    );
    assert_eq!(peer.end().side(), Side::Client);
}
