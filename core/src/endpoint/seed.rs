//! Where random choices begin when the caller gives a seed.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use crate::mix::Mix;

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
