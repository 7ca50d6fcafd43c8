//! What takes too long.

use super::*;
use crate::client::{Part, Timeout};

fn timed_out<T: std::fmt::Debug>(result: Result<T, Error>) -> Timeout {
    match result {
        Err(Error::TimedOut(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Row D5: an answer that nobody reads is cancelled, and whoever comes then is told.
#[test]
fn an_answer_that_nobody_reads_is_cancelled() {
    assert_eq!(Timeouts::default().idle, Some(Duration::from_secs(30)));
    let mut lab = Lab::new();
    let theirs = lab.warm();
    let (response, server) = lab.answered(&theirs);
    lab.pass(Duration::from_secs(4));
    assert_eq!(lab.active(), 1, "it may still be read");
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.active(), 0, "its place is free");
    lab.is_cancelled(&server);
    let read = lab.run(response.into_body().chunk());
    assert_eq!(timed_out(read), Timeout::Idle);
}

/// Row D5: the time begins anew with every read, and does not run while a reader waits.
#[test]
fn a_reader_that_waits_is_not_idle() {
    let mut lab = Lab::new();
    let (mut body, _theirs, mut server) = lab.begun();
    let reading = lab.spawn(async move {
        let chunk = body.chunk().await;
        (body, chunk)
    });
    lab.pass(Duration::from_secs(12));
    assert!(reading.take().is_none());
    lab.run(server.send_data(Bytes::from_static(b"late")))
        .expect("is read");
    let (body, chunk) = lab.finish(&reading);
    assert_eq!(chunk.expect("open").as_deref(), Some(&b"late"[..]));
    lab.pass(Duration::from_secs(4));
    assert_eq!(lab.active(), 1, "five seconds from the last read");
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.active(), 0);
    drop(body);
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    let mut lab = Lab::new();
    let (first, _theirs, server) = lab.first();
    lab.pass(Duration::from_secs(7));
    assert!(first.take().is_none());
    lab.pass(Duration::from_secs(2));
    let error = lab.finish(&first);
    assert_eq!(timed_out(error), Timeout::FirstByte);
    assert_eq!(lab.active(), 0, "row D9: its place is free");
    lab.is_cancelled(&server);
}

/// Row D9: whether or not its caller comes to hear of it.
#[test]
fn an_answer_that_does_not_come_holds_no_place() {
    let mut lab = Lab::new();
    let theirs = lab.warm();
    let client = lab.client.clone();
    let mut asking = Box::pin(async move { client.get(URI).await });
    assert!(poll(asking.as_mut()).is_none());
    let (_, server) = lab.request(&theirs);
    lab.pass(Duration::from_secs(7));
    assert_eq!(lab.active(), 1);
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.active(), 0, "and nobody has polled it");
    assert_eq!(timed_out(lab.run(asking)), Timeout::FirstByte);
    drop(server);
}

/// Times of nothing are over soon, and nobody looks for ever whether they are.
#[test]
fn times_of_nothing_are_short() {
    let nothing = Timeouts::default().with_idle(Duration::ZERO);
    let mut lab = Lab::with(builder().timeouts(nothing));
    let theirs = lab.warm();
    let (response, server) = lab.answered(&theirs);
    let mut body = response.into_body();
    assert!(poll(pin!(body.chunk())).is_none(), "a reader waits");
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.active(), 1);
    drop(server);
    assert!(lab.run(body.chunk()).is_err(), "it is cut short");
    let (unread, _server) = lab.answered(&theirs);
    lab.pass(Duration::from_secs(1));
    assert_eq!(
        timed_out(lab.run(unread.into_body().chunk())),
        Timeout::Idle
    );
}

/// The time for the whole is a request's own, and ends it wherever it is.
#[test]
fn the_time_for_the_whole_counts_while_it_is_read() {
    let mut lab = Lab::new();
    let client = lab.client.clone();
    let whole = Timeouts::default()
        .with_total(Duration::from_secs(6))
        .with_idle(None);
    let request = Request::get(URI).extension(whole).body(()).expect("valid");
    let asked = lab.spawn(async move { client.request(request).await });
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    lab.pass(Duration::from_secs(3));
    begin(&mut server);
    let mut body = lab.finish(&asked).expect("is answered").into_body();
    let reading = lab.spawn(async move { body.chunk().await });
    lab.pass(Duration::from_secs(2));
    assert!(reading.take().is_none());
    lab.pass(Duration::from_secs(2));
    assert_eq!(timed_out(lab.finish(&reading)), Timeout::Total);
    assert_eq!(lab.active(), 0);
}

/// A server that is silent is given up where the caller says so.
#[test]
fn a_server_that_is_silent_is_given_up_if_asked() {
    let patience = Timeouts::default().with_read(Duration::from_secs(3));
    let mut lab = Lab::with(builder().timeouts(patience));
    let (mut body, _theirs, server) = lab.begun();
    let reading = lab.spawn(async move { body.chunk().await });
    lab.pass(Duration::from_secs(2));
    assert!(reading.take().is_none());
    lab.pass(Duration::from_secs(2));
    assert_eq!(timed_out(lab.finish(&reading)), Timeout::Read);
    drop(server);
}

/// Row D5: a reader that has gone away is none, though it was waiting when it went.
#[test]
fn a_reader_that_went_away_does_not_wait() {
    let mut lab = Lab::new();
    let (mut body, _theirs, mut server) = lab.begun();
    assert!(poll(pin!(body.chunk())).is_none());
    lab.run(server.send_data(Bytes::from_static(b"for nobody")))
        .expect("room");
    for _ in 0..3 {
        lab.pass(Duration::from_secs(5));
    }
    assert_eq!(lab.active(), 0);
    assert_eq!(timed_out(lab.run(body.chunk())), Timeout::Idle);
}

/// A server that takes nothing of an upload is given up, a source that is slow is not.
#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let patience = Timeouts::default().with_write(Duration::from_secs(3));
    let mut lab = Lab::with(builder().timeouts(patience));
    let slow = lab.post(Body::from_fn(|_| Poll::Pending));
    let theirs = lab.accept();
    let (_, server) = lab.request(&theirs);
    let data = Bytes::from(vec![7; 1 << 16]);
    let endless = lab.post(Body::from_fn(move |_| {
        Poll::Ready(Some(Ok(Part::Data(data.clone()))))
    }));
    let (_, mut full) = lab.request(&theirs);
    lab.pass(Duration::from_secs(2));
    assert!(endless.take().is_none());
    assert!(lab.run(full.recv_data()).expect("open").is_some());
    lab.run(async {
        let mut read = 0;
        while read < 4 << 20 {
            read += full
                .recv_data()
                .await
                .expect("open")
                .expect("endless")
                .len();
        }
    });
    lab.pass(Duration::from_secs(2));
    assert!(
        endless.take().is_none(),
        "three seconds from the last that was taken"
    );
    lab.pass(Duration::from_secs(2));
    assert_eq!(timed_out(lab.finish(&endless)), Timeout::Write);
    assert!(slow.take().is_none());
    assert_eq!(lab.active(), 1);
    drop(server);
}
