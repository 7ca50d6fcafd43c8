//! `cargo +nightly fuzz run frame_reader`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(frame_reader);
