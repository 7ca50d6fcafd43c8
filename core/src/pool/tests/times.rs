//! What happens by itself, and when.

use std::sync::Arc;

use super::*;
use crate::time::Why;

/// Row D13: a checkout waits for five seconds, or as long as it says.
#[test]
fn a_checkout_waits_for_so_long() {
    let mut run = Run::with(|config| config.max_streams = 1);
    let (_, holder) = run.connect(1);
    run.open(holder, 0);
    let long = run.checkout(1);
    let short = run.pool.checkout_within(run.now, &origin(1), ms(300));
    let short = short.expect("a ticket");
    assert_eq!(
        run.pool.poll_timeout().map(|due| due.why),
        Some(Why::Checkout)
    );
    let late = PoolError::CheckoutTimedOut { last: None };
    let happened = run.advance(ms(20_000));
    let expected = [(300, short), (5_000, long)];
    assert_eq!(
        happened,
        expected.map(|(at, ticket)| (at, failed(ticket, late.clone())))
    );
    assert!(late.is_retryable() && late.is_unprocessed());
    let stats = run.pool.stats();
    assert_eq!(
        (stats.timed_out, stats.all.queued, stats.all.active),
        (2, 0, 1)
    );
}

/// A ticket that is given back has no more time than it had.
#[test]
fn giving_back_wins_no_time() {
    let mut run = Run::with(|_| {});
    let [a, b] = run.checkouts(1);
    let conn = run.dial();
    run.connected(conn, None);
    run.actions();
    run.now += ms(4_000);
    assert!(run.pool.give_back(run.now, a));
    let late = PoolError::CheckoutTimedOut { last: None };
    assert_eq!(run.advance(ms(1_000)), [(1_000, failed(a, late.clone()))]);
    assert!(run.pool.give_back(run.now, b));
    assert_eq!(run.actions(), [failed(b, late)]);
}

/// Row D3: what is not connected in time is given up, and its caller told.
#[test]
fn a_dial_has_its_time() {
    let mut run = Run::with(|config| config.connect_timeout = ms(900));
    let ticket = run.checkout(1);
    let conn = run.dial();
    let timed_out = PoolError::Dial(Arc::new(DialFailure::TimedOut));
    assert_eq!(
        run.advance(ms(1_000)),
        [
            (900, retired(conn, Retired::ConnectTimeout)),
            (900, failed(ticket, timed_out))
        ]
    );
    assert!(
        !run.pool.connected(run.now, conn, None),
        "too late: to be closed"
    );
}

/// Row D3: a dead origin is asked ever more seldom, and forgotten after a while.
#[test]
fn a_dead_origin_is_not_hammered() {
    let mut run = Run::with(|config| config.max_back_off = ms(2_000));
    let start = run.now;
    let mut dials = Vec::new();
    for _ in 0..400 {
        let last = run.pool.checkout_within(run.now, &origin(1), ms(100));
        match last {
            // It would be in vain: told at once, and why.
            Err(error) => {
                assert_eq!(error, PoolError::Dial(Arc::new(DialFailure::TimedOut)));
            }
            Ok(ticket) => {
                for (_, action) in run.advance(ms(99)) {
                    let Action::Dial { conn, .. } = action else {
                        panic!("{action:?}");
                    };
                    dials.push(run.now.duration_since(start).as_millis());
                    run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
                }
                for action in run.actions() {
                    if let Action::Dial { conn, .. } = action {
                        dials.push(run.now.duration_since(start).as_millis());
                        run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
                    }
                }
                run.release(ticket);
            }
        }
        run.advance(ms(1));
        run.now += ms(24);
    }
    let gaps: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((8..=16).contains(&dials.len()), "{dials:?}");
    for (n, least) in [(0, 125), (1, 250), (2, 500), (3, 1_000), (4, 1_000)] {
        assert!((least..=2 * least + 250).contains(&gaps[n]), "{gaps:?}");
    }
    // Nobody asks: what is known of it is forgotten.
    run.advance(ms(10_000));
    assert_eq!(run.pool.stats().origins, 0);
    assert_eq!(run.pool.poll_timeout(), None);
}

/// Who has time waits for the end of the back-off, and is told the cause if time ends.
#[test]
fn who_has_time_waits_for_the_next_try() {
    let mut run = Run::with(|_| {});
    run.checkout(1);
    let conn = run.dial();
    run.pool
        .dial_failed(run.now, conn, DialFailure::Resolve("SERVFAIL".into()));
    run.actions();
    let patient = run.checkout(1);
    assert_eq!(run.actions(), []);
    assert_eq!(
        run.pool.poll_timeout().map(|due| due.why),
        Some(Why::BackOff)
    );
    let [(at, Action::Dial { conn, .. })] = run.advance(ms(250))[..] else {
        panic!("a dial");
    };
    assert!((125..=250).contains(&at));
    // A connection that is made and of use ends it.
    run.connected(conn, None);
    run.actions();
    run.open(patient, 0);
    run.release(patient);
    run.closed(conn, ended());
    run.checkout(1);
    run.dial();

    let mut run = Run::with(|config| {
        config.connect_timeout = ms(60_000);
        config.checkout_timeout = ms(1_000);
    });
    run.checkout(1);
    let conn = run.dial();
    run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
    run.actions();
    let waits = run.checkout(1);
    let happened = run.advance(ms(1_000));
    let last = Some(Arc::new(DialFailure::TimedOut));
    let error = PoolError::CheckoutTimedOut { last };
    assert_eq!(happened.last(), Some(&(1_000, failed(waits, error))));
}

/// Back-offs of pools with different seeds differ.
#[test]
fn clients_do_not_come_back_at_once() {
    let mut ready = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let config = PoolConfig {
            seed,
            ..PoolConfig::default()
        };
        let (pool, now) = (Pool::new(config).expect("a pool"), epoch());
        let mut run = Run { pool, now };
        run.checkout(1);
        let conn = run.dial();
        run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
        run.actions();
        run.checkout(1);
        let due = run.pool.poll_timeout().expect("a back-off");
        ready.insert(due.at - run.now);
    }
    assert!(ready.len() > 15, "{ready:?}");
}

/// Origins that are known for their back-off alone are bounded.
#[test]
fn dead_origins_are_not_all_remembered() {
    let limits = PoolLimits {
        max_back_offs: 3,
        ..PoolLimits::default()
    };
    let mut run = Run::within(limits, |_| {});
    for n in 0..10 {
        run.checkout(n);
        let conn = run.dial();
        run.pool.dial_failed(run.now, conn, DialFailure::TimedOut);
        run.actions();
        assert!(run.pool.stats().origins <= 3);
    }
    assert_eq!(run.pool.remembered, 3);
    run.advance(ms(600));
    assert_eq!((run.pool.stats().origins, run.pool.remembered), (0, 0));
}

/// An idle connection is retired, and one that is in use is not.
#[test]
fn an_idle_connection_is_retired() {
    let mut run = Run::with(|_| {});
    let (conn, ticket) = run.connect(1);
    assert_eq!(run.advance(ms(100_000)), [], "it is in use");
    run.release(ticket);
    run.advance(ms(29_999));
    let ticket = run.checkout(1);
    assert_eq!(run.actions(), [lent(ticket, conn)]);
    run.advance(ms(10));
    run.release(ticket);
    assert_eq!(run.pool.poll_timeout().map(|due| due.why), Some(Why::Idle));
    let retired = retired(conn, Retired::Idle);
    assert_eq!(run.advance(ms(40_000)), [(30_000, retired)]);
    assert_eq!(run.pool.stats().origins, 0);
    assert_eq!(run.pool.stats().retired, 1);
}

/// Keep-alives come when nothing was told for so long, in use or not.
#[test]
fn a_quiet_connection_is_kept_alive() {
    let mut run = Run::with(|config| config.keep_alive = Some(ms(10_000)));
    let (conn, ticket) = run.connect(1);
    let kept = Action::KeepAlive { conn };
    run.advance(ms(8_000));
    run.pool.heard(run.now, conn);
    let happened = run.advance(ms(25_000));
    assert_eq!(happened, [(10_000, kept.clone()), (20_000, kept.clone())]);
    run.release(ticket);
    let happened = run.advance(ms(60_000));
    let times: Vec<_> = happened.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [5_000, 15_000, 25_000, 30_000]);
    assert_eq!(
        happened.last().map(|(_, last)| last),
        Some(&retired(conn, Retired::Idle))
    );
}
