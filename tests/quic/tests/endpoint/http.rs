//! Requests and sessions through everything: HTTP/3, QUIC, TLS and a simulated
//! path.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, Uri};

use aqueduct_core::connection::{Command, Reply};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Dir, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectRequest, SessionEvent};

const URL: &str = "https://localhost/";

pub(super) fn get() -> RequestHead {
    RequestHead::new(Method::GET, Uri::from_static(URL))
}

fn ok() -> ResponseHead {
    ResponseHead::from_http(Response::new(()))
}

/// The stream of a request among events.
fn requested(events: &[(ConnKey, Event)]) -> Option<StreamKey> {
    events.iter().find_map(|(_, event)| match event {
        Event::Request { stream, .. } => Some(*stream),
        _ => None,
    })
}

/// What can be read now; true when the end was among it.
fn read(pair: &mut Pair, key: ConnKey, stream: StreamKey, into: &mut Vec<u8>) -> bool {
    let mut chunks = [const { Bytes::new() }; 16];
    loop {
        let mut connection = pair.client(key);
        let read = connection
            .access()
            .recv(stream)
            .expect("a stream")
            .read(1 << 16, &mut chunks);
        let read = read.expect("readable");
        chunks
            .iter()
            .take(read.chunks)
            .for_each(|chunk| into.extend_from_slice(chunk));
        match read.state {
            ReadState::Open => {}
            ReadState::Blocked => return false,
            ReadState::Finished => return true,
        }
    }
}

fn pattern(len: usize) -> Bytes {
    (0..len)
        .map(|i| (i.wrapping_mul(131) ^ (i >> 8)) as u8)
        .collect()
}

#[test]
fn a_request_is_answered() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let asked = pair
        .client(client)
        .access()
        .request(&get(), End::Fin)
        .expect("opens");
    pair.drive();
    let stream = requested(&pair.server.events).expect("a request");
    assert_eq!(stream.id(), asked.id());
    let mut connection = pair.server(server);
    let mut access = connection.access();
    access.respond(stream, &ok(), End::More).expect("responds");
    let mut send = access.send(stream).expect("a stream");
    assert_eq!(send.write(&mut [Bytes::from_static(b"hello")]), Ok(5));
    send.finish().expect("finishes");
    pair.drive();
    let events = pair.client.take(client);
    let answer = events.iter().find_map(|event| match event {
        Event::Response { stream, head } if *stream == asked => Some(head.status),
        _ => None,
    });
    assert_eq!(answer, Some(StatusCode::OK));
    let mut body = Vec::new();
    assert!(read(&mut pair, client, asked, &mut body));
    assert_eq!(body, b"hello");
}

#[test]
fn a_command_does_what_the_method_does() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let ask = Command::Request(Box::new(get()), End::Fin);
    let Ok(Reply::Stream(asked)) = pair.client_command(client, ask) else {
        panic!("no stream")
    };
    pair.drive();
    let stream = requested(&pair.server.events).expect("a request");
    let answer = Command::Respond(stream, Box::new(ok()), End::Fin);
    assert_eq!(pair.server_command(server, answer), Ok(Reply::Done));
    pair.drive();
    let events = pair.client.take(client);
    assert!(
        events
            .iter()
            .any(|e| matches!(e, Event::Response { stream, .. } if *stream == asked)),
        "{events:?}"
    );
}

#[test]
fn a_megabyte_arrives_whole_over_a_bad_path() {
    for seed in 0..3 {
        let (mut pair, client, server) = Pair::connected(Options {
            seed,
            ..Options::default()
        });
        for link in [&mut pair.client.link, &mut pair.server.link] {
            (link.loss, link.jitter) = (100, Duration::from_millis(5));
        }
        let asked = pair
            .client(client)
            .access()
            .request(&get(), End::Fin)
            .expect("opens");
        assert!(pair.drive_until(|pair| requested(&pair.server.events).is_some()));
        let stream = requested(&pair.server.events).expect("a request");
        let sent = pattern(1 << 20);
        let mut rest = [sent.clone()];
        let (mut finished, mut got) = (false, Vec::new());
        pair.server(server)
            .access()
            .respond(stream, &ok(), End::More)
            .expect("responds");
        let whole = pair.drive_until(|pair| {
            let mut connection = pair.server(server);
            let mut access = connection.access();
            if !finished {
                let mut send = access.send(stream).expect("a stream");
                send.write(&mut rest).expect("writable");
                if rest[0].is_empty() {
                    send.finish().expect("finishes");
                    finished = true;
                }
            }
            let answered = pair
                .client
                .events
                .iter()
                .any(|(_, e)| matches!(e, Event::Response { .. }));
            answered && read(pair, client, asked, &mut got)
        });
        assert!(whole, "SEED={seed}: {} bytes", got.len());
        assert!(got == sent, "SEED={seed}");
        let path = pair.server.endpoint.info(server).expect("known").path();
        assert!(path.packets_lost > 10, "SEED={seed} {path:?}");
    }
}

#[test]
fn a_session_carries_streams_and_datagrams() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    pair.drive();
    let request = ConnectRequest::new(Uri::from_static(URL));
    let session = pair
        .client(client)
        .access()
        .open_session(&request)
        .expect("opens");
    pair.drive();
    let asked = pair
        .server
        .take(server)
        .into_iter()
        .find_map(|event| match event {
            Event::WebTransport(session, SessionEvent::Requested(_)) => Some(session),
            _ => None,
        });
    let asked = asked.expect("a session");
    let answer = Command::AcceptSession(asked, Box::default());
    assert_eq!(pair.server_command(server, answer), Ok(Reply::Done));
    pair.drive();
    let events = pair.client.take(client);
    assert!(
        events
            .iter()
            .any(|e| matches!(e, Event::WebTransport(_, SessionEvent::Established(_)))),
        "{events:?}"
    );
    let mut connection = pair.client(client);
    let mut access = connection.access();
    let stream = access
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("opens");
    let mut send = access.send(stream).expect("a stream");
    assert_eq!(send.write(&mut [Bytes::from_static(b"hi")]), Ok(2));
    send.finish().expect("finishes");
    access.send_datagram(session, b"ping").expect("sends");
    pair.drive();
    let events = pair.server.take(server);
    let opened = events.iter().find_map(|event| match event {
        Event::WebTransport(
            _,
            SessionEvent::Opened {
                stream,
                dir: Dir::Uni,
            },
        ) => Some(*stream),
        _ => None,
    });
    let mut chunks = [Bytes::new(), Bytes::new()];
    let mut connection = pair.server(server);
    let mut access = connection.access();
    let mut recv = access.recv(opened.expect("a stream")).expect("a stream");
    let read = recv.read(100, &mut chunks).expect("readable");
    assert_eq!((&chunks[0][..], read.bytes), (&b"hi"[..], 2));
    assert_eq!(access.recv_datagram(asked).as_deref(), Some(&b"ping"[..]));
}

#[test]
fn a_blocked_writer_is_told_when_there_is_room() {
    let mut options = Options::default();
    options.transport.stream_receive_window = 10_000;
    let (mut pair, client, server) = Pair::connected(options);
    let head = RequestHead::new(Method::POST, Uri::from_static(URL));
    let stream = pair
        .client(client)
        .access()
        .request(&head, End::More)
        .expect("opens");
    let mut rest = [pattern(200_000)];
    let mut connection = pair.client(client);
    let taken = connection
        .access()
        .send(stream)
        .expect("a stream")
        .write(&mut rest);
    let taken = taken.expect("writable");
    assert!((1..200_000).contains(&taken), "{taken}");
    pair.drive();
    let writable = |(_, event): &(ConnKey, Event)| matches!(event, Event::Stream(of, StreamEvent::Writable) if *of == stream);
    assert!(
        !pair.client.events.iter().any(writable),
        "nothing was read yet"
    );
    let asked = requested(&pair.server.events).expect("a request");
    let mut chunks = [const { Bytes::new() }; 16];
    let mut arrived = 0;
    assert!(pair.drive_until(|pair| {
        let mut connection = pair.server(server);
        let mut access = connection.access();
        let mut recv = access.recv(asked).expect("a stream");
        arrived += recv.read(1 << 16, &mut chunks).expect("readable").bytes;
        pair.client.events.iter().any(writable)
    }));
    assert!(arrived <= taken, "{arrived} of {taken}");
}

/// Whatever is looked at and taken by a peek, nothing is to be polled for afterwards,
/// and nothing that was is lost.
#[test]
fn a_peek_schedules_nothing() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let head = RequestHead::new(Method::POST, Uri::from_static(URL));
    let opened = pair.client(client).access().request(&head, End::More);
    let stream = opened.expect("opens");
    pair.drive();
    let asked = requested(&pair.server.events).expect("a request");
    let mut connection = pair.server(server);
    let enabled = connection.access().enable_datagrams(asked);
    enabled.expect("a request");
    let enabled = pair.client(client).access().enable_datagrams(stream);
    enabled.expect("a request");
    for payload in [b"one", b"two"] {
        let sent = pair.client(client).access().send_datagram(stream, payload);
        sent.expect("sends");
    }
    pair.drive();
    pair.server.events.clear();
    let (now, endpoint) = (pair.now, &mut pair.server.endpoint);
    let due = endpoint.poll_timeout().map(|due| due.at);
    for expected in [Some(&b"one"[..]), Some(b"two"), None, None] {
        let mut connection = endpoint.peek(server).expect("a connection");
        let mut peek = connection.peek();
        assert_eq!(peek.recv_datagram(asked).as_deref(), expected);
        assert!(peek.max_datagram_size(asked).is_some());
        assert_eq!(peek.datagrams_overflowed(asked), 0);
        assert!(peek.may_open_session().is_err(), "a server opens none");
        let _ = (peek.negotiated(), peek.peer_settings(), peek.stats());
        assert!(endpoint.poll_event().is_none());
        assert!(endpoint.poll_transmit(now, 1, &mut Vec::new()).is_none());
        assert_eq!(endpoint.poll_timeout().map(|due| due.at), due);
    }
    // The ring was found empty: the next one is told again.
    let sent = pair.client(client).access().send_datagram(stream, b"three");
    sent.expect("sends");
    pair.drive();
    let told = Event::Stream(asked, StreamEvent::Datagrams);
    assert!(pair.server.events.iter().any(|(_, event)| *event == told));
}
