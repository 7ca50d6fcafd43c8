//! How server id and nonce are hidden.

use std::fmt;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Bytes of an AES block.
const BLOCK: usize = 16;
/// Half of the longest block, rounded up.
const MAX_HALF: usize = 10;

/// How a block of server id and nonce is hidden.
#[derive(Clone)]
pub(super) enum Cipher {
    /// Not at all.
    Plaintext,
    /// By one AES block.
    SinglePass(Box<Aes128>),
    /// By a Feistel network.
    FourPass(Box<FourPass>),
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "Plaintext",
            Self::SinglePass(_) => "SinglePass",
            Self::FourPass(_) => "FourPass",
        })
    }
}

impl Cipher {
    pub(super) fn new(key: [u8; 16], server_id_len: usize, nonce_len: usize) -> Self {
        let aes = Aes128::new(&key.into());
        let len = server_id_len + nonce_len;
        if len == BLOCK {
            return Self::SinglePass(Box::new(aes));
        }
        Self::FourPass(Box::new(FourPass {
            aes,
            len,
            all: server_id_len > nonce_len,
        }))
    }

    pub(super) const fn is_plaintext(&self) -> bool {
        matches!(self, Self::Plaintext)
    }

    pub(super) fn encrypt(&self, block: &mut [u8]) {
        match self {
            Self::Plaintext => {}
            Self::SinglePass(aes) => one_block(block, |block| {
                let mut array = (*block).into();
                aes.encrypt_block(&mut array);
                *block = array.into();
            }),
            Self::FourPass(cipher) => cipher.encrypt(block),
        }
    }

    /// Recovers the server id; the nonce behind it need not come out right.
    pub(super) fn decrypt(&self, block: &mut [u8]) {
        match self {
            Self::Plaintext => {}
            Self::SinglePass(aes) => one_block(block, |block| {
                let mut array = (*block).into();
                aes.decrypt_block(&mut array);
                *block = array.into();
            }),
            Self::FourPass(cipher) => cipher.decrypt(block),
        }
    }
}

fn one_block(block: &mut [u8], change: impl FnOnce(&mut [u8; BLOCK])) {
    // The cipher is chosen by this length.
    if let Ok(block) = block.try_into() {
        change(block);
    }
}

/// A four-pass Feistel network over 5 to 19 bytes other than 16.
///
/// The halves share the middle byte when the length is odd: its high nibble is
/// the left one's, its low nibble the right one's.
#[derive(Clone)]
pub(super) struct FourPass {
    aes: Aes128,
    len: usize,
    /// The server id reaches into the right half.
    all: bool,
}

type Half = [u8; MAX_HALF];

impl FourPass {
    //= https://www.ietf.org/archive/id/draft-ietf-quic-load-balancers-21.html
    // "General case: four-pass encryption", steps 2 to 10.
    fn encrypt(&self, block: &mut [u8]) {
        let (mut left, mut right) = self.split(block);
        self.pass(1, &left, &mut right, Self::clear_right);
        self.pass(2, &right, &mut left, Self::clear_left);
        self.pass(3, &left, &mut right, Self::clear_right);
        self.pass(4, &right, &mut left, Self::clear_left);
        self.merge(&left, &right, block);
    }

    // The same passes backwards. Here the draft's text clears the left half after
    // pass 3; it is the right one that the pass has changed.
    fn decrypt(&self, block: &mut [u8]) {
        let (mut left, mut right) = self.split(block);
        self.pass(4, &right, &mut left, Self::clear_left);
        self.pass(3, &left, &mut right, Self::clear_right);
        self.pass(2, &right, &mut left, Self::clear_left);
        if self.all {
            self.pass(1, &left, &mut right, Self::clear_right);
        }
        self.merge(&left, &right, block);
    }

    const fn half(&self) -> usize {
        self.len.div_ceil(2)
    }

    /// Mixes what follows from one half into the other.
    fn pass(&self, number: u8, from: &Half, into: &mut Half, clear: fn(&Self, &mut Half)) {
        let mut block = self.expand(number, from).into();
        self.aes.encrypt_block(&mut block);
        let mask = block.iter().take(self.half());
        into.iter_mut().zip(mask).for_each(|(to, mask)| *to ^= mask);
        clear(self, into);
    }

    /// A half as an AES block of its own for each length and pass.
    pub(super) fn expand(&self, pass: u8, half: &Half) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let half = half.iter().take(self.half());
        block
            .iter_mut()
            .zip(half)
            .for_each(|(to, from)| *to = *from);
        block[BLOCK - 2] = self.len as u8;
        block[BLOCK - 1] = pass;
        block
    }

    fn split(&self, block: &[u8]) -> (Half, Half) {
        let (mut left, mut right) = (Half::default(), Half::default());
        let begin = self.len - self.half();
        let to_left = left.iter_mut().zip(block.iter().take(self.half()));
        to_left.for_each(|(to, from)| *to = *from);
        let to_right = right.iter_mut().zip(block.iter().skip(begin));
        to_right.for_each(|(to, from)| *to = *from);
        self.clear_left(&mut left);
        self.clear_right(&mut right);
        (left, right)
    }

    fn merge(&self, left: &Half, right: &Half, block: &mut [u8]) {
        block.fill(0);
        let begin = self.len - self.half();
        let to_left = block.iter_mut().zip(left.iter().take(self.half()));
        to_left.for_each(|(to, from)| *to |= from);
        let to_right = block.iter_mut().skip(begin).zip(right);
        to_right.for_each(|(to, from)| *to |= from);
    }

    fn clear_left(&self, left: &mut Half) {
        if self.len % 2 == 1
            && let Some(middle) = left.get_mut(self.half() - 1)
        {
            *middle &= 0xf0;
        }
    }

    fn clear_right(&self, right: &mut Half) {
        if self.len % 2 == 1 {
            right[0] &= 0x0f;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_expanded_with_length_and_pass() {
        // The draft's example of expand(6, 2, 0xaaba3c).
        let cipher = FourPass {
            aes: Aes128::new(&[0; 16].into()),
            len: 6,
            all: false,
        };
        let half = [0xaa, 0xba, 0x3c, 0, 0, 0, 0, 0, 0, 0];
        let block = [0xaa, 0xba, 0x3c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 2];
        assert_eq!(cipher.expand(2, &half), block);
    }
}
