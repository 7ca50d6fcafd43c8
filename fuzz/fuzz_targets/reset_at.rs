//! `cargo +nightly fuzz run reset_at`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(reset_at);
