//! `cargo +nightly fuzz run session_ops`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(session_ops);
