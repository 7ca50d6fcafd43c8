//! Streams of raw QUIC: begun, written, read, ended.

use aqueduct_core::id::Dir;
use aqueduct_core::quic::{Event, Shutdown, Start, StreamClosed, StreamEvent};
use aqueduct_core::testing::pair::Pair;
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use super::{At, chat, opened, quic, read};

#[test]
fn a_stream_there_and_back() {
    let (mut pair, client, server) = Pair::connected(chat());
    quic(pair.client.take(client));
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    let stream = access.start(Dir::Bi, Start::new()).expect("begins");
    let taken = access.write(stream, &mut [Bytes::from_static(b"hello")]);
    assert_eq!(taken, Ok(5));
    access.shutdown(stream, Shutdown::Graceful).expect("ends");
    pair.drive();
    let events = quic(pair.server.take(server));
    let theirs = opened(&events)[0];
    assert_eq!(theirs.id(), stream.id());
    assert_eq!(
        read(&mut pair, At::Server(server), theirs),
        (b"hello".to_vec(), ReadState::Finished)
    );
    let mut connection = pair.server_quic(server);
    let mut access = connection.access();
    let taken = access.write(theirs, &mut [Bytes::from_static(b"world")]);
    assert_eq!(taken, Ok(5));
    access.shutdown(theirs, Shutdown::Graceful).expect("ends");
    pair.drive();
    let events = quic(pair.client.take(client));
    assert_eq!(
        events,
        [
            Event::Stream(stream, StreamEvent::Started),
            Event::Stream(stream, StreamEvent::SendOver { graceful: true }),
            Event::Stream(stream, StreamEvent::Readable),
        ]
    );
    assert_eq!(
        read(&mut pair, At::Client(client), stream),
        (b"world".to_vec(), ReadState::Finished)
    );
    pair.drive();
    let closed = StreamEvent::Closed(StreamClosed::default());
    let events = quic(pair.client.take(client));
    assert_eq!(events, [Event::Stream(stream, closed)]);
    let events = quic(pair.server.take(server));
    assert_eq!(events.last(), Some(&Event::Stream(theirs, closed)));
    assert_eq!(pair.client_quic(client).access().live_streams(), 0);
    assert_eq!(pair.server_quic(server).access().live_streams(), 0);
}
