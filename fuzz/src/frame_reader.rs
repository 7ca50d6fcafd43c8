//! Frames: any chunking gives the same events and the same error.

use aqueduct_core::id::Side;
use aqueduct_core::wire::frame::StreamKind;
use aqueduct_core::wire::frame_reader::{FrameError, FrameEvent, FrameReader, FrameRules};
use bytes::Bytes;

use crate::input::Input;

/// Reads the input as a stream of frames; the first byte chooses which stream.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let rules = FrameRules {
        kind: match choice % 3 {
            0 => StreamKind::Control,
            1 => StreamKind::Request,
            _ => StreamKind::Push,
        },
        receiver: if choice & 4 == 0 {
            Side::Server
        } else {
            Side::Client
        },
        max_section: if choice & 8 == 0 { 64 } else { 16 * 1024 },
        max_control: if choice & 16 == 0 { 32 } else { 4 * 1024 },
    };
    let (whole, chunks) = input.chunks();
    let once = read(&[whole], &rules);
    assert_eq!(once, read(&chunks, &rules));
}

fn read(chunks: &[Bytes], rules: &FrameRules) -> (Vec<FrameEvent>, Result<(), FrameError>) {
    let mut reader = FrameReader::new();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.clone();
        loop {
            let before = chunk.len();
            match reader.read(&mut chunk, rules) {
                Ok(Some(event)) => keep(&mut events, event, rules),
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
            assert!(
                chunk.len() < before || before == 0,
                "an event out of nothing"
            );
        }
        assert!(chunk.is_empty());
    }
    assert_eq!(reader.at_boundary(), reader.finish().is_ok());
    (events, reader.finish())
}

/// Content may be told in more pieces, everything else may not.
fn keep(events: &mut Vec<FrameEvent>, event: FrameEvent, rules: &FrameRules) {
    match (&event, events.last_mut()) {
        (FrameEvent::Data(more), Some(FrameEvent::Data(content))) => {
            assert!(!more.is_empty());
            *content = [&content[..], more].concat().into();
            return;
        }
        (FrameEvent::Headers(section) | FrameEvent::PushPromise { section, .. }, _) => {
            assert!(section.len() as u64 <= rules.max_section + 8);
        }
        (
            FrameEvent::Settings(payload)
            | FrameEvent::Origin(payload)
            | FrameEvent::PriorityUpdate { value: payload, .. },
            _,
        ) => assert!(payload.len() as u64 <= rules.max_control),
        _ => {}
    }
    events.push(event);
}
