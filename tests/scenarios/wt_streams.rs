//! Streams of a session, on the wire and for the application.

use std::ops::{Deref, DerefMut};

use aqueduct_core::config::Config;
use aqueduct_core::error::{ReadError, ResetError, WriteError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, join};
use aqueduct_core::transport::{ReadState, Transport};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::stream_events;
use bytes::Bytes;

/// A scripted peer with the session it is in.
pub(crate) struct Scripted {
    peer: RawPeer,
    pub(crate) session: Option<SessionKey>,
}

impl Deref for Scripted {
    type Target = RawPeer;
    fn deref(&self) -> &RawPeer {
        &self.peer
    }
}

impl DerefMut for Scripted {
    fn deref_mut(&mut self) -> &mut RawPeer {
        &mut self.peer
    }
}

/// A scripted client with a session that our server has accepted, and its
/// CONNECT stream.
pub(crate) fn server() -> (Scripted, StreamId) {
    server_with(Config::default())
}

/// The same with a configuration.
pub(crate) fn server_with(config: Config) -> (Scripted, StreamId) {
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    let id = peer.request(&raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    peer.access()
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    peer.drive();
    (
        Scripted {
            peer,
            session: Some(session),
        },
        id,
    )
}

/// What can be read at once, and whether the stream has ended.
pub(crate) fn read(peer: &mut RawPeer, stream: StreamKey) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut out = [const { Bytes::new() }; 4];
    loop {
        let mut access = peer.access();
        let mut recv = access.recv(stream).expect("a stream to read");
        let read = recv.read(usize::MAX, &mut out).expect("bytes");
        all.extend(out.iter().take(read.chunks).flatten());
        match read.state {
            ReadState::Open => {}
            ReadState::Blocked => return (all, false),
            ReadState::Finished => return (all, true),
        }
    }
}

/// The next stream the peer opened in a session.
pub(crate) fn opened(pair: &mut LoopbackPair, side: Side) -> StreamKey {
    expect_event!(pair, side, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream)
}

/// Row B7: the header goes out with the opening, and only the opener has one.
#[test]
fn the_header_on_the_wire() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let bi = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Bi)
        .expect("a stream");
    let uni = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("a stream");
    peer.drive();
    assert_eq!(peer.seen(bi.id()).bytes, [0x40, 0x41, 0x00]);
    assert_eq!(peer.seen(uni.id()).bytes, [0x40, 0x54, 0x00]);
    peer.write(bi.id(), b"answer without header");
    assert_eq!(read(&mut peer, bi).0, b"answer without header");
}

/// Row B7: an end right after the header is a stream without bytes.
#[test]
fn a_header_alone() {
    for (dir, ty) in [(Dir::Bi, 0x41), (Dir::Uni, 0x54)] {
        for finish_later in [false, true] {
            let (mut peer, _) = server();
            let id = peer.end().open(dir).expect("credit");
            peer.end()
                .write(id, &mut [Bytes::copy_from_slice(&[0x40, ty, 0x00])])
                .expect("room");
            if finish_later {
                peer.drive();
            }
            peer.finish(id);
            let stream = expect_event!(
                peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
            );
            expect_event!(
                peer, Side::Server, Event::Stream(key, StreamEvent::Readable) if key == stream => ()
            );
            assert_eq!(read(&mut peer, stream), (vec![], true));
        }
    }
}

/// A stream that ends inside its header never was one.
#[test]
fn half_a_header() {
    for bytes in [&[0x40][..], &[0x40, 0x54], &[0x40, 0x54, 0x40]] {
        let (mut peer, _) = server();
        peer.events();
        let id = peer.uni(bytes);
        peer.finish(id);
        assert_eq!(peer.closed(), None);
        assert!(peer.events().is_empty());
    }
}

/// Row B6: streams and datagrams right after accepting, before anything moved.
#[test]
fn the_server_may_start_at_once() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    let connect = peer.request(&raw::connect());
    let early = peer.uni(&join(&[&[0x40, 0x54, 0x00], b"early"]));
    peer.datagram(&[0x00, b'd']);
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let mut access = peer.access();
    access
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    let ours = access
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("a stream");
    access.send_datagram(session, b"first").expect("room");
    let stream = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    assert_eq!(stream.id(), early);
    assert_eq!(read(&mut peer, stream).0, b"early");
    assert_eq!(
        peer.access().recv_datagram(session).as_deref(),
        Some(&b"d"[..])
    );
    assert!(!peer.seen(connect).bytes.is_empty());
    assert_eq!(peer.seen(ours.id()).bytes, [0x40, 0x54, 0x00]);
    assert_eq!(peer.datagrams(), [&b"\x00first"[..]]);
}

/// Readable is told once, and again only after a read that found nothing.
#[test]
fn readable_is_told_once() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("a stream");
    let there = opened(&mut pair, Side::Server);
    // What came with the opening is read away first.
    let mut all = Vec::new();
    assert_eq!(pair.read_some(Side::Server, there, &mut all), Ok(false));
    pair.events(Side::Server);
    for _ in 0..3 {
        pair.write_all(Side::Client, here, "x").expect("room");
        pair.drive();
    }
    let events = pair.events(Side::Server);
    assert_eq!(stream_events(&events, there), [StreamEvent::Readable]);
    assert_eq!(pair.read_some(Side::Server, there, &mut all), Ok(false));
    assert_eq!(all, b"xxx");
    pair.write_all(Side::Client, here, "y").expect("room");
    let events = pair.events(Side::Server);
    assert_eq!(stream_events(&events, there), [StreamEvent::Readable]);
}

/// Row B15: with RESET_STREAM_AT the header arrives although the stream is reset
/// before anything of it was.
#[test]
fn a_reset_keeps_the_header() {
    for reliable_reset in [false, true] {
        let knobs = Knobs {
            reliable_reset,
            ..Knobs::default()
        };
        let mut pair = LoopbackPair::connected(knobs);
        let (session, _) = pair.session("https://example.com/wt");
        let stream = pair
            .client()
            .webtransport(session)
            .open_stream(Dir::Uni)
            .expect("a stream");
        let mut client = pair.client();
        let mut send = client.send(stream).expect("a stream");
        send.write(&mut ["body".into()]).expect("room");
        send.reset(7).expect("a code");
        let events = pair.events(Side::Server);
        let opened = events
            .iter()
            .filter(|e| matches!(e, Event::WebTransport(_, SessionEvent::Opened { .. })));
        assert_eq!(opened.count(), usize::from(reliable_reset), "{events:?}");
    }
}

/// Row B15: a reset waits for a header that the transport has not taken yet, and
/// goes out as soon as it has; to the application the stream is over at once.
#[test]
fn a_reset_waits_for_the_header() {
    for (dir, budget) in [(Dir::Uni, 1), (Dir::Bi, 1), (Dir::Uni, 2), (Dir::Bi, 2)] {
        let knobs = Knobs {
            reliable_reset: true,
            ..Knobs::default()
        };
        let mut pair = LoopbackPair::connected(knobs);
        let (session, _) = pair.session("https://example.com/wt");
        pair.net.end(Side::Client).knobs().send_buffer = budget;
        let stream = pair
            .client()
            .webtransport(session)
            .open_stream(dir)
            .expect("a stream");
        let mut client = pair.client();
        let mut send = client.send(stream).expect("a stream");
        send.reset(7).expect("a code");
        assert_eq!(send.reset(8), Err(ResetError::Gone));
        assert_eq!(send.write(&mut ["x".into()]), Err(WriteError::Reset));
        let there = opened(&mut pair, Side::Server);
        let mut all = Vec::new();
        match pair.read_some(Side::Server, there, &mut all) {
            Err(ReadError::Reset(code)) => assert_eq!(code.app, Some(7)),
            other => panic!("{other:?}"),
        }
        if dir == Dir::Uni {
            assert!(pair.client().send(stream).is_err(), "it is over");
        }
    }
}
