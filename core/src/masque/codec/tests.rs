use super::*;
use crate::testing::loopback::Rng;
use crate::testing::raw::{frame, varint};

/// Every part of `bytes`, given in pieces of `size`; the decoder is told the end.
fn udp(bytes: &[u8], size: usize) -> (Vec<UdpPart>, Result<(), TunnelFault>) {
    let (mut decoder, mut parts) = (UdpDecoder::default(), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.read(&mut input) {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => break,
                Err(fault) => return (parts, Err(fault)),
            }
        }
        assert!(input.is_empty(), "`None` means that it is used up");
    }
    (parts, decoder.finish())
}

fn payload(bytes: &'static [u8]) -> UdpPart {
    UdpPart::Payload(Payload::Udp(bytes.into()))
}

#[test]
fn datagrams_are_told_apart_by_their_context() {
    let of = |bytes: &'static [u8]| decode_datagram(bytes.into());
    assert_eq!(of(b"\0udp"), Ok(Payload::Udp("udp".into())));
    assert_eq!(of(b"\0"), Ok(Payload::Udp(Bytes::new())));
    assert_eq!(of(b"\x40\0long"), Ok(Payload::Udp("long".into())));
    assert_eq!(of(b"\x02other"), Ok(Payload::UnknownContext));
    assert_eq!(of(b""), Ok(Payload::NoContext));
    assert_eq!(of(b"\x40"), Ok(Payload::NoContext));
    let most = |len| decode_datagram(vec![0; 1 + len].into());
    assert!(matches!(most(MAX_UDP_PAYLOAD), Ok(Payload::Udp(_))));
    assert_eq!(most(MAX_UDP_PAYLOAD + 1), Err(TunnelFault::PayloadTooLarge));
}

#[test]
fn capsules_come_in_pieces_of_any_size() {
    let bytes = [
        &encode_capsule(b"one").expect("small")[..],
        &frame(0x17, b"unknown"),
        &encode_capsule(b"").expect("small"),
        &frame(0, b"\x02other"),
    ]
    .concat();
    let parts = [
        payload(b"one"),
        UdpPart::Unknown(CapsuleType(0x17)),
        payload(b""),
        UdpPart::Payload(Payload::UnknownContext),
    ];
    for size in 1..=bytes.len() {
        assert_eq!(udp(&bytes, size), (parts.to_vec(), Ok(())), "{size}");
        let cut = &bytes[..size];
        let ends = [6, 15, 18, bytes.len()].contains(&size);
        assert_eq!(udp(cut, 7).1.is_ok(), ends, "cut at {size}");
    }
}

#[test]
fn wrong_capsules_are_told_before_they_are_held() {
    for bytes in [frame(0, b""), frame(0, b"\xc0\0\0")] {
        assert_eq!(udp(&bytes, 3).1, Err(TunnelFault::NoContext));
    }
    let header = |len: usize| [varint(0), varint(len as u64)].concat();
    let too_large = header(MAX_CONTEXT + MAX_UDP_PAYLOAD + 1);
    assert_eq!(udp(&too_large, 9).1, Err(TunnelFault::PayloadTooLarge));
    let just = [header(MAX_UDP_PAYLOAD + 2), vec![0; MAX_UDP_PAYLOAD + 2]].concat();
    assert_eq!(udp(&just, 1000).1, Err(TunnelFault::PayloadTooLarge));
    let most = encode_capsule(&[0; MAX_UDP_PAYLOAD]).expect("the largest");
    assert_eq!(udp(&most, 1000).0.len(), 1);
    let larger = encode_capsule(&[0; MAX_UDP_PAYLOAD + 1]);
    assert_eq!(larger, Err(TunnelFault::PayloadTooLarge));
}

/// What is written through a stream that takes little at a time is read again.
#[test]
fn bytes_of_tcp_come_out_as_they_went_in() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        for dialect in [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic] {
            let data: Vec<u8> = (0..rng.below(300)).map(|n| n as u8).collect();
            let (mut encoder, mut stream, mut at) = (TcpEncoder::new(dialect), Vec::new(), 0);
            while at < data.len() {
                let offered = 1 + rng.below((data.len() - at) as u64) as usize;
                let (header, len) = encoder.begin(offered);
                assert!((1..=offered).contains(&len));
                let out = [&header[..], &data[at..at + len]].concat();
                let taken = rng.below(1 + out.len() as u64) as usize;
                stream.extend_from_slice(&out[..taken]);
                at += encoder.took(taken);
            }
            while let Some(end) = encoder.end().filter(|end| !end.is_empty()) {
                let taken = 1 + rng.below(end.len() as u64) as usize;
                stream.extend_from_slice(&end[..taken]);
                assert_eq!(encoder.took(taken), 0);
            }
            assert!(!encoder.owes());
            let (mut decoder, mut came, mut ended) = (TcpDecoder::new(dialect), Vec::new(), false);
            while !stream.is_empty() {
                let len = 1 + rng.below(stream.len() as u64) as usize;
                let mut input = Bytes::from(stream.drain(..len).collect::<Vec<_>>());
                while let Some(part) = decoder.read(&mut input).expect("well-formed") {
                    match part {
                        TcpPart::Bytes(bytes) => came.extend_from_slice(&bytes),
                        TcpPart::End => ended = true,
                    }
                }
            }
            assert_eq!((came, decoder.finish()), (data, Ok(true)), "SEED={seed}");
            assert_eq!(ended, dialect != Dialect::Classic);
        }
    }
}

#[test]
fn a_capsule_that_was_begun_is_filled_before_the_end() {
    let mut encoder = TcpEncoder::new(Dialect::Tcp12);
    let (header, len) = encoder.begin(10);
    assert_eq!((header.len(), len), (5, 10));
    assert_eq!(encoder.took(7), 2);
    assert_eq!(encoder.end(), None, "eight bytes are promised");
    let (header, len) = encoder.begin(100);
    assert_eq!((header.len(), len), (0, 8));
    assert_eq!(encoder.took(8), 8);
    assert!(encoder.end().is_some());
}

#[test]
fn nothing_follows_the_last_bytes() {
    let [data, last] = Dialect::Tcp12.types().expect("it has capsules");
    let mut decoder = TcpDecoder::new(Dialect::Tcp12);
    let mut read = |bytes: Vec<u8>| {
        let mut input = Bytes::from(bytes);
        let part = decoder.read(&mut input);
        (part, decoder.read(&mut input), decoder.finish())
    };
    let bytes = |text: &'static str| Ok(Some(TcpPart::Bytes(text.into())));
    let told = read(frame(data.0, b"some"));
    assert_eq!(
        told,
        (bytes("some"), Ok(None), Ok(false)),
        "an end here is none"
    );
    let told = read(frame(last.0, b"last"));
    assert_eq!(told, (bytes("last"), Ok(Some(TcpPart::End)), Ok(true)));
    let told = read(frame(0x17, b"unknown"));
    assert_eq!(told, (Ok(None), Ok(None), Ok(true)));
    let told = read(frame(data.0, b""));
    assert_eq!(told.0, Err(TunnelFault::DataAfterEnd));
}
