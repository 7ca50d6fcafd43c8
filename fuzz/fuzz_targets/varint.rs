//! `cargo +nightly fuzz run varint`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(varint);
