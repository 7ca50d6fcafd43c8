//! What an input may make a target hold, by the limits of the configuration it runs with.

use aqueduct_core::config::{Config, Limits};

use crate::h3;

/// Bytes that a target holds for each byte of its input, which is cut into chunks, read
/// twice and compared: a chunk has 32 bytes, and an event may have two.
const PER_BYTE: usize = 128;

/// Beside the core: the scripted peer, the queues between, the application, and a
/// recording of everything, which is gone through again.
const HARNESS: usize = 512 * 1024;
/// The same for each byte of the input: steps that write more than they are long.
const HARNESS_PER_BYTE: usize = 512;

/// The tails of DATA frames of all messages.
const TAILS: usize = 512 * 1024;
/// An entry of a table: of a stream, a datagram, a priority.
const ENTRY: usize = 256;

/// What a recording may make its replay hold: for each byte of it, once it is read, and
/// besides.
const REPLAY_PER_BYTE: usize = 16 + 45;
const REPLAY: usize = 8 << 20;

/// Most bytes that `target` may hold at once for this input.
#[must_use]
pub fn most(target: &str, data: &[u8]) -> usize {
    let around = HARNESS + HARNESS_PER_BYTE * data.len();
    match target {
        "h3_server" | "h3_client" => around + connection(&h3::config_of(data)),
        // Both ends.
        "session_ops" => around + 2 * connection(&Config::default()),
        // Both ends, what they wrote and have not read, and a recording of everything.
        "quic_ops" => around + (4 << 20),
        // TLS and QUIC of a few connections.
        "quic_endpoint" => around + (64 << 20),
        "masque_tunnels" => {
            let tunnels = 2 * crate::masque_tunnels::TUNNELS;
            // What waits in a tunnel, a payload that has begun, one that is owed.
            around + 2 * connection(&Config::default()) + tunnels * 4 * (64 << 10)
        }
        "recording" => {
            let text = crate::recording::MAX_TEXT.max(data.len());
            around + REPLAY + REPLAY_PER_BYTE * text + connection(&Config::default())
        }
        // One reader, which keeps one thing at a time.
        _ => section(&Limits::default()) + PER_BYTE * data.len(),
    }
}

/// A field section, encoded and decoded.
fn section(limits: &Limits) -> usize {
    bytes(limits.field_section) + bytes(limits.field_section_encoded)
}

/// Everything that a peer makes one connection hold.
fn connection(config: &Config) -> usize {
    let limits = &config.limits;
    let entries = limits.open_requests
        + limits.early_streams
        + limits.early_datagrams
        + limits.early_priorities
        + limits.datagrams;
    // Of a peer's table and our own, entries have names of their own.
    let tables = 2 * bytes(limits.qpack_table.max(limits.qpack_encoder_table));
    section(limits)
        + bytes(limits.control_frame)
        + bytes(limits.datagram_capsule)
        + tables
        + limits.head_bytes
        + limits.all_datagram_bytes
        + limits.early_datagram_bytes
        + TAILS.min(limits.open_requests * limits.frame_payload)
        + ENTRY * entries
}

fn bytes(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
