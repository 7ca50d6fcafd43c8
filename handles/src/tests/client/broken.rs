//! Servers that break off, or are hardly there: what is under way ends in time, each request
//! is told of once, and the next finds another connection.

use std::collections::VecDeque as Queue;

use aqueduct_core::pool::PoolError;

use super::*;
use crate::client::Part;

/// A body of so many pieces, of which whoever holds the counter sees what was taken, and
/// when it goes.
fn pieces(count: usize, left: &Arc<AtomicUsize>) -> Body {
    let left = left.clone();
    left.store(count, Ordering::Relaxed);
    Body::from_fn(move |_| {
        let more = left.load(Ordering::Relaxed).checked_sub(1);
        Poll::Ready(more.map(|rest| {
            left.store(rest, Ordering::Relaxed);
            Ok(Part::Data(Bytes::from_static(&[7; 1000])))
        }))
    })
}

/// Row D7: of uploads under way those that the server has seen go on to their ends, and the
/// others are given up as unprocessed, content and all.
#[test]
fn a_goaway_in_the_middle_of_uploads_leaves_out_what_was_not_seen() {
    let mut lab = Lab::new();
    let theirs = lab.warm();
    let counts = [(); 2].map(|()| Arc::new(AtomicUsize::default()));
    let seen = lab.post(pieces(20_000, &counts[0]));
    let (_, mut server) = lab.request(&theirs);
    lab.settle();
    assert!(counts[0].load(Ordering::Relaxed) > 10_000, "held back");
    // Nothing of what this side sends is seen before the GOAWAY is on its way.
    theirs.drain(Duration::from_secs(200));
    let (worker, wire) = &mut lab.net.ends[1];
    worker.turn(now(), wire).expect("no errors here");
    let crossing = lab.post(pieces(20_000, &counts[1]));
    let error = lab.finish(&crossing).expect_err("not processed");
    assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
    assert_eq!(Arc::strong_count(&counts[1]), 1, "its content is let go");
    let read = async { server.read_to_end(20_000_000).await };
    assert_eq!(lab.run(read).expect("whole").len(), 20_000_000);
    reply(&mut server);
    lab.finish(&seen).expect("is answered");
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.client.stats().all, Default::default(), "all is over");
}

/// Rows D14 and D20: what keeps a connection alive does not keep a dead peer alive.
#[test]
fn a_dead_peer_is_found_out_in_spite_of_keep_alive() {
    let mut origin = OriginConfig::default();
    origin.keep_alive = Some(Duration::from_secs(3));
    let forever = Timeouts::default().with_first_byte(None);
    let mut lab = Lab::with(builder().timeouts(forever).origins(origin));
    let (first, theirs, server) = lab.first();
    let address = lab.net.server.local_addr();
    lab.net.ends[0].1.nobody = vec![address];
    lab.net.ends[1].1.nobody = vec![lab.net.client.local_addr()];
    for _ in 0..40 {
        lab.pass(Duration::from_secs(1));
    }
    let error = lab.finish(&first).expect_err("is cut off");
    let Error::Answer(ReadError::Connection(reason)) = &error else {
        panic!("{error:?}");
    };
    assert!(
        reason.is_retryable() && !error.is_unprocessed(),
        "{error:?}"
    );
    assert_eq!(lab.client.stats().all.connections, 0);
    drop((server, theirs));
    lab.net
        .ends
        .iter_mut()
        .for_each(|(_, wire)| wire.nobody.clear());
    let next = lab.get();
    let mut theirs = lab.accept();
    while theirs.close_reason().is_some() {
        theirs = lab.accept();
    }
    let (_, mut server) = lab.request(&theirs);
    reply(&mut server);
    lab.finish(&next).expect("is answered");
}

/// Row D5: a server that takes requests and never answers holds nobody's place for longer
/// than their time, whoever waits for it in the queue included, and each is told of once.
#[test]
fn a_server_that_never_answers_gives_all_places_back() {
    let mut lab = Lab::on(Net::with_streams(Config::default(), 4), builder());
    let asked: Vec<_> = (0..12).map(|_| lab.get()).collect();
    let theirs = lab.accept();
    let mut held = Vec::new();
    for _ in 0..6 {
        while let Some(Some(request)) = poll(pin!(theirs.accept_request())) {
            held.push(request);
        }
        lab.pass(Duration::from_secs(5));
    }
    let mut ends = Queue::new();
    for later in &asked {
        ends.push_back(lab.finish(later).expect_err("no answer"));
    }
    let in_time = |error: &Error| {
        matches!(
            error,
            Error::TimedOut(_) | Error::Pool(PoolError::CheckoutTimedOut { .. })
        )
    };
    assert!(ends.iter().all(in_time), "{ends:?}");
    assert_eq!(lab.active(), 0);
    assert_eq!(lab.client.hub().held().0, 0);
}
