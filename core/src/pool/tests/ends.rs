//! How connections end, and what becomes of their requests.

use std::sync::Arc;

use super::*;
use crate::error::Class;

fn closed(reason: CloseReason) -> PoolError {
    PoolError::Closed(Arc::new(reason))
}

/// Row D7: at the id and above nothing was processed; below it, requests finish. A second
/// GOAWAY takes more. The connection is retired once, when it is empty (row D8).
#[test]
fn a_goaway_leaves_what_lies_beyond_it_unprocessed() {
    let mut run = Run::with(|_| {});
    let tickets: [_; 4] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, None);
    run.actions();
    for (n, ticket) in tickets.into_iter().enumerate() {
        assert!(run.open(ticket, n as u64));
    }
    run.pool.goaway(run.now, conn, Some(request(2)));
    let unprocessed = |ticket| failed(ticket, PoolError::Unprocessed);
    assert_eq!(
        run.actions(),
        [unprocessed(tickets[2]), unprocessed(tickets[3])]
    );
    assert_eq!(run.pool.stats().all.draining, 1);
    assert_eq!(run.pool.free_streams(conn), 0, "row D1");
    // Greater ids are the connection's to refuse; here the lowest counts.
    run.pool.goaway(run.now, conn, Some(request(9)));
    assert_eq!(run.actions(), []);
    run.pool.goaway(run.now, conn, Some(request(1)));
    assert_eq!(run.actions(), [unprocessed(tickets[1])]);
    assert_eq!(run.pool.stats().all.draining, 1, "told once");
    assert!(run.release(tickets[0]));
    assert_eq!(run.actions(), [retired(conn, Retired::Drained)]);
    run.pool.goaway(run.now, conn, Some(request(0)));
    run.closed(conn, ended());
    assert_eq!(run.actions(), [], "the pool has forgotten it");
    let error = PoolError::Unprocessed;
    assert!(error.is_unprocessed() && error.is_retryable());
    assert_eq!(run.pool.stats().unprocessed, 3);
}

/// Row D7: a request that races with the GOAWAY is told, whichever the pool hears of first,
/// and is called unprocessed only if it was.
#[test]
fn a_request_that_races_with_a_goaway_is_not_lost() {
    let mut run = Run::with(|_| {});
    let [a, b, c, unseen] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, None);
    for _ in 0..3 {
        assert!(matches!(
            run.pool.poll_action(run.now),
            Some(Action::Lend { .. })
        ));
    }
    // Three know that it is their turn and have not said what they did with it.
    run.pool.goaway(run.now, conn, Some(request(1)));
    let next = run.dial();
    assert!(run.open(a, 0), "sent before, and processed");
    assert!(run.open(b, 1), "sent before, and beyond the id");
    assert_eq!(run.actions(), [failed(b, PoolError::Unprocessed)]);
    // RequestError::Draining: nothing was sent.
    assert!(run.pool.give_back(run.now, c));
    run.connected(next, None);
    assert_eq!(run.actions(), [lent(c, next), lent(unseen, next)]);
    assert!(run.release(a));
    assert_eq!(run.actions(), [retired(conn, Retired::Drained)]);
}

/// Row D7, of a connection that tells which requests are unprocessed by itself.
#[test]
fn a_goaway_without_an_id_drains() {
    let mut run = Run::with(|_| {});
    let (conn, ticket) = run.connect(1);
    run.open(ticket, 0);
    run.pool.goaway(run.now, conn, None);
    assert_eq!(run.actions(), []);
    run.release(ticket);
    assert_eq!(run.actions(), [retired(conn, Retired::Drained)]);
}

/// Row D20: a client's own GOAWAY carries a push id. Nothing in flight fails, nothing new
/// starts, and the connection ends when it is empty.
#[test]
fn our_own_goaway_fails_nothing() {
    let mut run = Run::with(|_| {});
    let (conn, ticket) = run.connect(1);
    run.open(ticket, 0);
    run.pool.drain(run.now, conn);
    run.pool.drain(run.now, conn);
    assert_eq!(run.actions(), []);
    let other = run.checkout(1);
    let next = run.dial();
    run.connected(next, None);
    assert_eq!(run.actions(), [lent(other, next)]);
    assert!(run.release(ticket));
    assert_eq!(run.actions(), [retired(conn, Retired::Drained)]);
    let (idle, ticket) = run.connect(2);
    run.release(ticket);
    run.pool.drain(run.now, idle);
    assert_eq!(
        run.actions(),
        [retired(idle, Retired::Drained)],
        "there is nothing to wait for"
    );
}

/// Row D13, and a defect of a system before it: the last connection drains and dies, and
/// those that wait get a new one.
#[test]
fn who_waits_gets_a_new_dial_when_the_last_connection_dies() {
    let mut run = Run::with(|config| config.max_streams = 1);
    let (conn, holder) = run.connect(1);
    run.open(holder, 0);
    let waits = run.checkout(1);
    assert_eq!(run.actions(), [], "one connection, one request");
    run.closed(conn, ended());
    assert_eq!(run.actions(), [failed(holder, closed(ended()))]);
    // It came to nothing but a close, so that the next try is not at once.
    let [(after, Action::Dial { conn, .. })] = run.advance(ms(400))[..] else {
        panic!("a dial");
    };
    assert!((125..=250).contains(&after), "{after} ms");
    run.connected(conn, None);
    assert_eq!(run.actions(), [lent(waits, conn)]);
    run.open(waits, 0);
    run.release(waits);
    // One that has been of use is replaced at once; draining, it was not in the way.
    let holder = run.checkout(1);
    assert_eq!(run.actions(), [lent(holder, conn)]);
    run.open(holder, 1);
    run.pool.goaway(run.now, conn, Some(request(2)));
    let waits = run.checkout(1);
    let next = run.dial();
    run.closed(conn, died());
    run.connected(next, None);
    assert_eq!(
        run.actions(),
        [failed(holder, closed(died())), lent(waits, next)]
    );
}

/// Row D10: the end of a connection fails what is on it; D11: whether it may be sent again
/// is another question than whether it may succeed.
#[test]
fn a_request_whose_connection_ended_may_have_been_processed() {
    let misbehaved = CloseReason::PeerMisbehaved {
        code: Code::H3_FRAME_ERROR,
        why: crate::fault::Violation::FrameMalformed,
    };
    for (reason, class) in [
        (died(), Class::Transient),
        (misbehaved, Class::Unrecoverable),
    ] {
        let mut run = Run::with(|_| {});
        let (conn, sent) = run.connect(1);
        run.open(sent, 0);
        let unanswered = run.checkout(1);
        let given_back = run.checkout(1);
        run.actions();
        run.closed(conn, reason.clone());
        let error = closed(reason.clone());
        assert_eq!(run.actions(), [failed(sent, error.clone())]);
        assert_eq!((error.class(), error.is_unprocessed()), (class, false));
        // The others say what they did, and get what follows from it.
        assert!(run.open(unanswered, 1));
        assert_eq!(run.actions(), [failed(unanswered, error)]);
        assert!(run.pool.give_back(run.now, given_back));
        assert_eq!(run.pool.stats().all.queued, 1, "nothing was sent");
        assert_eq!(run.pool.stats().cut_off, 2);
    }
}

/// Row D7: what a GOAWAY left unprocessed stays so when the connection ends before its
/// sender says that it was sent.
#[test]
fn a_close_does_not_hide_a_goaway() {
    let mut run = Run::with(|_| {});
    let [a, b] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, None);
    run.actions();
    run.pool.goaway(run.now, conn, Some(request(1)));
    run.closed(conn, ended());
    assert!(run.open(a, 0) && run.open(b, 1));
    let expected = [
        failed(a, closed(ended())),
        failed(b, PoolError::Unprocessed),
    ];
    assert_eq!(run.actions(), expected);
}

/// Row D3: all that wait fail with the cause, nothing of theirs was sent.
#[test]
fn a_failed_dial_fails_all_that_wait() {
    let refused = CloseReason::Transport(TransportFailure::ClosedByPeer {
        code: 0x12a,
        reason: bytes::Bytes::new(),
    });
    for (failure, class) in [
        (DialFailure::Resolve("NXDOMAIN".into()), Class::Transient),
        (DialFailure::TimedOut, Class::Transient),
        (died().into(), Class::Transient),
        (refused.into(), Class::Unrecoverable),
        (
            DialFailure::NotBegun("no socket".into()),
            Class::Unrecoverable,
        ),
    ] {
        let mut run = Run::with(|_| {});
        let tickets: [_; 3] = run.checkouts(1);
        let conn = run.dial();
        run.pool.dial_failed(run.now, conn, failure.clone());
        let error = PoolError::Dial(Arc::new(failure.clone()));
        assert_eq!(
            run.actions(),
            tickets.map(|ticket| failed(ticket, error.clone()))
        );
        assert!(error.is_unprocessed());
        assert_eq!((error.class(), failure.class()), (class, class));
        assert_eq!(failure.is_retryable(), class == Class::Transient);
        assert!(error.to_string().contains(&failure.to_string()), "{error}");
        assert!(!run.pool.connected(run.now, conn, None), "it has failed");
        assert_eq!(run.pool.stats().all, OriginStats::default());
    }
    // An end that comes before the beginning is the same.
    let mut run = Run::with(|_| {});
    let ticket = run.checkout(1);
    let conn = run.dial();
    run.closed(conn, died());
    let error = PoolError::Dial(Arc::new(died().into()));
    assert_eq!(run.actions(), [failed(ticket, error)]);
}

/// Row D3, D13: who has another connection to hope for goes on waiting.
#[test]
fn a_failed_dial_beside_a_connection_fails_nobody() {
    let mut run = Run::with(|config| {
        config.max_connections = 2;
        config.max_streams = 1;
    });
    let (conn, holder) = run.connect(1);
    let waits = run.checkout(1);
    let second = run.dial();
    run.pool.dial_failed(run.now, second, DialFailure::TimedOut);
    assert_eq!(run.actions(), []);
    run.release(holder);
    assert_eq!(run.actions(), [lent(waits, conn)]);
}

/// A shut-down refuses, fails who waits, and lets the rest finish.
#[test]
fn a_shut_down_ends_when_the_last_request_does() {
    let mut run = Run::with(|config| config.max_streams = 2);
    let (idle, gone) = run.connect(1);
    run.release(gone);
    let (busy, holder) = run.connect(2);
    run.open(holder, 0);
    let late = run.checkout(2);
    let waits = run.checkout(2);
    let dialled = run.checkout(3);
    let actions = run.actions();
    let [Action::Lend { .. }, Action::Dial { conn, .. }] = actions[..] else {
        panic!("{actions:?}");
    };
    let unseen = run.checkout(4);
    run.pool.shut_down(run.now);
    let shut = |ticket| failed(ticket, PoolError::ShutDown);
    assert_eq!(
        run.actions(),
        [
            shut(waits),
            shut(dialled),
            shut(unseen),
            retired(idle, Retired::ShutDown),
            retired(conn, Retired::ShutDown)
        ],
        "of a dial that nobody has begun nothing is told"
    );
    let refused = run.pool.checkout(run.now, &origin(1));
    assert_eq!(refused, Err(PoolError::ShutDown));
    assert!(run.pool.give_back(run.now, late));
    assert_eq!(run.actions(), [shut(late)]);
    assert!(!run.pool.is_over());
    run.release(holder);
    assert_eq!(run.actions(), [retired(busy, Retired::Drained)]);
    assert!(run.pool.is_over());
    assert_eq!(PoolError::ShutDown.class(), Class::Unrecoverable);
    assert_eq!(run.pool.poll_timeout(), None);
}

/// Calls that name what is gone, or come twice, change nothing.
#[test]
fn what_is_gone_is_left_alone() {
    let mut run = Run::with(|_| {});
    let (conn, ticket) = run.connect(1);
    assert!(!run.pool.connected(run.now, conn, None), "twice");
    run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
    assert!(run.open(ticket, 0) && !run.open(ticket, 1), "twice");
    let before = run.pool.stats();
    run.release(ticket);
    run.closed(conn, ended());
    run.closed(conn, ended());
    run.pool.goaway(run.now, conn, None);
    run.pool.drain(run.now, conn);
    run.pool.credit(run.now, conn, None);
    run.pool.heard(run.now, conn);
    assert_eq!(run.actions(), []);
    assert_eq!(run.pool.free_streams(conn), 0);
    assert_eq!(before.cut_off, run.pool.stats().cut_off);
    assert_eq!(run.pool.origin_stats(&origin(9)), OriginStats::default());
}
