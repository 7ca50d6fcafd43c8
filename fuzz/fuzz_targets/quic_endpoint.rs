//! `cargo +nightly fuzz run quic_endpoint`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(quic_endpoint);
