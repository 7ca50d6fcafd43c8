//! `cargo +nightly fuzz run capsule_reader`; elsewhere runs the files it is given.
#![cfg_attr(fuzzing, no_main)]
aqueduct_fuzz::main!(capsule_reader);
