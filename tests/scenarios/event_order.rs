//! A stream is introduced before anything is told about it.

use std::collections::BTreeSet;

use aqueduct_core::code::Code;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::End;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, join};
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::{get, seeds};

/// That no event names a stream that was not introduced before, or is over.
fn check(events: &[Event], seed: u64) {
    let mut known: BTreeSet<StreamKey> = BTreeSet::new();
    for event in events {
        match event {
            Event::Request { stream, .. }
            | Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                assert!(
                    known.insert(*stream),
                    "{stream:?} twice, SEED={seed}: {events:?}"
                );
            }
            Event::Trailers { stream, .. } | Event::Stream(stream, _) => {
                assert!(
                    known.contains(stream),
                    "{event:?} too early, SEED={seed}: {events:?}"
                );
            }
            _ => {}
        }
    }
}

/// Row A16: the peer opens, resets and stops at once, in all orders the network
/// makes of it.
#[test]
fn opened_comes_first() {
    for seed in seeds(200) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (session, _) = pair.session("https://example.com/wt");
        pair.events(Side::Server);
        for n in 0..6 {
            let stream = if n < 4 {
                let dir = if n % 2 == 0 { Dir::Bi } else { Dir::Uni };
                pair.client()
                    .webtransport(session)
                    .open_stream(dir)
                    .expect("a stream")
            } else {
                pair.client().request(&get(), End::More).expect("a request")
            };
            let mut client = pair.client();
            let mut send = client.send(stream).expect("a stream");
            send.write(&mut ["body".into()])
                .expect("a stream that takes bytes");
            if n % 3 == 0 {
                send.reset(7).expect("a code");
            }
            if n % 2 == 0 {
                client
                    .recv(stream)
                    .expect("a stream")
                    .stop(8)
                    .expect("a code");
            }
            for _ in 0..seed % 5 {
                pair.step();
            }
        }
        check(&pair.events(Side::Server), seed);
    }
}

/// Row A16: all of it in one flight, from a scripted peer.
#[test]
fn a_stream_that_is_over_at_once() {
    for header_first in [false, true] {
        let (mut peer, _) = super::wt_streams::server();
        peer.events();
        let bytes = join(&[&[0x40, 0x41, 0x00], b"body"]);
        let id = peer.end().open(Dir::Bi).expect("credit");
        peer.end().write(id, &mut [bytes.into()]).expect("room");
        if header_first {
            peer.drive();
        }
        peer.end().stop(id, Code::WT_SESSION_GONE.value());
        peer.end().reset(id, Code::WT_SESSION_GONE.value(), &[]);
        let events = peer.events();
        check(&events, 0);
        let opened = |e: &&Event| matches!(e, Event::WebTransport(_, SessionEvent::Opened { .. }));
        // A stream whose header never arrived was never there.
        assert_eq!(
            events.iter().filter(opened).count(),
            usize::from(header_first)
        );
    }
}

/// Row A16: a stop that comes before the stream says what it is waits for that.
#[test]
fn a_stop_that_comes_first() {
    for bytes in [raw::get(), join(&[&[0x40, 0x41, 0x00], b"body"])] {
        let (mut peer, _) = super::wt_streams::server();
        peer.events();
        let id = peer.request(&[]);
        let code = Code::H3_REQUEST_CANCELLED;
        peer.stop(id, code);
        assert!(peer.events().is_empty());
        peer.write(id, &bytes);
        let events = peer.events();
        check(&events, 0);
        let stops = events.iter().filter(|event| match event {
            Event::Stream(_, StreamEvent::Stopped(told)) => told.wire == code,
            _ => false,
        });
        assert_eq!(stops.count(), 1, "{events:?}");
    }
}
