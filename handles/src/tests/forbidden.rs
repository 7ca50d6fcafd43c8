//! Row B5: requests of pages that the configuration does not allow.

use std::pin::pin;

use aqueduct_core::code::Code;
use aqueduct_core::webtransport::ConnectRequest;

use super::{Net, poll, table};
use crate::error::OpenSessionError;
use crate::table::FORBIDDEN;

fn of_page(path: usize) -> ConnectRequest {
    let url = format!("https://localhost/{path}");
    let mut request = ConnectRequest::new(url.parse().expect("a URI"));
    let elsewhere = "https://elsewhere.example".parse().expect("a value");
    request.headers.insert("origin", elsewhere);
    request
}

#[test]
fn a_server_that_accepts_everything_does_not_let_other_pages_in() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let mut accepting = pin!(theirs.accept_session());
    assert!(poll(accepting.as_mut()).is_none());
    for path in 0..FORBIDDEN + 2 {
        let error = net.run(ours.open_session(of_page(path)));
        assert!(
            matches!(error, Err(OpenSessionError::Rejected { status, .. }) if status == 403),
            "{error:?}"
        );
    }
    assert!(poll(accepting.as_mut()).is_none(), "nobody is asked");
    // Who looks late sees the latest.
    for path in 2..FORBIDDEN + 2 {
        let told = net.run(theirs.forbidden_session()).expect("is told");
        assert_eq!(told.uri.path(), format!("/{path}"));
        assert_eq!(told.origin(), Some("https://elsewhere.example"));
    }
    assert!(poll(pin!(theirs.forbidden_session())).is_none());
    assert_eq!(table(&theirs, |conn| conn.streams.len()), 0);
    net.session(&ours, &theirs);
}

/// Whoever looks when the connection is over is told as well, though nothing else comes.
#[test]
fn what_was_refused_before_the_end_is_told_after_it() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    assert!(net.run(ours.open_session(of_page(0))).is_err());
    ours.close(Code::H3_NO_ERROR, "");
    net.run(theirs.closed());
    assert!(net.run(theirs.accept_request()).is_none());
    assert!(net.run(theirs.accept_session()).is_none());
    let told = net.run(theirs.forbidden_session()).expect("is told");
    assert_eq!(told.uri.path(), "/0");
    assert!(net.run(theirs.forbidden_session()).is_none());
}
