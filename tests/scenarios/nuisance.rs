//! Cap `nuisance`: useless things are tolerated, not without end.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::{assert_closed, config, wt};

fn server(nuisance: u32) -> RawPeer {
    let config = config(|c| c.limits.nuisance = nuisance);
    let knobs = Knobs {
        bi_streams: 10_000,
        uni_streams: 10_000,
        ..Knobs::default()
    };
    RawPeer::greeted_over(Side::Server, config, Loopback::new(knobs), &[])
}

/// Does one useless thing until the connection closes; gives how often.
fn tolerated(peer: &mut RawPeer, mut one: impl FnMut(&mut RawPeer)) -> usize {
    for n in 0..500 {
        if peer.closed().is_some() {
            assert_closed(peer, Code::H3_EXCESSIVE_LOAD, "too much");
            return n;
        }
        one(peer);
    }
    panic!("no end to it");
}

#[test]
fn unknown_frames() {
    let mut peer = server(50);
    let id = peer.request(&raw::get());
    let times = tolerated(&mut peer, |peer| peer.write(id, &frame(0x21, b"")));
    assert_eq!(times, 51);
}

#[test]
fn empty_data_frames() {
    let mut peer = server(50);
    let id = peer.request(&raw::get());
    let mut out = [const { bytes::Bytes::new() }; 4];
    let stream = aqueduct_core::expect_event!(
        peer, Side::Server, Event::Request { stream, .. } => stream
    );
    let times = tolerated(&mut peer, |peer| {
        peer.write(id, &data(b""));
        if let Ok(mut recv) = peer.access().recv(stream) {
            let _ = recv.read(usize::MAX, &mut out);
        }
        peer.drive();
    });
    assert_eq!(times, 51);
}

#[test]
fn unknown_streams() {
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| {
        peer.uni(&[0x21]);
    });
    assert_eq!(times, 51);
}

/// The "rapid reset" pattern: requests that are given up at once.
#[test]
fn streams_reset_before_use() {
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| {
        let id = peer.request(&[]);
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
    });
    assert_eq!(times, 51);
}

/// Useful work wins it back: content between unknown frames, for ever.
#[test]
fn useful_work_pays_for_it() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let mut out = [const { bytes::Bytes::new() }; 4];
    let id = peer.request(&raw::get());
    let stream = aqueduct_core::expect_event!(
        peer, Side::Server, Event::Request { stream, .. } => stream
    );
    for _ in 0..3_000 {
        peer.write(id, &frame(0x21, b""));
        peer.write(id, &data(&[7; 2_000]));
        let mut access = peer.access();
        let mut recv = access.recv(stream).expect("a stream");
        recv.read(usize::MAX, &mut out).expect("content");
    }
    assert_eq!(peer.closed(), None);
}

/// Interim responses of a few bytes that are long once decoded, all in one chunk: they
/// wait for the application together, so their size counts.
#[test]
fn interim_responses_that_grow() {
    let config = config(|c| c.field_lines = true);
    let mut peer = RawPeer::greeted(Side::Client, config, &[]);
    let mut entry = vec![0x02, 0x3f, 0xe1, 0x1f, 0x5f, 0x81, 0x1f];
    entry.extend([b'x'; 4_000]);
    entry.push(0);
    peer.uni(&entry);
    let stream = peer.access().request(&aqueduct_tests::get(), End::Fin);
    let id = stream.expect("a request").id();
    peer.drive();
    // Status 103, and fifteen times that entry, without a value.
    let interim = [&[0x02, 0x80, 0xd8][..], &[0; 30]].concat();
    peer.write(id, &frame(0x01, &interim).repeat(1_000));
    assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "too much");
    let sizes = peer.events().into_iter().filter_map(|event| match event {
        Event::Interim { head, .. } => Some(head.fields().size()),
        _ => None,
    });
    let sizes: Vec<u64> = sizes.collect();
    assert!(sizes.iter().sum::<u64>() < 5 << 20, "{}", sizes.len());
}

/// A whole request and a stop of its response, which is what a request that is taken
/// back costs.
#[test]
fn responses_that_are_stopped() {
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| {
        let id = peer.request(&raw::get());
        peer.finish(id);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
    });
    assert_eq!(times, 26);
}

/// Requests that go through pay for others, and time for the rest.
#[test]
fn time_and_whole_requests_pay() {
    let mut peer = server(50);
    let cancelled = |peer: &mut RawPeer| {
        let id = peer.request(&raw::get());
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        let stream = aqueduct_core::expect_event!(
            peer, Side::Server, Event::Request { stream, .. } => stream
        );
        let mut out = [bytes::Bytes::new()];
        let read = peer.access().recv(stream).expect("it").read(1, &mut out);
        read.expect_err("a reset");
    };
    for _ in 0..11 {
        cancelled(&mut peer);
    }
    for _ in 0..1_000 {
        // Four for each, and half of one comes back each second.
        cancelled(&mut peer);
        peer.advance(std::time::Duration::from_secs(9));
    }
    assert_eq!(peer.closed(), None);
    let times = tolerated(&mut peer, cancelled);
    assert_eq!(times, 13);
}

/// Instructions of QPACK count a 64th each.
#[test]
fn instructions_of_qpack() {
    for (stream, instruction) in [
        (0x02, &[0x20][..]),
        (0x02, &[0x3f, 0xe1, 0x1f]),
        (0x03, &[0x40]),
    ] {
        let mut peer = server(2);
        let id = peer.uni(&[stream]);
        for n in 0..3 * 64 {
            peer.write(id, instruction);
            assert_eq!(peer.closed().is_some(), n >= 2 * 64, "{n}");
            assert_eq!(peer.access().stats().nuisances, n + 1);
            if peer.closed().is_some() {
                break;
            }
        }
        assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "too much");
    }
}

fn session(nuisance: u32) -> (RawPeer, StreamId) {
    let config = config(|c| c.limits.nuisance = nuisance);
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    let (id, _) = wt::admit(&mut peer, &raw::connect());
    (peer, id)
}

/// Datagrams of less than 16 bytes count a 64th each, also in capsules; longer ones do not.
#[test]
fn small_datagrams() {
    type Send = fn(&mut RawPeer, StreamId, &[u8]);
    let ways: [Send; 2] = [
        |peer, _, payload| peer.datagram(&[&[0x00], payload].concat()),
        |peer, id, payload| peer.write(id, &data(&frame(0x00, payload))),
    ];
    for way in ways {
        let (mut peer, id) = session(2);
        for _ in 0..1_000 {
            way(&mut peer, id, &[7; 16]);
        }
        assert_eq!(peer.closed(), None);
        let (mut peer, id) = session(2);
        let mut times = 0;
        while peer.closed().is_none() {
            way(&mut peer, id, &[7; 15]);
            times += 1;
        }
        assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "too much");
        assert_eq!(times, 129);
    }
}

/// Streams of a session that are taken back, and those of ours that are not wanted.
#[test]
fn streams_of_sessions_that_are_reset_or_stopped() {
    let (mut peer, _) = session(50);
    let mut times = 0;
    while peer.closed().is_none() {
        times += 1;
        let id = peer.request(&[0x40, 0x41, 0x00]);
        let opened = peer.take(Side::Server, |event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Ok(stream),
            other => Err(other),
        });
        peer.reset(id, Code::new(0x52e4_a40f_a8db));
        peer.stop(id, Code::new(0x52e4_a40f_a8db));
        let mut out = [const { bytes::Bytes::new() }; 2];
        let mut access = peer.access();
        if let Ok(mut recv) = access.recv(opened.expect("told")) {
            recv.read(9, &mut out).expect_err("a reset");
        }
        peer.drive();
    }
    assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "too much");
    assert_eq!(times, 26);
}

/// A session that ends because of a capsule.
#[test]
fn sessions_that_break_a_rule() {
    let (mut peer, _) = session(50);
    let mut times = 0;
    while peer.closed().is_none() {
        times += 1;
        let capsule = data(&frame(0x2843, b"x"));
        let id = peer.request(&raw::connect());
        let key = peer.take(Side::Server, |event| match event {
            Event::WebTransport(key, SessionEvent::Requested(_)) => Ok(key),
            other => Err(other),
        });
        let answer = ConnectAnswer::default();
        let mut access = peer.access();
        access
            .webtransport(key.expect("asked"))
            .accept(&answer)
            .expect("asked for");
        peer.write(id, &capsule);
    }
    assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, "too much");
    assert_eq!(times, 51);
}

/// Sessions beyond the limit, which are answered without the application.
#[test]
fn sessions_beyond_the_limit() {
    let (mut peer, _) = session(50);
    for _ in 1..16 {
        peer.request(&raw::connect());
    }
    let times = tolerated(&mut peer, |peer| {
        peer.request(&raw::connect());
        peer.drive();
    });
    assert_eq!(times, 51);
}

/// The application holds a request; the peer has given it up, or has its whole answer.
fn held(peer: &mut RawPeer, given_up: bool) -> aqueduct_core::id::StreamKey {
    let id = peer.request(&raw::get());
    let stream = aqueduct_core::expect_event!(
        peer, Side::Server, Event::Request { stream, .. } => stream
    );
    peer.access().hold(stream);
    if given_up {
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
    } else {
        peer.finish(id);
        let head = ResponseHead::new(http::StatusCode::OK);
        let answered = peer.access().respond(stream, &head, End::Fin);
        answered.expect("it waits for an answer");
        peer.drive();
    }
    let mut access = peer.access();
    if let Ok(mut recv) = access.recv(stream) {
        let _ = recv.read(1, &mut [bytes::Bytes::new()]);
    }
    peer.drive();
    stream
}

/// Requests beyond the limit: who has given up what is still worked on is to blame, and
/// who waits for a slow application is not.
#[test]
fn requests_beyond_the_limit() {
    let config = config(|c| (c.limits.nuisance, c.limits.open_requests) = (10, 1));
    let refused = |given_up: &[bool]| {
        let knobs = Knobs {
            bi_streams: 10_000,
            ..Knobs::default()
        };
        let net = Loopback::new(knobs);
        let mut peer = RawPeer::greeted_over(Side::Server, config.clone(), net, &[]);
        let mut last = None;
        for given_up in given_up {
            if let Some(last) = last {
                peer.access().release(last);
            }
            last = Some(held(&mut peer, *given_up));
        }
        tolerated(&mut peer, |peer| {
            let id = peer.request(&raw::get());
            peer.finish(id);
        })
    };
    // Of 640 parts each is four of them, or 64; giving up is 256 by itself.
    assert_eq!(refused(&[false]), 161);
    assert_eq!(refused(&[true]), 7);
    // The whole request pays 128 of that.
    assert_eq!(refused(&[true, false]), 129);
}

/// Frames on the control stream that change nothing.
#[test]
fn control_frames_again_and_again() {
    let same = [
        frame(0x0d, &[0x03]),
        frame(0x000f_0700, b"\x00u=1"),
        frame(0x21, b""),
    ];
    for same in same {
        let mut peer = server(50);
        let control = StreamId::new(Side::Client, Dir::Uni, 0);
        let times = tolerated(&mut peer, |peer| peer.write(control, &same));
        assert_eq!(times, 51, "{same:x?}");
    }
}

/// Each is refused unprocessed, which is work too.
#[test]
fn requests_after_a_goaway() {
    let mut peer = server(10);
    peer.request(&raw::get());
    let until = peer.now() + std::time::Duration::from_secs(3600);
    peer.access().drain(until);
    let times = tolerated(&mut peer, |peer| _ = peer.request(&raw::get()));
    // They are notices, which come sixteen to one.
    assert_eq!(times, 161);
}

/// What is carried by a tunnel that was accepted may well be reset: others on the connection
/// must not pay for it. Of those that nobody has answered it costs as much as ever.
#[test]
fn tunnels_that_are_aborted_cost_little() {
    let connect = raw::headers(&[
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/.well-known/masque/udp/192.0.2.1/443/"),
    ]);
    let abort = |peer: &mut RawPeer, answered: bool| {
        let id = peer.request(&connect);
        let stream = aqueduct_core::expect_event!(
            peer, Side::Server, Event::Request { stream, .. } => stream
        );
        if answered {
            let ok = ResponseHead::new(http::StatusCode::OK);
            let sent = peer.access().respond(stream, &ok, End::More);
            sent.expect("open");
        }
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        peer.drive();
    };
    let mut peer = server(50);
    for _ in 0..300 {
        abort(&mut peer, true);
        assert_eq!(peer.closed(), None);
    }
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| abort(peer, false));
    assert!(times < 30, "{times}");
}
