//! Who gets which connection, and what becomes of it.

use aqueduct_core::pool::PoolError;

use super::*;

/// Row D13: one dial for all who wait, and one connection after it.
#[test]
fn many_waiters_have_one_dial() {
    let mut lab = Lab::new();
    let asked: Vec<_> = (0..20).map(|_| lab.get()).collect();
    let theirs = lab.accept();
    for _ in &asked {
        let (_, mut server) = lab.request(&theirs);
        reply(&mut server);
    }
    for later in &asked {
        assert_eq!(lab.finish(later).expect("is answered").status(), 200);
    }
    let stats = lab.client.stats();
    assert_eq!((stats.dials, stats.lent, stats.all.connections), (1, 20, 1));
}

/// Rows D2, D13: no more at once than the server's MAX_STREAMS allows, in the order of the
/// queue; a request that is over makes room.
#[test]
fn credit_is_waited_for_in_order() {
    let mut http = Config::default();
    http.limits.open_requests = 2;
    freeze();
    let mut lab = Lab::on(Net::with_streams(http, 2), builder());
    let asked: Vec<_> = (0..6).map(|_| lab.get()).collect();
    let theirs = lab.accept();
    for later in &asked {
        let (_, mut server) = lab.request(&theirs);
        reply(&mut server);
        drop(server);
        assert_eq!(lab.finish(later).expect("is answered").status(), 200);
    }
    assert_eq!(lab.client.stats().dials, 1);
}

/// Row D9: whoever gives up frees the place at once, and the server is told.
#[test]
fn a_dropped_request_frees_its_place() {
    let mut origin = OriginConfig::default();
    origin.max_streams = 1;
    let mut lab = Lab::with(builder().origins(origin));
    let client = lab.client.clone();
    let mut asking = Box::pin(async move { client.get(URI).await });
    assert!(poll(asking.as_mut()).is_none());
    let theirs = lab.accept();
    lab.settle();
    assert!(poll(asking.as_mut()).is_none(), "is sent");
    let (_, server) = lab.request(&theirs);
    let next = lab.get();
    lab.settle();
    assert_eq!((lab.active(), lab.client.stats().all.queued), (1, 1));
    drop(asking);
    lab.is_cancelled(&server);
    drop(server);
    let (_, mut server) = lab.request(&theirs);
    reply(&mut server);
    drop(lab.finish(&next).expect("is answered"));
    assert_eq!(lab.active(), 0);
}

/// Row D9: and so does whoever drops the content of an answer.
#[test]
fn a_dropped_answer_frees_its_place() {
    let mut lab = Lab::new();
    let (first, _theirs, mut server) = lab.first();
    begin(&mut server);
    let response = lab.finish(&first).expect("is answered");
    assert_eq!(lab.active(), 1);
    drop(response);
    assert_eq!(lab.active(), 0, "at once");
    lab.is_cancelled(&server);
}

/// Row D7: what the server had begun it ends, what it has not seen is told so, and what
/// comes later goes elsewhere.
#[test]
fn a_server_that_goes_away_ends_what_it_has() {
    let mut lab = Lab::new();
    let (first, theirs, mut server) = lab.first();
    theirs.drain(Duration::from_secs(20));
    lab.settle();
    let next = lab.get();
    let other = lab.accept();
    let (_, mut elsewhere) = lab.request(&other);
    reply(&mut elsewhere);
    lab.finish(&next).expect("is answered elsewhere");
    let stats = lab.client.stats();
    assert_eq!((stats.all.draining, stats.all.connections), (1, 1));
    reply(&mut server);
    drop(lab.finish(&first).expect("is answered to its end"));
    lab.settle();
    let stats = lab.client.stats();
    assert_eq!((stats.all.draining, stats.all.connections), (0, 1));
}

/// Row D7: a request that crosses the GOAWAY is unprocessed, and not lost.
#[test]
fn a_request_that_crosses_a_goaway_is_unprocessed() {
    let mut lab = Lab::new();
    let (first, theirs, mut server) = lab.first();
    // Nothing of what this side sends is seen before the GOAWAY is on its way.
    theirs.drain(Duration::from_secs(20));
    let (worker, wire) = &mut lab.net.ends[1];
    worker.turn(now(), wire).expect("no errors here");
    let crossing = lab.get();
    lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
    let error = lab.finish(&crossing).expect_err("not processed");
    assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
    reply(&mut server);
    lab.finish(&first).expect("is answered");
}

/// Row D14: a connection that dies fails what is on it, and the next request has another.
#[test]
fn a_connection_that_dies_is_replaced() {
    let mut lab = Lab::new();
    let (first, theirs, server) = lab.first();
    theirs.close(Code::H3_INTERNAL_ERROR, "");
    let error = lab.finish(&first).expect_err("cut off");
    assert!(!error.is_unprocessed() && error.is_retryable(), "{error:?}");
    drop((server, theirs));
    let (next, _theirs, mut server) = lab.first();
    reply(&mut server);
    lab.finish(&next).expect("is answered");
    assert_eq!(lab.client.stats().dials, 2);
}

/// Row D20 and the end: nothing new begins, what is under way ends.
#[test]
fn a_drained_client_ends_what_it_has() {
    let mut lab = Lab::new();
    let (first, _theirs, mut server) = lab.first();
    lab.client.drain();
    let late = lab.get();
    let error = lab.finish(&late).expect_err("too late");
    assert!(
        matches!(error, Error::Pool(PoolError::ShutDown)),
        "{error:?}"
    );
    let client = lab.client.clone();
    let closed = lab.spawn(async move { client.closed().await });
    lab.settle();
    assert!(closed.take().is_none(), "a request is under way");
    let held = lab.client.hub().held();
    for _ in 0..3 {
        assert!(poll(pin!(lab.client.closed())).is_none());
    }
    assert_eq!(lab.client.hub().held(), held, "who waits no longer is gone");
    reply(&mut server);
    drop(lab.finish(&first).expect("is answered"));
    lab.pass(Duration::from_secs(5));
    assert!(closed.take().is_some());
}

/// Row D19: nothing is left of requests.
#[test]
fn nothing_is_left_of_five_hundred_requests() {
    let mut lab = Lab::new();
    let theirs = lab.warm();
    for _ in 0..500 {
        let client = lab.client.clone();
        let (response, ()) = lab.run(both(async move { client.get(URI).await }, async {
            let (_, mut server) = theirs.accept_request().await.expect("arrives");
            reply(&mut server);
        }));
        assert_eq!(
            lab.run(response.expect("is answered").into_body().chunk())
                .expect("whole"),
            None
        );
    }
    assert_eq!(lab.client.hub().held(), (0, 1));
    let mut locked = lab.net.client.shared().lock();
    assert_eq!(locked.state().alarms.len(), 1, "the pool's own");
}
