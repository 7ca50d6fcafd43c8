//! Encoder to decoder over three delayed streams: every section comes out as it
//! went in, and neither half finds fault with the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aqueduct_core::wire::fields::FieldSection;
use aqueduct_core::wire::qpack::{Decoded, Decoder, Encoder};
use bytes::{Buf, Bytes, BytesMut};

use crate::input::Input;

const NAMES: &[&str] = &[
    ":path",
    ":authority",
    "user-agent",
    "cookie",
    "x-a",
    "x-b",
    "te",
];
const VALUES: &[&str] = &[
    "",
    "/",
    "/index.html",
    "trailers",
    "a-rather-long-value-of-a-field",
];

/// Sends sections and moves bytes as the input says, then all the rest.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let capacity = [0, 64, 220, 4_096][input.below(4)];
    let max_blocked = [0, 1, 3, 100][input.below(4)];
    let mut run = Run {
        encoder: Encoder::new(),
        decoder: Decoder::new(capacity, max_blocked),
        instructions: BytesMut::new(),
        answers: BytesMut::new(),
        streams: BTreeMap::new(),
        reset: BTreeSet::new(),
    };
    run.encoder
        .set_peer_limits(capacity, max_blocked, 4_096)
        .expect("the first limits");
    while !input.is_empty() {
        run.step(&mut input);
    }
    run.finish();
}

/// A section on its way, and what it says.
type Sent = (Bytes, FieldSection);

struct Run {
    encoder: Encoder,
    decoder: Decoder,
    /// Encoder stream and decoder stream, on their way.
    instructions: BytesMut,
    answers: BytesMut,
    streams: BTreeMap<u64, VecDeque<Sent>>,
    /// Ids are not used again.
    reset: BTreeSet<u64>,
}

impl Run {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.below(8) {
            0..=2 => self.encode(u64::from(input.byte() % 16) * 4, input),
            3 => {
                let n = usize::from(input.byte()).min(self.instructions.len());
                self.deliver_instructions(n);
            }
            4 => {
                let n = usize::from(input.byte()).min(self.answers.len());
                self.deliver_answers(n);
            }
            5 => self.receive(u64::from(input.byte() % 16) * 4),
            6 => {
                // The stream is reset: what is on its way never arrives.
                let stream = u64::from(input.byte() % 16) * 4;
                if self
                    .streams
                    .remove(&stream)
                    .is_some_and(|sent| !sent.is_empty())
                {
                    self.reset.insert(stream);
                    self.decoder
                        .cancel_stream(stream)
                        .expect("room for a cancellation");
                }
            }
            _ => self.encoder.set_output_credit(u64::from(input.byte()) * 4),
        }
        self.encoder.take_output(&mut self.instructions);
        self.decoder.take_output(&mut self.answers);
    }

    fn encode(&mut self, stream: u64, input: &mut Input<'_>) {
        let mut fields = FieldSection::new();
        for _ in 0..input.below(8) {
            let choice = input.byte();
            let name = NAMES
                .get(usize::from(choice & 15))
                .map(|name| name.as_bytes());
            let name = name.unwrap_or_else(|| input.chunk());
            let value = VALUES
                .get(usize::from(choice >> 4 & 7))
                .map(|value| value.as_bytes());
            let value = value.unwrap_or_else(|| input.chunk());
            if choice & 128 == 0 {
                fields.push(name, value);
            } else {
                fields.push_never_indexed(name, value);
            }
        }
        if self.reset.contains(&stream) {
            return;
        }
        let mut section = BytesMut::new();
        self.encoder.encode(stream, fields.iter(), &mut section);
        self.streams
            .entry(stream)
            .or_default()
            .push_back((section.freeze(), fields));
    }

    fn deliver_instructions(&mut self, n: usize) {
        let bytes = self.instructions.split_to(n);
        self.decoder
            .handle_encoder_stream(&bytes)
            .expect("instructions the decoder takes");
        while let Some(stream) = self.decoder.poll_unblocked() {
            let waiting = self.streams.get(&stream).map_or(0, VecDeque::len);
            self.receive(stream);
            let left = self.streams.get(&stream).map_or(0, VecDeque::len);
            assert!(left < waiting, "unblocked, and blocked again");
        }
    }

    fn deliver_answers(&mut self, n: usize) {
        let (bytes, _) = self.answers.split_at(n);
        self.encoder
            .handle_decoder_stream(bytes)
            .expect("answers the encoder takes");
        self.answers.advance(n);
    }

    /// The first section of a stream arrives, or is tried again.
    fn receive(&mut self, stream: u64) {
        let Some(sent) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some((section, fields)) = sent.front() else {
            return;
        };
        match self
            .decoder
            .decode(stream, section, u64::MAX)
            .expect("a section the decoder takes")
        {
            Decoded::Section(decoded) => {
                assert_eq!(decoded.len(), fields.len());
                for (ours, theirs) in decoded.iter().zip(fields.iter()) {
                    assert_eq!((ours.name, ours.value), (theirs.name, theirs.value));
                    // The encoder may add the flag, to secrets it knows by name.
                    assert!(ours.never_indexed || !theirs.never_indexed, "{theirs:?}");
                }
                sent.pop_front();
            }
            Decoded::Blocked => {}
            Decoded::TooLarge => panic!("too large for no limit"),
        }
    }

    fn finish(&mut self) {
        self.encoder.take_output(&mut self.instructions);
        self.deliver_instructions(self.instructions.len());
        let streams: Vec<u64> = self.streams.keys().copied().collect();
        for stream in streams {
            while self
                .streams
                .get(&stream)
                .is_some_and(|sent| !sent.is_empty())
            {
                let waiting = self.streams[&stream].len();
                self.receive(stream);
                assert!(
                    self.streams[&stream].len() < waiting,
                    "all instructions have arrived"
                );
            }
        }
        self.decoder.take_output(&mut self.answers);
        self.deliver_answers(self.answers.len());
    }
}
