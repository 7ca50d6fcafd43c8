//! Sessions of every dialect, by hand and from both sides.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, data, frame, headers, settings, varint};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{
    ConnectAnswer, ConnectRequest, SessionClose, SessionEvent, SessionFlow,
};
use bytes::Bytes;

/// Capsule types of session flow control.
pub const MAX_DATA: u64 = 0x190b_4d3d;
/// WT_MAX_STREAMS for bidirectional streams.
pub const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
/// WT_MAX_STREAMS for unidirectional streams.
pub const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
/// WT_DATA_BLOCKED.
pub const DATA_BLOCKED: u64 = 0x190b_4d41;
/// WT_STREAMS_BLOCKED for bidirectional streams.
pub const STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
/// WT_STREAMS_BLOCKED for unidirectional streams.
pub const STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;
/// WT_CLOSE_SESSION.
pub const CLOSE_SESSION: u64 = 0x2843;
/// WT_DRAIN_SESSION.
pub const DRAIN_SESSION: u64 = 0x78ae;

/// First limits.
#[must_use]
pub fn limits(data: u64, bidi: u64, uni: u64) -> SessionFlow {
    SessionFlow::new(data, bidi, uni)
}

/// A configuration that announces a set although the transport lacks
/// RESET_STREAM_AT, with first limits or without flow control.
#[must_use]
pub fn speaking(dialects: Dialects, flow: Option<SessionFlow>) -> Config {
    super::config(|config| {
        config.webtransport.dialects = dialects;
        config.webtransport.tolerate_missing_reset_stream_at = true;
        config.webtransport.flow = flow;
    })
}

/// The SETTINGS of a peer of drafts 15 and 16 with its first limits.
#[must_use]
pub fn settings_15(flow: SessionFlow) -> Vec<(u64, u64)> {
    let limits = [
        (0x2b61, flow.data),
        (0x2b64, flow.streams_uni),
        (0x2b65, flow.streams_bidi),
    ];
    let base = [(0x08, 1), (0x33, 1), (0x2c7c_f000, 1)];
    base.into_iter().chain(limits).collect()
}

/// The HEADERS frame of a CONNECT with a token and further fields.
#[must_use]
pub fn connect_with(token: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let head = [
        (":method", "CONNECT"),
        (":protocol", token),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
    ];
    headers(&[&head[..], more].concat())
}

/// Sends a CONNECT to our server, which accepts it.
///
/// # Panics
/// When it is not asked.
pub fn admit(peer: &mut RawPeer, connect: &[u8]) -> (StreamId, SessionKey) {
    let id = peer.request(connect);
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) if key.id() == id => key
    );
    let answer = ConnectAnswer::default();
    let accepted = peer.access().webtransport(session).accept(&answer);
    accepted.expect("accepts");
    peer.drive();
    (id, session)
}

/// A scripted client of drafts 15 and 16 in a session with our server: both with
/// first limits, so that flow control is on.
#[must_use]
pub fn limited(ours: SessionFlow, theirs: SessionFlow) -> (RawPeer, StreamId, SessionKey) {
    limited_over(Knobs::default(), ours, theirs)
}

/// The same over a given network.
#[must_use]
pub fn limited_over(
    knobs: Knobs,
    ours: SessionFlow,
    theirs: SessionFlow,
) -> (RawPeer, StreamId, SessionKey) {
    let config = speaking(Dialects::SET_B, Some(ours));
    let mut peer = RawPeer::over(Side::Server, config, Loopback::new(knobs));
    peer.control(&settings(&settings_15(theirs)));
    let (id, session) = admit(&mut peer, &connect_with("webtransport-h3", &[]));
    (peer, id, session)
}

/// Sends one capsule with one number in it.
pub fn send_capsule(peer: &mut RawPeer, id: StreamId, ty: u64, value: u64) {
    peer.write(id, &data(&frame(ty, &varint(value))));
}

/// Every capsule our side sent on a CONNECT stream: type and payload.
///
/// # Panics
/// When one does not have a DATA frame to itself.
#[must_use]
pub fn capsules(peer: &RawPeer, id: StreamId) -> Vec<(u64, Vec<u8>)> {
    let frames = super::frames(&peer.seen(id).bytes).into_iter();
    frames
        .filter(|(ty, _)| *ty == 0)
        .map(|(_, payload)| {
            let mut rest = &payload[..];
            let ty = super::varint(&mut rest);
            let len = super::varint(&mut rest);
            assert_eq!(rest.len() as u64, len, "a DATA frame of its own");
            (ty, rest.to_vec())
        })
        .collect()
}

/// The capsules of our side that carry one number.
#[must_use]
pub fn numbers(peer: &RawPeer, id: StreamId) -> Vec<(u64, u64)> {
    let capsules = capsules(peer, id).into_iter();
    capsules
        .map(|(ty, payload)| (ty, super::varint(&mut &payload[..])))
        .collect()
}

/// The beginning of a stream of a session.
#[must_use]
pub fn stream_head(dir: Dir, session: StreamId) -> Vec<u8> {
    let ty = match dir {
        Dir::Bi => 0x41,
        Dir::Uni => 0x54,
    };
    [varint(ty), varint(session.wire())].concat()
}

/// Opens a stream of a session by hand, with a body.
pub fn open_raw(peer: &mut RawPeer, dir: Dir, session: StreamId, body: &[u8]) -> StreamId {
    let bytes = [&stream_head(dir, session), body].concat();
    match dir {
        Dir::Bi => peer.request(&bytes),
        Dir::Uni => peer.uni(&bytes),
    }
}

/// The key of the stream that a scripted peer has just opened.
///
/// # Panics
/// When nobody was told of it.
pub fn opened_raw(peer: &mut RawPeer, id: StreamId) -> StreamKey {
    let side = peer.connection().side();
    expect_event!(
        peer, side, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) if stream.id() == id => stream
    )
}

/// Reads what there is of a stream, and tells whether it has ended.
///
/// # Panics
/// When the stream cannot be read.
pub fn read_raw(peer: &mut RawPeer, stream: StreamKey) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut out = [const { Bytes::new() }; 4];
    loop {
        let mut access = peer.access();
        let mut recv = access.recv(stream).expect("a stream to read");
        let read = recv.read(usize::MAX, &mut out).expect("bytes");
        all.extend(out.iter().take(read.chunks).flatten());
        match read.state {
            ReadState::Open => {}
            ReadState::Blocked => {
                peer.drive();
                return (all, false);
            }
            ReadState::Finished => {
                peer.drive();
                return (all, true);
            }
        }
    }
}

/// A connected pair in which both sides have first limits for the other.
#[must_use]
pub fn limited_pair(client: SessionFlow, server: SessionFlow, knobs: Knobs) -> LoopbackPair {
    let client = speaking(Dialects::SET_B, Some(client));
    let server = speaking(Dialects::SET_B, Some(server));
    let mut pair = LoopbackPair::new(client, server, knobs);
    pair.connect();
    pair
}

/// A request for a session at `https://example.com/wt`.
#[must_use]
pub fn there() -> ConnectRequest {
    ConnectRequest::new("https://example.com/wt".parse().expect("an address"))
}

/// How a session ended, by the one event that says so.
///
/// # Panics
/// When that is not the session's last event, or there is another.
#[must_use]
pub fn the_end(events: &[Event], session: SessionKey) -> SessionClose {
    let mine = events.iter().filter_map(|event| match event {
        Event::WebTransport(key, event) if *key == session => Some(event),
        _ => None,
    });
    let ends: Vec<_> = mine
        .skip_while(|event| !matches!(event, SessionEvent::Closed(_)))
        .collect();
    match &ends[..] {
        [SessionEvent::Closed(why)] => (**why).clone(),
        other => panic!("{other:?} in {events:?}"),
    }
}
