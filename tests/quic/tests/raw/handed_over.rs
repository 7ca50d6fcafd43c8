//! Row E22: what happens before an application looks is kept until it does.

use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, Shutdown, Start, StreamEvent};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::{EarlyData, ReadState};
use bytes::Bytes;

/// A server that nobody has asked for events hears of all of a short conversation, in order.
#[test]
fn events_before_the_hand_over_are_kept_in_order() {
    let config = quic::Config::default();
    let mut pair = LoopbackQuic::new(config.clone(), config, Knobs::default());
    pair.drive();
    let mut client = pair.client();
    let stream = client.start(Dir::Bi, Start::new()).expect("begins");
    let taken = client.write(stream, &mut [Bytes::from_static(b"kept")]);
    assert_eq!(taken, Ok(4));
    client
        .send_datagram(Bytes::from_static(b"kept"))
        .expect("goes");
    pair.drive();
    let gone = pair.client().shutdown(stream, Shutdown::AbortReceive(8));
    gone.expect("ends");
    pair.drive();
    pair.client()
        .shutdown(stream, Shutdown::Graceful)
        .expect("ends");
    pair.drive();
    let events = pair.events(Side::Server);
    let key = super::opened(&super::quic(events.clone()))[0];
    let early = EarlyData::None;
    let expected = [
        Event::Connected { early },
        Event::Quic(quic::Event::DatagramState(Some(1_200))),
        Event::Quic(quic::Event::Opened(key)),
        Event::Quic(quic::Event::Stream(key, StreamEvent::Readable)),
        Event::Quic(quic::Event::Datagrams),
        Event::Quic(quic::Event::Stream(key, StreamEvent::Stopped(8))),
        Event::Quic(quic::Event::Stream(
            key,
            StreamEvent::SendOver { graceful: false },
        )),
    ];
    assert_eq!(events, expected);
    let mut out = [const { Bytes::new() }; 4];
    let read = pair
        .server()
        .read(key, usize::MAX, &mut out)
        .expect("reads");
    assert_eq!((read.bytes, read.state), (4, ReadState::Finished));
    assert_eq!(
        pair.server().recv_datagram(),
        Some(Bytes::from_static(b"kept"))
    );
}
