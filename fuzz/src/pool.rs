//! A pool under anything that may happen to it: the model's promises hold.

use aqueduct_tests::pool::Model;

/// More events show nothing that fewer would not.
const MAX_OPS: usize = 500;

/// Reads the first byte as whether actions are taken at once, and each three of the rest
/// as an event.
pub fn target(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (ops, _) = rest.as_chunks::<3>();
    let most = ops.len().min(MAX_OPS);
    Model::new(first % 2 == 0).run(ops.get(..most).unwrap_or_default());
}
