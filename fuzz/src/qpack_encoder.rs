//! The QPACK encoder against a decoder stream of anything: it survives, and its
//! backlog stays bounded.

use aqueduct_core::wire::fields::Field;
use aqueduct_core::wire::qpack::{Encoder, MAX_ENCODER_BACKLOG};
use bytes::BytesMut;

use crate::input::Input;

/// Interleaves requests of ours and the peer's instructions.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let mut encoder = Encoder::new();
    let capacity = [0, 100, 4_096][input.below(3)];
    encoder
        .set_peer_limits(capacity, u64::from(input.byte() % 4), 4_096)
        .expect("the first limits");
    let mut out = BytesMut::new();
    while !input.is_empty() {
        match input.below(4) {
            0 => {
                let stream = u64::from(input.byte()) * 4;
                let (name, value) = (input.chunk(), input.chunk());
                let fields = [Field::new(name, value), Field::new(b"user-agent", value)];
                encoder.encode(stream, fields, &mut out);
            }
            1 => encoder.take_output(&mut out),
            2 => encoder.set_output_credit(input.number()),
            _ if encoder.handle_decoder_stream(input.chunk()).is_err() => return,
            _ => {}
        }
        out.clear();
        let before = encoder.clone();
        encoder.take_output(&mut out);
        assert!(out.len() <= MAX_ENCODER_BACKLOG, "{} bytes wait", out.len());
        encoder = before;
        out.clear();
    }
}
