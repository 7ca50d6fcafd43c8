//! Where random choices begin when the caller gives a seed.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator};

/// A small generator of well-mixed numbers (SplitMix64), for what need not be
/// secret.
#[derive(Clone, Debug)]
pub(crate) struct Mix(pub(crate) u64);

impl Mix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// One number that depends on all of a seed.
pub(super) fn fold(seed: &[u8; 32]) -> u64 {
    seed.iter()
        .fold(0, |state, byte| Mix(state ^ u64::from(*byte)).next())
}

/// A number from quinn's source of randomness, for GREASE.
pub(super) fn system_seed() -> u64 {
    let id = quinn_proto::RandomConnectionIdGenerator::new(8).generate_cid();
    id.iter()
        .fold(0, |state, byte| state << 8 | u64::from(*byte))
}

/// The ids that a seeded client's first packets are addressed to.
pub(super) fn initial_ids(state: u64) -> Arc<dyn Fn() -> ConnectionId + Send + Sync> {
    Arc::new(move || SeededIds(Mix(state)).generate_cid())
}

/// Connection ids that follow from the seed.
pub(super) struct SeededIds(pub(super) Mix);

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.next().to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_connection_ids_repeat_and_differ() {
        let ids = |seed| {
            let mut ids = SeededIds(Mix(seed));
            [ids.generate_cid(), ids.generate_cid()]
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert_ne!(ids(1)[0], ids(1)[1]);
    }
}
