//! Row D16: requests whose datagrams are the point.

use aqueduct_core::head::Protocol;

use super::*;
use crate::error::DatagramError;

fn connect() -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(URI);
    let request = request.extension(Protocol::new("echo")).body(());
    request.expect("valid")
}

/// Datagrams go both ways, those before the answer too, and to no other request.
#[test]
fn datagrams_are_those_of_their_request() {
    let mut lab = Lab::new();
    let open = |lab: &Lab| {
        let client = lab.client.clone();
        lab.spawn(async move { client.open(connect()).await })
    };
    let (first, second) = (open(&lab), open(&lab));
    let theirs = lab.accept();
    let ours = [lab.finish(&first), lab.finish(&second)];
    let [first, second] = ours.map(|open| open.expect("is sent"));
    let channels = [first.stream.datagrams(), second.stream.datagrams()];
    for (channel, text) in channels.iter().zip(["one", "two"]) {
        channel
            .send(text.as_bytes())
            .expect("room, before the answer");
    }
    for _ in 0..2 {
        let (_, mut server) = lab.request(&theirs);
        let datagrams = server.datagrams();
        let echo = lab.run(datagrams.recv()).expect("open");
        server
            .send_response(Response::new(()))
            .expect("not sent yet");
        lab.run(datagrams.send_wait(&echo)).expect("open");
        // The stream ends with its handle.
        std::mem::forget(server);
    }
    for (channel, text) in channels.iter().zip(["one", "two"]) {
        let echo = lab.run(channel.recv()).expect("open");
        assert_eq!(echo, text, "no cross-talk");
    }
    assert_eq!(lab.active(), 2);
    drop(first);
    assert_eq!(lab.active(), 1, "at once");
    lab.settle();
    assert_eq!(channels[0].send(b"late"), Err(DatagramError::Closed));
    theirs.close(Code::H3_INTERNAL_ERROR, "");
    lab.settle();
    let error = lab
        .run(channels[1].recv())
        .expect_err("the connection is over");
    assert!(matches!(error, ReadError::Connection(_)), "{error:?}");
    drop(second);
}
