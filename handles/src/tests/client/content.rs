//! What goes out and comes in.

use std::sync::atomic::AtomicUsize;

use aqueduct_core::error::Class;
use http::HeaderMap;

use super::*;
use crate::client::{OnInterim, Part};

fn fields(name: &'static str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(name, "1".parse().expect("valid"));
    fields
}

/// Row D4: content and trailers, both ways.
#[test]
fn content_and_trailers_go_both_ways() {
    let mut lab = Lab::new();
    let mut parts = vec![
        Part::Trailers(fields("up")),
        Part::Data(Bytes::from_static(b"two")),
        Part::Data(Bytes::from_static(b"one ")),
    ];
    let asked = lab.post(Body::from_fn(move |_| Poll::Ready(parts.pop().map(Ok))));
    let theirs = lab.accept();
    let (head, mut server) = lab.request(&theirs);
    assert_eq!(head.headers().get("content-length"), None, "not known");
    assert_eq!(
        lab.run(server.recv.read_to_end(100)).expect("whole"),
        "one two"
    );
    let trailers = lab
        .run(server.recv_trailers())
        .expect("whole")
        .expect("some");
    assert_eq!(trailers.headers, fields("up"));
    begin(&mut server);
    lab.run(server.send_data(Bytes::from_static(b"back")))
        .expect("room");
    server.send_trailers(&fields("down")).expect("not sent yet");
    let response = lab.finish(&asked).expect("is answered");
    let (content, trailers) = lab.run(response.into_body().collect(10)).expect("whole");
    assert_eq!((content, trailers), ("back".into(), Some(fields("down"))));
    assert_eq!(lab.active(), 0);
}

/// Rows D4, D6: an upload is made as the server takes it, and an answer is read as its
/// reader asks.
#[test]
fn both_sides_are_held_back() {
    const CHUNK: usize = 64 * 1024;
    let mut lab = Lab::new();
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let asked = lab.post(Body::from_fn(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let data = (number < 160).then(|| Part::Data(vec![7; CHUNK].into()));
        Poll::Ready(data.map(Ok))
    }));
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    lab.settle();
    let ahead = made.load(Ordering::Relaxed);
    assert!(ahead < 100, "{ahead} of 160 were made, and none read");
    let upload = lab
        .run(server.recv.read_to_end(200 * CHUNK))
        .expect("whole");
    assert_eq!(upload.len(), 160 * CHUNK);
    begin(&mut server);
    let response = lab.finish(&asked).expect("is answered");
    let sending = lab.spawn(async move {
        server.send_data(upload).await.expect("is read");
        server.finish().expect("not finished yet");
    });
    lab.settle();
    assert!(sending.take().is_none(), "nobody reads");
    let content = lab
        .run(response.into_body().bytes(200 * CHUNK))
        .expect("whole");
    assert_eq!(content.len(), 160 * CHUNK);
}

/// Row D6: a body that fails cancels its request, and nothing else.
#[test]
fn a_body_that_fails_cancels_its_request() {
    let mut lab = Lab::new();
    let mut begun = false;
    let asked = lab.post(Body::from_fn(move |_| {
        Poll::Ready(Some(match std::mem::replace(&mut begun, true) {
            false => Ok(Part::Data(Bytes::from_static(b"begun"))),
            true => Err("the file is gone".into()),
        }))
    }));
    let theirs = lab.accept();
    let error = lab.finish(&asked).expect_err("not sent");
    assert!(
        matches!(error, Error::Body(_)) && error.class() == Class::Invalid,
        "{error:?}"
    );
    lab.settle();
    let next = lab.get();
    let (head, mut server) = lab.request(&theirs);
    assert_eq!(
        head.method(),
        "GET",
        "the other was cancelled before it was seen"
    );
    reply(&mut server);
    lab.finish(&next).expect("is answered");
    assert_eq!(lab.client.stats().dials, 1, "the connection goes on");
}

/// Row D8: an answer that is cut short is an error.
#[test]
fn a_truncated_answer_is_an_error() {
    let mut lab = Lab::new();
    let (first, theirs, mut server) = lab.first();
    let head = Response::builder().header("content-length", "10").body(());
    server
        .send_response(head.expect("valid"))
        .expect("not sent yet");
    lab.run(server.send_data(Bytes::from_static(b"half")))
        .expect("room");
    let mut body = lab.finish(&first).expect("is answered").into_body();
    assert_eq!(body.left(), Some(10));
    assert_eq!(
        lab.run(body.chunk()).expect("open").as_deref(),
        Some(&b"half"[..])
    );
    drop(server);
    let error = lab.run(body.chunk()).expect_err("cut short");
    assert!(
        matches!(error, Error::Rest(_)) && !error.is_unprocessed(),
        "{error:?}"
    );
    assert_eq!(lab.active(), 0);

    let (response, mut server) = lab.answered(&theirs);
    lab.run(server.send_data(Bytes::from_static(b"half")))
        .expect("room");
    lab.settle();
    theirs.close(Code::H3_INTERNAL_ERROR, "");
    lab.settle();
    lab.run(response.into_body().bytes(100))
        .expect_err("cut short");
}

/// Rows D10, D11: a request that the server rejects may be sent again.
#[test]
fn a_rejected_request_is_unprocessed() {
    let mut lab = Lab::new();
    let (first, _theirs, server) = lab.first();
    server.reject();
    let error = lab.finish(&first).expect_err("rejected");
    assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("H3_REQUEST_REJECTED"), "{error}");
    assert_eq!(lab.active(), 0);
}

/// Rows D10, D11: one that has been answered in part has been processed, whatever the server
/// says of it then.
#[test]
fn a_request_that_is_rejected_behind_its_answer_was_processed() {
    let mut lab = Lab::new();
    drop(lab.get());
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    reply(&mut server);
    let (response, mut server) = lab.answered(&theirs);
    let rejected = server.send.reset(Code::H3_REQUEST_REJECTED);
    rejected.expect("not over");
    let error = lab.run(response.into_body().chunk()).expect_err("rejected");
    let is = matches!(error, Error::Rest(ReadError::Reset(code)) if code.is_unprocessed());
    assert!(is && !error.is_unprocessed(), "{error:?}");
}

/// Row A8: interim responses are told as they come.
#[test]
fn interim_responses_go_to_the_hook() {
    let mut lab = Lab::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let told = told.clone();
        OnInterim::new(move |head| told.lock().expect("no panic").push(head.status().as_u16()))
    };
    let client = lab.client.clone();
    let request = Request::get(URI).extension(hook).body(()).expect("valid");
    let asked = lab.spawn(async move { client.request(request).await });
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    let early = Response::builder().status(103).body(()).expect("valid");
    server.send_interim(early).expect("before the head");
    lab.settle();
    assert_eq!(*told.lock().expect("no panic"), [103], "before the answer");
    reply(&mut server);
    assert_eq!(lab.finish(&asked).expect("is answered").status(), 200);
}

/// RFC 9110 §8.6: lengths that are known are announced.
#[test]
fn known_lengths_are_announced() {
    let mut lab = Lab::new();
    let asked = [lab.post("four".into()), lab.post(Body::empty()), lab.get()];
    let theirs = lab.accept();
    for (later, length) in asked.iter().zip([Some("4"), Some("0"), None]) {
        let (head, mut server) = lab.request(&theirs);
        let told = head.headers().get("content-length");
        assert_eq!(told.map(|told| told.to_str().expect("digits")), length);
        reply(&mut server);
        lab.finish(later).expect("is answered");
    }
}

/// An answer that comes before the end of the upload does not end it; whoever drops the
/// answer does.
#[test]
fn an_upload_goes_on_beside_its_answer() {
    let mut lab = Lab::new();
    let parts = Arc::new(Mutex::new((VecDeque::from(["one"]), None::<Waker>)));
    let source = parts.clone();
    let asked = lab.post(Body::from_fn(move |cx| {
        let mut source = source.lock().expect("no panic");
        match source.0.pop_front() {
            Some("") => Poll::Ready(None),
            Some(text) => Poll::Ready(Some(Ok(Part::Data(text.into())))),
            None => {
                source.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }));
    let theirs = lab.accept();
    let (_, mut server) = lab.request(&theirs);
    begin(&mut server);
    let response = lab.finish(&asked).expect("is answered");
    parts.lock().expect("no panic").0.push_back("two");
    lab.settle();
    assert_eq!(lab.run(server.recv_data()), Ok(Some("onetwo".into())));
    drop(response);
    lab.settle();
    let error = lab.run(server.recv_data()).expect_err("cancelled");
    assert!(
        matches!(error, ReadError::Reset(code) if code.wire == Code::H3_REQUEST_CANCELLED),
        "{error:?}"
    );
    assert_eq!(lab.active(), 0, "the upload holds its place no longer");
}

/// Row D4: nobody collects more than the limit.
#[test]
fn an_answer_beyond_its_readers_limit_is_given_up() {
    let mut lab = Lab::new();
    let (first, _theirs, mut server) = lab.first();
    begin(&mut server);
    lab.run(server.send_data(Bytes::from_static(b"eleven here")))
        .expect("room");
    let response = lab.finish(&first).expect("is answered");
    let error = lab.run(response.into_body().bytes(10)).expect_err("more");
    let too_long = matches!(error, Error::TooLong(10));
    assert!(too_long && error.class() == Class::Invalid, "{error:?}");
    assert_eq!(lab.active(), 0, "the slot is free");
}

/// Row D11: what cannot be sent as it is says so, and is not retried.
#[test]
fn what_cannot_be_sent_is_the_callers_to_change() {
    let mut lab = Lab::new();
    // The first is answered, so that there is a connection.
    let (first, _theirs, mut server) = lab.first();
    reply(&mut server);
    lab.finish(&first).expect("is answered");

    let ask = |lab: &Lab, name: &'static str, value: &'static str| {
        let request = Request::post(URI).header(name, value);
        let request = request.body(Body::from("longer")).expect("valid");
        let client = lab.client.clone();
        lab.spawn(async move { client.request(request).await })
    };
    let refused = ask(&lab, "connection", "close");
    let error = lab.finish(&refused).expect_err("of HTTP/1.1 alone");
    let is = matches!(error, Error::Refused(_)) && error.is_unprocessed();
    assert!(is && error.class() == Class::Invalid, "{error:?}");

    let wrong = ask(&lab, "content-length", "3");
    let error = lab.finish(&wrong).expect_err("it is six bytes long");
    let is = matches!(error, Error::Content(_)) && !error.is_unprocessed();
    assert!(is && error.class() == Class::Invalid, "{error:?}");
    assert_eq!((lab.active(), lab.client.stats().dials), (0, 1));
}
