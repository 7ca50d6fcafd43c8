//! The QPACK decoder against anything: bounded, final in its errors, and
//! indifferent to how the encoder stream is cut.

use std::collections::BTreeMap;

use aqueduct_core::wire::qpack::{Decoded, Decoder, MAX_DECODER_BACKLOG, QpackError};
use bytes::BytesMut;

use crate::input::Input;

/// Interleaves encoder stream and sections as the input says.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let capacity = [0, 100, 220, 4_096][input.below(4)];
    let max_blocked = [0, 1, 16][input.below(3)];
    let mut run = Run {
        decoder: Decoder::new(capacity, max_blocked),
        twin: Decoder::new(capacity, max_blocked),
        max_blocked,
        waiting: BTreeMap::new(),
    };
    while !input.is_empty() {
        if run.step(&mut input).is_err() {
            return;
        }
    }
}

struct Run<'a> {
    decoder: Decoder,
    /// Gets the encoder stream byte by byte.
    twin: Decoder,
    max_blocked: u64,
    /// Sections that are blocked, with the size limit they came with.
    waiting: BTreeMap<u64, (&'a [u8], u64)>,
}

impl<'a> Run<'a> {
    fn step(&mut self, input: &mut Input<'a>) -> Result<(), QpackError> {
        match input.below(8) {
            0..=2 => self.instructions(input.chunk())?,
            3..=5 => {
                let stream = u64::from(input.byte() % 32) * 4;
                let limit = [0, 40, 200, 65_536][input.below(4)];
                let section = input.chunk();
                if !self.waiting.contains_key(&stream) {
                    self.section(stream, section, limit)?;
                }
            }
            6 => {
                let stream = u64::from(input.byte() % 32) * 4;
                self.waiting.remove(&stream);
                let result = self.decoder.cancel_stream(stream);
                assert_eq!(result, self.twin.cancel_stream(stream));
                result?;
            }
            _ => {
                let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
                let promised = self.decoder.has_output();
                self.decoder.take_output(&mut ours);
                self.twin.take_output(&mut theirs);
                assert_eq!(ours, theirs);
                assert_eq!(promised, !ours.is_empty());
                assert!(ours.len() <= MAX_DECODER_BACKLOG + 32 && !self.decoder.has_output());
            }
        }
        assert!(self.decoder.blocked_streams() as u64 <= self.max_blocked);
        assert!(self.decoder.blocked_streams() <= self.waiting.len());
        Ok(())
    }

    fn instructions(&mut self, bytes: &[u8]) -> Result<(), QpackError> {
        let result = self.decoder.handle_encoder_stream(bytes);
        let mut pieces = bytes.chunks(1);
        let twin = pieces.try_for_each(|piece| self.twin.handle_encoder_stream(piece));
        assert_eq!(result, twin);
        result?;
        while let Some(stream) = self.decoder.poll_unblocked() {
            assert_eq!(self.twin.poll_unblocked(), Some(stream));
            let (section, limit) = self.waiting.remove(&stream).expect("it was blocked");
            self.section(stream, section, limit)?;
            assert!(
                !self.waiting.contains_key(&stream),
                "unblocked, and blocked again"
            );
        }
        assert_eq!(self.twin.poll_unblocked(), None);
        Ok(())
    }

    fn section(&mut self, stream: u64, section: &'a [u8], limit: u64) -> Result<(), QpackError> {
        let decoded = self.decoder.decode(stream, section, limit);
        assert_eq!(decoded, self.twin.decode(stream, section, limit));
        match decoded? {
            Decoded::Section(fields) => assert!(fields.size() <= limit),
            Decoded::TooLarge => {}
            Decoded::Blocked => {
                self.waiting.insert(stream, (section, limit));
            }
        }
        Ok(())
    }
}
