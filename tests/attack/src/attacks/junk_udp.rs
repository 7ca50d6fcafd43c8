//! UDP packets that are no QUIC, or seem to be: short headers, long headers, other versions.

use std::thread;
use std::time::Duration;

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("junk_udp", "UDP packets that are no QUIC", run);

fn run(a: &mut Attacker) {
    let mut junk = vec![0_u8; 1_200];
    // A server without optimisation has its hands full with less.
    let pause = Duration::from_millis(if cfg!(debug_assertions) { 4 } else { 0 });
    while a.on() {
        for _ in 0..64 {
            for byte in &mut junk[..64] {
                *byte = a.luck.below(256) as u8;
            }
            let len = 1 + a.luck.below(1_200) as usize;
            a.net.raw(&junk[..len]);
            a.ops += 1;
        }
        thread::sleep(pause);
    }
}
