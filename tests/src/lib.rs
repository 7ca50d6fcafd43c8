//! What the scenario tests share.

pub mod model;
pub mod pool;
pub mod replayed;
pub mod tunnels;
pub mod wt;

use std::fmt::Write;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::fault::Violation;
use aqueduct_core::head::RequestHead;
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, Seen};
use aqueduct_core::wire::qpack::{Decoded, Decoder};
use http::Method;

/// Seeds for tests that run on unpleasant networks: `SEED` from the environment
/// alone, else the first `n`, times `SEEDS` for a long run.
pub fn seeds(n: u64) -> impl Iterator<Item = u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("SEED and SEEDS are numbers"))
    };
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..n * number("SEEDS").unwrap_or(1),
    }
}

/// The default configuration, changed.
pub fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// The head of a GET request for `https://example.com/`.
pub fn get() -> RequestHead {
    RequestHead::new(
        Method::GET,
        "https://example.com/".parse().expect("an address"),
    )
}

/// The client-initiated bidirectional stream of a number: a request.
pub fn bidi(number: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, number)
}

/// Type and payload of each whole frame (or capsule) in `bytes`, reserved ones
/// left out.
///
/// # Panics
/// When the last one is not whole.
pub fn frames(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let ty = varint(&mut rest);
        let len = varint(&mut rest) as usize;
        let (payload, after) = rest.split_at(len);
        rest = after;
        if ty < 0x21 || !(ty - 0x21).is_multiple_of(0x1f) {
            frames.push((ty, payload.to_vec()));
        }
    }
    frames
}

/// The contents of a message's DATA frames.
pub fn content(bytes: &[u8]) -> Vec<u8> {
    let data = frames(bytes).into_iter().filter(|(ty, _)| *ty == 0);
    data.flat_map(|(_, payload)| payload).collect()
}

/// The fields of the `n`-th HEADERS frame, as `name: value` lines.
///
/// # Panics
/// When there is no such frame or it needs a dynamic table.
pub fn fields(bytes: &[u8], n: usize) -> String {
    decoded(Decoder::new(0, 0), bytes, n)
}

/// The same of what our side sent on a stream, with the dynamic table it filled.
///
/// # Panics
/// When there is no such frame or its table is unknown.
pub fn fields_on(peer: &RawPeer, id: StreamId, n: usize) -> String {
    let mut decoder = Decoder::new(1 << 16, 100);
    if let Some((_, encoder)) = peer.uni_of_type(2) {
        let instructions = decoder.handle_encoder_stream(&encoder.bytes[1..]);
        instructions.expect("encoder instructions");
    }
    decoded(decoder, &peer.seen(id).bytes, n)
}

fn decoded(mut decoder: Decoder, bytes: &[u8], n: usize) -> String {
    let mut sections = frames(bytes).into_iter().filter(|(ty, _)| *ty == 1);
    let (_, section) = sections.nth(n).expect("a HEADERS frame");
    let decoded = decoder
        .decode(0, &section, 1 << 20)
        .expect("a field section");
    let Decoded::Section(section) = decoded else {
        panic!("{decoded:?}")
    };
    section.iter().fold(String::new(), |mut text, field| {
        let (name, value) = (field.name, field.value);
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        writeln!(text, "{name}: {value}").expect("a string grows");
        text
    })
}

/// The settings our side announced to a scripted peer.
///
/// # Panics
/// When it has no control stream that begins with SETTINGS.
pub fn announced(peer: &RawPeer) -> Vec<(u64, u64)> {
    let (_, control) = peer.uni_of_type(0).expect("a control stream");
    let (ty, payload) = frames(&control.bytes[1..]).remove(0);
    assert_eq!(ty, 4, "SETTINGS come first");
    let mut rest = &payload[..];
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        pairs.push((varint(&mut rest), varint(&mut rest)));
    }
    pairs
}

/// Takes a QUIC variable-length integer off the front.
///
/// # Panics
/// When it is not whole.
pub fn varint(bytes: &mut &[u8]) -> u64 {
    let len = 1usize << (bytes[0] >> 6);
    let (head, rest) = bytes.split_at(len);
    *bytes = rest;
    let value = head
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    value & (u64::MAX >> (64 - (len * 8 - 2)))
}

/// What a scripted peer is told when our side closes because of it: the code on
/// the wire, and the rule in the last event.
#[track_caller]
pub fn assert_closed(peer: &mut RawPeer, code: Code, what: &str) -> Violation {
    assert_eq!(peer.closed(), Some(code), "{what}: {}", peer.story());
    let events = peer.events();
    let closes = events
        .iter()
        .filter(|event| matches!(event, Event::Closed(_)))
        .count();
    assert_eq!(closes, 1, "{what}: {events:?}");
    match events.last() {
        Some(Event::Closed(reason)) => match **reason {
            CloseReason::PeerMisbehaved { code: told, why } => {
                assert_eq!(told, code, "{what}");
                why
            }
            ref other => panic!("{what}: {other:?}"),
        },
        other => panic!("{what}: the last event is {other:?}"),
    }
}

/// That a stream was refused with the code, and nothing else happened to the
/// connection.
#[track_caller]
pub fn assert_refused(peer: &RawPeer, id: StreamId, code: Code, what: &str) {
    let Seen { reset, stop, .. } = peer.seen(id);
    assert_eq!(peer.closed(), None, "{what}: {}", peer.story());
    assert!(
        reset == Some(code) || stop == Some(code),
        "{what}: {reset:?} {stop:?}"
    );
    assert!(reset.is_none_or(|c| c == code), "{what}: {reset:?}");
    assert!(stop.is_none_or(|c| c == code), "{what}: {stop:?}");
}

/// Sends a request without content and gives both sides' keys of it.
///
/// # Panics
/// When it does not arrive.
pub fn request(pair: &mut LoopbackPair, head: &RequestHead) -> (StreamKey, StreamKey) {
    let fin = aqueduct_core::head::End::Fin;
    let client = pair.client().request(head, fin).expect("a request is sent");
    let server = aqueduct_core::expect_event!(
        pair, Side::Server, Event::Request { stream, .. } if stream.id() == client.id() => stream
    );
    (client, server)
}

/// The events of one stream, in order.
pub fn stream_events(events: &[Event], key: StreamKey) -> Vec<StreamEvent> {
    let mine = events.iter().filter_map(|event| match event {
        Event::Stream(stream, event) if *stream == key => Some(*event),
        _ => None,
    });
    mine.collect()
}
