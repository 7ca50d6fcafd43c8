//! How a name becomes a connection.

use std::sync::atomic::AtomicUsize;

use aqueduct_core::error::{Class, CloseReason, TransportFailure};
use aqueduct_core::pool::{DialFailure, PoolError};
use aqueduct_core::uri::UriError;

use super::*;

/// Row D3: whoever waits for a connection that does not come about is told so.
#[test]
fn a_name_without_address_fails_all_who_wait() {
    let mut lab = Lab::with(builder().resolver(|_: &str, _| unresolved()));
    let asked = [lab.get(), lab.get()];
    for later in &asked {
        let error = lab.finish(later).expect_err("no connection");
        assert!(error.is_unprocessed() && error.class() == Class::Transient);
        let Error::Pool(PoolError::Dial(why)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(*why, DialFailure::Resolve("no such name".into()));
    }
    assert_eq!(lab.client.stats().dials, 1);
}

/// Row D3: and so is whoever waits for a server that does not answer.
#[test]
fn a_server_that_is_not_there_is_given_up_in_time() {
    let mut lab = Lab::with(builder().connect_timeout(Duration::from_secs(2)));
    lab.net.ends[0].1.nobody = vec![lab.net.server.local_addr()];
    let asked = lab.get();
    lab.pass(Duration::from_secs(1));
    assert!(asked.take().is_none());
    lab.pass(Duration::from_secs(2));
    let error = lab.finish(&asked).expect_err("nobody is there");
    assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
    lab.settle();
    assert_eq!(
        lab.net.client.open_connections(),
        0,
        "the attempt is given up"
    );
}

/// RFC 8305 §5: an address that does not answer delays the next one by 250 ms, and one
/// that this socket cannot reach by nothing.
#[test]
fn the_next_address_is_tried_beside_one_that_is_silent() {
    let addresses = |_: &str, _| -> Resolving {
        let silent = ([127, 0, 0, 2], 0).into();
        let there = ([127, 0, 0, 1], 0).into();
        let other_family = "[::1]:0".parse().expect("an address");
        Box::pin(async move { Ok(vec![other_family, silent, there]) })
    };
    let mut lab = Lab::with(builder().resolver(addresses));
    lab.net.ends[0].1.nobody = vec!["127.0.0.2:2".parse().expect("an address")];
    let asked = lab.get();
    lab.pass(Duration::from_millis(200));
    assert_eq!(lab.net.client.open_connections(), 1, "one attempt");
    lab.pass(Duration::from_millis(60));
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    reply(&mut server);
    lab.finish(&asked).expect("is answered");
    lab.settle();
    assert_eq!(
        lab.net.client.open_connections(),
        1,
        "the other is given up"
    );
}

/// What is not https is refused before anything is looked up.
#[test]
fn only_https_is_asked_for() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let mut lab = Lab::with(builder().resolver(|_: &str, _| {
        LOOKUPS.fetch_add(1, Ordering::Relaxed);
        unresolved()
    }));
    for uri in ["http://localhost:2/", "/", "https://user@localhost:2/"] {
        let client = lab.client.clone();
        let error = lab
            .run(async move { client.get(uri).await })
            .expect_err("no");
        assert!(
            matches!(error, Error::Uri(_)) && error.is_unprocessed(),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Invalid);
    }
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 0);
}

/// What is no URI is refused with the words of whoever found that.
#[test]
fn what_is_no_uri_is_told_as_that() {
    let mut lab = Lab::new();
    let client = lab.client.clone();
    let error = lab.run(async move { client.get("https://a b/").await });
    let error = error.expect_err("a blank");
    let Error::Uri(UriError::Syntax(why)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(&**why, "invalid uri character");
    assert!(error.is_unprocessed() && error.class() == Class::Invalid);
}

/// Nobody waits for a time that never comes: the endpoint's driver has them all.
#[test]
fn nobody_waits_for_an_endpoint_that_has_failed() {
    let mut lab = Lab::new();
    let why = CloseReason::Transport(TransportFailure::TimedOut);
    lab.net.client.shared().lock().fail(&why);
    for _ in 0..3 {
        let asked = lab.get();
        for _ in 0..3 {
            lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
        }
        let error = asked.take().expect("at once").expect_err("nobody sends");
        let Error::Pool(PoolError::Dial(cause)) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(**cause, DialFailure::Closed(why.clone()));
        assert!(error.is_unprocessed(), "{error:?}");
    }
}

/// A connection that nobody uses is given up after its time.
#[test]
fn an_idle_connection_is_retired() {
    let mut origin = OriginConfig::default();
    origin.idle_timeout = Duration::from_secs(4);
    let mut lab = Lab::with(builder().origins(origin));
    let theirs = lab.warm();
    lab.pass(Duration::from_secs(3));
    assert_eq!(lab.client.stats().all.idle, 1);
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.client.stats().retired, 1);
    lab.run(theirs.closed());
}

/// Rows D13, D14: a connection is kept alive beyond the idle timeouts of QUIC for as long
/// as the pool wants it, and no longer.
#[test]
fn an_idle_connection_is_kept_alive_until_it_is_retired() {
    for (keep_alive, kept) in [(None, false), (Some(Duration::from_secs(12)), true)] {
        let mut origin = OriginConfig::default();
        origin.idle_timeout = Duration::from_secs(100);
        origin.keep_alive = keep_alive;
        let mut lab = Lab::with(builder().origins(origin));
        let theirs = lab.warm();
        for _ in 0..18 {
            lab.pass(Duration::from_secs(5));
        }
        assert_eq!(lab.client.stats().all.idle, usize::from(kept), "after 90 s");
        assert_eq!(theirs.close_reason().is_none(), kept);
        for _ in 0..3 {
            lab.pass(Duration::from_secs(5));
        }
        assert_eq!(lab.client.stats().retired, u64::from(kept), "after 105 s");
        assert_eq!(lab.client.stats().all.connections, 0);
        lab.run(theirs.closed());
    }
}

/// The time for the whole counts while a connection is waited for.
#[test]
fn the_time_for_the_whole_counts_in_the_queue() {
    let whole = Timeouts::default().with_total(Duration::from_secs(2));
    let mut lab = Lab::with(builder().timeouts(whole));
    lab.net.ends[0].1.nobody = vec![lab.net.server.local_addr()];
    let asked = lab.get();
    lab.pass(Duration::from_secs(1));
    assert!(asked.take().is_none());
    lab.pass(Duration::from_millis(1100));
    let error = lab.finish(&asked).expect_err("nobody is there");
    assert!(
        matches!(error, Error::Pool(PoolError::CheckoutTimedOut { .. })),
        "{error:?}"
    );
    assert!(error.is_unprocessed());
}
