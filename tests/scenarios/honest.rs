//! Peers that mean no harm, and look as if: none of them is shut out or cut off.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, headers};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::config;
use aqueduct_tests::wt;
use bytes::Bytes;
use http::StatusCode;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn request(peer: &mut RawPeer, head: &[u8]) -> (StreamId, StreamKey) {
    let id = peer.request(head);
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } if stream.id() == id => stream);
    (id, stream)
}
fn read(peer: &mut RawPeer, stream: StreamKey) -> Option<(usize, ReadState)> {
    let mut out = [const { Bytes::new() }; 16];
    let mut access = peer.access();
    let Ok(mut recv) = access.recv(stream) else {
        return None;
    };
    recv.read(usize::MAX, &mut out)
        .ok()
        .map(|r| (r.bytes, r.state))
}

/// A message, a long computation, an answer: nobody waits for the client meanwhile.
#[test]
fn a_client_that_waits_for_the_answer_to_its_first_message() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let (id, stream) = request(&mut peer, &raw::post());
    peer.write(id, &data(b"a question of forty bytes or so, please?"));
    assert_eq!(read(&mut peer, stream).map(|r| r.0), Some(40));
    // The application works for 61 s. It has what it asked for, and asks for no more.
    peer.advance(61 * SECOND);
    assert_eq!(peer.seen(id).reset, None, "the client owes nothing");
}

/// Bidirectional streaming: the response has begun, a few words a minute go both ways.
#[test]
fn a_quiet_conversation() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let (id, stream) = request(&mut peer, &raw::post());
    peer.access()
        .respond(stream, &ResponseHead::new(StatusCode::OK), End::More)
        .unwrap();
    for n in 0..10 {
        peer.write(id, &data(b"hello"));
        read(&mut peer, stream);
        let mut chunk = [Bytes::from_static(b"hello back")];
        let wrote = {
            let mut access = peer.access();
            access.send(stream).map(|mut send| send.write(&mut chunk))
        };
        assert!(matches!(wrote, Ok(Ok(_))), "after {n} messages: {wrote:?}");
        peer.drive();
        peer.advance(30 * SECOND);
        assert_eq!(peer.seen(id).reset, None, "after {n} messages");
    }
}

/// Ten files at once over 16 kbit/s: 200 B/s for each of them, 2,000 together.
#[test]
fn uploads_in_parallel_over_a_thin_line() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let all: Vec<_> = (0..10).map(|_| request(&mut peer, &raw::post())).collect();
    for (_, stream) in &all {
        read(&mut peer, *stream);
    }
    for _ in 0..61 {
        for (id, stream) in &all {
            peer.write(*id, &data(&[7; 198]));
            read(&mut peer, *stream);
        }
        peer.advance(SECOND);
    }
    let reset = all
        .iter()
        .filter(|(id, _)| peer.seen(*id).reset.is_some())
        .count();
    assert_eq!(reset, 0, "uploads cancelled");
}

/// A mouse, a game pad: 12 bytes at 1,000 Hz, all taken by the application.
#[test]
fn small_datagrams_at_a_thousand_a_second() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    peer.stop_recording();
    let (_, session) = wt::admit(&mut peer, &raw::connect());
    for second in 0..300 {
        for _ in 0..50 {
            for _ in 0..20 {
                if peer.closed().is_some() {
                    panic!("closed after {second} s: {:?}", peer.closed());
                }
                peer.datagram(&[&[0x00][..], &[7; 12]].concat());
            }
            if peer.closed().is_some() {
                panic!("closed after {second} s: {:?}", peer.closed());
            }
            while peer.access().recv_datagram(session).is_some() {}
            peer.advance(SECOND / 50);
        }
        if peer.closed().is_some() {
            panic!("closed after {second} s: {:?}", peer.closed());
        }
    }
}

/// A live stream: the server opens 60 streams a second, a frame of video on each; the
/// client stops those that are too late.
#[test]
fn streams_of_ours_that_a_viewer_stops() {
    let knobs = Knobs {
        bi_streams: 100_000,
        uni_streams: 100_000,
        ..Knobs::default()
    };
    let mut peer = RawPeer::greeted_over(
        Side::Server,
        Config::default(),
        Loopback::new(knobs),
        raw::WEBTRANSPORT,
    );
    peer.stop_recording();
    let (_, session) = wt::admit(&mut peer, &raw::connect());
    for second in 0..120 {
        for _ in 0..60 {
            let opened = peer.access().webtransport(session).open_stream(Dir::Uni);
            let Ok(stream) = opened else {
                panic!("{opened:?} after {second}; closed {:?}", peer.closed())
            };
            {
                let mut access = peer.access();
                let mut send = access.send(stream).unwrap();
                send.write(&mut [Bytes::from(vec![7; 5000])]).unwrap();
            }
            peer.drive();
            peer.stop(stream.id(), Code::new(0x52e4_a40f_a8db));
            if peer.closed().is_some() {
                panic!("closed after {second} s: {:?}", peer.closed());
            }
        }
        peer.events();
        peer.advance(SECOND);
    }
}

/// A request is taken back while its content is unread: the handler is told at once.
#[test]
fn a_reset_behind_content_that_nobody_reads() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let (id, stream) = request(&mut peer, &raw::post());
    peer.write(id, &data(b"some content"));
    peer.reset(id, Code::H3_REQUEST_CANCELLED);
    let told = peer
        .events()
        .into_iter()
        .any(|e| matches!(e, Event::Stream(s, StreamEvent::Reset(_)) if s == stream));
    assert!(told, "the application hears of the reset");
}

/// A proxy sends 1,000 more requests while handlers hold a hundred that are over.
#[test]
fn refused_for_the_servers_own_slowness() {
    let knobs = Knobs {
        bi_streams: 100_000,
        ..Knobs::default()
    };
    let mut peer = RawPeer::greeted_over(
        Side::Server,
        config(|c| c.limits.open_requests = 100),
        Loopback::new(knobs),
        &[],
    );
    peer.stop_recording();
    // A hundred whole requests, answered in full; their handlers still write a log line to a slow disk.
    for _ in 0..100 {
        let (id, stream) = request(&mut peer, &raw::get());
        peer.finish(id);
        peer.access().hold(stream);
        peer.access()
            .respond(stream, &ResponseHead::new(StatusCode::OK), End::Fin)
            .unwrap();
        peer.drive();
    }
    peer.events();
    for n in 0..1_500 {
        let id = peer.request(&raw::get());
        peer.finish(id);
        assert_eq!(peer.closed(), None, "after {n} refusals");
        peer.advance(SECOND / 100);
    }
}

/// A user gives the peer 2,000 streams and leaves the rest of the limits alone: the peer uses 1,300.
#[test]
fn more_streams_than_open_requests() {
    let knobs = Knobs {
        bi_streams: 2_000,
        ..Knobs::default()
    };
    let mut peer =
        RawPeer::greeted_over(Side::Server, Config::default(), Loopback::new(knobs), &[]);
    peer.stop_recording();
    for n in 0..1_300 {
        let id = peer.request(&raw::get());
        peer.finish(id);
        assert_eq!(
            peer.closed(),
            None,
            "after {n}, all within the stream credit"
        );
    }
}

/// A live publisher takes back the frames that are too late: 60 streams a second, 2 kB of each.
#[test]
fn streams_that_a_publisher_takes_back() {
    let knobs = Knobs {
        bi_streams: 100_000,
        uni_streams: 100_000,
        ..Knobs::default()
    };
    let mut peer = RawPeer::greeted_over(
        Side::Server,
        Config::default(),
        Loopback::new(knobs),
        raw::WEBTRANSPORT,
    );
    peer.stop_recording();
    let (id, _) = wt::admit(&mut peer, &raw::connect());
    for second in 0..120 {
        for _ in 0..60 {
            let head = [raw::varint(0x54), raw::varint(id.wire()), vec![7; 2000]].concat();
            let stream = peer.uni(&head);
            peer.reset(stream, Code::new(0x52e4_a40f_a8db));
            let opened: Vec<_> = peer
                .events()
                .into_iter()
                .filter_map(|e| match e {
                    Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
                    _ => None,
                })
                .collect();
            for stream in opened {
                read(&mut peer, stream);
            }
            peer.drive();
            if peer.closed().is_some() {
                panic!("closed after {second} s: {:?}", peer.closed());
            }
        }
        peer.events();
        peer.advance(SECOND);
    }
}

/// What a path may hold, as examples print it.
#[test]
fn a_path_that_a_terminal_obeys() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let head = headers(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/\u{9b}2J\u{202e}"),
    ]);
    peer.request(&head);
    let shown: Vec<_> = (peer.events().into_iter())
        .filter_map(|event| match event {
            Event::Request { head, .. } => Some(head.uri.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(shown, ["https://example.com/%C2%9B2J%E2%80%AE"]);
}

/// An overloaded server sheds 60 requests a second, by the letter of the RFC.
#[test]
fn our_client_and_a_server_that_rejects() {
    let knobs = Knobs {
        bi_streams: 100_000,
        ..Knobs::default()
    };
    let mut peer =
        RawPeer::greeted_over(Side::Client, Config::default(), Loopback::new(knobs), &[]);
    peer.stop_recording();
    for second in 0..60 {
        for _ in 0..60 {
            let stream = peer
                .access()
                .request(&aqueduct_tests::get(), End::Fin)
                .expect("open");
            peer.drive();
            peer.stop(stream.id(), Code::H3_REQUEST_REJECTED);
            peer.reset(stream.id(), Code::H3_REQUEST_REJECTED);
            assert_eq!(peer.closed(), None, "after {second} s");
            read(&mut peer, stream);
            peer.events();
        }
        peer.advance(SECOND);
    }
}

/// 24 requests at once with 5 kB of cookies each, over 8,000 bytes a second (2G): 15 s for all of them.
#[test]
fn heads_in_parallel_over_a_thin_line() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let cookie = "x".repeat(5_000);
    let head = headers(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
        ("cookie", &cookie),
    ]);
    let ids: Vec<_> = (0..24).map(|_| peer.request(&[])).collect();
    let each = 8_000 / 24;
    let mut at = 0;
    while at < head.len() {
        let end = (at + each).min(head.len());
        for id in &ids {
            peer.write(*id, &head[at..end]);
        }
        at = end;
        peer.advance(SECOND);
    }
    let cut = ids
        .iter()
        .filter(|id| peer.seen(**id).reset.is_some())
        .count();
    assert_eq!(cut, 0, "requests cut off");
}
