//! Capsules as content.

use aqueduct_core::capsule::{CapsuleType, RawCapsule};
use aqueduct_core::code::Code;
use aqueduct_core::error::PeerCode;
use aqueduct_core::fault::Violation;

use super::datagrams::tunnel;
use super::*;
use crate::error::WriteError;
use crate::{CapsuleHeader, CapsuleStream};

const MINE: CapsuleType = CapsuleType(0x1234);
const UNKNOWN: CapsuleType = CapsuleType(0x17);

/// Both ends of an accepted tunnel.
pub(super) fn pair(net: &mut Net) -> (CapsuleStream, CapsuleStream) {
    let (client, server) = answered(net);
    (client.into_capsules(), server.into_capsules())
}

fn answered(net: &mut Net) -> (RequestStream, ServerRequest) {
    let (mut client, mut server) = tunnel(net);
    server.send_response(Response::new(())).expect("not sent");
    net.run(client.recv_response()).expect("arrives");
    (client, server)
}

pub(super) fn pattern(len: usize) -> Bytes {
    (0..len).map(|i| (i * 7 + (i >> 8)) as u8).collect()
}

#[test]
fn capsules_of_any_type_go_both_ways() {
    let mut net = Net::new();
    let (mut client, mut server) = pair(&mut net);
    let sent = [
        RawCapsule::new(MINE, pattern(100)),
        RawCapsule::new(UNKNOWN, ""),
        RawCapsule::new(CapsuleType::DATAGRAM, "not in a QUIC datagram"),
        RawCapsule::new(CapsuleType::WT_CLOSE_SESSION, "means nothing here"),
        RawCapsule::new(CapsuleType((1 << 62) - 1), pattern(50_000)),
    ];
    for capsule in &sent {
        net.run(client.send(capsule.ty, capsule.value.clone()))
            .expect("taken");
        let got = net.run(server.recv(50_000)).expect("whole");
        assert_eq!(got.as_ref(), Some(capsule));
        net.run(server.send(capsule.ty, capsule.value.clone()))
            .expect("taken");
        let got = net.run(client.recv(50_000)).expect("whole");
        assert_eq!(got.as_ref(), Some(capsule));
    }
    net.run(client.finish()).expect("between capsules");
    assert_eq!(net.run(server.recv(0)), Ok(None));
    let too_high = net.run(server.send(CapsuleType(1 << 62), Bytes::new()));
    assert_eq!(too_high, Err(WriteError::InvalidCapsule));
}

#[test]
fn values_stream_in_pieces_of_any_length() {
    let mut net = Net::new();
    let (client, server) = pair(&mut net);
    let ((mut send, _answer), (_back, mut recv)) = (client.split(), server.split());
    let data = pattern(8 << 20);
    let sending = async {
        send.send_header(MINE, data.len() as u64).await?;
        for piece in data.chunks(1 << 20) {
            send.send_piece(Bytes::copy_from_slice(piece)).await?;
        }
        let more = send.send_piece("x".into()).await;
        assert_eq!(
            more,
            Err(WriteError::InvalidCapsule),
            "longer than announced"
        );
        send.send(UNKNOWN, "behind".into()).await
    };
    let receiving = async {
        let header = recv.recv_header().await.expect("whole").expect("one");
        assert_eq!((header.ty, header.len), (MINE, 8 << 20));
        let mut got = Vec::new();
        while let Some(piece) = recv.recv_piece().await.expect("whole") {
            got.extend_from_slice(&piece);
        }
        assert_eq!(recv.recv_piece().await, Ok(None), "no capsule has begun");
        (got, recv.recv(100).await.expect("whole").expect("one"))
    };
    let (sent, (got, behind)) = net.run(both(sending, receiving));
    assert_eq!(sent, Ok(()));
    assert!(got == data, "the value is what was sent");
    assert_eq!(behind, RawCapsule::new(UNKNOWN, "behind"));
}

#[test]
fn what_is_too_long_or_not_wanted_is_passed_over() {
    let mut net = Net::new();
    let (mut client, mut server) = pair(&mut net);
    for len in [101, 100, 2_000, 3] {
        net.run(client.send(MINE, pattern(len))).expect("taken");
    }
    assert_eq!(net.run(server.recv(100)), Err(ReadError::TooLong));
    let fits = net.run(server.recv(100)).expect("whole").expect("one");
    assert_eq!(fits.value, pattern(100));
    let header = net.run(server.recv_header()).expect("whole");
    assert_eq!(
        header,
        Some(CapsuleHeader {
            ty: MINE,
            len: 2_000
        })
    );
    assert!(net.run(server.recv_piece()).expect("whole").is_some());
    let header = net.run(server.recv_header()).expect("whole");
    assert_eq!(
        header,
        Some(CapsuleHeader { ty: MINE, len: 3 }),
        "the rest is passed over"
    );
    assert_eq!(net.run(server.recv_value(3)), Ok(pattern(3)));
}

// RFC 9297 section 3.3.
#[test]
fn an_end_inside_a_capsule_ends_both_halves() {
    let mut net = Net::new();
    let (mut client, server) = answered(&mut net);
    let mut server = server.into_capsules();
    net.run(client.send_data(Bytes::from_static(b"\x09\x03ab")))
        .expect("taken");
    client.finish().expect("not finished");
    let truncated = Violation::CapsuleTruncated;
    for _ in 0..2 {
        let end = net.run(server.recv(100));
        assert_eq!(end, Err(ReadError::Malformed(truncated)));
    }
    let refused = net.run(server.send(MINE, "x".into()));
    assert_eq!(refused, Err(WriteError::Malformed(truncated)));
    let code = PeerCode::http(Code::H3_MESSAGE_ERROR.value());
    assert_eq!(net.run(client.recv_data()), Err(ReadError::Reset(code)));
}

#[test]
fn content_does_not_end_inside_a_capsule_of_ours() {
    let mut net = Net::new();
    let (mut client, mut server) = pair(&mut net);
    net.run(client.send_header(MINE, 5)).expect("taken");
    assert_eq!(net.run(client.finish()), Err(WriteError::InvalidCapsule));
    let inside = net.run(client.send(UNKNOWN, "x".into()));
    assert_eq!(inside, Err(WriteError::InvalidCapsule));
    net.run(client.send_piece("whole".into())).expect("taken");
    net.run(client.finish()).expect("between capsules");
    let got = net.run(server.recv(5)).expect("whole");
    assert_eq!(got, Some(RawCapsule::new(MINE, "whole")));
    assert_eq!(net.run(server.recv(5)), Ok(None));
}

#[test]
fn a_dropped_future_breaks_no_capsule() {
    let mut net = Net::new();
    let (mut client, mut server) = pair(&mut net);
    let large = pattern(8 << 20);
    {
        let mut sending = pin!(client.send(MINE, large.clone()));
        assert!(poll(sending.as_mut()).is_none(), "more than the window");
    }
    net.settle();
    {
        let mut receiving = pin!(server.recv(8 << 20));
        assert!(poll(receiving.as_mut()).is_none(), "a part is here");
    }
    let sending = client.send(UNKNOWN, "behind".into());
    let receiving = async { [server.recv(8 << 20).await, server.recv(100).await] };
    let (sent, [first, second]) = net.run(both(sending, receiving));
    assert_eq!(sent, Ok(()));
    let first = first.expect("whole").expect("one");
    assert!(first.ty == MINE && first.value == large);
    assert_eq!(second, Ok(Some(RawCapsule::new(UNKNOWN, "behind"))));
}

#[test]
fn a_header_may_come_in_any_number_of_pieces() {
    let mut net = Net::new();
    let (mut client, server) = answered(&mut net);
    let (_send, mut recv) = server.into_capsules().split();
    let capsule = RawCapsule::new(MINE, "value");
    let mut wire = Vec::new();
    capsule.put(&mut wire).expect("in bounds");
    for byte in wire {
        let mut receiving = pin!(recv.recv(5));
        assert!(poll(receiving.as_mut()).is_none());
        net.run(client.send_data(vec![byte].into())).expect("taken");
        net.settle();
    }
    assert_eq!(net.run(recv.recv(5)), Ok(Some(capsule)));
}

/// What is not wanted any more is not given either, though it had been taken in.
#[test]
fn a_stop_discards_what_was_taken_in() {
    let mut net = Net::new();
    let (mut client, server) = answered(&mut net);
    let mut server = server.into_capsules();
    let capsules: Bytes = b"\x17\x02hi".repeat(3).into();
    net.run(client.send_data(capsules)).expect("taken");
    let first = net.run(server.recv(10)).expect("whole").expect("one");
    assert_eq!(first.value, "hi");
    net.run(server.recv_header()).expect("whole").expect("one");
    server.recv.stop(Code::H3_NO_ERROR).expect("not stopped");
    assert_eq!(net.run(server.recv_piece()), Err(ReadError::Closed));
    assert_eq!(net.run(server.recv(10)), Err(ReadError::Closed));
}
