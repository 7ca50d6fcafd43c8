//! Plain and extended CONNECTs that the application does not answer, with datagrams.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("unanswered_connects", "CONNECTs that nobody answers", run).by(10).on(&[Kind::Tokio, Kind::Mio]);

fn run(a: &mut Attacker) {
    let connects = [wire::connect(), wire::extended("connect-udp", "/hang")];
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        while let Some(id) = conn.request(&connects[streams.len() % 2]) {
            streams.push(id);
            conn.ops += 1;
        }
        for id in streams {
            conn.datagram(wire::datagram_of(number(*id), &[b'x'; 1_000]));
        }
    });
}
