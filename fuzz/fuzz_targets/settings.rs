//! `cargo +nightly fuzz run settings`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(settings);
