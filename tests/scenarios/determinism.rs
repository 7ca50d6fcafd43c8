//! The same input gives the same output.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::stats::Stats;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_tests::{get, seeds};
use http::StatusCode;

/// Everything both sides hear in a run with a bit of everything, and what they counted.
fn trace(seed: u64) -> (Vec<(Side, Event)>, [Stats; 2]) {
    let knobs = Knobs {
        datagram_loss: 30,
        ..Knobs::adversarial(seed)
    };
    let mut pair = LoopbackPair::new(Config::default(), Config::default(), knobs);
    let mut trace = Vec::new();
    let mut note = |pair: &mut LoopbackPair| {
        for side in [Side::Client, Side::Server] {
            trace.extend(pair.events(side).into_iter().map(|event| (side, event)));
        }
    };
    note(&mut pair);
    let (client, server) = pair.session("https://example.com/wt");
    for n in 0..5 {
        let here = pair
            .client()
            .webtransport(client)
            .open_stream(Dir::Uni)
            .expect("a stream");
        let there = super::wt_streams::opened(&mut pair, Side::Server);
        pair.transfer(Side::Client, here, there, &vec![n; 700]);
        for _ in 0..5 {
            pair.server().send_datagram(server, &[n; 20]).expect("room");
        }
        note(&mut pair);
    }
    let request = pair.client().request(&get(), End::More).expect("a request");
    let there = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    let ok = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(there, &ok, End::More)
        .expect("an answer");
    pair.client()
        .send(request)
        .expect("a stream")
        .reset(0x10c)
        .expect("a code");
    note(&mut pair);
    pair.client()
        .webtransport(client)
        .close(7, "done")
        .expect("a session");
    note(&mut pair);
    (trace, [pair.client().stats(), pair.server().stats()])
}

/// Row A1 at this level, principle 8.
#[test]
fn twice_the_same() {
    for seed in seeds(20) {
        let first = trace(seed);
        assert_eq!(first, trace(seed), "SEED={seed}");
        assert!(first.0.len() > 20, "{first:?}");
    }
    assert_ne!(trace(1), trace(2), "the seed matters");
}
