//! What is left of a connection that is closed: the packet that says so.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::connection::Command;
use aqueduct_core::endpoint::Arrival;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::head::End;
use aqueduct_core::id::ConnKey;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use bytes::{Bytes, BytesMut};

use crate::closed;
use crate::http::get;

/// A server has closed a connection, and its client has not heard.
fn unheard(reason: &str) -> (Pair, ConnKey, ConnKey) {
    let (mut pair, client, server) = Pair::connected(Options::default());
    pair.server.link.down = true;
    let close = Command::Close(Code::H3_EXCESSIVE_LOAD, reason.to_owned().into());
    pair.server_command(server, close).expect("is open");
    pair.step();
    assert!(closed(&pair.server.take(server)).is_some());
    pair.server.link.down = false;
    (pair, client, server)
}

/// A packet of the client's, as the server gets it.
fn late_packet(pair: &mut Pair, client: ConnKey) -> BytesMut {
    let (now, mut out) = (pair.now, Vec::new());
    let endpoint = &mut pair.client.endpoint;
    let request = get();
    let mut connection = endpoint.connection(now, client).expect("is open");
    connection
        .access()
        .request(&request, End::Fin)
        .expect("begins");
    let transmit = endpoint.poll_transmit(now, 1, &mut out).expect("a packet");
    out[..transmit.size].into()
}

/// Answers of the server's at present, in bytes.
fn answers(pair: &mut Pair) -> Vec<usize> {
    let (mut sizes, mut out) = (Vec::new(), Vec::new());
    while let Some(transmit) = pair.server.endpoint.poll_transmit(pair.now, 1, &mut out) {
        sizes.push(transmit.size);
    }
    sizes
}

/// RFC 9000 section 10.2.1: enough is kept to close the connection once more.
#[test]
fn nothing_but_the_last_packet_is_kept() {
    let (mut pair, client, server) = unheard("enough");
    let endpoint = &mut pair.server.endpoint;
    assert!(endpoint.connection(pair.now, server).is_none());
    assert_eq!(endpoint.stats().memory_promised, 0);
    assert!(!endpoint.is_idle());
    let sent = pair.client(client).access().request(&get(), End::Fin);
    sent.expect("begins");
    pair.drive();
    let told = pair.client.take(client);
    let Some(CloseReason::Remote { code, reason }) = closed(&told) else {
        panic!("{told:?}");
    };
    assert_eq!(
        (*code, &reason[..]),
        (Code::H3_EXCESSIVE_LOAD, &b"enough"[..])
    );
    pair.advance(Duration::from_secs(1));
    assert!(
        pair.server.endpoint.is_idle(),
        "three probe timeouts are over"
    );
    assert!(pair.server.take(server).is_empty());
}

/// The same: after ever more packets. Nobody else is answered, and nobody gets more than
/// three times what it sent.
#[test]
fn late_packets_are_answered_ever_more_rarely() {
    let (mut pair, client, _) = unheard("enough");
    let packet = late_packet(&mut pair, client);
    let from = Arrival::new(pair.client.addr);
    let mut answered = Vec::new();
    for packets in 1..=100 {
        let stranger = Arrival::new(([10, 0, 0, 9], 9).into());
        for from in [stranger, from] {
            let endpoint = &mut pair.server.endpoint;
            endpoint.handle_datagram(pair.now, from, packet.clone());
        }
        if !answers(&mut pair).is_empty() {
            answered.push(packets);
        }
    }
    assert_eq!(answered, [1, 2, 4, 8, 16, 32, 64]);
}

#[test]
fn an_answer_is_not_larger_than_three_times_what_came() {
    let (mut pair, client, _) = unheard(&"why ".repeat(200));
    let packet = late_packet(&mut pair, client);
    let from = Arrival::new(pair.client.addr);
    // Its connection id and hardly anything else: nobody looks into it.
    let short = BytesMut::from(&packet[..22]);
    let mut came = 0;
    let sizes = loop {
        came += short.len();
        let endpoint = &mut pair.server.endpoint;
        endpoint.handle_datagram(pair.now, from, short.clone());
        let sizes = answers(&mut pair);
        if !sizes.is_empty() {
            break sizes;
        }
    };
    assert!(
        sizes.len() == 1 && sizes[0] <= 3 * came,
        "{sizes:?} for {came}"
    );
    assert!(sizes[0] > 3 * (came - short.len()), "{sizes:?} for {came}");
}

/// RFC 9000 section 10.2.2: who hears of a close answers nothing.
#[test]
fn who_was_closed_keeps_nothing_and_says_nothing() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let packet = late_packet(&mut pair, client);
    let close = Command::Close(Code::H3_NO_ERROR, "".into());
    pair.client_command(client, close).expect("is open");
    pair.drive_until(|pair| closed(&pair.server.take(server)).is_some());
    assert!(pair.server.endpoint.connection(pair.now, server).is_none());
    assert!(!pair.server.endpoint.is_idle());
    let from = Arrival::new(pair.client.addr);
    let endpoint = &mut pair.server.endpoint;
    endpoint.handle_datagram(pair.now, from, packet);
    assert_eq!(answers(&mut pair), []);
}

/// What had arrived of a message is there until it is read.
#[test]
fn a_message_that_has_arrived_outlasts_its_connection() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let [stream, there] = pair.request([client, server], &get(), End::More);
    let mut content = [Bytes::from_static(b"content")];
    let mut connection = pair.client(client);
    let mut access = connection.access();
    let mut send = access.send(stream).expect("is open");
    send.write(&mut content).expect("room");
    send.finish().expect("is open");
    pair.drive();
    pair.client(client).access().close(Code::H3_NO_ERROR, "");
    pair.drive_until(|pair| {
        let told = pair.server.take(server);
        told.iter().any(|event| matches!(event, Event::Closed(_)))
    });
    pair.step();
    let read = |pair: &mut Pair| {
        let mut out = [const { Bytes::new() }; 4];
        let read = pair
            .server(server)
            .access()
            .recv(there)
            .map(|mut recv| recv.read(4, &mut out));
        let read = read.expect("is known").expect("has arrived");
        pair.step();
        (read.bytes, read.state)
    };
    assert_eq!(read(&mut pair), (4, ReadState::Open));
    assert_eq!(read(&mut pair), (3, ReadState::Finished));
    assert!(pair.server.endpoint.connection(pair.now, server).is_none());
}

/// A request that is whole has nothing to be read any more, though nobody looked.
#[test]
fn requests_without_content_outlast_nothing() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    pair.request([client, server], &get(), End::Fin);
    pair.client(client).access().close(Code::H3_NO_ERROR, "");
    pair.drive_until(|pair| closed(&pair.server.take(server)).is_some());
    assert!(pair.server.endpoint.connection(pair.now, server).is_none());
}
