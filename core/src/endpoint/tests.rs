//! What shows inside an endpoint alone: that nothing is sent before the handshake is
//! complete, however much the TLS configuration would allow, and what QUIC does by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};

use super::closing::Closing;
use crate::code::Code;
use crate::error::{CloseReason, RequestError};
use crate::event::Event;
use crate::head::{End, RequestHead};
use crate::testing::cert::Identity;
use crate::testing::pair::{Options, Pair};
use crate::webtransport::ConnectRequest;

/// Two ends that resume TLS sessions and would take early data.
fn eager() -> Options {
    let identity = Identity::localhost();
    let (mut client, mut server) = (identity.client(), identity.server());
    client.resumption = rustls::client::Resumption::default();
    client.enable_early_data = true;
    server.max_early_data_size = u32::MAX;
    Options {
        client_tls: Some(Arc::new(client)),
        server_tls: Some(Arc::new(server)),
        ..Options::default()
    }
}

/// draft-ietf-webtrans-http3-16 §3.2 and RFC 9114 §10.9: CONNECT is not safe to be
/// replayed, so it is never early data; SETTINGS of an earlier connection do not
/// count.
#[test]
fn a_resumed_connection_asks_for_sessions_when_settings_have_come() {
    let (mut pair, first, _) = Pair::connected(eager());
    assert!(pair.client(first).access().may_open_session().is_ok());

    let second = pair.connect();
    let state = super::state_of(&mut pair.client.endpoint.slots, second).expect("known");
    assert!(!state.quic.has_0rtt(), "nothing can be sent early");
    let request = ConnectRequest::new(Uri::from_static("https://localhost/"));
    let (mut answers, mut events) = (Vec::new(), Vec::new());
    assert!(pair.drive_until(|pair| {
        events.extend(pair.client.take(second));
        let opened = pair.client(second).access().open_session(&request);
        let answer = opened.map(drop);
        if answers.last() != Some(&answer) {
            answers.push(answer);
        }
        answer.is_ok()
    }));
    assert_eq!(
        answers,
        [
            Err(RequestError::NotConnected.into()),
            Err(RequestError::SettingsNotReceived.into()),
            Ok(())
        ]
    );
    assert!(matches!(
        events[..],
        [Event::Connected { .. }, Event::Settings(_), ..]
    ));
}

/// Why `closing.rs` is there: left alone, quinn-proto never sends the close of a connection
/// whose congestion window is full. Once this fails, it does: then the file can go.
#[test]
fn quinn_proto_holds_a_close_back_while_the_congestion_window_is_full() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let state = super::state_of(&mut pair.client.endpoint.slots, client).expect("known");
    // Nobody tells the congestion controllers of this one.
    state.closing = Closing::default();
    let head = RequestHead::new(Method::POST, Uri::from_static("https://localhost/"));
    let mut connection = pair.client(client);
    let mut access = connection.access();
    let stream = access.request(&head, End::More).expect("asks");
    let mut send = access.send(stream).expect("a stream");
    send.write(&mut [Bytes::from(vec![7; 60_000])])
        .expect("writes");
    pair.step();
    pair.client(client).access().close(Code::H3_NO_ERROR, "");
    pair.advance(Duration::from_secs(20));
    let told = pair.server.take(server);
    // A stateless reset, or nothing.
    let heard = told.iter().any(|event| match event {
        Event::Closed(reason) => matches!(**reason, CloseReason::Remote { .. }),
        _ => false,
    });
    assert!(
        !heard,
        "quinn-proto has the fix: closing.rs and its use can go"
    );
}
