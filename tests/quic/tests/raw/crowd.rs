//! Thousands of streams over a thin line, all begun at once.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::quic::{self, Shutdown, Start, StreamEvent};
use bytes::Bytes;

use super::talk::Talk;

const COUNT: u64 = 2_000;

#[test]
fn thousands_of_streams_take_their_turns() {
    let mut talk = Talk::with(|options, quic| {
        options.record = false;
        options.transport.max_streams_uni = COUNT;
        quic.server.open_streams = 20_000;
    });
    talk.pair.client.link.rate = Some(1_000_000);
    let mut left = BTreeMap::new();
    for number in 0..COUNT {
        let key = talk.act(Side::Client, |it| {
            it.start(Dir::Uni, Start::new().fail_blocked())
        });
        let key = key.expect("credit");
        left.insert(key, 1000);
        send(&mut talk, key, &mut left);
        if number % 3 == 0 {
            // Whoever waits gets another place.
            let priority = i32::try_from(number % 7).expect("small");
            let set = talk.act(Side::Client, |it| it.set_priority(key, priority));
            assert!(set.is_ok() || !left.contains_key(&key));
        }
    }
    for _ in 0..6000 {
        talk.pair.advance(Duration::from_millis(5));
        for event in talk.told(Side::Client) {
            if let Event::Quic(quic::Event::Stream(key, StreamEvent::Writable)) = event {
                send(&mut talk, key, &mut left);
            }
        }
        for event in talk.told(Side::Server) {
            if let Event::Quic(quic::Event::Stream(key, StreamEvent::Readable)) = event {
                let _ = talk.try_read(Side::Server, key);
            }
        }
        if talk.live(Side::Client) == 0 {
            break;
        }
    }
    assert_eq!(left.len(), 0);
    assert_eq!((talk.live(Side::Client), talk.live(Side::Server)), (0, 0));
    let seconds = talk.pair.elapsed().as_secs();
    assert!(seconds < 5, "{seconds} s for two of the line");
}

/// Hands over what is taken, and ends the stream when that was all.
fn send(talk: &mut Talk, key: StreamKey, left: &mut BTreeMap<StreamKey, usize>) {
    let Some(rest) = left.get_mut(&key) else {
        return;
    };
    let mut chunks = [Bytes::from(vec![7; *rest])];
    let taken = talk.act(Side::Client, |it| it.write(key, &mut chunks));
    *rest -= taken.expect("open");
    if *rest == 0 {
        left.remove(&key);
        talk.shutdown(Side::Client, key, Shutdown::Graceful);
    }
}
