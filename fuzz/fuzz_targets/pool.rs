//! `cargo +nightly fuzz run pool`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(pool);
