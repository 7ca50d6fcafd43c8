//! Row B34: one handler takes requests and sessions.

use std::pin::pin;

use aqueduct_core::webtransport::ConnectRequest;
use http::Response;

use super::{Net, both, poll};
use crate::error::OpenSessionError;
use crate::{Connection, Incoming};

/// Answers what comes; sessions at `/wt` alone. The end of the connection ends it.
async fn handler(connection: Connection) -> (usize, usize) {
    let (mut requests, mut sessions) = (0, Vec::new());
    while let Some(incoming) = connection.accept_any().await {
        match incoming {
            Incoming::Request(_, mut stream) => {
                requests += 1;
                stream.send_response(Response::new(())).expect("wanted");
                stream.finish().expect("wanted");
            }
            Incoming::Session(asked) if asked.uri().path() == "/wt" => {
                sessions.push(asked.accept().expect("wanted"));
            }
            // Whatever goes wrong before it is answered is 500.
            Incoming::Session(asked) => drop(asked),
        }
    }
    (requests, sessions.len())
}

#[test]
fn one_handler_takes_requests_and_sessions() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let asking = async {
        for (path, wanted) in [("wt", None), ("broken", Some(500)), ("wt", None)] {
            let url = format!("https://localhost/{path}").parse().expect("a URI");
            match (ours.open_session(ConnectRequest::new(url)).await, wanted) {
                (Ok(session), None) => session.close(0, "").expect("open"),
                (Err(OpenSessionError::Rejected { status, .. }), Some(no)) => {
                    assert_eq!(status, no);
                }
                (other, _) => panic!("{path}: {other:?}"),
            }
            let url = "https://localhost/".parse().expect("a URI");
            let mut stream = ours.get(url).await.expect("is sent");
            assert_eq!(stream.recv_response().await.expect("arrives").status(), 200);
        }
        ours.close(aqueduct_core::code::Code::H3_NO_ERROR, "");
    };
    let ((), handled) = net.run(both(asking, handler(theirs.clone())));
    assert_eq!(handled, (3, 2));
    assert!(poll(pin!(theirs.accept_any())).is_some_and(|none| none.is_none()));
}
