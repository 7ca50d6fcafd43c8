//! The first integers of a stream may come in pieces and in any length.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::raw::{self, RawPeer, join};
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::SessionEvent;

/// Row A15: what is no extension's is the request parser's, to the byte.
#[test]
fn unclaimed_bytes_go_to_the_request() {
    // A reserved frame with its type in eight bytes, in front of the head.
    let grease = [0xc0, 0, 0, 0, 0, 0, 0, 0x21, 0x40, 0x01, b'x'];
    // HEADERS with its type in four.
    let get = raw::get();
    let long = join(&[&[0x80, 0, 0, 0x01], &get[1..]]);
    for bytes in [join(&[&grease, &get]), long, get] {
        for split in 0..bytes.len().min(16) {
            let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
            let id = peer.request(&bytes[..split]);
            peer.write(id, &bytes[split..]);
            let head = expect_event!(peer, Side::Server, Event::Request { head, .. } => head);
            assert_eq!(head.uri.to_string(), "https://example.com/");
        }
    }
}

/// Rows A15, B7: a session's streams, with header integers of every length.
#[test]
fn claimed_streams_in_pieces() {
    let types: [(Dir, &[&[u8]]); 2] = [
        (
            Dir::Bi,
            &[
                &[0x40, 0x41],
                &[0x80, 0, 0, 0x41],
                &[0xc0, 0, 0, 0, 0, 0, 0, 0x41],
            ],
        ),
        (
            Dir::Uni,
            &[
                &[0x40, 0x54],
                &[0x80, 0, 0, 0x54],
                &[0xc0, 0, 0, 0, 0, 0, 0, 0x54],
            ],
        ),
    ];
    let ids: [&[u8]; 4] = [
        &[0],
        &[0x40, 0],
        &[0x80, 0, 0, 0],
        &[0xc0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for (dir, types) in types {
        for ty in types {
            for id in ids {
                let (mut peer, _) = super::wt_streams::server();
                let stream = peer.end().open(dir).expect("credit");
                peer.dribble(stream, &join(&[ty, id, b"body"]));
                let (opened, told) = expect_event!(
                    peer, Side::Server,
                    Event::WebTransport(_, SessionEvent::Opened { stream, dir }) => (stream, dir)
                );
                assert_eq!((opened.id(), told), (stream, dir));
                assert_eq!(super::wt_streams::read(&mut peer, opened).0, b"body");
            }
        }
    }
}

/// A control stream whose type takes eight bytes is a control stream.
#[test]
fn a_long_control_stream_type() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    let id = peer.end().open(Dir::Uni).expect("credit");
    peer.dribble(
        id,
        &join(&[&[0xc0, 0, 0, 0, 0, 0, 0, 0], &raw::settings(&[])]),
    );
    expect_event!(peer, Side::Server, Event::Settings(_) => ());
}
