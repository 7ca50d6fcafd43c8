//! Capsules: any chunking gives the same events and the same error.

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
    assert_eq!(read(&[whole], &rules), read(&chunks, &rules));
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
