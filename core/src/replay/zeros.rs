//! What stands for bytes that a recording has only the length of.

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;

use crate::record::call::MAX_CHUNK;

/// Zero bytes for calls and answers. All that are long share one allocation, so
/// that no file, however short, makes them take more memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Zeros(Rc<OnceCell<Bytes>>);

impl Zeros {
    /// So many, or [`MAX_CHUNK`] if that is less.
    pub(super) fn get(&self, len: usize) -> Bytes {
        static SHORT: [u8; 1 << 16] = [0; 1 << 16];
        match SHORT.get(..len) {
            Some(zeros) => Bytes::from_static(zeros),
            None => {
                let long = self.0.get_or_init(|| Bytes::from(vec![0; MAX_CHUNK]));
                long.slice(..len.min(MAX_CHUNK))
            }
        }
    }
}
