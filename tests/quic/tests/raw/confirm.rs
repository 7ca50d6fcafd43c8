//! Row E14: the application confirms certificates, in its own time.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, Side};
use aqueduct_core::quic::{self, ConfirmError, Start, StartError};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::Pair;
use aqueduct_core::transport::EarlyData;
use bytes::Bytes;

use super::talk::{options, reason};

/// A client that is to confirm its server's certificate within three seconds, and the events
/// so far.
fn asked() -> (Pair, ConnKey, Vec<Event>) {
    let mut pair = Pair::new(options(|_, quic| {
        quic.client = quic.client.clone().confirm(Duration::from_secs(3));
    }));
    pair.patience = Duration::from_millis(500);
    let client = pair.connect();
    pair.drive();
    let events = pair.client.take(client);
    (pair, client, events)
}

#[test]
fn it_is_asked_with_the_certificates_and_told_nothing_else_before() {
    let (mut pair, client, events) = asked();
    let server = pair.server.events.first().expect("began").0;
    assert_eq!(events, [Event::Quic(quic::Event::Confirm)]);
    let about = pair.client_quic(client).access().about().cloned();
    let shown = about.expect("known").certificates;
    assert_eq!(shown, [Bytes::from(Identity::localhost().cert.to_vec())]);

    // Nothing that the server sends is told, and nothing can be sent.
    let mut connection = pair.server_quic(server);
    let mut access = connection.access();
    let theirs = access.start(Dir::Uni, Start::new()).expect("begins");
    let taken = access.write(theirs, &mut [Bytes::from_static(b"hello")]);
    assert_eq!(taken, Ok(5));
    access
        .send_datagram(Bytes::from_static(b"hello"))
        .expect("goes");
    pair.drive();
    assert_eq!(pair.client.take(client), []);
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    assert!(!access.is_established());
    assert_eq!(access.recv_datagram(), None);
    let start = access.start(Dir::Bi, Start::new());
    assert_eq!(start, Err(StartError::NotConnected));

    access.confirm(Ok(())).expect("was asked");
    assert!(access.is_established());
    assert_eq!(access.confirm(Ok(())), Err(ConfirmError::NotAsked));
    pair.drive();
    let events = pair.client.take(client);
    let connected = Event::Connected {
        early: EarlyData::None,
    };
    assert_eq!(events[0], connected);
    let told = super::quic(events);
    let stream = super::opened(&told)[0];
    assert_eq!(stream.id(), theirs.id());
    assert!(told.contains(&quic::Event::Datagrams), "{told:?}");
}

//= https://www.rfc-editor.org/rfc/rfc9001#section-4.8
// The alert is a code of 0x100 and more.
#[test]
fn certificates_that_are_refused_end_the_connection_with_the_alert() {
    for alert in [0, 42, 255] {
        let (mut pair, client, _) = asked();
        let refused = pair.client_quic(client).access().confirm(Err(alert));
        assert_eq!(refused, Ok(()));
        ended(&mut pair, client, 0x100 + u64::from(alert));
        let again = pair.client.endpoint.quic(pair.now, client);
        if let Some(mut connection) = again {
            let again = connection.access().confirm(Ok(()));
            assert_eq!(again, Err(ConfirmError::Closed));
        }
    }
}

/// Nothing was said in time: certificate_unknown.
#[test]
fn certificates_about_which_nothing_is_said_are_refused() {
    let (mut pair, client, _) = asked();
    pair.advance(Duration::from_millis(2_500));
    assert_eq!(pair.client.take(client), []);
    pair.advance(Duration::from_secs(1));
    ended(&mut pair, client, 0x100 + 46);
}

#[test]
fn nobody_is_asked_who_did_not_want_to_be() {
    let (mut pair, client, _) = Pair::connected(options(|_, _| {}));
    let unasked = pair.client_quic(client).access().confirm(Err(1));
    assert_eq!(unasked, Err(ConfirmError::NotAsked));
    pair.drive();
    assert_eq!(reason(&pair.client.take(client)), None);
}

/// A server asks as well; without client certificates there are none to see.
#[test]
fn a_server_can_be_the_one_to_confirm() {
    let mut pair = Pair::new(options(|_, quic| {
        quic.server = quic.server.clone().confirm(Duration::from_secs(3));
    }));
    pair.patience = Duration::from_millis(500);
    pair.connect();
    pair.drive();
    let events: Vec<_> = pair.server.events.drain(..).collect();
    let (server, _) = events[0];
    let told: Vec<_> = events.into_iter().map(|(_, event)| event).collect();
    let expected = [quic::Event::Begun, quic::Event::Confirm].map(Event::Quic);
    assert_eq!(told, expected);
    let mut connection = pair.server_quic(server);
    let mut access = connection.access();
    assert_eq!(access.about().map(|it| it.certificates.len()), Some(0));
    access.confirm(Ok(())).expect("was asked");
    assert_eq!(access.side(), Side::Server);
}

/// Both ends are told, once.
fn ended(pair: &mut Pair, client: ConnKey, code: u64) {
    let code = Code::new(code);
    pair.drive();
    let told = reason(&pair.client.take(client));
    assert!(
        matches!(told, Some(CloseReason::Local { code: told, .. }) if told == code),
        "{told:?}"
    );
    let events = pair.server.events.drain(..).map(|(_, event)| event);
    let told = reason(&events.collect::<Vec<_>>());
    let Some(CloseReason::Transport(TransportFailure::ClosedByPeer { code: told, .. })) = told
    else {
        panic!("{told:?}");
    };
    assert_eq!(told, code.value());
}
