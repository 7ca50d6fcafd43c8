//! Capsules: any chunking gives the same events and the same error.

use aqueduct_core::capsule::{Part, RawCapsule, Reader};
use aqueduct_core::wire::capsule::{Capsule, CapsuleError, CapsuleType, MAX_REASON};
use aqueduct_core::wire::capsule_reader::{CapsuleEvent, CapsuleReader, CapsuleRules};
use bytes::Bytes;

use crate::input::Input;

/// Reads the input as a stream of capsules; the first byte chooses the rules.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let rules = CapsuleRules {
        max_datagram: if choice & 1 == 0 { 16 } else { 1_200 },
        webtransport: choice & 2 == 0,
        claimed: if choice & 4 == 0 {
            &[]
        } else {
            &[(CapsuleType(0x01), 24)]
        },
    };
    let (whole, chunks) = input.chunks();
    let whole = [whole];
    assert_eq!(read(&whole, &rules), read(&chunks, &rules));
    let skipped = (choice & 8 != 0).then_some(CapsuleType(0x00));
    assert_eq!(parts(&whole, skipped), parts(&chunks, skipped));
}

/// The capsules of a stream, raw, and how it ends.
fn parts(
    chunks: &[Bytes],
    skipped: Option<CapsuleType>,
) -> (Vec<RawCapsule>, Result<(), CapsuleError>) {
    let mut reader = Reader::with_max_len(5_000);
    let (mut capsules, mut begun) = (Vec::new(), None);
    for chunk in chunks {
        let mut chunk = chunk.clone();
        loop {
            match reader.read(&mut chunk) {
                Ok(Some(Part::Start { ty, .. })) if Some(ty) == skipped => reader.skip(),
                Ok(Some(Part::Start { ty, len })) => begun = Some((ty, len, Vec::new())),
                Ok(Some(Part::Piece(piece))) => {
                    let (_, _, value) = begun.as_mut().expect("a capsule has begun");
                    value.extend_from_slice(&piece);
                }
                Ok(Some(Part::End)) => {
                    let (ty, len, value) = begun.take().expect("a capsule has begun");
                    assert_eq!(value.len() as u64, len);
                    capsules.push(RawCapsule::new(ty, value));
                }
                Ok(None) => break,
                Err(error) => return (capsules, Err(error)),
            }
        }
    }
    (capsules, reader.finish())
}

fn read(
    chunks: &[Bytes],
    rules: &CapsuleRules<'_>,
) -> (Vec<CapsuleEvent>, Result<(), CapsuleError>) {
    let mut reader = CapsuleReader::new();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.clone();
        loop {
            let before = chunk.len();
            match reader.read(&mut chunk, rules) {
                Ok(Some(event)) => {
                    check(&event, rules);
                    events.push(event);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        reader.read(&mut chunk, rules),
                        Err(error),
                        "errors are final"
                    );
                    assert_eq!(reader.finish(), Err(error));
                    return (events, Err(error));
                }
            }
            assert!(chunk.len() < before, "an event out of nothing");
        }
        assert!(chunk.is_empty());
    }
    (events, reader.finish())
}

fn check(event: &CapsuleEvent, rules: &CapsuleRules<'_>) {
    match event {
        CapsuleEvent::Capsule(Capsule::Datagram(payload)) => {
            assert!(payload.len() as u64 <= rules.max_datagram);
        }
        CapsuleEvent::Capsule(Capsule::CloseSession { reason, .. }) => {
            assert!(rules.webtransport && reason.len() <= MAX_REASON);
            assert!(std::str::from_utf8(reason).is_ok());
        }
        CapsuleEvent::Capsule(Capsule::Other(ty, value)) => {
            let cap = rules.claimed.iter().find(|(claimed, _)| claimed == ty);
            assert!(value.len() as u64 <= cap.expect("a claimed type").1);
        }
        CapsuleEvent::Capsule(_) => assert!(rules.webtransport),
        CapsuleEvent::DatagramDropped { len } => assert!(*len > rules.max_datagram),
        CapsuleEvent::Skipped { .. } => {}
    }
}
