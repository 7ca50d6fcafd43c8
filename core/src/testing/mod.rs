//! What tests stand on: transports without a network, pairs of connections and
//! scripted peers. Everything random comes from a seed.

pub mod loopback;
pub mod loopback_pair;
pub mod raw;
