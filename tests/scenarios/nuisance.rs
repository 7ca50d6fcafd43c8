//! Cap `nuisance`: useless things are tolerated, not without end.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::End;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame};
use aqueduct_tests::{assert_closed, config};

fn server(nuisance: u32) -> RawPeer {
    let config = config(|c| c.limits.nuisance = nuisance);
    let knobs = Knobs {
        bi_streams: 10_000,
        uni_streams: 10_000,
        ..Knobs::default()
    };
    let mut peer = RawPeer::over(Side::Server, config, Loopback::new(knobs));
    peer.control(&raw::settings(&[]));
    peer
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
    assert!((51..200).contains(&times), "{times}");
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
    assert!((51..200).contains(&times), "{times}");
}

#[test]
fn unknown_streams() {
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| {
        peer.uni(&[0x21]);
    });
    assert!((51..200).contains(&times), "{times}");
}

/// The "rapid reset" pattern: requests that are given up at once.
#[test]
fn streams_reset_before_use() {
    let mut peer = server(50);
    let times = tolerated(&mut peer, |peer| {
        let id = peer.request(&[]);
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
    });
    assert!((51..200).contains(&times), "{times}");
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
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
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
