//! Who waits, who is lent what, and in which order.

use super::*;

/// Rows D1, D13: checkouts before there is a connection wait in order, and all of them
/// for one dial.
#[test]
fn one_dial_serves_all_that_wait_in_their_order() {
    let mut run = Run::with(|_| {});
    let tickets: [_; 50] = run.checkouts(1);
    let conn = run.dial();
    assert_eq!(run.pool.free_streams(conn), 0, "row D1");
    run.connected(conn, Some(100));
    let order = tickets.map(|ticket| lent(ticket, conn));
    assert_eq!(run.actions(), order);
    let stats = run.pool.stats();
    assert_eq!(
        (stats.all.active, stats.all.queued, stats.dials),
        (50, 0, 1)
    );
    let next = run.checkout(1);
    assert_eq!(run.actions(), [lent(next, conn)], "it is there already");
}

/// Row D2: as many as the peer allows, up to the cap, and more when MAX_STREAMS rises.
#[test]
fn credit_follows_max_streams_up_to_the_cap() {
    let mut run = Run::with(|config| config.max_streams = 4);
    let tickets: [_; 7] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, Some(2));
    assert_eq!(run.actions(), [0, 1].map(|n| lent(tickets[n], conn)));
    assert!(run.open(tickets[0], 0) && run.open(tickets[1], 1));
    run.pool.credit(run.now, conn, Some(2));
    run.pool.credit(run.now, conn, Some(1));
    assert_eq!(run.actions(), [], "no more than before");
    run.pool.credit(run.now, conn, Some(3));
    assert_eq!(run.actions(), [lent(tickets[2], conn)]);
    assert!(run.open(tickets[2], 2));
    run.pool.credit(run.now, conn, Some(100));
    assert_eq!(run.actions(), [lent(tickets[3], conn)], "four at once");
    assert_eq!(run.pool.free_streams(conn), 0);
    // A request that is over frees its place; its stream is not given again.
    run.release(tickets[0]);
    assert_eq!(run.actions(), [lent(tickets[4], conn)]);
}

/// Row D2: MAX_STREAMS counts streams that there ever were, so a place that is free is
/// not yet a stream.
#[test]
fn a_place_without_credit_is_not_lent() {
    let mut run = Run::with(|_| {});
    let tickets: [_; 3] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, Some(2));
    run.actions();
    assert!(run.open(tickets[0], 0) && run.open(tickets[1], 1));
    run.release(tickets[0]);
    run.release(tickets[1]);
    assert_eq!(run.actions(), []);
    run.pool.credit(run.now, conn, Some(3));
    assert_eq!(run.actions(), [lent(tickets[2], conn)]);
    // A place that was never used costs no credit.
    run.release(tickets[2]);
    let next = run.checkout(1);
    assert_eq!(run.actions(), [lent(next, conn)]);
    // A stream that somebody else has opened does.
    assert!(run.open(next, 7));
    run.pool.credit(run.now, conn, Some(8));
    run.checkout(1);
    assert_eq!(run.actions(), []);
}

/// Row D13: the least loaded connection first; draining ones do not count.
#[test]
fn the_least_loaded_connection_is_lent() {
    let mut run = Run::with(|config| {
        config.max_connections = 2;
        config.max_streams = 2;
    });
    let first: [_; 4] = run.checkouts(1);
    let dials = run.actions();
    let [Action::Dial { conn: a, .. }, Action::Dial { conn: b, .. }] = dials[..] else {
        panic!("two, since each takes two: {dials:?}");
    };
    run.connected(a, None);
    run.connected(b, None);
    let at = |ticket, conn| lent(ticket, conn);
    assert_eq!(
        run.actions(),
        [
            at(first[0], a),
            at(first[1], a),
            at(first[2], b),
            at(first[3], b)
        ]
    );
    run.release(first[0]);
    run.release(first[2]);
    run.release(first[3]);
    let next: [_; 3] = run.checkouts(1);
    assert_eq!(
        run.actions(),
        [at(next[0], b), at(next[1], a), at(next[2], b)]
    );
    let waits = run.checkout(1);
    assert_eq!(run.actions(), [], "there are as many as there may be");
    run.pool.goaway(run.now, b, Some(request(1 << 20)));
    let c = run.dial();
    run.connected(c, None);
    assert_eq!(run.actions(), [lent(waits, c)]);
    let stats = run.pool.origin_stats(&origin(1));
    assert_eq!((stats.connections, stats.draining, stats.active), (2, 1, 5));
}

/// Row D9: whoever is dropped leaves the queue, or its place to the next, at once.
#[test]
fn a_checkout_that_is_dropped_frees_its_place_at_once() {
    let mut run = Run::with(|config| config.max_streams = 1);
    let (conn, holder) = run.connect(1);
    let [a, b, c] = run.checkouts(1);
    assert!(run.release(b));
    assert!(run.open(holder, 0));
    assert!(run.release(holder));
    assert_eq!(run.actions(), [lent(a, conn)]);
    assert!(run.release(a), "without having opened anything");
    assert_eq!(run.actions(), [lent(c, conn)]);
    for over in [holder, a, b] {
        assert!(!run.release(over) && !run.open(over, 1), "it is over");
        assert!(!run.pool.give_back(run.now, over));
    }
    // Nothing is told of a ticket that was released before it could be.
    let gone = run.checkout(1);
    run.release(c);
    run.release(gone);
    assert_eq!(run.actions(), []);
    let stats = run.pool.stats().all;
    assert_eq!((stats.active, stats.queued, stats.idle), (0, 0, 1));
}

/// A connection that has no stream to give: the ticket keeps its place in the queue.
#[test]
fn a_ticket_that_is_given_back_waits_in_its_old_place() {
    let mut run = Run::with(|config| config.max_streams = 3);
    let tickets: [_; 5] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, None);
    assert_eq!(run.actions().len(), 3);
    // In whatever order they are given back.
    for n in [1, 0, 2] {
        assert!(run.pool.give_back(run.now, tickets[n]));
    }
    assert_eq!(run.actions(), [], "it is blocked");
    assert_eq!(run.pool.free_streams(conn), 0);
    run.pool.credit(run.now, conn, None);
    assert_eq!(run.actions(), [0, 1, 2].map(|n| lent(tickets[n], conn)));

    // Credit that was told between the loan and the answer may have come too late for it.
    run.pool.credit(run.now, conn, None);
    assert!(run.pool.give_back(run.now, tickets[0]));
    assert_eq!(run.actions(), [lent(tickets[0], conn)], "it is tried again");
    assert!(run.pool.give_back(run.now, tickets[0]));
    assert_eq!(run.actions(), []);
    // Only what is lent can be given back.
    assert!(run.open(tickets[1], 0));
    assert!(!run.pool.give_back(run.now, tickets[1]), "sent");
    assert!(!run.pool.give_back(run.now, tickets[0]), "it waits");
    assert!(!run.open(tickets[0], 1), "it waits");
}

/// What waits is bounded, for each origin and in all.
#[test]
fn the_queue_is_bounded() {
    let limits = PoolLimits {
        max_waiters: 5,
        ..PoolLimits::default()
    };
    let mut run = Run::within(limits, |config| config.max_waiters = 3);
    let waiting: [_; 3] = run.checkouts(1);
    let full = Err(PoolError::QueueFull);
    assert_eq!(run.pool.checkout(run.now, &origin(1)), full);
    let others: [_; 2] = run.checkouts(2);
    for n in [2, 3] {
        assert_eq!(run.pool.checkout(run.now, &origin(n)), full);
    }
    let stats = run.pool.stats();
    assert_eq!((stats.refused, stats.all.queued, stats.origins), (3, 5, 2));
    run.release(others[0]);
    run.checkout(2);
    run.release(waiting[1]);
    run.checkout(1);
    assert!(PoolError::QueueFull.is_retryable() && PoolError::QueueFull.is_unprocessed());
}

/// The bound over all origins: the one that is idle for longest makes place, and who
/// finds none waits for it in turn.
#[test]
fn idle_connections_make_place_for_others() {
    let limits = PoolLimits {
        max_connections: 2,
        ..PoolLimits::default()
    };
    let mut run = Run::within(limits, |_| {});
    let (a, on_a) = run.connect(1);
    let (b, on_b) = run.connect(2);
    run.release(on_b);
    run.release(on_a);
    let (at_c, at_d) = (run.checkout(3), run.checkout(4));
    let actions = run.actions();
    let [
        Action::Retire { conn: first, .. },
        Action::Dial { conn: c, .. },
        ..,
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(first, b, "it is idle for longest");
    let [
        ..,
        Action::Retire { conn: second, why },
        Action::Dial { conn: d, .. },
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((second, why), (a, Retired::Room));
    run.connected(c, None);
    run.connected(d, None);
    assert_eq!(run.actions(), [lent(at_c, c), lent(at_d, d)]);
    // Both are busy: origins wait in turn.
    let (at_e, at_f) = (run.checkout(5), run.checkout(6));
    assert_eq!(run.actions(), []);
    run.release(at_f);
    let at_f = run.checkout(6);
    run.release(at_d);
    let actions = run.actions();
    let [Action::Retire { conn, .. }, Action::Dial { conn: e, .. }] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(conn, d);
    run.connected(e, None);
    assert_eq!(run.actions(), [lent(at_e, e)]);
    run.closed(c, ended());
    let actions = run.actions();
    let closed = PoolError::Closed(std::sync::Arc::new(ended()));
    let waits = !actions.contains(&failed(at_c, closed));
    assert!(waits, "its holder has not said what it did: {actions:?}");
    let [Action::Dial { conn: f, .. }] = actions[..] else {
        panic!("{actions:?}");
    };
    run.connected(f, None);
    assert_eq!(run.actions(), [lent(at_f, f)]);
}

/// Row D19: two thousand requests in a row leave nothing behind.
#[test]
fn nothing_grows_with_requests() {
    let mut run = Run::with(|_| {});
    let (conn, first) = run.connect(1);
    run.release(first);
    for n in 0..2_000 {
        let ticket = run.checkout(1);
        assert_eq!(run.actions(), [lent(ticket, conn)]);
        assert!(run.open(ticket, n));
        run.now += ms(1);
        assert!(run.release(ticket));
        assert_eq!((run.pool.tickets.len(), run.pool.conns.len()), (0, 1));
    }
    assert_eq!(run.pool.actions.len(), 0);
    run.closed(conn, ended());
    assert_eq!((run.pool.stats().origins, run.pool.names.len()), (0, 0));
    assert_eq!(run.pool.poll_timeout(), None);
}

/// A place that is free is had at once, and of a request that is over all is told at once:
/// the same comes of it as of one step after the other.
#[test]
fn the_short_way_comes_to_the_same_as_the_long_one() {
    let change = |config: &mut OriginConfig| config.max_streams = 3;
    let (mut long, mut short) = (Run::with(change), Run::with(change));
    short.now = long.now;
    assert_eq!(short.pool.checkout_now(short.now, &origin(1), None), None);
    let [(conn, first), (also, second)] = [&mut long, &mut short].map(|run| run.connect(1));
    // The server allows these and one more.
    long.pool.credit(long.now, conn, Some(5));
    short.pool.credit(short.now, also, Some(5));
    for n in 0..4 {
        let ticket = long.checkout(1);
        assert_eq!(long.actions(), [lent(ticket, conn)]);
        let had = short.pool.checkout_now(short.now, &origin(1), None);
        let (early, on) = had.expect("is free");
        assert_eq!((on, &short.actions()[..]), (also, &[][..]));
        assert!(long.open(ticket, n));
        long.release(ticket);
        let over = short.pool.release_opened(short.now, early, request(n));
        assert!(over && !short.release(early), "it is over");
        assert_eq!(short.pool.stats(), long.pool.stats());
        let free = [(&long, conn), (&short, also)].map(|(run, conn)| run.pool.free_streams(conn));
        assert_eq!(free[0], free[1], "{n}");
    }
    assert_eq!(short.pool.checkout_now(short.now, &origin(1), None), None);
    long.release(first);
    short.release(second);
    assert_eq!(short.pool.poll_timeout(), long.pool.poll_timeout());
}

/// Nobody is served before an action that waits to be taken, nor once the pool shuts down;
/// what lies beyond a GOAWAY is counted as unprocessed, however it is told.
#[test]
fn the_short_way_overtakes_nothing() {
    let mut run = Run::with(|_| {});
    let (conn, first) = run.connect(1);
    let (early, _) = run
        .pool
        .checkout_now(run.now, &origin(1), Some(ms(5)))
        .expect("is free");
    let next = run.checkout(1);
    assert!(run.pool.may_act_before(run.now));
    assert_eq!(run.pool.checkout_now(run.now, &origin(1), None), None);
    assert_eq!(run.actions(), [lent(next, conn)]);
    assert!(!run.pool.may_act_before(run.now));
    run.pool.goaway(run.now, conn, Some(request(1)));
    assert!(run.pool.release_opened(run.now, early, request(2)));
    assert!(run.pool.release_opened(run.now, first, request(0)));
    assert_eq!(run.pool.stats().unprocessed, 1);
    run.pool.shut_down(run.now);
    assert_eq!(run.pool.checkout_now(run.now, &origin(1), None), None);
    run.release(next);
    assert!(run.pool.is_over());
}
