//! Frames in places or at times where they are not allowed, and of wrong shape.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::End;
use aqueduct_core::id::Side;
use aqueduct_core::take_event;
use aqueduct_core::testing::raw::{self, RawPeer, data, frame, headers, join, settings};
use aqueduct_tests::{assert_closed, bidi, get};

/// The table of RFC 9114 section 7.2 for requests, server side.
#[test]
fn on_a_request_stream() {
    let head = raw::get();
    let trailers = headers(&[("x", "y")]);
    let mut cases = vec![
        ("DATA before HEADERS", data(b"x"), Code::H3_FRAME_UNEXPECTED),
        (
            "trailers twice",
            join(&[&head, &trailers, &trailers]),
            Code::H3_FRAME_UNEXPECTED,
        ),
        (
            "DATA after trailers",
            join(&[&head, &trailers, &data(b"x")]),
            Code::H3_FRAME_UNEXPECTED,
        ),
        (
            "WT_STREAM inside",
            join(&[&head, &[0x40, 0x41, 0x00]]),
            Code::H3_FRAME_ERROR,
        ),
    ];
    for ty in [
        0x03, 0x04, 0x05, 0x07, 0x0d, 0xf0700, 0xf0701, 0x02, 0x06, 0x08, 0x09,
    ] {
        cases.push((
            "known elsewhere",
            frame(ty, &[0]),
            Code::H3_FRAME_UNEXPECTED,
        ));
        let later = join(&[&head, &frame(ty, &[0])]);
        cases.push(("known elsewhere, later", later, Code::H3_FRAME_UNEXPECTED));
    }
    for (what, bytes, code) in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.request(&bytes);
        assert_closed(&mut peer, code, &format!("{what}: {bytes:x?}"));
    }
}

/// The same table for responses, client side.
#[test]
fn on_a_response() {
    let ok = raw::status(200);
    let mut cases = vec![
        ("DATA first", data(b"x"), Code::H3_FRAME_UNEXPECTED),
        (
            "DATA after 1xx alone",
            join(&[&raw::status(103), &data(b"x")]),
            Code::H3_FRAME_UNEXPECTED,
        ),
        (
            "a push that was never allowed",
            frame(0x05, &[0, 0, 0]),
            Code::H3_ID_ERROR,
        ),
    ];
    for ty in [0x03, 0x04, 0x07, 0x0d, 0xf0700, 0x02, 0x06, 0x08, 0x09] {
        let bytes = join(&[&ok, &frame(ty, &[0])]);
        cases.push(("known elsewhere", bytes, Code::H3_FRAME_UNEXPECTED));
    }
    for (what, bytes, code) in cases {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        peer.access().request(&get(), End::Fin).expect("a request");
        peer.drive();
        peer.write(bidi(0), &bytes);
        assert_closed(&mut peer, code, &format!("{what}: {bytes:x?}"));
    }
}

/// The control stream, both sides.
#[test]
fn on_the_control_stream() {
    let both = [Side::Client, Side::Server].as_slice();
    let (client, server) = (&both[..1], &both[1..]);
    let cases: &[(&[Side], Vec<u8>, Code)] = &[
        (both, data(b"x"), Code::H3_FRAME_UNEXPECTED),
        (both, headers(&[("x", "y")]), Code::H3_FRAME_UNEXPECTED),
        (both, frame(0x05, &[0, 0, 0]), Code::H3_FRAME_UNEXPECTED),
        (both, frame(0x02, &[0]), Code::H3_FRAME_UNEXPECTED),
        (both, frame(0x06, &[0; 8]), Code::H3_FRAME_UNEXPECTED),
        (both, frame(0x08, &[0; 4]), Code::H3_FRAME_UNEXPECTED),
        (both, frame(0x09, &[0]), Code::H3_FRAME_UNEXPECTED),
        (client, frame(0x0d, &[1]), Code::H3_FRAME_UNEXPECTED),
        (
            client,
            frame(0xf0700, b"\x00u=1"),
            Code::H3_FRAME_UNEXPECTED,
        ),
        (
            client,
            frame(0xf0701, b"\x00u=1"),
            Code::H3_FRAME_UNEXPECTED,
        ),
        // Pushes are never allowed or promised, so none can be cancelled.
        (both, frame(0x03, &[0]), Code::H3_ID_ERROR),
        (
            server,
            join(&[&frame(0x0d, &[5]), &frame(0x0d, &[4])]),
            Code::H3_ID_ERROR,
        ),
        // Payloads that do not fit their length.
        (both, frame(0x07, &[]), Code::H3_FRAME_ERROR),
        (both, frame(0x07, &[0x40]), Code::H3_FRAME_ERROR),
        (both, frame(0x07, &[0, 0]), Code::H3_FRAME_ERROR),
        (both, frame(0x03, &[0, 0]), Code::H3_FRAME_ERROR),
        (server, frame(0x0d, &[]), Code::H3_FRAME_ERROR),
        (server, frame(0x0d, &[0, 0]), Code::H3_FRAME_ERROR),
        (server, frame(0xf0700, &[]), Code::H3_FRAME_ERROR),
        (client, frame(0x0c, &[0, 9, b'x']), Code::H3_FRAME_ERROR),
        (client, frame(0x0c, &[0]), Code::H3_FRAME_ERROR),
        (server, frame(0x0c, &[]), Code::H3_FRAME_UNEXPECTED),
    ];
    for (sides, bytes, code) in cases {
        for side in *sides {
            let mut peer = RawPeer::new(*side, Config::default());
            peer.control(&join(&[&settings(&[]), bytes]));
            assert_closed(&mut peer, *code, &format!("{side:?} gets {bytes:x?}"));
        }
    }
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&join(&[
        &settings(&[]),
        &frame(0x0d, &[4]),
        &frame(0x0d, &[5]),
    ]));
    assert_eq!(peer.closed(), None, "MAX_PUSH_ID may grow");
    let mut peer = RawPeer::new(Side::Client, Config::default());
    let origin = b"\x00\x13https://example.com";
    peer.control(&join(&[
        &settings(&[]),
        &frame(0x0c, origin),
        &frame(0x0c, &[]),
    ]));
    assert_eq!(peer.closed(), None, "ORIGIN is for those who want it");
}

/// RFC 9114 section 7.1: an end inside a frame is an error, a reset is not.
#[test]
fn cut_off() {
    let head = raw::get();
    let cuts = [
        join(&[&head, &[0x00]]),
        join(&[&head, &[0x00, 5, b'x']]),
        head[..5].to_vec(),
        vec![0x40],
    ];
    for bytes in cuts {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(&bytes);
        peer.finish(id);
        // An end after content is seen by whoever reads the content.
        if let Some(stream) = take_event!(
            peer, Side::Server, Event::Request { stream, .. } => stream
        ) {
            let mut out = [const { bytes::Bytes::new() }; 4];
            let read = peer
                .access()
                .recv(stream)
                .map(|mut r| r.read(100, &mut out));
            assert!(read.is_err() || matches!(read, Ok(Err(_))), "{read:?}");
            peer.drive();
        }
        assert_closed(
            &mut peer,
            Code::H3_FRAME_ERROR,
            &format!("ends after {bytes:x?}"),
        );

        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(&bytes);
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        assert_eq!(peer.closed(), None, "reset after {bytes:x?}");
    }
}

/// A frame larger than the control stream takes is refused by its length alone.
#[test]
fn a_control_frame_has_a_cap() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let control = aqueduct_core::id::StreamId::new(Side::Client, aqueduct_core::id::Dir::Uni, 0);
    let oversized = join(&[&raw::varint(0xf0700), &raw::varint(4097)]);
    peer.write(control, &oversized);
    assert_closed(
        &mut peer,
        Code::H3_EXCESSIVE_LOAD,
        "a PRIORITY_UPDATE of 4,097 bytes",
    );
    // Unknown frames are skipped, whatever they declare.
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.write(
        control,
        &join(&[&raw::varint(0x1234), &raw::varint(1 << 40), &[0; 5000]]),
    );
    assert_eq!(peer.closed(), None);
}
