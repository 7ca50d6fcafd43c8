//! Streams that a connection cannot do without, and those nobody may open.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::fault::Violation;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::{expect_event, take_event};
use aqueduct_tests::{assert_closed, assert_refused, config};

use super::qpack::{INSERTS, blocked_request};

/// A scripted peer's first unidirectional stream: its control stream.
fn control(peer: Side) -> StreamId {
    StreamId::new(peer, Dir::Uni, 0)
}

/// Row A4, RFC 9114 section 6.2.1 and RFC 9204 section 4.2.
#[test]
fn none_of_them_comes_twice() {
    for side in [Side::Client, Side::Server] {
        for ty in [0x00, 0x02, 0x03] {
            let mut peer = RawPeer::greeted(side, Config::default(), &[]);
            if ty != 0 {
                peer.uni(&[ty]);
            }
            assert_eq!(peer.closed(), None);
            peer.uni(&[ty]);
            assert_closed(&mut peer, Code::H3_STREAM_CREATION_ERROR, "a second stream");
        }
    }
}

/// Row A4: finished, reset or stopped, all the same, whoever is told of it.
#[test]
fn none_of_them_ends() {
    for side in [Side::Client, Side::Server] {
        for ty in [0x00u8, 0x02, 0x03] {
            for how in ["finish", "reset", "stop"] {
                let mut peer = RawPeer::greeted(side, Config::default(), &[]);
                let (ours, _) = peer.uni_of_type(ty).expect("our stream of the type");
                let theirs = match ty {
                    0 => control(side.peer()),
                    _ => peer.uni(&[ty]),
                };
                match how {
                    "finish" => peer.finish(theirs),
                    "reset" => peer.reset(theirs, Code::H3_NO_ERROR),
                    _ => peer.stop(ours, Code::H3_NO_ERROR),
                }
                let what = format!("{how} of type {ty}, told to the {side:?}");
                let why = assert_closed(&mut peer, Code::H3_CLOSED_CRITICAL_STREAM, &what);
                assert_eq!(why, Violation::CriticalStreamClosed, "{what}");
            }
        }
    }
}

/// Row A4: a connection that winds down still takes them, and reads them.
#[test]
fn they_are_accepted_after_goaway() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let waiting = peer.request(&blocked_request());
    let until = peer.now() + Duration::from_secs(10);
    peer.access().drain(until);
    expect_event!(peer, Side::Server, Event::Draining { .. } => ());
    assert!(take_event!(peer, Side::Server, Event::Request { .. } => ()).is_none());

    // The request that was there before waits for what the encoder stream brings.
    peer.uni(&raw::join(&[&[0x02], INSERTS]));
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    assert_eq!(stream.id(), waiting);

    // An increment of nothing is only found wrong by whoever reads the decoder stream.
    let decoder = peer.uni(&[0x03]);
    assert_eq!(peer.closed(), None, "{}", peer.story());
    peer.write(decoder, &[0x00]);
    assert_closed(
        &mut peer,
        Code::QPACK_DECODER_STREAM_ERROR,
        "an increment of nothing",
    );
}

/// RFC 9114 section 6.2: a stream that ends before its type is nobody's fault.
#[test]
fn a_stream_that_never_says_what_it_is_is_tolerated() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    for bytes in [&[][..], &[0x40], &[0xc0, 0, 0]] {
        let id = peer.uni(bytes);
        peer.finish(id);
        let id = peer.uni(bytes);
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
    }
    peer.request(&raw::get());
    expect_event!(peer, Side::Server, Event::Request { .. } => ());
    assert_eq!(peer.closed(), None);
}

/// RFC 9114 sections 6.2.2 and 4.6: only servers push, and only when allowed.
#[test]
fn nobody_pushes() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.uni(&[0x01]);
    assert_closed(
        &mut peer,
        Code::H3_STREAM_CREATION_ERROR,
        "a push from the client",
    );
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    peer.uni(&[0x01, 0x00]);
    assert_closed(
        &mut peer,
        Code::H3_ID_ERROR,
        "a push that was never allowed",
    );
}

/// RFC 9114 section 6.1: a server opens bidirectional streams for extensions only.
#[test]
fn a_server_opens_no_requests() {
    let off = config(|c| c.webtransport.enabled = false);
    let mut peer = RawPeer::greeted(Side::Client, off, &[]);
    peer.request(&[0x40, 0x41, 0x00]);
    assert_closed(
        &mut peer,
        Code::H3_STREAM_CREATION_ERROR,
        "no extension is there",
    );

    // Configured is not negotiated.
    for settings in [&[][..], &[(0x33, 1)], &[(0x08, 1), (0xc671_706a, 1)]] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), settings);
        peer.request(&[0x40, 0x41, 0x00]);
        assert_closed(
            &mut peer,
            Code::H3_STREAM_CREATION_ERROR,
            "the server's SETTINGS do not speak of sessions",
        );
    }

    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    peer.request(&raw::get());
    assert_closed(
        &mut peer,
        Code::H3_STREAM_CREATION_ERROR,
        "a request from the server",
    );
    assert!(take_event!(peer, Side::Client, Event::Request { .. } => ()).is_none());
}

/// RFC 9114 section 6.1: what comes before the SETTINGS is judged by them.
#[test]
fn a_server_that_opens_streams_before_its_settings() {
    for (settings, closed) in [
        (raw::WEBTRANSPORT, None),
        (&[(0x33, 1)], Some(Code::H3_STREAM_CREATION_ERROR)),
    ] {
        let mut peer = RawPeer::new(Side::Client, Config::default());
        let early = peer.request(&[0x40, 0x41, 0x00]);
        assert_eq!(peer.closed(), None, "nothing is known yet");
        peer.control(&raw::settings(settings));
        assert_eq!(peer.closed(), closed, "{settings:?}");
        // Of a session that was never asked for it is refused by itself.
        assert_eq!(
            peer.seen(early).stop,
            Some(Code::WT_BUFFERED_STREAM_REJECTED)
        );
    }
}

/// What a client opens for sessions that its SETTINGS rule out waits for nothing.
#[test]
fn a_client_that_opens_streams_of_no_session() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x2b60_3742, 1)]);
    for stream in [
        peer.request(&[0x40, 0x41, 0x10]),
        peer.uni(&[0x40, 0x54, 0x10]),
    ] {
        assert_refused(
            &peer,
            stream,
            Code::WT_BUFFERED_STREAM_REJECTED,
            "no datagrams",
        );
    }
}
