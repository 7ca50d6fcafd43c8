//! What is sent in one call: the rest and the end of a stream, a whole answer.

use aqueduct_core::code::Code;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::{Net, both};
use crate::error::WriteError;

/// More than any window holds, so that the call has to wait for the reader.
const LONG: usize = 3 << 20;

#[test]
fn a_stream_ends_with_its_last_bytes() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    for len in [0, 5, LONG] {
        let mut sending = net.run(client.open_uni()).expect("opens");
        let send = sending.finish_with(Bytes::from(vec![7; len]));
        let read = async {
            server
                .accept_uni()
                .await
                .expect("arrives")
                .read_to_end(LONG)
                .await
        };
        let (sent, read) = net.run(both(send, read));
        assert_eq!(sent, Ok(()));
        assert_eq!(read.map(|bytes| bytes.len()), Ok(len));
        let again = net.run(sending.finish_with(Bytes::from_static(b"more")));
        assert_eq!(again, Err(WriteError::Finished), "nothing follows the end");
    }
}

#[test]
fn an_answer_is_sent_whole() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    for len in [0, 5, LONG] {
        let (mut client, server) = net.post(&ours, &theirs);
        let (mut answer, _body) = server.split();
        let whole = Response::builder()
            .header("content-length", len)
            .body(Bytes::from(vec![7; len]));
        let send = answer.send_whole(whole.expect("valid"));
        let read = async {
            let head = client.recv_response().await.expect("an answer");
            (
                head.status(),
                client.read_to_end(LONG).await.map(|body| body.len()),
            )
        };
        let (sent, read) = net.run(both(send, read));
        assert_eq!((sent, read), (Ok(()), (StatusCode::OK, Ok(len))));
    }
}

/// What cannot be sent is refused before anything is.
#[test]
fn a_wrong_answer_is_not_begun() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, server) = net.post(&ours, &theirs);
    let (mut answer, _body) = server.split();
    let interim = Response::builder().status(StatusCode::EARLY_HINTS);
    let interim = interim.body(Bytes::new()).expect("valid");
    let refused = net.run(answer.send_whole(interim));
    assert!(matches!(refused, Err(WriteError::InvalidHead(_))));
    let short = Response::builder().header("content-length", 3);
    let short = short.body(Bytes::from_static(b"1234")).expect("valid");
    let refused = net.run(answer.send_whole(short));
    assert_eq!(refused, Err(WriteError::ContentLength));
    answer.reset(Code::H3_INTERNAL_ERROR).expect("open");
    assert!(
        net.run(client.read_to_end(9)).is_err(),
        "nothing of it ended well"
    );
}
