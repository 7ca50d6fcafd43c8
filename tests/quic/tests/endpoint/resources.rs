//! Paths that are WebTransport's alone.

use http::{Method, StatusCode};

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};

fn pair() -> (Pair, ConnKey, ConnKey) {
    Pair::connected(Options {
        resources: vec!["/wt".into(), "/chat".into()],
        ..Options::default()
    })
}

fn ask(pair: &mut Pair, client: ConnKey, method: Method, path: &str, end: End) -> StreamKey {
    let uri = format!("https://localhost{path}").parse().expect("a URI");
    let head = RequestHead::new(method, uri);
    let asked = pair.client(client).access().request(&head, end);
    let stream = asked.expect("is sent");
    pair.drive();
    stream
}

/// Row B4: whatever the method, with content and without; the application hears nothing
/// of it, neither then nor later.
#[test]
fn a_request_to_a_resource_is_not_allowed() {
    let (mut pair, client, server) = pair();
    pair.drive();
    pair.server.take(server);
    for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
        for (path, end) in [("/wt?x=1", End::Fin), ("/chat", End::More)] {
            let stream = ask(&mut pair, client, method.clone(), path, end);
            let answer = pair.client.take(client).into_iter().find_map(|e| match e {
                Event::Response { stream: on, head } if on == stream => Some(head),
                _ => None,
            });
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(answer.headers["allow"], "CONNECT");
            // Its client may give it up afterwards.
            let mut connection = pair.client(client);
            let mut access = connection.access();
            if let Ok(mut send) = access.send(stream) {
                send.reset(Code::H3_REQUEST_CANCELLED.value()).ok();
            }
            pair.drive();
            assert_eq!(pair.server.take(server), [], "{method} {path}");
        }
    }
    let mut left = pair.server(server);
    assert_eq!(left.access().live_streams(), 3, "the critical ones");
}

/// Row B4: other requests are served on the same connection, and sessions.
#[test]
fn the_rest_is_the_applications() {
    let (mut pair, client, server) = pair();
    for (method, path) in [(Method::GET, "/wt/deeper"), (Method::POST, "/")] {
        ask(&mut pair, client, method, path, End::Fin);
        let told = pair.server.take(server);
        let asked = |e: &Event| matches!(e, Event::Request { head, .. } if head.uri.path() == path);
        assert!(told.iter().any(asked), "{told:?}");
    }
    for url in ["https://localhost/wt", "https://localhost/elsewhere"] {
        let request = ConnectRequest::new(url.parse().expect("a URI"));
        let asked = pair.client(client).access().open_session(&request);
        asked.expect("is sent");
        pair.drive();
        let session = pair.server.take(server).into_iter().find_map(|e| match e {
            Event::WebTransport(session, SessionEvent::Requested(_)) => Some(session),
            _ => None,
        });
        let mut connection = pair.server(server);
        let mut access = connection.access();
        let mut session = access.webtransport(session.expect(url));
        session.accept(&ConnectAnswer::new()).expect("accepts");
    }
}
