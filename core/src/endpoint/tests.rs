//! No early data: nothing is sent before the handshake is complete, and no session
//! asked for before SETTINGS, however much the TLS configuration would allow.

use std::sync::Arc;

use http::Uri;

use crate::error::RequestError;
use crate::event::Event;
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
